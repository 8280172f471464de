// Lowering's working state: a Graph is walked in order, and each edge is made available as integers, as floats or as
// both; quantise and dequantise nodes appear where a layer needs the form that is not there yet.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "calib/ranges.h"
#include "runtime/qgraph.h"

namespace octet::calib {

class Lowering {
 public:
  // `ignored(name)` gives the reason why a layer must stay in float, or nothing. Null ranges: everything stays in
  // float.
  using Ignored = std::function<std::optional<std::string>(const std::string& layer)>;
  Lowering(const Graph& folded, const Ranges* ranges, Ignored ignored);
  QGraph run();

 private:
  struct Forms {
    EdgeId real = -1, integer = -1;  // QGraph edges
  };

  void spread_ranges();
  void lower(const Node& node);
  bool integer_layer(QNode& node, const Node& source, EdgeId output);
  bool integer_weights(QNode& node, const Node& source, EdgeId output);
  void notebook_weights(QNode& node, const Node& source, EdgeId output);
  double bias_correction(const Node& source, std::size_t channel, const QNode& node) const;
  bool leaves_as_float(EdgeId edge) const;
  std::string why_float(const Node& node, EdgeId output) const;
  EdgeId fused_activation(const Node& node, Activation& activation);
  QuantParams concat_params(const Node& node);

  EdgeId need_real(EdgeId edge);
  EdgeId need_integer(EdgeId edge);
  EdgeId add_edge(EdgeId source, bool quantised);

  const std::optional<QuantParams>& params(EdgeId edge) const { return params_[static_cast<std::size_t>(edge)]; }
  Forms& forms(EdgeId edge) { return forms_[static_cast<std::size_t>(edge)]; }

  const Graph& graph_;
  const Ranges* ranges_;
  Ignored ignored_;
  QGraph result_;
  std::vector<std::optional<QuantParams>> params_;  // by Graph edge: what its integers would mean
  std::vector<float> notebook_scale_;               // by Graph edge: 127 / amax
  std::vector<Forms> forms_;                        // by Graph edge
  std::vector<bool> done_;                          // by Graph node: an activation that was fused into its producer
};

}  // namespace octet::calib
