// The first layers of a network as a network of their own.
#pragma once

#include "runtime/error.h"
#include "runtime/qgraph.h"

namespace octet::test {

// Up to the node `last`, whose output becomes the network's; dequantised where it holds integers.
inline QGraph part_up_to(const QGraph& whole, const std::string& last) {
  QGraph part = whole;
  const auto found =
      std::ranges::find_if(part.nodes, [&](const QNode& node) { return node.name == last; }) - part.nodes.begin();
  require(found < static_cast<std::ptrdiff_t>(part.nodes.size()), "{} has no node '{}'", whole.name, last);
  part.nodes.resize(static_cast<std::size_t>(found) + 1);
  part.output = part.nodes.back().output;
  if (!part.edges[static_cast<std::size_t>(part.output)].quantised) return part;
  QEdge real = part.edges[static_cast<std::size_t>(part.output)];
  real.name += ".real", real.quantised = false, real.quant = {};
  part.edges.push_back(real);
  QNode back{.name = last + ".real", .op = Op::dequantise, .inputs = {part.output}};
  back.output = static_cast<EdgeId>(part.edges.size()) - 1, back.precision = Precision::fp32;
  part.nodes.push_back(back);
  part.output = back.output;
  return part;
}

}  // namespace octet::test
