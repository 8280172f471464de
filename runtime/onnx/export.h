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
};

// Throws Error: another operator set; the notebook's arithmetic, which ONNX cannot express.
Model export_model(const QGraph& graph, const ExportOptions& options);

// Keys of the metadata that a model of ours carries, for whoever loads it: those of QGraph::metadata behind this
// prefix.
constexpr const char* kMetadataPrefix = "octet.";

}  // namespace octet::onnx
