// Shared by tests/test_io_*.cpp: a folder of its own per test, the generator of the goldens, mutation for fuzzing.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet::test {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::string_view text) {
  const auto* start = reinterpret_cast<const std::byte*>(text.data());
  return Bytes(start, start + text.size());
}

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(OCTET_SOURCE_DIR) / "tests/goldens" / name;
}

// Removed, with all that is in it, at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "octet_io_XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path put(std::string_view name, std::string_view content) const {
    const auto path = path_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
    return path;
  }
  std::filesystem::path put(std::string_view name, std::span<const std::byte> content) const {
    return put(name, std::string_view(reinterpret_cast<const char*>(content.data()), content.size()));
  }

 private:
  std::filesystem::path path_;
};

// The message of the Error that `work` throws, "" when it throws none. Other exceptions pass through and fail the test.
template <class Work>
std::string error_of(Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos);  // one line
    return error.what();
  }
  return "";
}

inline bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// CHECK that `work` throws an Error whose message contains `part`; shows the message when it does not.
template <class Work>
void check_error(Work&& work, std::string_view part) {
  const std::string message = error_of(work);
  INFO("message: ", message);
  INFO("expected: ", std::string(part));
  CHECK(!message.empty());
  CHECK(has(message, part));
}

// A raw deflate stream of 1 + 258 * repeats zero bytes: one literal, then repeats of 258, 13 bits each. What
// zip bombs are made of.
inline Bytes deflated_zeros(std::size_t repeats) {
  Bytes stream;
  unsigned pending = 0;
  int count = 0;
  const auto add = [&](std::string_view bits) {  // in the order of the stream
    for (const char bit : bits) {
      pending |= static_cast<unsigned>(bit == '1') << count;
      if (++count == 8) {
        stream.push_back(static_cast<std::byte>(pending));
        pending = 0;
        count = 0;
      }
    }
  };
  add("110");                                                      // the last block, with the fixed codes
  add("00110000");                                                 // literal 0
  for (std::size_t i = 0; i < repeats; ++i) add("1100010100000");  // length 258, distance 1
  add("0000000");                                                  // end of the block
  add("0000000");                                                  // fills the last byte
  return stream;
}

// One random change: some flipped bits, a byte set to an extreme, a cut, a piece copied elsewhere, a piece repeated.
inline Bytes mutate(const Bytes& good, std::mt19937_64& random) {
  Bytes bytes = good;
  const auto pick = [&random](std::size_t below) {
    return below == 0 ? 0 : static_cast<std::size_t>(random() % below);
  };
  for (std::size_t round = 1 + pick(3); round-- > 0 && !bytes.empty();) {
    const std::size_t at = pick(bytes.size());
    const std::size_t length = std::min(1 + pick(16), bytes.size() - at);
    const auto offset = static_cast<std::ptrdiff_t>(at);
    switch (pick(6)) {
      case 0:
        bytes[at] ^= static_cast<std::byte>(1u << pick(8));
        break;
      case 1:
        bytes[at] = static_cast<std::byte>(random());
        break;
      case 2:
        bytes[at] = pick(2) == 0 ? std::byte{0} : std::byte{255};
        break;
      case 3:
        bytes.resize(at);
        break;
      case 4:
        std::memmove(bytes.data() + pick(bytes.size() - length + 1), bytes.data() + at, length);
        break;
      default: {
        const Bytes piece(bytes.begin() + offset, bytes.begin() + offset + static_cast<std::ptrdiff_t>(length));
        bytes.insert(bytes.begin() + offset, piece.begin(), piece.end());
      }
    }
  }
  return bytes;
}

// Feeds `rounds` mutants to `read`; only Error may come out.
template <class Read>
void fuzz(const Bytes& good, std::uint64_t seed, int rounds, Read&& read) {
  std::mt19937_64 random(seed);
  int refused = 0;
  for (int i = 0; i < rounds; ++i) {
    const Bytes mutant = mutate(good, random);
    try {
      read(mutant);
    } catch (const Error&) {
      ++refused;
    }
  }
  MESSAGE("seed ", seed, ": ", refused, " of ", rounds, " mutants refused");
}

// Every proper prefix of a good file must be refused.
template <class Read>
void check_every_cut(const Bytes& good, Read&& read) {
  for (std::size_t size = 0; size < good.size(); ++size) {
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    INFO("cut to ", size, " of ", good.size(), " bytes");
    CHECK(!error_of([&] { read(cut); }).empty());
  }
}

}  // namespace octet::test
