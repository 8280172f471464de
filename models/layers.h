// What the image networks' definitions share. Node names are the state dict's, so that a user's own checkpoint loads.
#pragma once

#include <string>

#include "runtime/graph.h"
#include "runtime/qgraph.h"

namespace octet::models {

// A convolution without bias, its batch-norm and its activation, under their state-dict names. `activation` is the name
// of a node without parameters, empty with Activation::none.
struct ConvNames {
  std::string conv, norm, activation;
};

struct ConvLayer {  // what conv_norm_act() appends
  int out;
  Window window;
  int groups = 1;
  Activation activation = Activation::none;
  float eps = 1e-5f;  // of the batch-norm
};

// Appends the three and marks their result for calibration under the convolution's name: once batch-norm and activation
// are folded in, that is the one edge there is.
EdgeId conv_norm_act(Graph& graph, EdgeId x, const ConvNames& names, const ConvLayer& layer);

// a + b, observed under its own name: the sum is a quantised operation by itself (rule 11).
EdgeId residual_add(Graph& graph, const std::string& name, EdgeId a, EdgeId b);

// Mean over height and width (observed: it is requantised by rule 9) and flatten.
EdgeId mean_features(Graph& graph, const std::string& name, EdgeId x);

// Rounds a channel count to a multiple of `divisor`, never below `divisor` nor by more than 10 % down.
int make_divisible(double channels, int divisor);

}  // namespace octet::models
