// From a Graph with quantise and dequantise nodes (a quantised ONNX file) to a QGraph that computes in integers.
//
//     Q -> DQ -> layer (-> Relu) -> Q        is an INT8 layer: integers in, integers out (rules 7 to 12)
//     Q -> DQ -> Conv, Gemm or MatMul -> ... is one too; its output is real (rule 13), whatever follows
//     Q -> DQ -> MaxPool, Flatten -> ...     stays integers
//
// What fits none of these runs in float, its reason says why, and so does a note. Nothing is calibrated or quantised
// anew: steps, zero points, weights and biases are the file's. A batch-norm behind a layer of integer weights is folded
// into its weights' steps and biases, which leaves the weights as they are (negative scales flip their signs).
#pragma once

#include <set>
#include <string>
#include <vector>

#include "runtime/qgraph.h"

namespace octet::onnx {

// Whether the file was quantised.
bool is_quantised(const Graph& graph);

// Throws Error when the result is no valid network. `notes`: every node with integer inputs that could not stay
// integer.
// `real_layers` stay in float whatever surrounds them (range_metadata.h).
QGraph lower_quantised(const Graph& graph, std::vector<std::string>& notes,
                       const std::set<std::string>& real_layers = {});

}  // namespace octet::onnx
