// Reading ONNX files, most of them hostile: every one is an Error of one line, in bounded time and memory.
#include <doctest/doctest.h>

#include "tests/onnx_models.h"
#include "tests/program.h"
#include "tests/random_graph.h"

using namespace octet;
using namespace octet::test;

namespace {

using Bytes = std::vector<std::byte>;

std::string error_of(const Bytes& bytes, const std::filesystem::path& folder = ".") {
  try {
    onnx::import_graph(onnx::parse_model(bytes, folder, "made.onnx"), "made");
  } catch (const Error& e) {
    return e.what();
  }
  return "(no error)";
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Protobuf's wire format by hand: what no writer of models would write.
Bytes varint(std::uint64_t value) {
  Bytes bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<std::byte>(value | 0x80));
  bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}
Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Bytes number(int field, std::uint64_t value) { return varint(static_cast<std::uint64_t>(field) << 3) + varint(value); }
Bytes message(int field, const Bytes& content) {
  return varint(static_cast<std::uint64_t>(field) << 3 | 2) + varint(content.size()) + content;
}
Bytes text_field(int field, const std::string& text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return message(field, Bytes(data, data + text.size()));
}
// A model whose graph holds `content` beside an operator set.
Bytes model_with(const Bytes& content) { return number(1, 8) + message(8, number(2, 13)) + message(7, content); }

ModelMaker small() {
  ModelMaker m({-1, 2, 4, 4});
  m.constant("w", ramp({3, 2, 3, 3})).constant("b", ramp({3}));
  m.node("Conv", {"x", "w", "b"}, {"a"}, {integers("pads", {1, 1, 1, 1})}).node("Relu", {"a"}, {"y"});
  return m;
}

}  // namespace

TEST_CASE("a model survives being written and read") {
  if (!onnx::available()) return;
  ModelMaker m = small();
  m.model.metadata["key"] = "value";
  m.model.inputs[0].names = {"batch", "", "", ""};
  m.constant("s8", Tensor::of<std::int8_t>({2}, std::vector<std::int8_t>{-128, 127}));
  m.constant("scalar", reals({}, {0.5f}));
  const onnx::Model read = m.reread();
  CHECK(read.opset() == 13);
  CHECK(read.metadata.at("key") == "value");
  CHECK(read.inputs[0].dims == std::vector<std::int64_t>{-1, 2, 4, 4});
  CHECK(read.inputs[0].names[0] == "batch");
  CHECK(read.initializers.at("s8").span<std::int8_t>()[0] == -128);
  CHECK(read.initializers.at("scalar").shape().rank() == 0);
  CHECK(read.nodes[0].find("pads")->ints.size() == 4);
  CHECK(onnx::model_bytes(read) == onnx::model_bytes(m.model));
}

TEST_CASE("every truncation of a model is an error or a smaller model, never more") {
  if (!onnx::available()) return;
  const Bytes whole = onnx::model_bytes(small().model);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string error = error_of(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    CHECK_MESSAGE(error != "(no error)", size);
    CHECK(error.find('\n') == std::string::npos);
  }
  Random random(5);
  for (int i = 0; i < 3000; ++i) {  // and whatever a few wrong bytes make of it
    Bytes broken = whole;
    for (int k = random.between(1, 4); k > 0; --k) {
      broken[static_cast<std::size_t>(random.between(0, static_cast<int>(broken.size()) - 1))] =
          static_cast<std::byte>(random.bits());
    }
    CHECK(error_of(broken).find('\n') == std::string::npos);
  }
}

TEST_CASE("tensors that lie about their size") {
  if (!onnx::available()) return;
  const auto tensor = [](const Bytes& content) {
    return error_of(model_with(message(5, text_field(8, "t") + content)));
  };
  const Bytes floats = number(2, 1);
  CHECK(holds(tensor(number(1, 4) + floats + message(9, Bytes(15))), "takes 16 bytes, 15 are there"));
  CHECK(holds(tensor(number(1, std::uint64_t{1} << 40) + floats + message(9, Bytes(16))), "'t'"));
  CHECK(holds(tensor(number(1, std::uint64_t{1} << 40) + number(1, std::uint64_t{1} << 40) + floats), "2^46 elements"));
  CHECK(holds(tensor(number(1, ~std::uint64_t{0}) + floats), "negative dimension"));
  CHECK(holds(tensor(number(1, std::uint64_t{1} << 40) + floats), "values, 0 are there"));
  CHECK(holds(tensor(number(1, 1) + number(2, 8)), "element type 8 is not supported"));
  CHECK(holds(tensor(number(1, 1)), "element type 0 is not supported"));
  Bytes many;
  for (int i = 0; i < 9; ++i) many = many + number(1, 1);
  CHECK(holds(tensor(many + floats), "at most 8 are supported"));
}

TEST_CASE("files that would cost more than they are worth are refused before protobuf reads them") {
  if (!onnx::available()) return;
  // Graphs in attributes of nodes of graphs.
  Bytes nested;
  for (int i = 0; i < 3000; ++i) nested = message(1, message(5, message(6, nested)));
  CHECK(holds(error_of(model_with(nested)), "nested more than 16 deep"));
  // Two bytes a node.
  Bytes empty;
  for (int i = 0; i < (1 << 21) + 5; ++i) empty.push_back(std::byte{0x0a}), empty.push_back(std::byte{0});
  CHECK(holds(error_of(model_with(empty)), "more than 2097152 fields"));
  // A message that claims to be longer than the file, a number without an end, groups (which ONNX has none of).
  CHECK(holds(error_of(varint(7 << 3 | 2) + varint(1000) + Bytes(3)), "1000 bytes where 3 are left"));
  CHECK(holds(error_of(Bytes(4, std::byte{0xff})), "in the middle of a number"));
  CHECK(holds(error_of(Bytes(40, std::byte{0xff})), "more than ten bytes"));
  CHECK(holds(error_of(varint(7 << 3 | 3)), "wire type 3"));
  CHECK(holds(error_of(text_field(2, "somebody")), "holds no graph"));
  CHECK(holds(
      error_of(model_with(message(1, text_field(4, "If") + text_field(2, "y") +
                                         message(5, text_field(1, "then_branch") + message(6, {}) + number(20, 5))) +
                          message(12, text_field(1, "y")))),
      "inputs"));
}

TEST_CASE("external data: beside the model, as long as it says, and nowhere else") {
  if (!onnx::available()) return;
  const testing::TempFolder folder;
  testing::write_text(folder / "inside/weights.bin", std::string("--------\0\0\x80\x3f\0\0\0\x40 rest", 21));
  testing::write_text(folder / "secret.bin", std::string(64, 'x'));
  std::filesystem::create_symlink(folder / "secret.bin", folder / "inside/link.bin");
  const auto read = [&](const std::string& location, const std::string& offset, const std::string& length) {
    const auto entry = [](const std::string& key, const std::string& value) {
      return message(13, text_field(1, key) + text_field(2, value));
    };
    const Bytes tensor = text_field(8, "t") + number(1, 2) + number(2, 1) + number(14, 1) +
                         entry("location", location) + entry("offset", offset) + entry("length", length);
    return onnx::parse_model(model_with(message(5, tensor)), folder / "inside", "made.onnx");
  };
  const Tensor tensor = read("weights.bin", "8", "8").initializers.at("t");
  const auto values = tensor.span<float>();
  CHECK(values[0] == 1.0f);
  CHECK(values[1] == 2.0f);
  const auto refused = [&](const std::string& location, const std::string& offset, const std::string& length,
                           const std::string& why) {
    std::string error = "(no error)";
    try {
      read(location, offset, length);
    } catch (const Error& e) {
      error = e.what();
    }
    CHECK_MESSAGE(holds(error, why), error);
  };
  refused("missing.bin", "0", "8", "does not exist");
  refused("../secret.bin", "0", "8", "inside of the model's folder");
  refused("sub/../../secret.bin", "0", "8", "inside of the model's folder");
  refused(folder / "secret.bin", "0", "8", "inside of the model's folder");
  refused("", "0", "8", "inside of the model's folder");
  refused(std::string("weights.bin\0.txt", 16), "0", "8", "inside of the model's folder");
  refused("link.bin", "0", "8", "leads out of the model's folder");
  refused("weights.bin", "16", "8", "8 from byte 16 were expected");
  refused("weights.bin", "18446744073709551615", "8", "not a number of bytes");
  refused("weights.bin", "-1", "8", "not a number of bytes");
  refused("weights.bin", "0", "4", "takes 8 bytes, its external data has 4");
}
