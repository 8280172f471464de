// Whether two QGraphs mean the same network, to the last bit of every tensor.
#pragma once

#include <fmt/format.h>
#include <algorithm>
#include <string>

#include "runtime/qgraph.h"

namespace octet::test {

inline bool equal(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && a.bytes() == b.bytes() &&
         std::equal(a.raw(), a.raw() + a.bytes(), b.raw());
}

// The first difference of what two networks compute; reasons and the input's name do not count.
inline std::string difference(const QGraph& a, const QGraph& b) {
  if (a.edges.size() != b.edges.size() || a.nodes.size() != b.nodes.size())
    return fmt::format("{} and {} nodes", a.nodes.size(), b.nodes.size());
  for (std::size_t i = 0; i < a.edges.size(); ++i) {
    const QEdge &x = a.edges[i], &y = b.edges[i];
    const bool named = x.name == y.name || y.name == "input";
    if (!named || x.shape != y.shape || x.quantised != y.quantised || !(x.quant == y.quant))
      return fmt::format("edges {} and {}", x.name, y.name);
  }
  for (std::size_t i = 0; i < a.nodes.size(); ++i) {
    const QNode &x = a.nodes[i], &y = b.nodes[i];
    const bool same = x.op == y.op && x.inputs == y.inputs && x.output == y.output && x.precision == y.precision &&
                      x.window == y.window && x.sparse == y.sparse && x.inverse_of == y.inverse_of &&
                      x.groups == y.groups && x.ceil_mode == y.ceil_mode &&
                      x.count_include_pad == y.count_include_pad && x.activation == y.activation &&
                      x.alpha == y.alpha && x.beta == y.beta && x.bias_q == y.bias_q &&
                      x.weight_step == y.weight_step && x.macs == y.macs;
    if (!same || x.name != y.name) return fmt::format("nodes {} and {}", x.name, y.name);
    if (!equal(x.weight, y.weight) || !equal(x.bias, y.bias) || !equal(x.table, y.table)) return x.name + ": tensors";
  }
  return a.input == b.input && a.output == b.output ? "" : "another input or output";
}

}  // namespace octet::test
