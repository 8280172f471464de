#include "runtime/io/weights.h"

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/io/torch_checkpoint.h"

namespace octet {
namespace {

// Behind 8 bytes of length a safetensors file opens a JSON object.
bool is_safetensors(std::span<const std::byte> bytes) { return bytes.size() > 8 && bytes[8] == std::byte{'{'}; }

}  // namespace

WeightsFile read_weights(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  const std::string name = path.string();
  const bool zip = is_zip(bytes);
  if (!zip && is_safetensors(bytes)) {  // before the legacy stream: a length may look like the start of a pickle
    SafetensorsFile content = parse_safetensors(bytes, name, file);
    return {.tensors = std::move(content.tensors),
            .format = "safetensors",
            .ignored = {},
            .metadata = std::move(content.metadata)};
  }
  if (zip || is_torch_legacy(bytes)) {
    TorchCheckpoint checkpoint = parse_torch_checkpoint(bytes, name);
    return {.tensors = std::move(checkpoint.tensors),
            .format = zip ? "PyTorch zip" : "PyTorch legacy",
            .ignored = std::move(checkpoint.ignored),
            .metadata = {}};
  }
  fail("{}: neither safetensors nor a PyTorch checkpoint (starts with {})", name, describe_start(bytes));
}

StateDict read_state_dict(const std::filesystem::path& path) { return read_weights(path).tensors; }

}  // namespace octet
