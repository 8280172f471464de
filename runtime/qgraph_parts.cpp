#include "runtime/qgraph_parts.h"

#include <algorithm>

#include "runtime/error.h"

namespace octet {
namespace {

// Copies nodes of a network, and the edges that they need, into another one.
class Part {
 public:
  explicit Part(const QGraph& from) : from_(from), edge_(from.edges.size(), -1) {
    result_.name = from.name;
    result_.requantisation = from.requantisation;
    result_.metadata = from.metadata;
    result_.metadata.erase("points");  // describes the whole network
    result_.metadata.erase("labels");
  }

  EdgeId edge(EdgeId id) {
    EdgeId& made = edge_[static_cast<std::size_t>(id)];
    if (made < 0) made = add(from_.edges[static_cast<std::size_t>(id)]);
    return made;
  }
  void node(QNode node) {
    for (EdgeId& input : node.inputs) input = edge(input);
    node.output = edge(node.output);
    result_.nodes.push_back(std::move(node));
  }
  // The reals of an edge of integers, under the same name.
  EdgeId real_twin(EdgeId id) {
    const QEdge& integers = from_.edges[static_cast<std::size_t>(id)];
    return add({.name = integers.name, .shape = integers.shape});
  }
  void convert(const std::string& name, Op op, EdgeId from, EdgeId to) {
    result_.nodes.push_back({.name = name, .op = op, .inputs = {from}, .output = to});
  }
  QGraph finish(EdgeId input, EdgeId output) {
    result_.input = input, result_.output = output;
    result_.validate();
    return std::move(result_);
  }

 private:
  EdgeId add(QEdge made) {
    result_.edges.push_back(std::move(made));
    return static_cast<EdgeId>(result_.edges.size()) - 1;
  }

  const QGraph& from_;
  QGraph result_;
  std::vector<EdgeId> edge_;  // by edge of from_: the one here
};

const QNode& border(const QGraph& graph) {
  const auto is_border = [](const QNode& n) { return n.op == Op::to_dense; };
  const auto found = std::ranges::find_if(graph.nodes, is_border);
  require(found != graph.nodes.end(), "{}: it has no sparse part", graph.name);
  require(std::ranges::count_if(graph.nodes, is_border) == 1, "{}: it becomes dense in several places", graph.name);
  return *found;
}

// Whether each node lies behind to_dense.
std::vector<bool> behind(const QGraph& graph) {
  std::vector<bool> dense(graph.edges.size(), false), result;
  dense[static_cast<std::size_t>(border(graph).output)] = true;
  for (const QNode& node : graph.nodes) {
    const auto is_dense = [&](EdgeId e) { return dense[static_cast<std::size_t>(e)]; };
    const bool any = std::ranges::any_of(node.inputs, is_dense);
    require(any == std::ranges::all_of(node.inputs, is_dense), "{}: {} joins the sparse and the dense part", graph.name,
            node.name);
    if (any) dense[static_cast<std::size_t>(node.output)] = true;
    result.push_back(any);
  }
  return result;
}

}  // namespace

QGraph sparse_part(const QGraph& graph) {
  const std::vector<bool> dense = behind(graph);
  const EdgeId cut = border(graph).output;
  Part part(graph);
  const EdgeId input = part.edge(graph.input);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!dense[i]) part.node(graph.nodes[i]);
  }
  const QEdge& edge = graph.edges[static_cast<std::size_t>(cut)];
  if (!edge.quantised) return part.finish(input, part.edge(cut));
  const EdgeId output = part.real_twin(cut);
  part.convert(edge.name + ".dequantise", Op::dequantise, part.edge(cut), output);
  return part.finish(input, output);
}

QGraph dense_part(const QGraph& graph) {
  const std::vector<bool> dense = behind(graph);
  const EdgeId cut = border(graph).output;
  const QEdge& edge = graph.edges[static_cast<std::size_t>(cut)];
  Part part(graph);
  EdgeId input = edge.quantised ? part.real_twin(cut) : part.edge(cut);
  if (edge.quantised) part.convert(edge.name + ".quantise", Op::quantise, input, part.edge(cut));
  bool computes = false;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (dense[i]) part.node(graph.nodes[i]);
    computes |= dense[i] && graph.nodes[i].op != Op::dequantise;
  }
  require(computes, "{}: nothing follows its sparse part", graph.name);
  return part.finish(input, part.edge(graph.output));
}

}  // namespace octet
