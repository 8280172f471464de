// What the pickle machine works on: the values so far, the stack with its marks, the memo; and the limits on all of
// them. Internal to runtime/io.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/io/pickle.h"
#include "runtime/io/pickle_stream.h"

namespace octet::pickle {

class Workspace {
 protected:
  Workspace(std::span<const std::byte> bytes, std::size_t begin, const std::string& name) : in_(bytes, begin, name) {}

  Value& value(Id id) { return pickle_.values[id]; }

  // Memo, marks and stack too are asked for with single bytes.
  void check_size(std::size_t count) const { in_.check(count < kMaxReferences, "it holds too many references"); }

  Id add(Value value) {
    in_.check(pickle_.values.size() < kMaxValues, "it holds more than a million values");
    references_ += value.items.size() + value.pairs.size();
    check_size(references_);
    pickle_.values.push_back(std::move(value));
    return static_cast<Id>(pickle_.values.size() - 1);
  }
  void push_id(Id id) {
    check_size(stack_.size());
    stack_.push_back(id);
  }
  void push(Value value) { push_id(add(std::move(value))); }
  void push_integer(std::int64_t number) { push({.kind = Kind::integer, .integer = number}); }
  void push_text(Kind kind, std::string_view text) { push({.kind = kind, .text = std::string(text)}); }
  void push_boolean(bool truth) { push({.kind = Kind::boolean, .integer = truth}); }

  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Id top() const {
    in_.check(stack_.size() > floor(), "the stack is empty");
    return stack_.back();
  }
  Id pop() {
    const Id id = top();
    stack_.pop_back();
    return id;
  }
  // What lies above the last mark; the mark goes too.
  std::vector<Id> pop_to_mark() {
    in_.check(!marks_.empty(), "no mark on the stack");
    const auto start = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Id> items(start, stack_.end());
    stack_.erase(start, stack_.end());
    marks_.pop_back();
    return items;
  }
  std::vector<Id> pop_count(std::size_t count) {
    std::vector<Id> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    return items;
  }

  void push_long(std::string_view little_endian) {
    if (little_endian.size() > 8) return push_text(Kind::big_integer, little_endian);
    std::uint64_t bits =
        !little_endian.empty() && static_cast<signed char>(little_endian.back()) < 0 ? ~std::uint64_t{0} : 0;
    for (std::size_t i = little_endian.size(); i-- > 0;)
      bits = (bits << 8) | static_cast<unsigned char>(little_endian[i]);
    push_integer(static_cast<std::int64_t>(bits));
  }

  void push_decimal(std::string_view text) {
    std::int64_t number = 0;
    const bool overflow =
        std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc::result_out_of_range;
    if (overflow) return push_text(Kind::big_integer, text);
    push_integer(in_.decimal(text));
  }

  void push_real(std::string_view text) {
    Value number{.kind = Kind::real};
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number.real);
    in_.check(result.ptr == text.data() + text.size(), "a number was expected");
    push(std::move(number));
  }

  void extend(const std::vector<Id>& items, Kind kind) {
    Value& target = value(top());
    in_.check(target.kind == kind || target.kind == Kind::object, "elements are added to something that has none");
    check_size(references_ += items.size());
    target.items.insert(target.items.end(), items.begin(), items.end());
  }

  void set_items(const std::vector<Id>& pairs) {
    Value& target = value(top());
    in_.check(pairs.size() % 2 == 0, "a key without a value");
    in_.check(target.kind == Kind::dict || target.kind == Kind::object, "keys are set in something that has none");
    check_size(references_ += pairs.size());
    target.pairs.insert(target.pairs.end(), pairs.begin(), pairs.end());
  }

  void remember(std::int64_t slot) {
    in_.check(memo_.size() < kMaxValues, "more than a million memo entries");
    memo_[slot] = top();
  }
  void recall(std::int64_t slot) {
    const auto at = memo_.find(slot);
    in_.check(at != memo_.end(), "it refers to something not seen yet");
    push_id(at->second);
  }

  Stream in_;
  Pickle pickle_;
  std::size_t references_ = 0;  // elements of all containers
  std::vector<Id> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::unordered_map<std::int64_t, Id> memo_;
};

}  // namespace octet::pickle
