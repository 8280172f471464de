#include "runtime/io/torch_state.h"

#include <algorithm>
#include <optional>
#include <set>

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/io/torch_values.h"

namespace octet {
namespace {

using pickle::Id;
using pickle::Kind;
using pickle::kNothing;

constexpr int kMaxModuleDepth = 100;
constexpr std::size_t kStepsOfAName = 64;  // of 2^24 that a walk may take: at most 262,144 tensors and ignored values
constexpr int kMaxRootDepth = 4;           // {'model': {'state_dict': {...}}}
constexpr const char* kRootKeys[] = {"state_dict", "model_state_dict", "model", "net"};
constexpr std::string_view kParallelPrefix = "module.";

class StateFinder {
 public:
  StateFinder(const pickle::Pickle& pickle, const std::string& file) : values_(pickle, file) {}

  TorchState run(Id root) {
    const Id state = choose(root, 0);
    require(
        state != kNothing,
        "{}: no tensors in the checkpoint ({}); expected a state dict or a module, or a dict with one of them under "
        "'state_dict', 'model_state_dict', 'model' or 'net'",
        values_.file(), values_.describe(root));
    if (values_.module_state(state) != kNothing) {
      walk_module(state, "", 0);
      require(!state_.tensors.empty(), "{}: the pickled module ({}) has no parameters", values_.file(),
              values_.describe(state));
    } else {
      take_dict(state);
    }
    strip_parallel_prefix();
    return std::move(state_);
  }

 private:
  bool holds_tensors(Id dict) {
    const auto pairs = values_.pairs(dict);
    return std::ranges::any_of(pairs, [this](const auto& pair) {
      return values_.is(pair.first, Kind::text) && values_.tensor(pair.second).has_value();
    });
  }

  // The module or the dict of tensors to use, kNothing when there is none. Reports what lies beside it.
  Id choose(Id root, int depth) {
    if (values_.module_state(root) != kNothing) return root;
    if (!values_.is_dict(root) || depth == kMaxRootDepth) return kNothing;
    for (const char* key : kRootKeys) {
      const Id below = values_.find(root, key);
      const Id chosen = below == kNothing ? kNothing : choose(below, depth + 1);
      if (chosen == kNothing) continue;
      for (const auto& [name, value] : values_.pairs(root)) {
        if (value != below) ignore(name_of(name), value);
      }
      return chosen;
    }
    return holds_tensors(root) ? root : kNothing;
  }

  std::string name_of(Id key) const {
    return values_.is(key, Kind::text) ? values_[key].text : fmt::format("({})", values_.describe(key));
  }

  void ignore(const std::string& name, Id value) {
    values_.spend(kStepsOfAName);
    const bool tensor = values_.tensor(value).has_value();
    state_.ignored.push_back(printable(name) + ": " + (tensor ? "a tensor" : values_.describe(value)));
  }

  void take(std::string name, Id value) {
    values_.spend(kStepsOfAName + name.size() / 16);
    std::optional<TorchTensor> tensor = values_.tensor(value);
    if (!tensor) return ignore(name, value);
    if (tensor->storage.type == nullptr) {
      state_.ignored.push_back(printable(name) + ": a tensor in " + printable(tensor->storage.type_name));
      return;
    }
    tensor->name = std::move(name);
    state_.tensors.push_back(std::move(*tensor));
  }

  void take_dict(Id dict) {
    for (const auto& [key, value] : values_.pairs(dict)) {
      if (values_.is(key, Kind::text)) {
        take(values_[key].text, value);
      } else {
        ignore(name_of(key), value);
      }
    }
  }

  std::set<std::string> not_persistent(Id state) {
    std::set<std::string> names;
    for (const Id name : values_.elements(values_.find(state, "_non_persistent_buffers_set"))) {
      if (values_.is(name, Kind::text)) names.insert(values_[name].text);
    }
    return names;
  }

  // The order of nn.Module.state_dict: own parameters, own buffers, then the children. An absent bias is None.
  void walk_module(Id module, const std::string& prefix, int depth) {
    require(depth <= kMaxModuleDepth, "{}: modules are nested deeper than {}", values_.file(), kMaxModuleDepth);
    const Id state = values_.module_state(module);
    if (state == kNothing) return;
    values_.spend(1 + prefix.size() / 16);
    const std::set<std::string> skipped = not_persistent(state);
    for (const char* group : {"_parameters", "_buffers"}) {
      for (const auto& [key, value] : values_.pairs(values_.find(state, group))) {
        if (values_.is(value, Kind::none) || skipped.contains(name_of(key))) continue;
        take(prefix + name_of(key), value);
      }
    }
    for (const auto& [key, value] : values_.pairs(values_.find(state, "_modules"))) {
      walk_module(value, prefix + name_of(key) + ".", depth + 1);
    }
  }

  void strip_parallel_prefix() {
    const auto has_prefix = [](const TorchTensor& tensor) { return tensor.name.starts_with(kParallelPrefix); };
    if (!std::ranges::all_of(state_.tensors, has_prefix)) return;
    for (TorchTensor& tensor : state_.tensors) tensor.name.erase(0, kParallelPrefix.size());
  }

  TorchValues values_;
  TorchState state_;
};

}  // namespace

TorchState find_torch_state(const pickle::Pickle& pickle, const std::string& file) {
  return StateFinder(pickle, file).run(pickle.root);
}

std::map<std::string, TorchStorage> find_torch_storages(const pickle::Pickle& pickle, const std::string& file) {
  const TorchValues values(pickle, file);
  std::map<std::string, TorchStorage> storages;
  for (Id id = 0; id < pickle.values.size(); ++id) {
    if (!values.is(id, Kind::persistent)) continue;
    const Id parts = pickle[id].args;
    const bool is_class = values.is(parts, Kind::tuple) && !pickle[parts].items.empty() &&
                          values.is(pickle[parts].items[0], Kind::text) &&
                          pickle[pickle[parts].items[0]].text == "module";
    if (is_class) continue;  // ('module', class, source file, source text): the class of a pickled module
    TorchStorage storage = values.storage(id);
    const auto [at, added] = storages.try_emplace(storage.key, storage);
    require(added || (at->second.type_name == storage.type_name && at->second.elements == storage.elements),
            "{}: the storage '{}' is described in two ways", file, printable(storage.key));
  }
  return storages;
}

}  // namespace octet
