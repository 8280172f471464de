// From an ONNX model to a Graph: a float network of ours, with its weights, that calibration, planning and everything
// else treat like one that was written by hand. README.md in this folder lists what is supported.
//
//  - One input, [N, C, H, W] or [N, F] with a fixed C, H, W (N may be anything: it becomes the batch), one output.
//  - What computes nothing folds away: Identity, Dropout, Constant, reshapes and transposes that move no data, and the
//    Shape - Gather - Concat chains by which exporters write "keep the batch".
//  - Layers are named as in the checkpoint where the weights tell (`layer1.0.conv1` of `layer1.0.conv1.weight`), else
//    by their node, else by their output.
//  - Nodes that do not lead to the output are left out.
#pragma once

#include <string>
#include <vector>

#include "runtime/graph.h"
#include "runtime/io/onnx_file.h"

namespace octet::onnx {

// Throws Error naming the node, its operator and what would be supported. A quantised file (QuantizeLinear and
// DequantizeLinear, or operators on integers) becomes a Graph with quantise and dequantise nodes, for
// lower_quantised(); `notes` takes what its user should know.
Graph import_graph(const Model& model, const std::string& name, std::vector<std::string>* notes = nullptr);

// The same model with every operator on integers (QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger and ONNX
// Runtime's QGemm, QLinearAdd, QLinearGlobalAveragePool, ...) written as DequantizeLinear, the operator on reals, and
// QuantizeLinear, which mean the same.
Model expand_integer_operators(const Model& model);

// Marks the edges that calibration needs: every activation that stays one when batch-norms and activations have been
// folded, save those behind what only moves values (which keep their input's range) and logits, which stay real.
void observe_activations(Graph& graph);

}  // namespace octet::onnx
