#include "calib/quantise.h"

#include <fmt/format.h>
#include <algorithm>

#include "calib/equalise.h"
#include "calib/expressions.h"
#include "calib/fold.h"
#include "calib/lowering.h"
#include "runtime/error.h"
#include "runtime/float_environment.h"

namespace octet::calib {
namespace {

bool quantisable(const Node& node) {
  return node.op != Op::batch_norm && node.op != Op::relu && node.op != Op::relu6 && node.op != Op::flatten &&
         node.op != Op::to_dense;
}

}  // namespace

std::vector<std::string> quantisable_layers(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) {
    if (quantisable(node)) names.push_back(node.name);
  }
  return names;
}

Graph float_form(const Graph& graph, const Ranges& ranges) {
  const FloatEnvironment environment;
  const bool notebook = ranges.preset == Preset::notebook;
  Graph folded = fold_batch_norm(graph, notebook ? FoldArithmetic::notebook : FoldArithmetic::rounded_once);
  return ranges.equalized ? equalise(folded).graph : folded;
}

QGraph quantise(const Graph& graph, const Ranges& ranges, const QuantiseOptions& options) {
  const FloatEnvironment environment;  // folding too (rule 14)
  ranges.check(graph);
  const Graph folded = float_form(graph, ranges);
  const std::vector<std::string> layers = quantisable_layers(folded);
  const auto joined = [](std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  const auto ignore = compile_expressions(joined(ranges.ignore, options.ignore), layers, "--ignore");
  const auto only = compile_expressions(joined(ranges.only, options.only), layers, "--only");
  const auto ignored = [&](const std::string& name) -> std::optional<std::string> {
    if (const Expression* e = first_match(ignore, name)) return fmt::format("--ignore {}", e->text);
    if (!only.empty() && first_match(only, name) == nullptr) return "not named by --only";
    return std::nullopt;
  };
  Ranges chosen = ranges;
  if (options.weights) chosen.weights = *options.weights;
  require(ranges.preset != Preset::notebook || options.weights != Granularity::channel,
          "the notebook's weights have one step for all channels");
  return Lowering(folded, &chosen, ignored).run();
}

QGraph as_float(const Graph& graph, bool fold) {
  const auto nothing = [](const std::string&) -> std::optional<std::string> { return std::nullopt; };
  const FloatEnvironment environment;
  if (!fold) return Lowering(graph, nullptr, nothing).run();
  const Graph folded = fold_batch_norm(graph);
  return Lowering(folded, nullptr, nothing).run();
}

}  // namespace octet::calib
