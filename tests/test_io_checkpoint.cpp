// PyTorch checkpoints. The fixtures: tests/goldens/make_checkpoints.py (by hand) and make_torch_checkpoints.py
// (PyTorch).
#include "runtime/io/torch_checkpoint.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "runtime/hash.h"
#include "runtime/io/weights.h"
#include "tests/io_support.h"

using namespace octet;
using namespace octet::test;

namespace {

Bytes fixture(const std::string& name) { return read_file(golden("checkpoints") / name, 1'000'000); }
TorchCheckpoint parse(const Bytes& bytes) { return parse_torch_checkpoint(bytes, "x.pt"); }

nlohmann::json expected_files() {
  auto all = nlohmann::json::parse(read_text_file(golden("checkpoints/expected.json"), 1'000'000));
  const auto real = nlohmann::json::parse(read_text_file(golden("checkpoints/torch_expected.json"), 1'000'000));
  for (const auto& [file, expected] : real.items()) all[file] = expected;
  return all;
}

// Replaces the one place where `from` stands; both have the same length.
Bytes replaced(Bytes bytes, std::string_view from, std::string_view to) {
  REQUIRE(from.size() == to.size());
  const Bytes pattern = bytes_of(from);
  const auto at = std::search(bytes.begin(), bytes.end(), pattern.begin(), pattern.end());
  REQUIRE(at != bytes.end());
  const Bytes instead = bytes_of(to);
  std::copy(instead.begin(), instead.end(), at);
  return bytes;
}

}  // namespace

TEST_CASE("every fixture reads as expected") {
  const auto files = expected_files();
  for (const auto& [file, expected] : files.items()) {
    INFO(file);
    const WeightsFile weights = read_weights(golden("checkpoints") / file);
    CHECK(weights.ignored == expected["ignored"].get<std::vector<std::string>>());
    REQUIRE(weights.tensors.size() == expected["tensors"].size());
    std::size_t i = 0;
    for (const auto& [name, tensor] : weights.tensors) {
      const auto& wanted = expected["tensors"][i++];
      INFO(name);
      CHECK(name == wanted["name"]);
      CHECK(name_of(tensor.dtype()) == wanted["dtype"].get<std::string>());
      const auto dims = tensor.shape().dims();
      CHECK(std::vector<std::int64_t>(dims.begin(), dims.end()) == wanted["shape"].get<std::vector<std::int64_t>>());
      CHECK(hex(fnv1a({tensor.raw(), tensor.bytes()})) == wanted["hash"]);
    }
  }
}

TEST_CASE("the content decides, not the name") {
  const TemporaryFolder folder;
  CHECK(read_weights(folder.put("a.safetensors", fixture("zip_protocol2.pt"))).format == "PyTorch zip");
  CHECK(read_weights(folder.put("b.zip", fixture("legacy_protocol2.pt"))).format == "PyTorch legacy");
  check_error([&] { read_weights(folder.put("c.pth", std::string_view("hello, world"))); },
              "c.pth: neither safetensors nor a PyTorch checkpoint (starts with \"hello, world\")");
  check_error([&] { read_state_dict(folder / "missing.pth"); }, "no such file: ");
  check_error([&] { read_state_dict(folder.path()); }, "is a folder, a file was expected");
  check_error([&] { read_state_dict(folder.put("empty.pth", std::string_view())); }, "empty.pth is empty");
}

TEST_CASE("a checkpoint cut anywhere is refused") {
  const auto files = expected_files();
  for (const auto& [file, expected] : files.items()) {
    INFO(file);
    check_every_cut(fixture(file), [](const Bytes& bytes) { parse(bytes); });
  }
}

TEST_CASE("lying checkpoints are refused with what lies") {
  const Bytes legacy = fixture("legacy_module.pth");
  // The first storage (4 elements) claims 5; the stream is then out of step, but the claim is noticed first.
  const std::string_view four("\x04\0\0\0\0\0\0\0", 8);
  check_error([&] { parse(replaced(legacy, four, std::string_view("\x05\0\0\0\0\0\0\0", 8))); },
              "has 5 elements, its tensors say 4");
  check_error([&] { parse(replaced(legacy, four, std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff", 8))); },
              "has -1 elements, its tensors say 4");
  Bytes longer = legacy;
  longer.push_back(std::byte{0});
  check_error([&] { parse(longer); }, "1 bytes after the last storage");
  check_error([&] { parse(replaced(legacy, "FloatStorage", "QuickStorage")); }, "QuickStorage cannot be read");
  Bytes big = legacy;
  const Bytes key = bytes_of("little_endian");
  const auto at = std::search(big.begin(), big.end(), key.begin(), key.end());
  *std::find(at, big.end(), std::byte{0x88}) = std::byte{0x89};  // True -> False
  check_error([&] { parse(big); }, "big-endian data, little-endian was expected");
  check_error([&] { parse(replaced(legacy, "M\xe9\x03.", "M\xea\x03.")); }, "not version 1001");

  const Bytes zip = fixture("zip_protocol2.pt");
  check_error([&] { parse(replaced(zip, "FloatStorage", "LongeStorage")); }, "x.pt: ");  // the check sum, as things are
  check_error([&] { parse(bytes_of("PK\x03\x04 and nothing behind it")); }, "a zip archive that cannot be opened");
  check_error([&] { parse(bytes_of("\x80\x02}q\x01.")); }, "a pickle (a dict), but not a PyTorch checkpoint");
  check_error([&] { parse(bytes_of("\x80\x02K\x05.")); }, "a pickle (an integer)");
}

TEST_CASE("mutated checkpoints: only Error comes out") {
  std::uint64_t seed = 100;
  for (const std::string file : {"zip_protocol2.pt", "zip_parallel.pt", "legacy_protocol2.pt", "legacy_protocol4.pt",
                                 "legacy_module.pth", "torch_module_zip.pt", "torch_kinds_legacy.pt"}) {
    INFO(file);
    fuzz(fixture(file), seed++, 1500, [](const Bytes& bytes) { parse(bytes); });
  }
}
