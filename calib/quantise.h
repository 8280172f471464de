// Quantising: Graph + Ranges -> QGraph. Batch-norm is folded, activations become clamps, weights and biases become
// integers, and every layer gets its precision and, where that is not INT8, the reason.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "calib/ranges.h"
#include "runtime/qgraph.h"

namespace octet::calib {

struct QuantiseOptions {  // which layers, and how fine their weights
  // Expressions that match a full dotted layer name from its start, or equal it (facts of the field's tools: re.match).
  std::vector<std::string> ignore;     // these layers stay in float
  std::vector<std::string> only;       // when not empty, all other layers stay in float
  std::optional<Granularity> weights;  // instead of the ranges' own; weights need no calibration
};

// The scheme, the weights' granularity (unless the options name one) and the preset are those of the ranges, whose
// ignore and only lists are joined with the options'. An expression that matches no layer is
// an Error that lists close names; ranges of another model are an Error.
QGraph quantise(const Graph& graph, const Ranges& ranges, const QuantiseOptions& options = {});

// The float network that quantise() turns into integers: batch-norm folded and, where the ranges say so, equalised.
Graph float_form(const Graph& graph, const Ranges& ranges);

// The same network with nothing quantised: batch-norm folded, activations fused. For FP32 inference and calibration.
// `fold` off keeps batch-norms as layers of their own. Every Graph edge that is observed exists in the result.
QGraph as_float(const Graph& graph, bool fold = true);

// The layers of a network that quantisation decides about (convolutions, linear, pools, adds, concats), by name.
std::vector<std::string> quantisable_layers(const Graph& graph);

}  // namespace octet::calib
