// What the programs of examples/arithmetic share: their numbers come from the command line, and they print rows of
// them.
//
//     examples::Lesson lesson("01_scale_and_rounding", "Real numbers become integers");
//     std::vector<float> x = {0.5f, 1.25f};
//     lesson.option("--values", x, "real numbers");          // --values 0.5,1.25
//     return lesson.run(argc, argv, [&] { examples::row("x", x); });
//
// Exit status: 0; 1 when a number makes no sense (octet::Error: one line on stderr); 2 when the command line is wrong.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "examples/common/svg.h"

namespace octet::examples {

class Lesson {
 public:
  Lesson(const char* name, const char* summary);
  ~Lesson();

  // The value that `target` has now is the default. A list is written 1,2,3; every real must be finite. `target` must
  // outlive run().
  void option(const char* flag, float& target, const char* what);
  void option(const char* flag, int& target, const char* what);
  void option(const char* flag, std::vector<float>& target, const char* what);
  void option(const char* flag, std::vector<int>& target, const char* what);
  void argument(const char* name, std::string& target, const char* what);  // positional, may be left out

  // What --svg FILE is written with; the flag exists only for programs that call this. Called after the body.
  void picture(std::function<Svg()> draw);

  // Reads the command line and calls the body. Returns the exit status.
  int run(int argc, char** argv, const std::function<void()>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "label          50    -25    100": one row of numbers. `format` is that of a number, for instance "{:.4f}"; the
// default prints the shortest digits that identify the float.
template <class Numbers>
void row(const char* label, const Numbers& numbers, const char* format = "{}") {
  std::string line = fmt::format("{:<16}", label);
  for (const auto& number : numbers) {
    if constexpr (std::is_integral_v<std::decay_t<decltype(number)>>) {
      line += fmt::format(" {:>12}", number);
    } else {
      line += fmt::format(" {:>12}", fmt::format(fmt::runtime(format), number));
    }
  }
  fmt::print("{}\n", line);
}

// The cells of a table's row.
inline std::string fixed(double value, int decimals) { return fmt::format("{:.{}f}", value, decimals); }
template <class... Cells>
std::vector<std::string> cells(const Cells&... cell) {
  return {fmt::format("{}", cell)...};
}

inline float amax_of(std::span<const float> values) {
  float amax = 0;
  for (const float v : values) amax = std::max(amax, std::fabs(v));
  return amax;
}

// A title and, below it, the numbers in rows of `columns`.
template <class Numbers>
void grid(const std::string& title, const Numbers& numbers, int columns, const char* format = "{}") {
  fmt::print("{}\n", title);
  int column = 0;
  for (const auto& number : numbers) {
    fmt::print("{:>9}", fmt::format(fmt::runtime(format), number));
    if (++column % columns == 0) fmt::print("\n");
  }
  fmt::print("\n");
}

// Reproducible numbers for whoever gives none: uniform in [-1, 1), multiples of 2^-23, equal on every machine.
class Random {
 public:
  explicit Random(int seed) : state_(static_cast<std::uint64_t>(seed) * 2 + 1) {}
  float uniform() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<std::int64_t>(state_ >> 40) - (1 << 23)) / static_cast<float>(1 << 23);
  }
  // The sum of four uniform numbers is nearly normal, within -4..4.
  std::vector<float> bell(int count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& v : values) {
      for (int i = 0; i < 4; ++i) v += uniform();
    }
    return values;
  }
  // One decimal, within -2..2: easy to follow by hand.
  std::vector<float> tenths(int count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& v : values) v = std::round(20 * uniform()) / 10;
    return values;
  }

 private:
  std::uint64_t state_;
};

}  // namespace octet::examples
