// Pickles as inert data, and checkpoints built by hand around hostile ones.
#include "runtime/io/pickle.h"

#include <doctest/doctest.h>

#include <array>

#include "runtime/io/torch_checkpoint.h"
#include "tests/io_support.h"

using namespace octet;
using namespace octet::test;
using pickle::Kind;

namespace {

pickle::Pickle read(std::string_view text) { return pickle::read(bytes_of(text), 0, "x.pkl"); }
const pickle::Value& root_of(const pickle::Pickle& pickle) { return pickle[pickle.root]; }

std::string little(std::uint64_t value, int size) {
  return std::string(reinterpret_cast<const char*>(&value), static_cast<std::size_t>(size));
}

// Pickle source, opcode by opcode.
std::string text(std::string_view t) { return "X" + little(t.size(), 4) + std::string(t); }
std::string integer(std::int64_t n) { return "\x8a\x08" + little(static_cast<std::uint64_t>(n), 8); }
std::string tuple(std::initializer_list<std::int64_t> numbers) {
  std::string t = "(";
  for (const std::int64_t n : numbers) t += integer(n);
  return t + "t";
}
std::string storage(std::string_view type, std::string_view key, std::int64_t elements) {
  return "(" + text("storage") + "ctorch\n" + std::string(type) + "\n" + text(key) + text("cpu") + integer(elements) +
         "tQ";
}
std::string tensor(const std::string& storage, std::int64_t offset, const std::string& sizes,
                   const std::string& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(offset) + sizes + strides + "\x89}tR";
}
std::string good_tensor() { return tensor(storage("FloatStorage", "0", 4), 0, tuple({4}), tuple({1})); }
std::string dict(std::initializer_list<std::pair<std::string, std::string>> items) {
  std::string d = "}(";
  for (const auto& [key, value] : items) d += text(key) + value;
  return d + "u";
}
std::string module(const std::string& parameters, const std::string& children) {
  return "cx\nModule\n)\x81" + dict({{"_parameters", parameters}, {"_modules", children}}) + "b";
}

std::uint32_t crc32(std::string_view data) {
  std::uint32_t crc = 0xffffffffu;
  for (const char c : data) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
  }
  return ~crc;
}

struct Entry {
  std::string name, stored;
  int method = 0;          // 8: deflated
  std::uint64_t size = 0;  // 0: that of `stored`
  std::uint32_t crc = 0;   // 0: that of `stored`
};

Bytes zip(const std::vector<Entry>& entries) {
  std::string out, directory;
  for (const Entry& entry : entries) {
    const std::string common =
        little(20, 2) + little(0, 2) + little(static_cast<std::uint64_t>(entry.method), 2) + little(0, 2) +
        little(33, 2) + little(entry.crc != 0 ? entry.crc : crc32(entry.stored), 4) + little(entry.stored.size(), 4) +
        little(entry.size != 0 ? entry.size : entry.stored.size(), 4) + little(entry.name.size(), 2) + little(0, 2);
    directory += "PK\x01\x02" + little(20, 2) + common + little(0, 10 - 2 - 4 + 4) + little(0, 2) +
                 little(out.size(), 4) + entry.name;
    out += "PK\x03\x04" + common + entry.name + entry.stored;
  }
  const std::string end = "PK\x05\x06" + little(0, 4) + little(entries.size(), 2) + little(entries.size(), 2) +
                          little(directory.size(), 4) + little(out.size(), 4) + little(0, 2);
  return bytes_of(out + directory + end);
}

const std::string kFloats("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40", 16);  // 1 2 3 4

TorchCheckpoint checkpoint(const std::string& object, const std::string& data = kFloats) {
  return parse_torch_checkpoint(zip({{"a/data.pkl", "\x80\x02" + object + "."}, {"a/data/0", data}}), "x.pt");
}

void refused(const std::string& object, std::string_view part) {
  check_error([&] { checkpoint(object); }, part);
}

}  // namespace

TEST_CASE("values of all protocols") {
  CHECK(root_of(read("I42\n.")).integer == 42);
  CHECK(root_of(read("I01\n.")).kind == Kind::boolean);
  CHECK(root_of(read("L-5L\n.")).integer == -5);
  CHECK(root_of(read("L99999999999999999999L\n.")).kind == Kind::big_integer);
  CHECK(root_of(read("F-0.5\n.")).real == -0.5);
  CHECK(root_of(read("S'a\\'b\\x41\\n'\n.")).text == "a'bA\n");
  CHECK(root_of(read("Vx\\u00e9\\U0001F600\xe9\n.")).text == "x\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9");
  CHECK(root_of(read("J\xff\xff\xff\xff.")).integer == -1);
  CHECK(root_of(read("K\xff.")).integer == 255);
  CHECK(root_of(read("M\xff\xff.")).integer == 65535);
  CHECK(root_of(read(std::string_view("\x8a\x00.", 3))).integer == 0);
  CHECK(root_of(read("\x8a\x01\xff.")).integer == -1);
  CHECK(root_of(read("\x8a\x02\xff\x7f.")).integer == 32767);
  CHECK(root_of(read(std::string_view("G\x3f\xf0\0\0\0\0\0\0.", 10))).real == 1.0);
  CHECK(root_of(read("\x8c\x02hi.")).text == "hi");
  CHECK(root_of(read("C\x02hi.")).kind == Kind::bytes);
  CHECK(root_of(read("N.")).kind == Kind::none);
  CHECK(root_of(read("(K\x01K\x02t.")).items.size() == 2);
  CHECK(root_of(read("(K\x01K\x02l.")).kind == Kind::list);
  CHECK(root_of(read("(K\x01K\x02"
                     "d."))
            .pairs.size() == 2);
  CHECK(root_of(read("\x8f(K\x01K\x02\x90.")).items.size() == 2);
  CHECK(root_of(read("(K\x01\x91.")).kind == Kind::set);
  CHECK(root_of(read("]q\x01h\x01"
                     "a."))
            .items.size() == 1);  // a list that holds itself
  CHECK(root_of(read(std::string_view("}\x94K\x01K\x02sh\x00.", 10))).pairs.size() == 2);
}

TEST_CASE("classes and calls stay names") {
  const TemporaryFolder folder;
  const std::string command = "touch " + (folder / "ran").string();
  const auto call = read("cposix\nsystem\n(" + text(command) + "tR.");
  CHECK(root_of(call).kind == Kind::object);
  CHECK(call[root_of(call).callee].text == "posix.system");
  CHECK(pickle::describe(call, call.root) == "an object of posix.system");
  CHECK(pickle::describe(read("\x8c\x01x\x8c\x01y\x93."), 2) == "the class x.y");
  const auto instance = read("(K\x05ix\nY\n.");
  CHECK(instance[root_of(instance).args].items.size() == 1);
  CHECK(root_of(read("(cx\nY\nK\x05o.")).kind == Kind::object);
  CHECK(root_of(read("cx\nY\n)}\x92}b.")).state != pickle::kNothing);

  const std::string evil = "cposix\nsystem\n(" + text(command) + "tR";
  const auto found = checkpoint(dict({{"w", good_tensor()}, {"evil", evil}, {"x", "cbuiltins\neval\n"}}));
  CHECK(found.tensors.size() == 1);
  CHECK(found.tensors.at("w").span<float>()[3] == 4.0f);
  CHECK(found.ignored == std::vector<std::string>{"evil: an object of posix.system", "x: the class builtins.eval"});
  refused(evil, "no tensors in the checkpoint (an object of posix.system)");
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("broken pickles") {
  const auto broken = [](std::string_view source, std::string_view part) { check_error([&] { read(source); }, part); };
  broken("", "x.pkl: broken pickle at byte 0: it is cut short");
  broken("K", "broken pickle at byte 1: it is cut short");
  broken(".", "the stack is empty");
  broken("\xff.", "unknown opcode 0xff");
  broken("\x97.", "unknown opcode 0x97");
  broken("\x82\x01.", "unknown opcode 0x82");
  broken("\x80\x06.", "a protocol above 5");
  broken("a.", "the stack is empty");
  broken(
      "K\x01K\x02"
      "a.",
      "elements are added to something that has none");
  broken("K\x01K\x02K\x03s.", "keys are set in something that has none");
  broken("}(K\x01u.", "a key without a value");
  broken(
      "(K\x01"
      "d.",
      "a key without a value");
  broken("t.", "no mark on the stack");
  broken(
      "K\x01(0"
      "R.",
      "the stack is empty");
  broken("K\x01(K\x02R.", "the stack is empty");  // a call may not reach below a mark
  broken("h\x05.", "it refers to something not seen yet");
  broken("gx\n.", "a decimal number was expected");
  broken("Kx", "cut short");
  broken("N}b.", "a state for something that is no object");
  broken("NN\x93.", "a class without a name");
  broken("(o.", "an object without a class");
  broken("Sabc\n.", "a quoted string was expected");
  broken("F1x\n.", "a number was expected");
  broken("I1x\n.", "a decimal number was expected");
  broken("X\xff\xff\xff\xffxx.", "it is cut short");
  broken("\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "it is cut short");
  broken("\x8b\xff\xff\xff\xff.", "it is cut short");
  broken("cno line feed", "it is cut short");
}

TEST_CASE("memory and depth are bounded") {
  const std::size_t many = 1'100'000;
  check_error([&] { read(std::string(many, 'N')); }, "more than a million values");
  check_error([&] { read(std::string(many, '(')); }, "more than a million nested marks");
  check_error([&] { read("N" + std::string(many, '\x94')); }, "more than a million memo entries");
  check_error([&] { read("N" + std::string(4'300'000, '2')); }, "too many references");
  std::string lists = "]q\x01";
  for (int i = 0; i < 5; ++i) lists += "(" + std::string(1'000'000, '2').replace(0, 1, "N") + "e";
  check_error([&] { read(lists); }, "too many references");
  const std::string name(2000, 'x');
  check_error([&] { read(text(name) + text(name) + "\x93."); }, "the name of a class is too long");
  // Deep, but small: no recursion, so no stack to overflow.
  CHECK(root_of(read("N" + std::string(900'000, '\x85') + ".")).kind == Kind::tuple);
  const std::string deep = "N" + std::string(900'000, '\x85');
  CHECK(checkpoint(dict({{"w", good_tensor()}, {"deep", deep}})).ignored.size() == 1);
  refused(deep, "no tensors in the checkpoint (a tuple)");
}

TEST_CASE("modules that hold themselves, or too many") {
  const std::string self = "cx\nModule\n)\x81q\x01" + dict({{"_modules", dict({{"again", "h\x01"}})}}) + "b";
  refused(self, "modules are nested deeper than 100");
  std::string layer = module(dict({{"w", good_tensor()}}), "}") + "q\x01";
  for (int i = 0; i < 60; ++i) {  // each level holds the one below twice: 2^60 paths
    layer = "(" + layer + "1" + module("}", dict({{"a", "h\x01"}, {"b", "h\x01"}})) + "q\x01";
  }
  refused(layer, "the pickled objects refer to each other too often to be walked");
  std::string wrapped = good_tensor();
  for (int i = 0; i < 50; ++i) wrapped = "ctorch._utils\n_rebuild_parameter\n(" + wrapped + "\x88}tR";
  refused(dict({{"w", wrapped}}), "no tensors in the checkpoint");
  refused(module("}", "}"), "the pickled module (an object of x.Module) has no parameters");
}

TEST_CASE("which root is chosen") {
  const auto names = [](const TorchCheckpoint& found) {
    std::string all;
    for (const auto& entry : found.tensors) all += entry.name + " ";
    return all;
  };
  const std::string t = good_tensor();
  CHECK(names(checkpoint(dict({{"b", t}, {"a", t}}))) == "b a ");
  for (const char* key : {"state_dict", "model_state_dict", "model", "net"}) {
    const auto found = checkpoint(dict({{"epoch", "K\x05"}, {key, dict({{"w", t}})}, {"best", t}}));
    CHECK(names(found) == "w ");
    CHECK(found.ignored == std::vector<std::string>{"epoch: an integer", "best: a tensor"});
    CHECK(names(checkpoint(dict({{key, module(dict({{"w", t}, {"bias", "N"}}),
                                              dict({{"sub", module(dict({{"v", t}}), "}")}}))}}))) == "w sub.v ");
  }
  CHECK(names(checkpoint(dict({{"model", dict({{"state_dict", dict({{"w", t}})}})}}))) == "w ");
  CHECK(names(checkpoint(dict({{"model", t}, {"w", t}}))) == "model w ");  // a layer may be called so
  CHECK(names(checkpoint(dict({{"module.a", t}, {"module.b", t}}))) == "a b ");
  CHECK(names(checkpoint(dict({{"module.a", t}, {"b", t}}))) == "module.a b ");
  CHECK(names(checkpoint("ccollections\nOrderedDict\n(]](" + text("w") + t + "eatR")) == "w ");  // Python 2
  refused("K\x05", "no tensors in the checkpoint (an integer); expected a state dict or a module");
  refused("}", "no tensors in the checkpoint (a dict)");
  refused(t, "no tensors in the checkpoint (an object of torch._utils._rebuild_tensor_v2)");
  refused(dict({{"w", t}, {"w", t}}), "the tensor 'w' appears twice");
  refused(dict({{"module.w", t}, {"module.w", t}}), "the tensor 'w' appears twice");
}

TEST_CASE("tensors that lie") {
  const auto lying = [](const std::string& t, std::string_view part) { refused(dict({{"w", t}}), part); };
  const std::string s = storage("FloatStorage", "0", 4);
  lying(tensor(s, 0, tuple({5}), tuple({1})),
        "tensor 'w' (5 from element 0) reaches outside its storage of 4 elements");
  lying(tensor(s, 4, tuple({1}), tuple({1})), "reaches outside");
  lying(tensor(s, 1, tuple({4}), tuple({1})), "reaches outside");
  lying(tensor(s, 0, tuple({2, 2}), tuple({3, 1})), "reaches outside");
  lying(tensor(s, 0, tuple({3, 3}), tuple({std::int64_t{1} << 45, 1})), "reaches outside");
  lying(tensor(s, -1, tuple({1}), tuple({1})), "the offset of a tensor is -1, expected 0 to 2^46");
  lying(tensor(s, 0, tuple({-4}), tuple({1})), "the shape of a tensor is -4");
  lying(tensor(s, 0, tuple({2}), tuple({-1})), "the strides of a tensor is -1");
  lying(tensor(s, 0, tuple({2}), tuple({1, 1})), "a tensor of 1 dimensions with 2 strides");
  lying(tensor(s, 0, tuple({1, 1, 1, 1, 1, 1, 1, 1, 1}), tuple({1, 1, 1, 1, 1, 1, 1, 1, 1})),
        "9 dimensions, at most 8");
  lying(tensor(s, 0, tuple({std::int64_t{1} << 40, std::int64_t{1} << 40}), tuple({0, 0})), "more than 2^46 elements");
  lying(tensor(s, 0, tuple({std::int64_t{1} << 40}), tuple({0})),
        "claims 4398046511104 bytes, more than a file of this size");
  lying(tensor(s, 0, "K\x04", tuple({1})), "the shape of a tensor is an integer, a tuple was expected");
  lying(tensor(s, 0, "(" + text("4") + "t", tuple({1})), "the shape of a tensor is a text, an integer was expected");
  lying(tensor("K\x05", 0, tuple({1}), tuple({1})), "a tensor's storage is an integer");
  lying(tensor(storage("FloatStorage", "0", 5), 0, tuple({4}), tuple({1})),
        "the storage '0' has 16 bytes, expected 20");
  lying(tensor(storage("FloatStorage", "0", 3), 0, tuple({3}), tuple({1})),
        "the entry 'a/data/0' claims 16 bytes, at most 12");
  lying(tensor(storage("FloatStorage", "1", 4), 0, tuple({4}), tuple({1})), "the zip archive has no entry 'a/data/1'");
  lying(tensor(storage("FloatStorage", "../0", 4), 0, tuple({4}), tuple({1})), "no entry 'a/data/../0'");
  lying(tensor(storage("FloatStorage", std::string(1000, 'k'), 4), 0, tuple({4}), tuple({1})), "a text of 1000 bytes");
  lying("ctorch._utils\n_rebuild_tensor_v2\n(tR", "the arguments of a tensor has 0 elements");
  lying("ctorch._utils\n_rebuild_tensor_v2\nNR", "the arguments of a tensor is None, a tuple was expected");
  // Many expanded tensors of a megabyte each: the sum counts.
  std::string items = "}(";
  for (int i = 0; i < 300; ++i) items += text(std::to_string(i)) + tensor(s, 0, tuple({1 << 18}), tuple({0}));
  refused(items + "u", "more than a file of this size can honestly need");
  CHECK(checkpoint(dict({{"w", tensor(s, 1, tuple({3, 2}), tuple({0, 2}))}})).tensors.at("w").span<float>()[5] == 4.0f);
  CHECK(checkpoint(dict({{"w", tensor(s, 0, tuple({0, 9}), tuple({9, 1}))}})).tensors.at("w").elements() == 0);
}

TEST_CASE("archives that lie") {
  const std::string object = "\x80\x02" + dict({{"w", good_tensor()}}) + ".";
  const auto refused_zip = [](const std::vector<Entry>& entries, std::string_view part) {
    check_error([&] { parse_torch_checkpoint(zip(entries), "x.pt"); }, part);
  };
  CHECK(parse_torch_checkpoint(zip({{"data.pkl", object}, {"data/0", kFloats}}), "x.pt").tensors.size() == 1);
  refused_zip({}, "a zip archive without data.pkl, so not a PyTorch checkpoint");
  refused_zip({{"a/data/0", kFloats}}, "a zip archive without data.pkl");
  refused_zip({{"a/data.pkl", object}, {"b/data.pkl", object}}, "a zip archive with 2 data.pkl");
  refused_zip({{"a/data.pkl", object}, {"a/data.pkl", object}}, "two entries 'a/data.pkl'");
  refused_zip({{"a/data.pkl", object}, {"a/constants.pkl", object}}, "a TorchScript archive");
  refused_zip({{"a/data.pkl", object}, {"a/byteorder", "big"}}, "big-endian data, little-endian was expected");
  refused_zip({{"a/data.pkl", object}, {"a/data/0", kFloats, 0, 0, 12345}}, "its check sum is wrong");
  refused_zip({{"a/data.pkl", object, 0, 4'000'000'000u}}, "claims 4000000000 bytes, at most 67108864 were expected");
  refused_zip({{"a/data.pkl", object, 0, 60'000'000u}}, "too many for an archive of");
  refused_zip({{"a/data.pkl", object, 12}}, "a/data.pkl");  // bzip2, of something that is not

  // A storage of zeros: 258,001 bytes from 1.6 kB are read; 258 MB from 1.6 MB are not, honest as they may be.
  const auto zeros = [&](std::size_t repeats) {
    const Bytes stream = deflated_zeros(repeats);
    const std::size_t size = 1 + 258 * repeats;
    const auto elements = static_cast<std::int64_t>(size);
    const std::string pickled =
        "\x80\x02" + dict({{"w", tensor(storage("ByteStorage", "0", elements), 0, tuple({elements}), tuple({1}))}}) +
        ".";
    const std::string stored(reinterpret_cast<const char*>(stream.data()), stream.size());
    const std::uint32_t crc = repeats > 10'000 ? 1 : crc32(std::string(size, '\0'));
    return parse_torch_checkpoint(zip({{"a/data.pkl", pickled}, {"a/data/0", stored, 8, size, crc}}), "x.pt");
  };
  CHECK(zeros(1000).tensors.at("w").elements() == 258'001);
  check_error([&] { zeros(1'000'000); },
              "the entry 'a/data/0' claims 258000001 bytes, too many for an archive of 1625");
}

TEST_CASE("mutated pickles: only Error comes out") {
  const std::string all =
      "\x80\x02(]q\x01}q\x02(K\x01\x8c\x01xuI5\n(K\x01K\x02"
      "dS'abc'\n\x8f(K\x02\x90"
      "F1.5\ncx\ny\n)\x81}b(ia\nb\nVq\nL7L\n"
      "N\x88\x89\x85\x86\x87h\x01h\x02"
      "Pid\nNQG12345678t.";
  CHECK(root_of(read(all)).kind == Kind::tuple);
  fuzz(bytes_of(all), 400, 30'000, [](const Bytes& bytes) { pickle::read(bytes, 0, "x.pkl"); });
  const std::string object =
      module(dict({{"w", good_tensor()}}), dict({{"sub", module(dict({{"v", good_tensor()}}), "}")}}));
  fuzz(bytes_of(object), 401, 10'000,
       [](const Bytes& bytes) { checkpoint(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())); });
}
