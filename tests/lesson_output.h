// Reads what the programs of examples/arithmetic print: tables, labelled rows, grids; and makes their arguments.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "tests/program.h"

namespace octet::testing {

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Every number of a text, in order.
inline std::vector<double> numbers_in(const std::string& text) {
  std::vector<double> numbers;
  const char* at = text.c_str();
  while (*at != '\0') {
    char* end = nullptr;
    const bool starts = (*at >= '0' && *at <= '9') || ((*at == '-' || *at == '.') && at[1] >= '0' && at[1] <= '9');
    const double value = starts ? std::strtod(at, &end) : 0;
    if (!starts || end == at) {
      ++at;
      continue;
    }
    numbers.push_back(value);
    at = end;
  }
  return numbers;
}

// The numbers behind `label` on the n-th line that begins with it.
inline std::vector<double> row(const std::string& out, const std::string& label, int n = 0) {
  for (const std::string& line : lines_of(out)) {
    if (line.starts_with(label) && n-- == 0) return numbers_in(line.substr(label.size()));
  }
  FAIL("no line begins with '", label, "' in\n", out);
  return {};
}

// The numbers of the lines below the one that begins with `title`, up to an empty one.
inline std::vector<double> grid(const std::string& out, const std::string& title) {
  const std::size_t at = out.find("\n" + title) == std::string::npos ? out.find(title) : out.find("\n" + title) + 1;
  REQUIRE_MESSAGE(at != std::string::npos, title);
  const std::size_t first = out.find('\n', at);
  return numbers_in(out.substr(first, out.find("\n\n", first) - first));
}

// The n-th table (a header, a line of dashes, rows), column by column as text.
inline std::vector<std::vector<std::string>> table(const std::string& out, int n = 0) {
  const std::vector<std::string> lines = lines_of(out);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (lines[i].empty() || lines[i].find_first_not_of("- ") != std::string::npos || n-- != 0) continue;
    std::vector<std::vector<std::string>> columns;
    for (std::size_t from = 0, to = 0; from < lines[i].size(); from = to + 2) {
      to = std::min(lines[i].find(' ', from), lines[i].size());
      auto& column = columns.emplace_back();
      for (std::size_t k = i + 1; k < lines.size() && !lines[k].empty(); ++k) {
        const std::string cell = lines[k].size() > from ? lines[k].substr(from, to - from) : "";
        const std::size_t first = cell.find_first_not_of(' ');
        if (first == std::string::npos || lines[k].size() <= from) continue;
        column.push_back(cell.substr(first, cell.find_last_not_of(' ') + 1 - first));
      }
    }
    return columns;
  }
  FAIL("no such table in\n", out);
  return {};
}

inline double real(const std::string& cell) { return std::strtod(cell.c_str(), nullptr); }
inline std::int64_t integer(const std::string& cell) { return std::strtoll(cell.c_str(), nullptr, 10); }

// "1,2.5,-3": what a list option takes.
template <class T>
std::string list(const std::vector<T>& values) {
  return fmt::format("{}", fmt::join(values, ","));
}

// Runs a lesson; it must succeed, quickly and without a word on stderr.
inline std::string lesson(const std::string& name, Arguments arguments = {}, const RunOptions& options = {}) {
  arguments.insert(arguments.begin(), program_path(name));
  INFO(joined(arguments));
  const Result result = run_program(arguments, options);
  INFO(result.err);
  REQUIRE(result.status == 0);
  CHECK(result.err.empty());
  return result.out;
}

}  // namespace octet::testing
