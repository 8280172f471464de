// QGraph: what a quantised network means, independent of any device. Every edge is either real (f32) or quantised
// (8-bit integers with QuantParams); every node says in which precision it computes and, when that is not INT8, why
// not. Weights are integers with one step per output channel, biases int32; batch-norm and activations are folded in.
//
// A float Graph is also a QGraph in which nothing is quantised (calib::as_float), so one planner serves both. An .octet
// file is a QGraph (runtime/io/octet_file.h); the integer results of a QGraph are the same bytes on every device.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/graph.h"
#include "runtime/quant_params.h"

namespace octet {

enum class Precision : std::uint8_t { fp32, int8 };  // of a layer's arithmetic
const char* name_of(Precision precision);            // "fp32", "int8"

enum class Activation : std::uint8_t { none, relu, relu6 };  // fused into a layer: its limits (rule 8)
const char* name_of(Activation activation);                  // "none", "relu", "relu6"

// How an integer layer goes from its accumulator to 8 bits: the contract's single multiplication (rule 7), or the
// cat/dog notebook's multiply-then-divide (`--preset notebook`; reference and portable kernels).
enum class Requantisation : std::uint8_t { one_multiply, notebook };

struct QEdge {  // one activation, real or quantised
  std::string name;
  Shape shape;  // without the batch
  bool quantised = false;
  QuantParams quant;
  std::string observer;  // the name under which calibration records its range; empty: not observed
  // Notebook mode: the scale 127 / amax that its formulas use in place of the step.
  float notebook_scale = 0;
};

struct QNode {  // one layer
  std::string name;
  Op op;
  std::vector<EdgeId> inputs;
  EdgeId output = -1;
  Precision precision = Precision::fp32;
  std::string why;  // why it is not INT8; empty for INT8 layers and for quantise / dequantise
  Window window;
  SparseWindow sparse;     // sparse_conv
  std::string inverse_of;  // sparse_conv, inverse: the node that it undoes
  int groups = 1;
  bool ceil_mode = false;
  bool count_include_pad = false;
  Activation activation = Activation::none;
  float alpha = 0, beta = 0;  // functions of one value, as in Graph

  // Rule 12, INT8 functions of one value: u8 [256], the output's byte for each byte of the input.
  Tensor table;

  std::shared_ptr<const CustomOp> custom;  // Op::custom

  // conv2d, conv_transpose2d, sparse_conv, linear. INT8: s8 weights within [-127, 127]; fp32: f32. Layouts as in Graph
  // ([O, C/groups, kh, kw], [O, kz, ky, kx, C], [O, F]). batch_norm (fp32 only, what could not be folded): per-channel
  // scale [C].
  Tensor weight;
  Tensor bias;                       // fp32 layers: f32 [O]; empty means none
  std::vector<std::int32_t> bias_q;  // INT8 layers: bias in units of step_in * weight_step[o]   (rule 4)
  std::vector<float> weight_step;    // INT8 layers: one per output channel (equal when per tensor)
  float notebook_weight_scale = 0;   // notebook mode: s_w = 127 / max|w|

  std::int64_t macs = 0;  // multiply-accumulates for one image; sparse_conv: for one site with all its neighbours
};

struct QGraph {  // immutable by convention once it is valid: many threads may read it
  std::string name;
  Requantisation requantisation = Requantisation::one_multiply;
  std::vector<QEdge> edges;
  std::vector<QNode> nodes;  // in an order in which every input is made before it is used
  EdgeId input = -1;
  EdgeId output = -1;
  // What a program around the network needs to run it by itself: "preprocess", "labels" (JSON; models/ defines them).
  std::map<std::string, std::string> metadata;

  // Checks everything that a kernel relies on: indices, order, shapes, dtypes, ranges within 8 bits, positive normal
  // steps, weights within [-127, 127] and the accumulator bound (rule 5). Throws Error naming the node. A file that
  // passes cannot make a kernel read or write out of bounds.
  void validate() const;
  std::vector<int> consumers(EdgeId edge) const;
};

// The sets of sites and rulebooks of a sparse network; none for a dense one. Throws Error naming the node when inputs
// of one node have different sites or an inverse convolution does not fit the one that it undoes.
struct SparseEdges {
  SparsePlan plan;
  std::vector<int> level;     // by edge; -1: dense
  std::vector<int> rulebook;  // by the edge that a sparse_conv makes; -1: others
};
SparseEdges sparse_edges(const QGraph& graph);

// Rule 5: the largest |accumulator| that channel `channel` can reach on any input: |bias_q| + sum |w| * max |q - zero|.
// (No output of a transposed convolution meets all of its weights; the bound that says they all do is kept, as it is
// safe.)
std::int64_t accumulator_bound(const QNode& node, const QuantParams& in, std::int64_t channel);

}  // namespace octet
