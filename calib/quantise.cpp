#include "calib/quantise.h"

#include <fmt/format.h>
#include <algorithm>
#include <regex>

#include "calib/fold.h"
#include "calib/lowering.h"
#include "runtime/error.h"
#include "runtime/float_environment.h"

namespace octet::calib {
namespace {

bool quantisable(const Node& node) {
  return node.op != Op::batch_norm && node.op != Op::relu && node.op != Op::relu6 && node.op != Op::flatten;
}

struct Expression {
  std::string text;
  std::regex regex;

  bool matches(const std::string& name) const {
    return name == text || std::regex_search(name, regex, std::regex_constants::match_continuous);
  }
};

// The number of edits between two names, for suggestions.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({change, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row.back();
}

std::string close_names(const std::string& text, std::vector<std::string> names) {
  std::ranges::stable_sort(names, {}, [&](const std::string& name) { return distance(text, name); });
  if (names.size() > 4) names.resize(4);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::vector<Expression> compile(const std::vector<std::string>& texts, const std::vector<std::string>& layers,
                                const char* option) {
  std::vector<Expression> expressions;
  for (const std::string& text : texts) {
    // std::regex recurses with the length of its text.
    require(text.size() <= 256, "{}: an expression of {} characters; at most 256 are supported", option, text.size());
    try {
      expressions.push_back({text, std::regex(text)});
    } catch (const std::regex_error& e) {
      fail("{} '{}' is not a regular expression: {}", option, text, e.what());
    }
    const Expression& expression = expressions.back();
    const bool any = std::ranges::any_of(layers, [&](const std::string& name) { return expression.matches(name); });
    require(any, "{} '{}' matches no layer; close names are {}", option, text, close_names(text, layers));
  }
  return expressions;
}

const Expression* first_match(const std::vector<Expression>& expressions, const std::string& name) {
  const auto found = std::ranges::find_if(expressions, [&](const Expression& e) { return e.matches(name); });
  return found == expressions.end() ? nullptr : &*found;
}

}  // namespace

std::vector<std::string> quantisable_layers(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) {
    if (quantisable(node)) names.push_back(node.name);
  }
  return names;
}

QGraph quantise(const Graph& graph, const Ranges& ranges, const QuantiseOptions& options) {
  const FloatEnvironment environment;  // folding too (rule 14)
  ranges.check(graph);
  const bool notebook = ranges.preset == Preset::notebook;
  const Graph folded = fold_batch_norm(graph, notebook ? FoldArithmetic::notebook : FoldArithmetic::rounded_once);
  const std::vector<std::string> layers = quantisable_layers(folded);
  const auto joined = [](std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  const auto ignore = compile(joined(ranges.ignore, options.ignore), layers, "--ignore");
  const auto only = compile(joined(ranges.only, options.only), layers, "--only");
  const auto ignored = [&](const std::string& name) -> std::optional<std::string> {
    if (const Expression* e = first_match(ignore, name)) return fmt::format("--ignore {}", e->text);
    if (!only.empty() && first_match(only, name) == nullptr) return "not named by --only";
    return std::nullopt;
  };
  Ranges chosen = ranges;
  if (options.weights) chosen.weights = *options.weights;
  require(!notebook || options.weights != Granularity::channel,
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
