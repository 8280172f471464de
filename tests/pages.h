// Code blocks of the Markdown pages: found, checked for what they say about themselves, run, compiled and linked.
//
// The line above a block says what a test does with it, in a comment that the reader does not see:
//     <!-- run -->                  a shell block: executed line by line in a folder made for it
//     <!-- not run: REASON -->      skipped, and the test says so
//     <!-- file: PATH -->           the content of a file that the page tells to write
//     <!-- row: PATH -->            a row for an existing table
//     <!-- program: NAME -->        compiled, linked to the libraries and run
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "tests/program.h"

namespace octet::testing {

struct Block {
  int line = 0;
  std::string kind, what;  // of the comment: "file" and "kernels/cpu/x.cpp"; kind is empty without one
  std::string tag, text;
};

inline std::vector<Block> blocks_of(const fs::path& page) {
  std::istringstream text(read_text(page));
  std::vector<Block> blocks;
  std::string line, comment;
  bool inside = false;
  for (int number = 1; std::getline(text, line); ++number) {
    if (line.starts_with("```")) {
      inside = !inside;
      if (inside) {
        Block& block = blocks.emplace_back(Block{.line = number, .tag = line.substr(3)});
        if (comment.starts_with("<!-- ") && comment.ends_with(" -->")) {
          const std::string said = comment.substr(5, comment.size() - 9);
          block.kind = said.substr(0, said.find(':'));
          block.what = said.find(':') == std::string::npos ? "" : said.substr(said.find(':') + 2);
        }
      }
    } else if (inside) {
      blocks.back().text += line + "\n";
    }
    comment = line;
  }
  REQUIRE_MESSAGE(!inside, page.string() << ": a block is not closed");
  return blocks;
}

inline const Block& block_of(const std::vector<Block>& blocks, const std::string& kind, const std::string& what) {
  for (const Block& block : blocks) {
    if (block.kind == kind && block.what == what) return block;
  }
  FAIL("no block of ", kind, ": ", what);
  return blocks.front();
}

#if defined(OCTET_CXX)
// Compiles with the options that CMakeLists.txt gives to everybody; warnings are errors.
inline void compile(Arguments arguments) {
  const Arguments common = {OCTET_CXX,           "-std=c++20",  "-O1",
                            "-ffp-contract=off", "-fwrapv",     "-Wall",
                            "-Wextra",           "-Werror",     "-Wno-missing-field-initializers",
                            "-pthread",          "-DFMT_SHARED"};
  arguments.insert(arguments.begin(), common.begin(), common.end());
  if (kSanitised) {
    arguments.insert(arguments.end(), {"-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-O0"});
  }
#if defined(OCTET_COUNT_KERNELS)
  arguments.push_back("-DOCTET_COUNT_KERNELS");  // the executors have a member more
#endif
  const Result result = run_program(arguments, {.timeout = std::chrono::seconds(600)});
  REQUIRE_MESSAGE(result.status == 0, joined(arguments) << "\n" << result.err);
}

// What a program links to after its own files.
inline Arguments libraries() {
  const fs::path build = OCTET_BINARY_DIR;
  Arguments list;
  for (const char* library : {"models/liboctet_models.a", "calib/liboctet_calib.a", "kernels/liboctet_kernels.a",
                              "runtime/liboctet_runtime.a", "runtime/liboctet_onnx_proto.a"}) {
    if (fs::exists(build / library)) list.push_back((build / library).string());
  }
  for (const char* library : {"-lfmt", "-lzip"}) list.push_back(library);
  if (fs::exists(build / "runtime/liboctet_onnx_proto.a")) list.push_back("-lprotobuf-lite");
  return list;
}
#endif

}  // namespace octet::testing
