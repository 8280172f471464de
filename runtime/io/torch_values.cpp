#include "runtime/io/torch_values.h"

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/shape.h"

namespace octet {

using pickle::Kind;
using pickle::kNothing;
using pickle::Value;

namespace {

constexpr std::size_t kMaxSteps = std::size_t{1} << 24;
constexpr std::size_t kMaxKey = 256;
constexpr int kMaxWrappers = 8;  // a Parameter of a tensor subclass of ...

constexpr StorageType kStorageTypes[] = {
    {"FloatStorage", DType::f32, 4},  {"HalfStorage", DType::f16, 2}, {"BFloat16Storage", DType::f32, 2},
    {"DoubleStorage", DType::f64, 8}, {"CharStorage", DType::s8, 1},  {"ByteStorage", DType::u8, 1},
    {"BoolStorage", DType::u8, 1},    {"IntStorage", DType::s32, 4},  {"LongStorage", DType::s64, 8}};

// "torch.FloatStorage", "torch.cuda.FloatStorage"
const StorageType* storage_type(std::string_view name) {
  if (!name.starts_with("torch.")) return nullptr;
  const std::string_view last = name.substr(name.rfind('.') + 1);
  for (const StorageType& type : kStorageTypes) {
    if (last == type.name) return &type;
  }
  return nullptr;
}

}  // namespace

void TorchValues::spend(std::size_t steps) {
  spent_ += steps;
  require(spent_ <= kMaxSteps, "{}: the pickled objects refer to each other too often to be walked", file_);
}

bool TorchValues::calls(Id callee, std::string_view name) const {
  return is(callee, Kind::global) && pickle_[callee].text == name;
}

bool TorchValues::is_dict(Id id) const {
  if (is(id, Kind::dict)) return true;
  if (!is(id, Kind::object)) return false;
  const Value& value = pickle_[id];
  return !value.pairs.empty() || calls(value.callee, "collections.OrderedDict");
}

TorchValues::Pairs TorchValues::pairs(Id id) {
  Pairs result;
  if (!is_dict(id)) return result;
  const Value& dict = pickle_[id];
  if (dict.kind == Kind::object && is(dict.args, Kind::tuple) && pickle_[dict.args].items.size() == 1) {
    for (const Id pair : elements(pickle_[dict.args].items[0])) {
      const std::vector<Id> both = elements(pair);
      if (both.size() == 2) result.emplace_back(both[0], both[1]);
    }
  }
  for (std::size_t i = 0; i + 1 < dict.pairs.size(); i += 2) result.emplace_back(dict.pairs[i], dict.pairs[i + 1]);
  spend(result.size() + 1);
  return result;
}

pickle::Id TorchValues::find(Id dict, std::string_view key) {
  Id found = kNothing;
  for (const auto& [name, value] : pairs(dict)) {
    if (is(name, Kind::text) && pickle_[name].text == key) found = value;  // the last wins, as in Python
  }
  return found;
}

pickle::Id TorchValues::module_state(Id id) {
  if (!is(id, Kind::object)) return kNothing;
  Id state = pickle_[id].state;
  if (is(state, Kind::tuple) && !pickle_[state].items.empty()) state = pickle_[state].items[0];  // (__dict__, slots)
  if (!is_dict(state)) return kNothing;
  for (const char* key : {"_parameters", "_buffers", "_modules"}) {
    if (is_dict(find(state, key))) return state;
  }
  return kNothing;
}

std::vector<pickle::Id> TorchValues::elements(Id id) const {
  if (is(id, Kind::object) && is(pickle_[id].args, Kind::tuple) && pickle_[pickle_[id].args].items.size() == 1) {
    id = pickle_[pickle_[id].args].items[0];  // set([...]) of protocol 2
  }
  if (is(id, Kind::list) || is(id, Kind::tuple) || is(id, Kind::set)) return pickle_[id].items;
  return {};
}

const std::vector<pickle::Id>& TorchValues::tuple(Id id, std::size_t least, std::string_view what) const {
  require(is(id, Kind::tuple), "{}: {} is {}, a tuple was expected", file_, what, describe(id));
  const std::vector<Id>& items = pickle_[id].items;
  require(items.size() >= least, "{}: {} has {} elements, at least {} were expected", file_, what, items.size(), least);
  return items;
}

std::int64_t TorchValues::count(Id id, std::string_view what) const {
  require(is(id, Kind::integer), "{}: {} is {}, an integer was expected", file_, what, describe(id));
  const std::int64_t value = pickle_[id].integer;
  require(value >= 0 && value <= Shape::kMaxElements, "{}: {} is {}, expected 0 to 2^46", file_, what, value);
  return value;
}

std::vector<std::int64_t> TorchValues::counts(Id id, std::string_view what) const {
  std::vector<std::int64_t> values;
  const std::vector<Id>& items = tuple(id, 0, what);
  require(items.size() <= Shape::kMaxRank, "{}: {} has {} dimensions, at most {} are supported", file_, what,
          items.size(), Shape::kMaxRank);
  for (const Id item : items) values.push_back(count(item, what));
  return values;
}

std::string TorchValues::text(Id id, std::string_view what) const {
  require(is(id, Kind::text), "{}: {} is {}, a text was expected", file_, what, describe(id));
  // One long text can be named by very many storages, each of which copies it.
  require(pickle_[id].text.size() <= kMaxKey, "{}: {} is a text of {} bytes, at most {} were expected", file_, what,
          pickle_[id].text.size(), kMaxKey);
  return pickle_[id].text;
}

TorchStorage TorchValues::storage(Id id) const {
  require(is(id, Kind::persistent), "{}: a tensor's storage is {}", file_, describe(id));
  const std::vector<Id>& parts = tuple(pickle_[id].args, 5, "the id of a storage");
  require(text(parts[0], "the kind of a storage") == "storage", "{}: a tensor's storage is of the unknown kind '{}'",
          file_, printable(pickle_[parts[0]].text));
  TorchStorage storage;
  require(is(parts[1], Kind::global), "{}: the type of a storage is {}", file_, describe(parts[1]));
  storage.type_name = pickle_[parts[1]].text;
  storage.type = storage_type(storage.type_name);
  storage.key = text(parts[2], "the key of a storage");
  storage.elements = count(parts[4], "the element count of a storage");
  storage.view_elements = storage.elements;
  if (parts.size() > 5 && !is(parts[5], Kind::none)) {  // the legacy stream: (key of the view, offset, elements)
    const std::vector<Id>& view = tuple(parts[5], 3, "the view of a storage");
    storage.view_offset = count(view[1], "the offset of a view");
    storage.view_elements = count(view[2], "the element count of a view");
    require(storage.view_offset + storage.view_elements <= storage.elements,
            "{}: a view of elements {} to {} of a storage that has {}", file_, storage.view_offset,
            storage.view_offset + storage.view_elements, storage.elements);
  }
  return storage;
}

// (storage, offset, sizes, strides, ...)
TorchTensor TorchValues::rebuild(Id args) const {
  const std::vector<Id>& parts = tuple(args, 4, "the arguments of a tensor");
  TorchTensor tensor;
  tensor.storage = storage(parts[0]);
  tensor.offset = count(parts[1], "the offset of a tensor");
  tensor.sizes = counts(parts[2], "the shape of a tensor");
  tensor.strides = counts(parts[3], "the strides of a tensor");
  require(tensor.sizes.size() == tensor.strides.size(), "{}: a tensor of {} dimensions with {} strides", file_,
          tensor.sizes.size(), tensor.strides.size());
  return tensor;
}

std::optional<TorchTensor> TorchValues::tensor(Id id) {
  for (int depth = 0; depth < kMaxWrappers; ++depth) {
    if (!is(id, Kind::object)) return std::nullopt;
    spend(1);
    Id callee = pickle_[id].callee;
    Id args = pickle_[id].args;
    if (calls(callee, "torch._tensor._rebuild_from_type_v2")) {  // (function, type, arguments, state)
      const std::vector<Id>& parts = tuple(args, 3, "the arguments of a tensor");
      callee = parts[0];
      args = parts[2];
    }
    if (calls(callee, "torch._utils._rebuild_tensor_v2") || calls(callee, "torch._utils._rebuild_tensor")) {
      return rebuild(args);
    }
    const bool parameter = calls(callee, "torch._utils._rebuild_parameter") ||
                           calls(callee, "torch._utils._rebuild_parameter_with_state") ||
                           calls(callee, "torch.nn.parameter.Parameter");
    if (!parameter) return std::nullopt;
    id = tuple(args, 1, "the arguments of a parameter")[0];
  }
  return std::nullopt;
}

}  // namespace octet
