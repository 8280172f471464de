// The pages that derive the arithmetic (calib/*.md) against the code: every example line is recomputed, every equation
// between numbers evaluated, every other number accounted for; every link must lead to a file, and every function that
// a link names must occur in that file.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "calib/amax.h"
#include "calib/fake_quant.h"
#include "calib/histogram.h"
#include "calib/ranges.h"
#include "models/measure.h"
#include "runtime/arithmetic.h"
#include "tests/page_numbers.h"

using namespace octet;
using namespace octet::testing;
namespace fs = std::filesystem;

namespace {

const fs::path kFolder = fs::path(OCTET_SOURCE_DIR) / "calib";
const std::vector<std::string> kPages = {"QUANTIZATION.md", "SPARSE.md", "CALIBRATION.md", "NOTEBOOK.md"};

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

std::vector<Line> document_lines(const std::string& page) {
  std::istringstream text(read(kFolder / page));
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

std::vector<Line> all_lines() {
  std::vector<Line> lines;
  for (const std::string& page : kPages) {
    for (Line& line : document_lines(page)) lines.push_back(std::move(line));
  }
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

TEST_CASE("every example of the pages is what the code computes") {
  static const std::regex call(R"((\w+)\(([^()]*)\) = (\S+))");
  int examples = 0;
  std::set<std::string> called;
  for (const Line& line : all_lines()) {
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

TEST_CASE("QUANTIZATION.md has a section for each of the 14 rules; every section of every page names the code") {
  static const std::regex heading(R"(## (?:Rule (\d+): \S.*|(.*)))");
  int rules = 0;
  std::set<std::string> others;
  for (const std::string& page : kPages) {
    std::string section;
    bool linked = true;  // whether the section before names the code; NOTEBOOK.md and SPARSE.md do so at their ends
    const bool once = page == "NOTEBOOK.md" || page == "SPARSE.md";
    for (const Line& line : document_lines(page)) {
      if (line.literal) continue;
      if (line.text.find("[`") != std::string::npos || line.text.find("in CMakeLists.txt]") != std::string::npos) {
        linked = true;
      }
      std::smatch parts;
      if (!std::regex_match(line.text, parts, heading)) continue;
      CHECK_MESSAGE((linked || once), page << ": " << section << " names no code");
      section = line.text;
      linked = false;
      if (parts[1].matched) {
        CHECK_MESSAGE(std::stoi(parts[1]) == ++rules, line.text << " is out of order");
      } else {
        others.insert(parts[2]);
      }
    }
    CHECK_MESSAGE((linked || section == "## Error budget"), page << ": " << section << " names no code");
  }
  CHECK(rules == 14);
  for (const char* title : {"Folding", "Error budget", "Absent neighbours", "The wide input", "Observers and ranges",
                            "Choosing amax", "Equalising and bias correction", "Differences from the rules"}) {
    CHECK_MESSAGE(others.contains(title), title);
  }
}

TEST_CASE("every link of the pages leads to a file that holds what the link names") {
  static const std::regex link(R"(\[([^\]]+)\]\(([^)\s]+)\))");
  static const std::regex code("`([^`]+)`");
  int links = 0;
  std::string text;  // a link may be broken over two lines
  for (const Line& line : all_lines()) {
    if (!line.literal) text += line.text + "\n";
  }
  for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
    const std::string label = (*it)[1], target = (*it)[2];
    CAPTURE(label);
    CAPTURE(target);
    if (target.starts_with("#") || target.starts_with("http")) continue;
    const fs::path file = kFolder / target.substr(0, target.find('#'));
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
  CHECK(links >= 60);
}

namespace {

// A page without its fenced blocks and the targets of its links; lines stay where they are.
std::string prose_of(const std::string& page) {
  static const std::regex target(R"(\]\([^)\s]+\))");
  std::string text;
  int number = 1;
  for (const Line& line : document_lines(page)) {
    for (; number < line.number; ++number) text += "\n";
    if (line.fence.empty()) text += std::regex_replace(line.text, target, "]");
  }
  return text;
}

bool in_code(const char* file, const char* text) {
  return read(fs::path(OCTET_SOURCE_DIR) / file).find(text) != std::string::npos;
}

// How many in a million of `cases` random ones differ; `differs` draws its case from the generator.
double per_million(int cases, const std::function<bool(std::mt19937_64&)>& differs) {
  std::mt19937_64 random(20261123);
  int found = 0;
  for (int i = 0; i < cases; ++i) found += differs(random) ? 1 : 0;
  return 1e6 * found / cases;
}

double uniform(std::mt19937_64& random, double from, double to) {  // the same on every machine
  return from + (to - from) * static_cast<double>(random() >> 11) * 0x1p-53;
}

// Of rule 1: 127 / amax in float32 against the reciprocal of the stored step.
bool reciprocals_differ(std::mt19937_64& random) {
  const auto amax = static_cast<float>(uniform(random, 0.001, 100));
  return 127.0f / amax != arithmetic::inverse_step(arithmetic::symmetric_step(amax));
}

// Steps, and an accumulator that leads into the output's range.
struct RandomCase {
  explicit RandomCase(std::mt19937_64& random) {
    for (float* range : {&in, &weight, &out}) *range = static_cast<float>(uniform(random, 0.01, 10));
    const double ratio = double{step(in)} * step(weight) / step(out);
    accumulator = static_cast<std::int32_t>(uniform(random, -127, 127) / ratio);
    exact = accumulator * ratio;
  }
  static float step(float amax) { return arithmetic::symmetric_step(amax); }
  static float scale(float amax) { return 127.0f / amax; }
  std::int32_t by_rule_7() const {
    return arithmetic::requantise(accumulator, arithmetic::multiplier(step(in), step(weight), step(out)), -127, 127, 0);
  }
  float in = 0, weight = 0, out = 0;
  std::int32_t accumulator = 0;
  double exact = 0;
};

bool rule_7_differs(std::mt19937_64& random) {
  const RandomCase c(random);
  const auto difference = std::fabs(c.by_rule_7() - std::nearbyint(c.exact));
  if (difference > 1) FAIL("rule 7 is off by more than one");
  return difference != 0;
}

bool notebook_differs(std::mt19937_64& random) {
  const RandomCase c(random);
  const float together = RandomCase::scale(c.in) * RandomCase::scale(c.weight);
  const std::int32_t q = arithmetic::requantise_notebook(c.accumulator, RandomCase::scale(c.out), together, -127, 127);
  if (std::abs(q - c.by_rule_7()) > 1) FAIL("the notebook is off by more than one");
  return q != c.by_rule_7();
}

struct Account {
  std::string number;           // as the prose prints it
  std::function<bool()> is_so;  // recomputes it, or finds the constant in the code
};

// The numbers that stand in no equation and in no example; those of random cases are the last test's.
const std::set<std::string> kRandom = {"2,000,000", "0.001", "4,000,000", "3.2", "1,000,000"};
const std::vector<Account>& accounts() {
  namespace ar = arithmetic;
  constexpr std::int64_t room = (std::int64_t{1} << 31) - (std::int64_t{1} << 29) - 1;  // rule 5
  static const std::vector<Account> all = {
      {"63.4999976",
       [] { return fmt::format("{:.7f}", double{0.01f} / double{ar::symmetric_step(0.02f)}) == "63.4999976"; }},
      {"99,858", [] { return room / (127 * 127) == 99858; }},
      {"49,733", [] { return room / (127 * 255) == 49733; }},
      {"3.49999992",
       [] { return fmt::format("{:.8f}", 1050 * (double{0.02f} * double{0.005f} / double{0.03f})) == "3.49999992"; }},
      {"3.49999976", [] { return print(1050.0f * ar::multiplier(0.02f, 0.005f, 0.03f)) == "3.49999976"; }},
      {"2048", [] { return calib::Histogram().bins() <= 2048 && in_code("calib/histogram.h", "first_bins = 2048"); }},
      {"1e-9", [] { return in_code("calib/amax.cpp", "best + 1e-9"); }},
      {"1e-13", [] { return in_code("calib/amax.cpp", "1e-13 * energy"); }},
  };
  return all;
}

}  // namespace

TEST_CASE("every equation of the pages holds, and every other number is accounted for") {
  std::set<double> known;
  for (const Line& line : all_lines()) {
    if (line.fence != "example") continue;
    const PageReader reader(line.text);
    for (const PageNumber& n : reader.numbers()) known.insert(n.value);
  }
  int equations = 0;
  std::set<std::string> used;
  std::map<std::string, std::vector<PageNumber>> open;
  for (const std::string& page : kPages) {
    const std::string prose = prose_of(page);
    const PageReader reader(prose);
    for (const PageEquation& e : reader.equations()) {
      CHECK_MESSAGE(e.holds, page << ":" << e.line << ": " << e.text);
      ++equations;
    }
    for (const PageNumber& n : reader.numbers()) {
      if (n.checked) known.insert(n.value);
      if (n.telling && !n.checked) open[page].push_back(n);
    }
  }
  for (const auto& [page, numbers] : open) {
    for (const PageNumber& n : numbers) {
      if (known.contains(n.value) || kRandom.contains(n.text)) continue;
      const auto account = std::ranges::find(accounts(), n.text, &Account::number);
      CHECK_MESSAGE(account != accounts().end(), page << ":" << n.line << ": where does " << n.text << " come from?");
      used.insert(n.text);
    }
  }
  for (const Account& account : accounts()) {
    CHECK_MESSAGE(account.is_so(), account.number);
    CHECK_MESSAGE(used.contains(account.number), account.number << " stands in no page");
  }
  MESSAGE(equations, " equations");
  CHECK(equations >= 80);
}

TEST_CASE("an equation that is wrong is found, and what is none is left alone") {
  const auto verdicts = [](const std::string& text) {
    std::string result;
    const PageReader reader(text);
    for (const PageEquation& e : reader.equations()) result += e.holds ? 'y' : 'n';
    return result;
  };
  CHECK(verdicts("(2 * 127 * 127 = 32,258 < 32,768) and 90 / 4 = 22.5") == "yyy");
  CHECK(verdicts("2 * 127 * 127 = 32,259, or 1.5 / sqrt(0.25 + 0.00001) = 2.99993") == "nn");
  CHECK(verdicts("q = 3, step_w * 2 = 5, |x| <= 127.5, f(2) = 3, 2u = 7, 4 x = 5") == "");
  CHECK(verdicts("rne(2.5) = 2, rne(1.28 / 0.02) = 64 = 2^6, 10 * log10(25 / 0.01) = 33.98, fl(16777217) = 16777217") ==
        "yyyyn");
  CHECK(verdicts("1e9 - 2^32 = -3,294,967,296; 1 / 3 = 0.33; 1 / 3 = 0.34; 2 / 3 = 1") == "yynn");
}

TEST_CASE("what the pages say of random numbers") {
  const std::string quantization = prose_of("QUANTIZATION.md"), notebook = prose_of("NOTEBOOK.md");
  const auto says = [](const std::string& page, const std::string& what) {
    static const std::regex spaces(R"(\s+)");
    CHECK_MESSAGE(std::regex_replace(page, spaces, " ").find(what) != std::string::npos, what);
  };
  says(quantization, fmt::format("for {:.0f} % of 2,000,000 amax (uniform between 0.001 and 100)",
                                 per_million(2'000'000, reciprocals_differ) / 1e4));
  says(quantization,
       fmt::format("In 4,000,000 random cases (ranges between 0.01 and 10, sums that lead into the output's "
                   "range), {:.1f} in a million differed",
                   per_million(4'000'000, rule_7_differs)));
  says(notebook, fmt::format("in {:.0f} of 1,000,000 random cases", per_million(1'000'000, notebook_differs)));
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
