#include "runtime/io/torch_storages.h"

#include <array>
#include <cstring>

#include "runtime/error.h"
#include "runtime/io/element_bytes.h"
#include "runtime/io/file.h"

namespace octet {
namespace {

std::uint64_t bytes_of(const TorchStorage& storage) {
  return static_cast<std::uint64_t>(storage.elements) * static_cast<unsigned>(storage.type->size);
}

bool is_row_major(const TorchTensor& tensor) {
  std::int64_t expected = 1;
  for (std::size_t axis = tensor.sizes.size(); axis-- > 0;) {
    if (tensor.sizes[axis] != 1 && tensor.strides[axis] != expected) return false;
    expected *= tensor.sizes[axis];
  }
  return true;
}

// Copies the elements of a strided tensor in row-major order. `size` bytes an element; `strides` in elements.
void gather(const TorchTensor& tensor, const std::byte* from, std::size_t size, std::byte* to, std::int64_t elements) {
  const std::size_t rank = tensor.sizes.size();
  std::array<std::int64_t, Shape::kMaxRank> index{};
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < elements; ++i, to += size) {
    std::memcpy(to, from + at * static_cast<std::int64_t>(size), size);
    for (std::size_t axis = rank; axis-- > 0;) {
      at += tensor.strides[axis];
      if (++index[axis] < tensor.sizes[axis]) break;
      at -= tensor.strides[axis] * tensor.sizes[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace

StorageBytes ZipStorages::load(const TorchStorage& storage) {
  std::shared_ptr<const Tensor>& content = loaded_[storage.key];
  const std::uint64_t expected = bytes_of(storage);
  if (!content) content = std::make_shared<const Tensor>(archive_.read(root_ + "data/" + storage.key, expected));
  require(content->bytes() == expected, "{}: the storage '{}' has {} bytes, expected {} ({} elements of {})", name_,
          printable(storage.key), content->bytes(), expected, storage.elements, storage.type->name);
  return {{content->raw(), content->bytes()}, content};
}

LegacyStorages::LegacyStorages(std::span<const std::byte> bytes, std::size_t begin,
                               const std::vector<std::string>& keys,
                               const std::map<std::string, TorchStorage>& storages, const std::string& name)
    : name_(name) {
  auto rest = bytes.subspan(begin);
  for (const std::string& key : keys) {
    const auto at = storages.find(key);
    require(at != storages.end(), "{}: the storage '{}' belongs to no tensor", name, printable(key));
    const TorchStorage& storage = at->second;
    require(storage.type != nullptr, "{}: storages of the type {} cannot be read", name, printable(storage.type_name));
    std::int64_t elements = 0;
    require(rest.size() >= sizeof(elements), "{}: cut short before the storage '{}'", name, printable(key));
    std::memcpy(&elements, rest.data(), sizeof(elements));
    require(elements == storage.elements, "{}: the storage '{}' has {} elements, its tensors say {}", name,
            printable(key), elements, storage.elements);
    rest = rest.subspan(sizeof(elements));
    require(bytes_of(storage) <= rest.size(), "{}: cut short in the storage '{}': {} of {} bytes", name, printable(key),
            rest.size(), bytes_of(storage));
    places_[key] = rest.first(bytes_of(storage));
    rest = rest.subspan(bytes_of(storage));
  }
  require(rest.empty(), "{}: {} bytes after the last storage", name, rest.size());
}

StorageBytes LegacyStorages::load(const TorchStorage& storage) {
  const auto at = places_.find(storage.key);
  require(at != places_.end(), "{}: the storage '{}' is missing", name_, printable(storage.key));
  return {at->second, nullptr};
}

// The elements that a tensor reaches must lie in its storage, or in its view of it. Counts are at most 2^46.
void TensorBuilder::check_range(const TorchTensor& tensor, const Shape& shape) const {
  const std::int64_t room = tensor.storage.view_elements - tensor.offset;
  std::int64_t last = 0;
  bool inside = room > 0;
  for (std::size_t axis = 0; axis < tensor.sizes.size() && inside; ++axis) {
    const std::int64_t steps = tensor.sizes[axis] - 1;
    const std::int64_t stride = tensor.strides[axis];
    inside = stride == 0 || steps <= (room - 1 - last) / stride;
    if (inside) last += steps * stride;
  }
  require(inside, "{}: tensor '{}' ({} from element {}) reaches outside its storage of {} elements", name_,
          printable(tensor.name), shape.str(), tensor.offset, tensor.storage.view_elements);
}

void TensorBuilder::spend(const TorchTensor& tensor, std::uint64_t bytes) {
  require(bytes <= budget_, "{}: tensor '{}' claims {} bytes, more than a file of this size can honestly need", name_,
          printable(tensor.name), bytes);
  budget_ -= bytes;
}

Tensor TensorBuilder::build(const TorchTensor& tensor) {
  const StorageType& type = *tensor.storage.type;
  Shape shape;
  try {
    shape = Shape(std::span<const std::int64_t>(tensor.sizes));
  } catch (const Error& error) {
    fail("{}: tensor '{}': {}", name_, printable(tensor.name), error.what());
  }
  if (shape.elements() == 0) return Tensor(type.type, shape);
  check_range(tensor, shape);
  const StorageBytes storage = storages_.load(tensor.storage);
  const auto size = static_cast<std::size_t>(type.size);
  const auto bytes = storage.bytes.subspan(static_cast<std::size_t>(tensor.storage.view_offset + tensor.offset) * size);
  const std::uint64_t needed = static_cast<std::uint64_t>(shape.elements()) * static_cast<unsigned>(size_of(type.type));
  const bool row_major = is_row_major(tensor);
  if (!row_major || !storage.keep || type.size != size_of(type.type)) spend(tensor, needed);
  if (row_major) {
    const auto own = bytes.first(static_cast<std::size_t>(shape.elements()) * size);
    return tensor_from_bytes(type.type, type.size, shape, own, storage.keep);
  }
  Tensor dense(DType::u8, {shape.elements() * type.size});
  gather(tensor, bytes.data(), size, dense.raw(), shape.elements());
  const std::span<const std::byte> gathered{dense.raw(), dense.bytes()};
  return tensor_from_bytes(type.type, type.size, shape, gathered, std::make_shared<const Tensor>(dense));
}

}  // namespace octet
