// Expressions that choose layers by name: each matches a full dotted layer name from its start, or is an exact name.
#pragma once

#include <regex>
#include <string>
#include <vector>

namespace octet::calib {

struct Expression {  // one that was compiled, and what it was
  std::string text;
  std::regex regex;

  bool matches(const std::string& name) const;  // `name` from its start
};

// Compiles the expressions of `option` ("--ignore"). Throws Error for one that is no regular expression, is longer than
// 256 characters, or matches none of `layers`; the last lists close names.
std::vector<Expression> compile_expressions(const std::vector<std::string>& texts,
                                            const std::vector<std::string>& layers, const std::string& option);

// The first expression that matches; null when none does.
const Expression* first_match(const std::vector<Expression>& expressions, const std::string& name);

// The layers that one expression catches; throws as compile_expressions() does.
std::vector<std::string> layers_matching(const std::vector<std::string>& layers, const std::string& expression,
                                         const std::string& option);

// The up to four names that take the fewest edits to become `text`, joined by commas.
std::string close_names(const std::string& text, std::vector<std::string> names);

}  // namespace octet::calib
