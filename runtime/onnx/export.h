// From a QGraph to an ONNX model: float as it is, INT8 as QuantizeLinear - DequantizeLinear pairs (QDQ) around
// operators on reals, which is what deployment tools read.
//
//     x -> Q -> DQ ----------------------------------+
//     weight (s8, one scale an output channel) -> DQ -+-> Conv -> Relu -> Q -> DQ -> ...
//     bias (s32, scale_x * scale_weight) -> DQ -------+
//
//  - Steps, zero points, weights and biases are the QGraph's own, bit for bit; batch-norms are folded already.
//  - Both inputs of an Add are quantised; layers left in float stand without Q and DQ, and with float weights.
//  - The model's input is called `input`, its output `output`; layers keep their names, weights are LAYER.weight.
//  - Integers of ours end at -127 where QuantizeLinear reaches -128: metadata tells our importer (range_metadata.h);
//    other runtimes may give -128 there.
//  - Sparse convolutions are operators of a domain of ours (sparse.md); such a network takes its sites as a second
//  input.
//  - lower_quantised(import_graph(export_model(g))) is g again, save for the reasons (QNode::why), the input's name and
//    functions that the operator set must spell otherwise (HardSwish before 14).
#pragma once

#include "runtime/io/onnx_file.h"
#include "runtime/qgraph.h"

namespace octet::onnx {

// How the file is written, whatever the network.
struct ExportOptions {
  int opset = 13;              // 13 (the first with a scale a channel) to 21
  bool dynamic_batch = false;  // axis 0 of input and output is `batch` instead of 1
  // Weights and activations in half precision (FLOAT16) between a Cast behind the input and one before the output,
  // which stay float32. For networks without integers.
  bool half = false;
  // Rule 11 rounds the ratio of a sum's steps to 16 bits, which files as they are do not say: other runtimes' sums then
  // differ from ours by a step in one element of ten thousand. So: each input of a quantised sum has a DequantizeLinear
  // of its own, whose scale is rule 11's ratio times the sum's step. Our importer knows it by metadata.
  bool exact_sums = false;
};

// Throws Error: another operator set; the notebook's arithmetic, which ONNX cannot express; in half precision, integers
// and weights beyond its range.
Model export_model(const QGraph& graph, const ExportOptions& options);

// Keys of the metadata that a model of ours carries, for whoever loads it: those of QGraph::metadata behind this
// prefix.
constexpr const char* kMetadataPrefix = "octet.";

}  // namespace octet::onnx
