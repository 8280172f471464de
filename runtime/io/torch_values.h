// Reading the values of a PyTorch pickle: dictionaries in all their disguises, modules, storages, tensors.
// Internal to runtime/io.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/io/pickle.h"
#include "runtime/io/torch_state.h"

namespace octet {

class TorchValues {
 public:
  using Id = pickle::Id;
  using Pairs = std::vector<std::pair<Id, Id>>;  // key, value

  TorchValues(const pickle::Pickle& pickle, const std::string& file) : pickle_(pickle), file_(file) {}

  const pickle::Value& operator[](Id id) const { return pickle_[id]; }
  bool is(Id id, pickle::Kind kind) const { return id != pickle::kNothing && pickle_[id].kind == kind; }
  std::string describe(Id id) const { return pickle::describe(pickle_, id); }

  // dict, OrderedDict, and whatever else had keys set. The OrderedDict of Python 2 is made from a list of pairs.
  bool is_dict(Id id) const;
  Pairs pairs(Id id);
  // The value of a text key, kNothing when there is none.
  Id find(Id dict, std::string_view key);

  // The __dict__ of an nn.Module (what has _parameters, _buffers or _modules), else kNothing.
  Id module_state(Id id);

  // The elements of a list, tuple or set, also of one made by calling set(list).
  std::vector<Id> elements(Id id) const;

  // The tensor that `id` rebuilds, through Parameter and subclass wrappers; nullopt when it is something else. Throws
  // when it is a tensor but malformed.
  std::optional<TorchTensor> tensor(Id id);
  TorchStorage storage(Id id) const;

  // Walks that look at very many values (a small pickle can describe an exponential number of paths) end in an Error.
  void spend(std::size_t steps);
  const std::string& file() const { return file_; }

 private:
  bool calls(Id callee, std::string_view name) const;
  const std::vector<Id>& tuple(Id id, std::size_t least, std::string_view what) const;
  std::int64_t count(Id id, std::string_view what) const;
  std::vector<std::int64_t> counts(Id id, std::string_view what) const;
  std::string text(Id id, std::string_view what) const;
  TorchTensor rebuild(Id args) const;

  const pickle::Pickle& pickle_;
  const std::string& file_;
  std::size_t spent_ = 0;
};

}  // namespace octet
