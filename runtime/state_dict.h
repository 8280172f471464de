// StateDict: the named tensors of a weights file, in the order of the file. Tensors share memory when copied, so a copy
// of a StateDict is cheap.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/error.h"
#include "runtime/tensor.h"

namespace octet {

class StateDict {
 public:
  struct Entry {
    std::string name;  // dotted: "layer1.0.conv1.weight"
    Tensor tensor;
  };

  // Throws Error when the name is already there.
  void insert(std::string name, Tensor tensor) {
    const auto [at, added] = index_.try_emplace(name, entries_.size());
    require(added, "the tensor '{}' appears twice", name);
    entries_.push_back({std::move(name), std::move(tensor)});
  }
  // nullptr when there is none. Valid until the next insert.
  const Tensor* find(std::string_view name) const {
    const auto at = index_.find(name);
    return at == index_.end() ? nullptr : &entries_[at->second].tensor;
  }
  // Throws Error when there is none.
  const Tensor& at(std::string_view name) const {
    const Tensor* tensor = find(name);
    require(tensor != nullptr, "no tensor '{}' among the {} of the weights", name, size());
    return *tensor;
  }
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t, Hash, std::equal_to<>> index_;
};

}  // namespace octet
