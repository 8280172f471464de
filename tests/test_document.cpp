// calib/QUANTIZATION.md against the code: every example line is recomputed, every link must lead to a file, and every
// function that a link names must occur in that file.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "calib/fake_quant.h"
#include "calib/ranges.h"
#include "models/measure.h"
#include "runtime/arithmetic.h"

using namespace octet;
namespace fs = std::filesystem;

namespace {

const fs::path kDocument = fs::path(OCTET_SOURCE_DIR) / "calib" / "QUANTIZATION.md";

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path.string());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Line {
  int number = 0;
  std::string text;
  std::string fence;     // the tag of the fenced block around it, "-" for an untagged one; empty outside
  bool literal = false;  // in a fenced or an indented block: no links there
};

std::vector<Line> document_lines() {
  std::istringstream text(read(kDocument));
  std::vector<Line> lines;
  std::string line, fence;
  for (int number = 1; std::getline(text, line); ++number) {
    if (line.starts_with("```")) {
      fence = !fence.empty() ? "" : line.size() > 3 ? line.substr(3) : "-";
      continue;
    }
    lines.push_back({number, line, fence, !fence.empty() || line.starts_with("    ")});
  }
  REQUIRE_MESSAGE(fence.empty(), "a fenced block is not closed");
  return lines;
}

// The arguments of one example call, by the parameter's name. Each must be used exactly once.
class Arguments {
 public:
  explicit Arguments(const std::string& list) {
    static const std::regex one(R"(\s*(\w+)=([^,\s]+)\s*(?:,|$))");
    std::size_t covered = 0;
    for (std::sregex_iterator it(list.begin(), list.end(), one), end; it != end; ++it) {
      CHECK_MESSAGE(values_.emplace((*it)[1], (*it)[2]).second, "an argument stands twice");
      covered += static_cast<std::size_t>(it->length());
    }
    CHECK_MESSAGE(covered == list.size(), "not of the form name=value, ...");
  }
  bool has(const std::string& name) const { return values_.contains(name); }
  float real(const std::string& name) { return number<float>(name); }
  std::int32_t integer(const std::string& name) { return number<std::int32_t>(name); }
  bool all_used() const { return used_.size() == values_.size(); }

 private:
  template <class T>
  T number(const std::string& name) {
    REQUIRE_MESSAGE(has(name), "no argument " << name);
    used_.insert(name);
    const std::string& text = values_.at(name);
    T value{};
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    REQUIRE_MESSAGE((result.ec == std::errc{} && result.ptr == text.data() + text.size()), name << "=" << text);
    return value;
  }

  std::map<std::string, std::string> values_;
  std::set<std::string> used_;
};

std::string print(float value) { return fmt::format("{:.9g}", value); }
std::string print(std::int32_t value) { return fmt::format("{}", value); }
std::string print(std::int64_t value) { return fmt::format("{}", value); }

QuantParams edge(Arguments& a) {
  return {.step = a.real("step"), .zero = a.integer("zero"), .lo = a.integer("lo"), .hi = a.integer("hi")};
}

// A symmetric edge of a range, marked dead as calibration does (rule 3).
QuantParams symmetric(float amax) {
  return {.step = arithmetic::symmetric_step(amax), .dead = amax <= arithmetic::kDeadRange};
}

using Function = std::function<std::string(Arguments&)>;

const std::map<std::string, Function>& functions() {
  namespace ar = arithmetic;
  static const std::map<std::string, Function> all{
      {"round_even", [](Arguments& a) { return print(ar::round_even(a.real("x"))); }},
      {"symmetric_step",
       [](Arguments& a) {
         const float amax = a.real("amax");
         return print(a.has("levels") ? ar::symmetric_step(amax, a.integer("levels")) : ar::symmetric_step(amax));
       }},
      {"inverse_step", [](Arguments& a) { return print(ar::inverse_step(a.real("step"))); }},
      {"quantise",
       [](Arguments& a) {
         const float x = a.real("x");
         if (a.has("amax")) return print(ar::quantise(x, symmetric(a.real("amax"))));
         return print(ar::quantise(x, a.real("inverse"), a.integer("lo"), a.integer("hi"), a.integer("zero")));
       }},
      {"dequantise",
       [](Arguments& a) { return print(ar::dequantise(a.integer("q"), a.real("step"), a.integer("zero"))); }},
      {"weight_step",
       [](Arguments& a) { return print(ar::weight_step(a.real("amax_weight"), a.real("bias"), a.real("step_in"))); }},
      {"quantise_bias",
       [](Arguments& a) { return print(ar::quantise_bias(a.real("bias"), a.real("step_in"), a.real("step_weight"))); }},
      {"multiplier",
       [](Arguments& a) {
         return print(ar::multiplier(a.real("step_in"), a.real("step_weight"), a.real("step_out")));
       }},
      {"requantise",
       [](Arguments& a) {
         return print(ar::requantise(a.integer("accumulator"), a.real("m"), a.integer("lo"), a.integer("hi"),
                                     a.integer("zero")));
       }},
      {"requantise_notebook",
       [](Arguments& a) {
         return print(ar::requantise_notebook(a.integer("accumulator"), a.real("scale_out"), a.real("scale_in_weight"),
                                              a.integer("lo"), a.integer("hi")));
       }},
      {"relu_lo", [](Arguments& a) { return print(ar::relu_lo(edge(a))); }},
      {"relu6_hi", [](Arguments& a) { return print(ar::relu6_hi(edge(a))); }},
      {"average_multiplier",
       [](Arguments& a) {
         return print(ar::average_multiplier(a.real("step_in"), a.real("step_out"), a.integer("count")));
       }},
      {"copy_multiplier",
       [](Arguments& a) { return print(ar::copy_multiplier(a.real("step_in"), a.real("step_out"))); }},
      {"add_multiplier", [](Arguments& a) { return print(ar::add_multiplier(a.real("step_in"), a.real("step_out"))); }},
  };
  return all;
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// `name` as a whole word of `text`.
bool names(const std::string& text, const std::string& name) {
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    const bool starts = at == 0 || !is_word(text[at - 1]);
    const bool ends = at + name.size() == text.size() || !is_word(text[at + name.size()]);
    if (starts && ends) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("every example of QUANTIZATION.md is what the code computes") {
  static const std::regex call(R"((\w+)\(([^()]*)\) = (\S+))");
  int examples = 0;
  std::set<std::string> called;
  for (const Line& line : document_lines()) {
    if (line.fence != "example") continue;
    CAPTURE(line.number);
    CAPTURE(line.text);
    std::smatch parts;
    REQUIRE(std::regex_match(line.text, parts, call));
    const auto function = functions().find(parts[1]);
    REQUIRE_MESSAGE(function != functions().end(), "unknown function");
    Arguments arguments(parts[2]);
    CHECK(function->second(arguments) == parts[3].str());  // both have nine digits: the same text is the same float
    CHECK_MESSAGE(arguments.all_used(), "an argument that the function does not have");
    called.insert(parts[1]);
    ++examples;
  }
  CHECK(examples >= 30);
  for (const auto& [name, function] : functions()) {
    CHECK_MESSAGE(called.contains(name), "no example of " << name);
  }
}

TEST_CASE("QUANTIZATION.md has a section for each of the 14 rules, and the others that the code cites") {
  static const std::regex heading(R"(## (?:Rule (\d+): \S.*|(.*)))");
  int rules = 0;
  std::set<std::string> others;
  bool linked = true;  // whether the rule before names the code
  std::string section;
  for (const Line& line : document_lines()) {
    if (!line.literal && line.text.find("](") != std::string::npos) linked = true;
    std::smatch parts;
    if (line.literal || !std::regex_match(line.text, parts, heading)) continue;
    CHECK_MESSAGE(linked, section << " names no code");
    section = line.text;
    linked = !parts[1].matched;
    if (parts[1].matched) {
      CHECK_MESSAGE(std::stoi(parts[1]) == ++rules, line.text << " is out of order");
    } else {
      others.insert(parts[2]);
    }
  }
  CHECK_MESSAGE(linked, section << " names no code");
  CHECK(rules == 14);
  for (const char* title : {"Folding", "Observers and ranges", "Choosing amax", "Equalising and bias correction",
                            "The notebook's arithmetic", "Error budget"}) {
    CHECK_MESSAGE(others.contains(title), title);
  }
}

TEST_CASE("every link of QUANTIZATION.md leads to a file that holds what the link names") {
  std::string text;  // a link may be broken over two lines
  for (const Line& line : document_lines()) {
    if (!line.literal) text += line.text + "\n";
  }
  static const std::regex link(R"(\[([^\]]+)\]\(([^)\s]+)\))");
  static const std::regex code("`([^`]+)`");
  int links = 0;
  for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
    const std::string label = (*it)[1], target = (*it)[2];
    CAPTURE(label);
    CAPTURE(target);
    if (target.starts_with("#") || target.starts_with("http")) continue;
    const fs::path file = kDocument.parent_path() / target.substr(0, target.find('#'));
    ++links;
    REQUIRE(fs::is_regular_file(file));
    const std::string content = read(file);
    for (std::sregex_iterator name(label.begin(), label.end(), code); name != end; ++name) {
      std::string function = (*name)[1];
      if (const auto colons = function.rfind("::"); colons != std::string::npos) function.erase(0, colons + 2);
      if (function.ends_with("()")) function.resize(function.size() - 2);
      CHECK_MESSAGE(names(content, function), function << " is not in " << target);
    }
  }
  CHECK(links >= 14);
}

TEST_CASE("the text's own numbers") {
  // Choosing amax: a reduced range, and fake quantisation by hand.
  const QuantParams reduced = calib::quant_params(calib::Scheme::affine, true, 3.82f, -1.28f, 3.82f);
  CHECK(reduced.hi == 127);
  CHECK(reduced.zero == 32);
  CHECK(fmt::format("{:.4f}", 127.0f / 0.9201f) == "138.0285");
  CHECK(fmt::format("{:.4f}", calib::fake_quant_value(0.5043f, 127.0f / 0.9201f, {})) == "0.5071");
  // Rule 11 and rule 14: 3 * 11184811 / 2^24 - 2, with two roundings and with one. Volatile, so that nothing is
  // computed while compiling; a compiler that contracts makes the first one 2^-24.
  volatile float three = 3.0f, m = arithmetic::copy_multiplier(0.02f, 0.03f), two = -2.0f;
  CHECK(m == 11184811.0f / 16777216.0f);
  CHECK(three * m + two == 0.0f);
  CHECK(std::fma(three, m, two) == 0x1p-24f);
  m = arithmetic::add_multiplier(0.02f, 0.03f);
  CHECK(m == 43691.0f / 65536.0f);
  CHECK(three * m + two == std::fma(three, m, two));
  // Signal to noise by hand.
  CHECK(fmt::format("{:.2f}", models::sqnr_db(std::vector<float>{3, 4}, std::vector<float>{3.1f, 4})) == "33.98");
  // The notebook's largest sum.
  CHECK(968 * 127 * 127 + 32767 == 15645639);
  CHECK(15645639 < (1 << 24));
  // Rule 5: the deepest layers with all weights at 127 and a bias of 2^29.
  constexpr std::int64_t room = (std::int64_t{1} << 31) - (std::int64_t{1} << 29);
  CHECK((room - 1) / (127 * 127) == 99858);
  CHECK((room - 1) / (127 * 255) == 49733);
  // Rule 2: where division and multiplication part.
  volatile float x = 0.01f, step = arithmetic::symmetric_step(0.02f);
  CHECK(arithmetic::round_even(x / step) == 63);
  CHECK(arithmetic::round_even(x * arithmetic::inverse_step(step)) == 64);
}
