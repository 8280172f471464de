// The numbers in a page's prose. An equation or inequality between numbers, wherever it stands,
//
//     10580 * 0.0001 = 1.058          2 * 127 * 127 = 32,258 < 32,768          g = 1.5 / sqrt(0.25 + 0.00001) = 2.99994
//
// is evaluated in double and must hold: to half a unit of the last digit where a side is a single number with decimals,
// exactly otherwise. A side that a word, a variable or an unknown function belongs to is not one of numbers and is left
// alone. numbers_of() says which numbers took part, so that a test can account for those that did not.
#pragma once

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octet::testing {

struct PageNumber {
  double value = 0;
  double tolerance = 0;  // half a unit of the last printed digit; 0 for whole numbers
  bool telling = false;  // has decimals, an exponent or four digits: not a count or an index that explains itself
  bool checked = false;  // on a side of an equation that was evaluated
  std::string text;
  int line = 0;
};

struct PageEquation {
  std::string text;
  int line = 0;
  bool holds = false;
};

// Reads a text once: tokens that only white space separates form a run, anything else ends it.
class PageReader {
 public:
  explicit PageReader(std::string_view text) : text_(text) { read(); }
  const std::vector<PageNumber>& numbers() const { return numbers_; }
  const std::vector<PageEquation>& equations() const { return equations_; }

 private:
  struct Token {
    char kind = 0;  // 'n' a number; + - * / ^ ( ) = < > themselves, 'l' and 'g' for <= and >=; else a function
    std::size_t number = 0;
    std::size_t begin = 0, end = 0;
  };
  using Tokens = std::vector<Token>;

  bool is(std::size_t at, char c) const { return at < text_.size() && text_[at] == c; }

  void read() {
    Tokens run;
    for (std::size_t at = 0; at < text_.size();) {
      if (text_[at] == '\n') ++line_;
      if (std::isspace(static_cast<unsigned char>(text_[at])) != 0 || text_[at] == '`') {
        ++at;
        continue;
      }
      const std::optional<Token> token = token_at(at);
      if (token && known(token->kind)) {
        run.push_back(*token);
        at = token->end;
        continue;
      }
      evaluate(run);
      run.clear();
      at = token ? token->end : after_word(at);
    }
    evaluate(run);
  }

  // Counts parentheses; false for the one that closes the call of an unknown function.
  bool known(char kind) {
    if (kind == '(' || std::isupper(kind) != 0) calls_.push_back(true);
    if (kind != ')' || calls_.empty()) return true;
    const bool call = calls_.back();
    calls_.pop_back();
    return call;
  }

  // A word with everything that belongs to it: step_w[c], 1/2x, s8. Any other character is its own end.
  std::size_t after_word(std::size_t at) {
    const auto part = [&](std::size_t i) {
      const char c = text_[i];
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' ||
             (c == '.' && i + 1 < text_.size() && std::isalnum(static_cast<unsigned char>(text_[i + 1])) != 0 &&
              i > at);
    };
    if (!part(at)) return at + 1;
    while (at < text_.size() && part(at)) ++at;
    if (!is(at, '(')) return at;
    calls_.push_back(false);
    return at + 1;
  }

  std::optional<Token> token_at(std::size_t at) {
    static const std::map<std::string_view, char> functions = {
        {"rne(", 'R'}, {"fl(", 'F'}, {"sqrt(", 'Q'}, {"log10(", 'L'}, {"floor(", 'D'}};
    for (const auto& [name, kind] : functions) {
      if (text_.substr(at).starts_with(name)) return Token{kind, 0, at, at + name.size()};
    }
    const char c = text_[at];
    if ((c == '<' || c == '>') && is(at + 1, '=')) return Token{c == '<' ? 'l' : 'g', 0, at, at + 2};
    if (std::string_view("+-*/^()=<>").find(c) != std::string_view::npos) return Token{c, 0, at, at + 1};
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) return {};
    return number_at(at);
  }

  std::optional<Token> number_at(std::size_t at) {
    std::string digits;
    std::size_t end = at;
    const auto digit = [&](std::size_t i) {
      return i < text_.size() && std::isdigit(static_cast<unsigned char>(text_[i])) != 0;
    };
    const auto group = [&](std::size_t i) {  // ",967" of 294,967,296
      return is(i, ',') && digit(i + 1) && digit(i + 2) && digit(i + 3) && !digit(i + 4);
    };
    for (; digit(end) || group(end); ++end) {
      if (text_[end] != ',') digits += text_[end];
    }
    int decimals = 0, exponent = 0;
    if (is(end, '.') && digit(end + 1)) {
      for (digits += text_[end++]; digit(end); ++end, ++decimals) digits += text_[end];
    }
    const std::size_t sign = end + (is(end + 1, '-') ? 1 : 0);
    if (is(end, 'e') && digit(sign + 1)) {
      const std::size_t from = end + 1;
      for (end = sign + 1; digit(end);) ++end;
      exponent = std::stoi(std::string(text_.substr(from, end - from)));
      digits += 'e' + std::to_string(exponent);
    }
    if (end < text_.size() && (std::isalpha(static_cast<unsigned char>(text_[end])) != 0 || text_[end] == '_'))
      return {};
    PageNumber number{.text = std::string(text_.substr(at, end - at)), .line = line_};
    number.value = std::stod(digits);
    const bool whole = decimals == 0 && exponent >= 0;
    number.tolerance = whole ? 0 : 0.5 * std::pow(10.0, exponent - decimals);
    number.telling = decimals > 0 || exponent != 0 || digits.size() >= 4;
    numbers_.push_back(number);
    return Token{'n', numbers_.size() - 1, at, end};
  }

  // --- one run of tokens: sides, and relations between them

  static bool relation(char kind) { return std::string_view("=<>lg").find(kind) != std::string_view::npos; }

  void evaluate(const Tokens& run) {
    std::vector<Tokens> sides(1);
    std::vector<char> relations;
    for (const Token& token : run) {
      if (relation(token.kind)) {
        relations.push_back(token.kind);
        sides.emplace_back();
      } else {
        sides.back().push_back(token);
      }
    }
    for (std::size_t i = 0; i < relations.size(); ++i) compare(trimmed(sides[i]), relations[i], trimmed(sides[i + 1]));
  }

  // Without parentheses of the sentence around it: "(2 * 127 = 254 < 255)" has sides "(2 * 127", "254" and "255)".
  static Tokens trimmed(Tokens side) {
    const auto depth = [&] {
      int open = 0;
      for (const Token& t : side) open += t.kind == ')' ? -1 : t.kind == '(' || std::isupper(t.kind) != 0 ? 1 : 0;
      return open;
    };
    while (!side.empty() && side.front().kind == '(' && depth() > 0) side.erase(side.begin());
    while (!side.empty() && side.back().kind == ')' && depth() < 0) side.pop_back();
    return side;
  }

  void compare(const Tokens& left, char relation, const Tokens& right) {
    const std::optional<double> a = value_of(left), b = value_of(right);
    if (!a || !b) return;
    const double slack = tolerance_of(left) + tolerance_of(right) + 1e-12 * std::max(std::fabs(*a), std::fabs(*b));
    const bool holds = relation == '='   ? std::fabs(*a - *b) <= slack
                       : relation == '<' ? *a < *b
                       : relation == '>' ? *a > *b
                       : relation == 'l' ? *a <= *b + slack
                                         : *a >= *b - slack;
    const std::size_t begin = left.front().begin;
    equations_.push_back({std::string(text_.substr(begin, right.back().end - begin)), line_, holds});
    for (const Tokens* side : {&left, &right}) {
      for (const Token& token : *side) {
        if (token.kind == 'n') numbers_[token.number].checked = true;
      }
    }
  }

  double tolerance_of(const Tokens& side) const {
    const bool single = side.size() == 1 || (side.size() == 2 && side[0].kind == '-');
    return single ? numbers_[side.back().number].tolerance * (1 + 1e-9) : 0;
  }

  // --- arithmetic: sums of products of powers; nothing where the tokens are not a whole expression

  std::optional<double> value_of(const Tokens& side) const {
    std::size_t at = 0;
    const std::optional<double> value = sum(side, at);
    return value && at == side.size() ? value : std::nullopt;
  }

  std::optional<double> sum(const Tokens& s, std::size_t& at) const {
    std::optional<double> value = product(s, at);
    while (value && at < s.size() && (s[at].kind == '+' || s[at].kind == '-')) {
      const double sign = s[at++].kind == '+' ? 1 : -1;
      const std::optional<double> next = product(s, at);
      value = next ? std::optional(*value + sign * *next) : std::nullopt;
    }
    return value;
  }

  std::optional<double> product(const Tokens& s, std::size_t& at) const {
    std::optional<double> value = power(s, at);
    while (value && at < s.size() && (s[at].kind == '*' || s[at].kind == '/')) {
      const bool divide = s[at++].kind == '/';
      const std::optional<double> next = power(s, at);
      value = next ? std::optional(divide ? *value / *next : *value * *next) : std::nullopt;
    }
    return value;
  }

  std::optional<double> power(const Tokens& s, std::size_t& at) const {
    if (at < s.size() && s[at].kind == '-') {
      const std::optional<double> value = power(s, ++at);
      return value ? std::optional(-*value) : std::nullopt;
    }
    const std::optional<double> base = factor(s, at);
    if (!base || at >= s.size() || s[at].kind != '^') return base;
    const std::optional<double> exponent = power(s, ++at);
    return exponent ? std::optional(std::pow(*base, *exponent)) : std::nullopt;
  }

  std::optional<double> factor(const Tokens& s, std::size_t& at) const {
    if (at >= s.size()) return {};
    const Token token = s[at++];
    if (token.kind == 'n') return numbers_[token.number].value;
    if (token.kind != '(' && std::isupper(token.kind) == 0) return {};
    const std::optional<double> inner = sum(s, at);
    if (!inner || at >= s.size() || s[at++].kind != ')') return {};
    switch (token.kind) {
      case 'R':
        return std::nearbyint(*inner);
      case 'F':
        return static_cast<double>(static_cast<float>(*inner));
      case 'Q':
        return std::sqrt(*inner);
      case 'L':
        return std::log10(*inner);
      case 'D':
        return std::floor(*inner);
      default:
        return *inner;
    }
  }

  std::string_view text_;
  int line_ = 1;
  std::vector<bool> calls_;  // the open parentheses: whether of a known function, or of none
  std::vector<PageNumber> numbers_;
  std::vector<PageEquation> equations_;
};

}  // namespace octet::testing
