#include "runtime/io/torch_checkpoint.h"

#include <algorithm>
#include <string_view>

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/io/pickle.h"
#include "runtime/io/torch_state.h"
#include "runtime/io/torch_storages.h"
#include "runtime/io/zip_archive.h"

namespace octet {
namespace {

using pickle::Kind;

constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";  // 0x1950a86a20f9469cfc6c
constexpr std::string_view kMagicDecimal = "119547037146038801333356";           // the same in a protocol 0 pickle
constexpr std::int64_t kLegacyVersion = 1001;

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TorchCheckpoint build(const pickle::Pickle& pickle, TorchStorages& storages, std::size_t file_bytes,
                      const std::string& name) {
  TorchState state = find_torch_state(pickle, name);
  TorchCheckpoint checkpoint;
  checkpoint.ignored = std::move(state.ignored);
  TensorBuilder builder(storages, file_bytes, name);
  for (TorchTensor& tensor : state.tensors) {
    require(!checkpoint.tensors.contains(tensor.name), "{}: the tensor '{}' appears twice", name,
            printable(tensor.name));
    Tensor built = builder.build(tensor);
    checkpoint.tensors.insert(std::move(tensor.name), std::move(built));
  }
  return checkpoint;
}

// "archive/" of "archive/data.pkl". The folder is named after the file that torch.save wrote.
std::string root_folder(const ZipArchive& archive, const std::string& name) {
  constexpr std::string_view kPickle = "data.pkl";
  std::string root;
  int found = 0;
  for (const std::string& entry : archive.entries()) {
    if (entry == kPickle || entry.ends_with("/data.pkl")) {
      root = entry.substr(0, entry.size() - kPickle.size());
      ++found;
    }
  }
  require(found != 0, "{}: a zip archive without data.pkl, so not a PyTorch checkpoint", name);
  require(found == 1, "{}: a zip archive with {} data.pkl, so not a PyTorch checkpoint", name, found);
  require(!archive.contains(root + "constants.pkl"),
          "{}: a TorchScript archive; expected a checkpoint made by torch.save of a state dict or a module", name);
  return root;
}

TorchCheckpoint parse_zip(std::span<const std::byte> bytes, const std::string& name) {
  ZipArchive archive(bytes, name);
  const std::string root = root_folder(archive, name);
  if (archive.contains(root + "byteorder")) {
    const Tensor order = archive.read(root + "byteorder", 16);
    require(text_of({order.raw(), order.bytes()}) == "little", "{}: big-endian data, little-endian was expected", name);
  }
  const Tensor data = archive.read(root + "data.pkl", pickle::kMaxBytes);
  const pickle::Pickle pickle = pickle::read({data.raw(), data.bytes()}, 0, name);
  ZipStorages storages(archive, root, name);
  return build(pickle, storages, bytes.size(), name);
}

void check_system(const pickle::Pickle& system, const std::string& name) {
  const pickle::Value& info = system[system.root];
  for (std::size_t i = 0; i + 1 < info.pairs.size(); i += 2) {
    const bool big = system[info.pairs[i]].text == "little_endian" && system[info.pairs[i + 1]].kind == Kind::boolean &&
                     system[info.pairs[i + 1]].integer == 0;
    require(!big, "{}: big-endian data, little-endian was expected", name);
  }
}

// Five pickles: magic number, protocol version, system, the object, the keys of the storages; then the storages.
TorchCheckpoint parse_legacy(std::span<const std::byte> bytes, const std::string& name) {
  const pickle::Pickle magic = pickle::read(bytes, 0, name);
  const std::string& number = magic[magic.root].text;
  require(magic[magic.root].kind == Kind::big_integer && (number == kMagic || number == kMagicDecimal),
          "{}: a pickle ({}), but not a PyTorch checkpoint: it does not start with PyTorch's magic number", name,
          pickle::describe(magic, magic.root));
  const pickle::Pickle version = pickle::read(bytes, magic.end, name);
  require(version[version.root].kind == Kind::integer && version[version.root].integer == kLegacyVersion,
          "{}: not version {} of PyTorch's legacy format", name, kLegacyVersion);
  const pickle::Pickle system = pickle::read(bytes, version.end, name);
  check_system(system, name);
  const pickle::Pickle object = pickle::read(bytes, system.end, name);
  const pickle::Pickle keys = pickle::read(bytes, object.end, name);
  require(keys[keys.root].kind == Kind::list, "{}: the keys of the storages are {}, a list was expected", name,
          pickle::describe(keys, keys.root));
  std::vector<std::string> key_texts;
  for (const pickle::Id key : keys[keys.root].items) {
    require(keys[key].kind == Kind::text, "{}: the key of a storage is {}, a text was expected", name,
            pickle::describe(keys, key));
    key_texts.push_back(keys[key].text);
  }
  LegacyStorages storages(bytes, keys.end, key_texts, find_torch_storages(object, name), name);
  return build(object, storages, bytes.size(), name);
}

}  // namespace

bool is_zip(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  return text.starts_with("PK\x03\x04") || text.starts_with("PK\x05\x06");
}

bool is_torch_legacy(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  return (text.size() >= 2 && text[0] == '\x80' && text[1] >= 2 && text[1] <= 5) ||
         (text.starts_with('L') && text.substr(1).starts_with(kMagicDecimal));
}

TorchCheckpoint parse_torch_checkpoint(std::span<const std::byte> bytes, const std::string& name) {
  if (is_zip(bytes)) return parse_zip(bytes, name);
  if (is_torch_legacy(bytes)) return parse_legacy(bytes, name);
  require(bytes.size() < 262 || text_of(bytes.subspan(257, 5)) != "ustar",
          "{}: a tar archive; expected a PyTorch checkpoint of version 0.2 or later", name);
  fail("{}: not a PyTorch checkpoint (starts with {})", name, describe_start(bytes));
}

TorchCheckpoint read_torch_checkpoint(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  return parse_torch_checkpoint(file->bytes(), path.string());
}

}  // namespace octet
