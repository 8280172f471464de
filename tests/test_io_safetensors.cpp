// safetensors: good, truncated, lying.
#include "runtime/io/safetensors.h"

#include <doctest/doctest.h>

#include <numeric>

#include "runtime/io/weights.h"
#include "tests/io_support.h"

using namespace octet;
using namespace octet::test;

namespace {

Bytes container(std::string_view header, std::string_view data = "", std::int64_t claim = -1) {
  const std::uint64_t length = claim < 0 ? header.size() : static_cast<std::uint64_t>(claim);
  Bytes bytes(8);
  std::memcpy(bytes.data(), &length, 8);
  const Bytes text = bytes_of(header), body = bytes_of(data);
  bytes.insert(bytes.end(), text.begin(), text.end());
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

SafetensorsFile parse(const Bytes& bytes) { return parse_safetensors(bytes, "x.st"); }

template <class T>
Tensor counting(Shape shape, T first) {
  Tensor tensor(DTypeOf<T>::value, shape);
  auto values = tensor.span<T>();
  std::iota(values.begin(), values.end(), first);
  return tensor;
}

StateDict every_type() {
  StateDict state;
  state.insert("z.s8", counting<std::int8_t>({3}, -1));
  state.insert("f32", counting<float>({2, 3}, -2));
  state.insert("f64", counting<double>({2}, 0.5));
  state.insert("s64", counting<std::int64_t>({}, 7));
  state.insert("s32", counting<std::int32_t>({1, 1, 2}, -7));
  state.insert("u8", counting<std::uint8_t>({5}, 250));
  state.insert("f16", Tensor(DType::f16, {3}));
  state.insert("none", Tensor(DType::f32, {0, 4}));
  return state;
}

bool equal(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

}  // namespace

TEST_CASE("what is written is read back") {
  const TemporaryFolder folder;
  const auto path = folder / "w.safetensors";
  const StateDict state = every_type();
  const Metadata metadata{{"format", "octet"}, {"note", "\"quoted\" \n \xc3\xa9"}};
  write_safetensors(path, state, metadata);
  const SafetensorsFile file = read_safetensors(path);
  CHECK(file.metadata == metadata);
  REQUIRE(file.tensors.size() == state.size());
  for (const auto& [name, tensor] : state) CHECK(equal(file.tensors.at(name), tensor));
  CHECK(file.tensors.begin()->name == "f64");  // widest first, then by name
  CHECK(read_weights(path).format == "safetensors");
  CHECK(read_weights(path).metadata == metadata);

  // The same dictionary in another order gives the same file.
  StateDict reversed;
  for (std::size_t i = state.size(); i-- > 0;) reversed.insert(state.entries()[i].name, state.entries()[i].tensor);
  write_safetensors(folder / "again.safetensors", reversed, metadata);
  CHECK(read_file(path, 10000) == read_file(folder / "again.safetensors", 10000));
}

TEST_CASE("tensors are views of the file where they can be, and outlive it") {
  const TemporaryFolder folder;
  write_safetensors(folder / "w", every_type());
  const Tensor tensor = read_safetensors(folder / "w").tensors.at("f32");
  CHECK(reinterpret_cast<std::uintptr_t>(tensor.raw()) % 4 == 0);
  std::filesystem::remove(folder / "w");
  CHECK(tensor.span<float>()[5] == 3.0f);
  // Behind a header of odd length nothing is aligned: copied.
  const auto odd = folder.put("odd", container(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} )",
                                               std::string_view("\0\0\x80\x3f", 4)));
  CHECK(read_safetensors(odd).tensors.at("a").span<float>()[0] == 1.0f);
}

TEST_CASE("converted types") {
  const auto file = parse(container(
      R"({"b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"t":{"dtype":"BOOL","shape":[2],"data_offsets":[4,6]}})",
      std::string_view("\x80\x3f\x00\xc0\x01\x00", 6)));
  CHECK(file.tensors.at("b").span<float>()[0] == 1.0f);
  CHECK(file.tensors.at("b").span<float>()[1] == -2.0f);
  CHECK(file.tensors.at("t").span<std::uint8_t>()[0] == 1);
}

TEST_CASE("the order is that of the bytes") {
  const auto file = parse(container(
      R"({"late":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"early":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
      "ab"));
  CHECK(file.tensors.begin()->name == "early");
  CHECK(parse(container("{}")).tensors.empty());
}

TEST_CASE("lying headers") {
  const auto refused = [](std::string_view header, std::string_view data, std::string_view part) {
    check_error([&] { parse(container(header, data)); }, part);
  };
  check_error([] { parse(bytes_of("1234567")); }, "x.st: 7 bytes are too few for a safetensors file");
  check_error([] { parse(container("{}", "", 3)); },
              "the safetensors header claims 3 bytes, the file has 2 after its start");
  check_error([] { parse(container("{}", "", 100'000'001)); }, "claims 100000001 bytes, at most 100000000 are allowed");
  check_error([] { parse(container("{}", "", std::int64_t{1} << 62)); }, "at most 100000000 are allowed");
  refused("{\"a\"", "", "x.st: the safetensors header is not JSON (error at its byte");
  refused("{} {}", "", "not JSON");
  refused("{\"a\xff\":{}}", "", "not JSON");
  refused("[1]", "", "the safetensors header is a list, an object was expected");
  refused("3", "", "is a number, an object was expected");
  refused(R"({"a":3})", "", "the safetensors header has a number at 'a', where the format has none");
  refused(R"({"a":{}})", "", "tensor 'a' lacks dtype, shape or data_offsets");
  refused(R"({"a":{"dtype":"F32","shape":[1]}})", "", "lacks dtype");
  refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", "1234", "the unknown field 'x'");
  refused(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234", "the field 'dtype' twice");
  refused(R"({"a":{"dtype":3,"shape":[1],"data_offsets":[0,4]}})", "1234", "a number at 'dtype'");
  refused(R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", "1234", "a number at 'shape'");
  refused(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234", "a negative number at 'shape'");
  refused(R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", "1234",
          "a number with a fraction or an exponent at 'shape'");
  refused(R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", "1234", "a list at 'shape'");
  refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "1234", "data_offsets has 1 numbers instead of 2");
  refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})", "1234",
          "data_offsets has more than 2 numbers");
  refused(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", "1234",
          "more than 8 dimensions");
  refused(R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}})", "1234",
          "tensor 'a' has the dtype 'F99', expected F32");
  refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234",
          "tensor 'a' (F32 2) has 4 bytes, expected 8");
  refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "123",
          "tensor 'a' lies at bytes 0 to 4, the file has 3 bytes of data");
  refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "1234", "tensor 'a' lies at bytes 4 to 0");
  refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "12345", "1 bytes after the last tensor");
  refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", "12",
          "tensor 'a' starts at byte 1, expected 0: tensors overlap or leave a gap");
  refused(
      R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
      "123", "tensor 'b' starts at byte 1, expected 2");
  refused(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
      "12", "the tensor 'a' appears twice");
  refused(R"({"a":{"dtype":"U8","shape":[70368744177665],"data_offsets":[0,1]}})", "1",
          "the dimension 70368744177665 is too large");
  refused(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", "1234",
          "more than 2^46 elements");
  refused(R"({"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}})", "1234",
          "fraction or an exponent");
  refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551615,0]}})", "1", "lies at bytes");
  refused(R"({"__metadata__":{"a":1}})", "", "a number at 'a'");
  refused(R"({"__metadata__":{"a":"1","a":"2"}})", "", "the metadata 'a' appears twice");
  refused(R"({"__metadata__":{"a":{}}})", "", "an object at 'a'");
  refused("{\"a\\nb\":3}", "", "at 'a\\x0ab'");  // one line
  refused("{\"" + std::string(100'000, 'x') + "\":3}", "", "xxx...'");
}

TEST_CASE("deep nesting costs nothing") {
  const std::string deep = "{\"a\":" + std::string(5'000'000, '[');
  check_error([&] { parse(container(deep)); }, "a list at 'a'");
  check_error([&] { parse(container(std::string(5'000'000, '{'))); }, "not JSON");
}

TEST_CASE("a file cut anywhere is refused") {
  const TemporaryFolder folder;
  write_safetensors(folder / "w", every_type(), {{"a", "b"}});
  check_every_cut(read_file(folder / "w", 10000), [](const Bytes& bytes) { parse(bytes); });
}

TEST_CASE("writing refuses what could not be read") {
  const TemporaryFolder folder;
  const auto path = folder.put("w", std::string_view("old"));
  const auto write_one = [&](const std::string& name, const Tensor& tensor) {
    StateDict state;
    state.insert(name, tensor);
    write_safetensors(path, state);
  };
  const Tensor good(DType::u8, {1});
  check_error([&] { write_one("a", Tensor()); }, "the tensor 'a' is empty");
  check_error([&] { write_one("__metadata__", good); }, "cannot name a tensor");
  check_error([&] { write_one("\xff\xfe", good); }, "not UTF-8");
  check_error([&] { write_safetensors(folder / "none" / "w", {}); }, "cannot write");
  CHECK(read_text_file(path, 10) == "old");
}

TEST_CASE("mutated files: only Error comes out") {
  const TemporaryFolder folder;
  write_safetensors(folder / "w", every_type(), {{"a", "b"}});
  fuzz(read_file(folder / "w", 10000), 200, 20'000, [](const Bytes& bytes) { parse(bytes); });
}
