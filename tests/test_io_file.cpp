// Files: limits, messages, atomic writes; the hash; StateDict.
#include "runtime/io/file.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <stdexcept>

#include "runtime/hash.h"
#include "runtime/io/markup.h"
#include "runtime/state_dict.h"
#include "tests/io_support.h"

using namespace octet;
using namespace octet::test;

namespace {

std::size_t files_in(const TemporaryFolder& folder) {
  const std::filesystem::directory_iterator begin(folder.path());
  return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator()));
}

}  // namespace

TEST_CASE("FNV-1a, the published values") {
  static_assert(fnv1a("") == 0xcbf29ce484222325u);
  static_assert(fnv1a("a") == 0xaf63dc4c8601ec8cu);
  static_assert(fnv1a("foobar") == 0x85944171f73967e8u);
  CHECK(Fnv1a().add("foo").add("bar").value() == fnv1a("foobar"));
  CHECK(fnv1a(bytes_of("foobar")) == fnv1a("foobar"));
  CHECK(hex(0x85944171f73967e8u) == "85944171f73967e8");
  CHECK(hex(10) == "000000000000000a");
}

TEST_CASE("StateDict keeps the order and refuses a second of a name") {
  StateDict state;
  for (const char* name : {"b", "a", "c"}) state.insert(name, Tensor(DType::f32, {2}));
  CHECK(state.size() == 3);
  CHECK(state.begin()->name == "b");
  CHECK(state.contains("a"));
  CHECK(state.find("x") == nullptr);
  CHECK(state.at("c").shape() == Shape{2});
  check_error([&] { state.at("x"); }, "no tensor 'x' among the 3 of the weights");
  check_error([&] { state.insert("a", Tensor(DType::f32, {2})); }, "the tensor 'a' appears twice");
  CHECK(state.size() == 3);
}

TEST_CASE("reading: content, limits and messages") {
  const TemporaryFolder folder;
  const auto path = folder.put("a.txt", std::string_view("hello"));
  CHECK(read_file(path, 5) == bytes_of("hello"));
  CHECK(read_text_file(path, 5) == "hello");
  const auto mapped = MappedFile::open(path);
  CHECK(Bytes(mapped->bytes().begin(), mapped->bytes().end()) == bytes_of("hello"));
  check_error([&] { read_file(path, 4); }, "has 5 bytes, more than the 4 that are allowed here");
  const auto read = [](const std::filesystem::path& file) { read_file(file, 100); };
  const auto map = [](const std::filesystem::path& file) { MappedFile::open(file); };
  for (const auto& work : {std::function<void(const std::filesystem::path&)>(read), {map}}) {
    check_error([&] { work(folder / "none.txt"); }, "no such file: " + (folder / "none.txt").string());
    check_error([&] { work(path / "below"); }, "cannot open ");
    check_error([&] { work(folder.path()); }, " is a folder, a file was expected");
    check_error([&] { work(folder.put("empty", std::string_view())); }, " is empty");
    check_error([&] { work("/dev/null"); }, "/dev/null is not a regular file");
  }
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  check_error([&] { read(folder / "pipe"); }, "pipe is not a regular file");  // and does not wait for a writer
}

TEST_CASE("a mapped file can be written to in memory only") {
  const TemporaryFolder folder;
  const auto path = folder.put("a.txt", std::string_view("hello"));
  const auto file = MappedFile::open(path);
  const_cast<std::byte&>(file->bytes()[0]) = std::byte{'j'};
  CHECK(file->bytes()[0] == std::byte{'j'});
  CHECK(read_text_file(path, 5) == "hello");
  write_file_atomically(path, std::string_view("world"));
  CHECK(file->bytes()[1] == std::byte{'e'});  // the map keeps the old file
}

TEST_CASE("atomic writes") {
  const TemporaryFolder folder;
  const auto path = folder / "out.bin";
  write_file_atomically(path, std::string_view("first"));
  CHECK(read_text_file(path, 100) == "first");
  REQUIRE(::chmod(path.c_str(), 0640) == 0);
  write_file_atomically(path, bytes_of("second"));
  CHECK(read_text_file(path, 100) == "second");
  CHECK((std::filesystem::status(path).permissions() & std::filesystem::perms::all) == std::filesystem::perms(0640));
  std::filesystem::create_symlink(path, folder / "link");
  write_file_atomically(folder / "link", std::string_view("third"));
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(read_text_file(path, 100) == "third");
  CHECK(files_in(folder) == 2);

  check_error([&] { write_file_atomically(folder.path(), std::string_view("x")); }, "it is a folder");
  check_error([&] { write_file_atomically(folder / "none" / "x", std::string_view("x")); }, "cannot write ");
  check_error([&] { write_file_atomically("", std::string_view("x")); }, "without a name");
}

TEST_CASE("a write that fails leaves the old file and no litter") {
  const TemporaryFolder folder;
  const auto path = folder.put("out.bin", std::string_view("old"));
  CHECK_THROWS_AS(write_file_atomically(path,
                                        [](FileWriter& out) {
                                          out.write("half");
                                          throw std::logic_error("the caller's own");
                                        }),
                  std::logic_error);
  CHECK(read_text_file(path, 100) == "old");
  CHECK(files_in(folder) == 1);

  // A full disk, as far as one can have it: files of this process may not grow past 4,096 bytes.
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string message = error_of([&] { write_file_atomically(path, std::string(10'000, 'x')); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(has(message, "out.bin: File too large"));
  CHECK(read_text_file(path, 100) == "old");
  CHECK(files_in(folder) == 1);
}

TEST_CASE("names in messages are one line") {
  CHECK(printable("a\nb\x01") == "a\\x0ab\\x01");
  CHECK(printable(std::string(500, 'x')) == std::string(80, 'x') + "...");
  CHECK(describe_start(bytes_of("a\nb")) == "\"a b\"");
  CHECK(describe_start(bytes_of("\x89PNG\r\n\x1a\nxyz")) == "89 50 4e 47 0d 0a 1a 0a");
  CHECK(describe_start({}) == "nothing");
}

TEST_CASE("text in SVG and HTML: entities, and a question mark for what is no text") {
  CHECK(markup_escaped("a<b> & \"c\"") == "a&lt;b&gt; &amp; &quot;c&quot;");
  CHECK(markup_escaped("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb1") == "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb1");
  CHECK(markup_escaped("tab\tline\nbell\a\x7f") == "tab\tline\nbell??");
  CHECK(markup_escaped(std::string_view("nul\0", 4)) == "nul?");
  CHECK(markup_escaped("\xc3") == "?");
  CHECK(markup_escaped("\x80\xc0\xaf") == "???");                 // a continuation alone, "/" in two bytes
  CHECK(markup_escaped("\xed\xa0\x80") == "???");                 // a surrogate
  CHECK(markup_escaped("\xf4\x90\x80\x80\xe2\x82") == "??????");  // beyond U+10FFFF, then one cut short
}
