#include "calib/expressions.h"

#include <fmt/format.h>
#include <algorithm>
#include <utility>

#include "runtime/error.h"

namespace octet::calib {
namespace {

// The number of edits between two names.
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

}  // namespace

bool Expression::matches(const std::string& name) const {
  return name == text || std::regex_search(name, regex, std::regex_constants::match_continuous);
}

std::string close_names(const std::string& text, std::vector<std::string> names) {
  std::ranges::stable_sort(names, {}, [&](const std::string& name) { return distance(text, name); });
  if (names.size() > 4) names.resize(4);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::vector<Expression> compile_expressions(const std::vector<std::string>& texts,
                                            const std::vector<std::string>& layers, const std::string& option) {
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

std::vector<std::string> layers_matching(const std::vector<std::string>& layers, const std::string& expression,
                                         const std::string& option) {
  const std::vector<Expression> one = compile_expressions({expression}, layers, option);
  std::vector<std::string> caught = layers;
  std::erase_if(caught, [&](const std::string& name) { return !one.front().matches(name); });
  return caught;
}

}  // namespace octet::calib
