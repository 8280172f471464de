// The house rules that a compiler does not check: who may include whom, files that are small and exist, and no shared
// inline code in the objects of one instruction set.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "kernels/cuda/registry.h"
#include "kernels/registry.h"

using namespace octet;
namespace fs = std::filesystem;

namespace {

const fs::path kSource = OCTET_SOURCE_DIR;
const fs::path kBinary = OCTET_BINARY_DIR;

// runtime <- kernels <- calib <- models <- examples; tests and benchmarks see all and are seen by nobody.
const std::vector<std::string> kFolders = {"runtime", "kernels", "calib", "models", "examples"};

std::vector<fs::path> files_below(const fs::path& folder, const std::set<std::string>& extensions) {
  std::vector<fs::path> found;
  if (!fs::exists(folder)) return found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && extensions.contains(entry.path().extension().string()))
      found.push_back(entry.path());
  }
  std::ranges::sort(found);
  return found;
}

std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// What a line includes: the name between quotes or angle brackets; empty when it is another line.
std::string included(const std::string& line) {
  const std::size_t hash = line.find_first_not_of(" \t");
  if (hash == std::string::npos || line[hash] != '#' || line.find("include", hash) == std::string::npos) return "";
  const std::size_t open = line.find_first_of("<\"", hash);
  if (open == std::string::npos) return "";
  const std::size_t close = line.find_first_of(">\"", open + 1);
  return close == std::string::npos ? "" : line.substr(open + 1, close - open - 1);
}

const std::set<std::string> kSources = {".h", ".hpp", ".cpp", ".cc", ".cu", ".cuh", ".def", ".inc"};

std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return text;
  std::array<char, 4096> buffer;
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), count);
  pclose(pipe);
  return text;
}

}  // namespace

TEST_CASE("includes point one way") {
  int checked = 0;
  for (std::size_t layer = 0; layer < kFolders.size(); ++layer) {
    std::set<std::string> forbidden = {"tests", "benchmarks"};
    forbidden.insert(kFolders.begin() + static_cast<std::ptrdiff_t>(layer) + 1, kFolders.end());
    for (const fs::path& file : files_below(kSource / kFolders[layer], kSources)) {
      for (const std::string& line : lines_of(file)) {
        const std::string name = included(line);
        if (name.empty()) continue;
        ++checked;
        const std::string folder = name.substr(0, name.find('/'));
        const bool allowed = folder == name || !forbidden.contains(folder);
        CHECK_MESSAGE((allowed && !name.starts_with(".")), file.string() << ": " << line);
      }
    }
  }
  CHECK(checked > 200);
  // No arithmetic kernels in runtime/, no printing or exiting in the library.
  const char* const prints[] = {"std::cout", "std::cerr", " printf(", "fprintf(",
                                " puts(",    "std::exit", "abort(",   " exit("};
  for (const char* folder : {"runtime", "kernels", "calib"}) {
    for (const fs::path& file : files_below(kSource / folder, kSources)) {
      for (const std::string& line : lines_of(file)) {
        const std::string code = line.substr(0, line.find("//"));
        for (const char* call : prints) {
          CHECK_MESSAGE(code.find(call) == std::string::npos, file.string() << ": " << line);
        }
      }
    }
  }
}

TEST_CASE("instruction-set files include intrinsics and plain views only") {
  // fmt, Eigen's users aside, and the standard library hold shared inline code; the reference's plain headers do not.
  const std::set<std::string> plain = {
      "cstddef",          "cstdint",          "cstring",         "immintrin.h",          "arm_neon.h",
      "runtime/view.h",   "runtime/window.h", "runtime/dtype.h", "runtime/arithmetic.h", "runtime/quant_params.h",
      "kernels/kernel.h", "kernels/params.h"};
  int checked = 0;
  for (const fs::path& file : files_below(kSource / "kernels" / "cpu", kSources)) {
    for (const std::string& line : lines_of(file)) {
      const std::string name = included(line);
      if (name.empty()) continue;
      const bool ours = name.starts_with("kernels/cpu/") || name.starts_with("kernels/reference/");
      const bool eigen = name == "Eigen/Core" && file.filename() == "gemm_f32.h";  // baseline code only, checked below
      const bool amx_permission = name == "runtime/cpu.h" || name.starts_with("sys/") || name == "unistd.h";
      CHECK_MESSAGE((plain.contains(name) || ours || eigen || amx_permission), file.string() << ": " << line);
      ++checked;
    }
    if (file.string().find("portable") != std::string::npos || file.filename() == "gemm_f32.h") continue;
    for (const std::string& line : lines_of(file))
      CHECK_MESSAGE(line.find("gemm_f32.h") == std::string::npos, file.string());
  }
  CHECK(checked > 20);
}

TEST_CASE("objects of one instruction set hold no code that the linker could share with another") {
  // A weak (COMDAT) function compiled twice is linked once: the copy with AVX512 may end up in the baseline.
  if (output_of(OCTET_NM " --version 2>/dev/null").empty()) {
    MESSAGE("skipped: no nm");
    return;
  }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr bool instrumented = true;  // sanitizers add weak symbols of their own
#else
  constexpr bool instrumented = false;
#endif
  std::map<std::string, fs::path> objects;
  for (const fs::path& path : files_below(kBinary, {".o"})) {
    const std::string file = path.filename().string();
    if (file.starts_with("peaks_")) objects[file.substr(0, file.find('.'))] = path;  // kernels/limits
    for (const kernels::Kernel* kernel :
         std::vector<const kernels::Kernel*>(kernels::all_kernels().begin(), kernels::all_kernels().end())) {
      const std::string name = kernels::name_of(*kernel);
      if (path.filename().string().find(name + ".cpp") != std::string::npos) objects[name] = path;
    }
  }
  int checked = 0;
  for (const auto& [name, path] : objects) {
    const std::string symbols = output_of(OCTET_NM " -C --defined-only '" + path.string() + "'");
    CHECK_MESSAGE(symbols.find(name) != std::string::npos, "no symbol " << name << " in " << path.string());
    std::string weak;
    std::size_t from = 0;
    for (std::size_t to = 0; (to = symbols.find('\n', from)) != std::string::npos; from = to + 1) {
      const std::string line = symbols.substr(from, to - from);
      const std::size_t letter = line.find(' ') + 1;  // "0000000000000010 W name"
      if (letter < line.size() && std::string_view("WwVvu").find(line[letter]) != std::string_view::npos) {
        weak += line + "; ";
      }
    }
    // Eigen's templates are weak: the baseline may have them, and they show that this check can fail.
    if (name == "conv2d_f32_portable") CHECK_FALSE(weak.empty());
    if (name.ends_with("_portable") || name.ends_with("_reference") || instrumented) continue;
    CHECK_MESSAGE(weak.empty(), path.string() << ": " << weak);
    ++checked;
  }
  MESSAGE(checked, " objects of instruction sets, of ", objects.size(), " kernels' objects found below ",
          kBinary.string());
  if (objects.empty()) MESSAGE("skipped: no objects here (not a CMake build tree)");
}

TEST_CASE("every row of variants.def has its file, and every kernel's file has its row") {
  std::set<fs::path> wanted;
  for (const std::string& line : lines_of(kSource / "kernels" / "variants.def")) {
    char op_name[64], isa_name[64];
    if (std::sscanf(line.c_str(), "OCTET_VARIANT(%63[a-z0-9_], %63[a-z0-9_])", op_name, isa_name) != 2) continue;
    const std::string op = op_name, isa = isa_name;
    CHECK_NOTHROW(kernels::isa_named(isa));
    const fs::path file = isa == "reference" ? kSource / "kernels" / "reference" / (op + ".cpp")
                                             : kSource / "kernels" / "cpu" / (op + "_" + isa + ".cpp");
    CHECK_MESSAGE(fs::exists(file), file.string());
    CHECK_MESSAGE(wanted.insert(file).second, "twice in variants.def: " << file.string());
  }
  CHECK(wanted.size() >= kernels::all_kernels().size());
  CHECK(kernels::all_kernels().size() >= 31);
  for (const char* folder : {"reference", "cpu"}) {
    for (const fs::path& file : files_below(kSource / "kernels" / folder, {".cpp"})) {
      CHECK_MESSAGE(wanted.contains(file), "no row for " << file.string());
    }
  }
  std::set<std::string> names;
  for (const kernels::Kernel* kernel : kernels::all_kernels()) {
    const std::string name = kernels::name_of(*kernel);
    CHECK_MESSAGE(names.insert(name).second, name);
    CHECK((kernel->refuse != nullptr && kernel->tiles != nullptr && kernel->run != nullptr));
    CHECK((kernel->pack == nullptr) == (kernel->packed_bytes == nullptr));
    CHECK_MESSAGE(names.contains(std::string(kernel->op) + "_reference"), "the reference comes first: " << name);
  }
}

TEST_CASE("every row of the CUDA table has its file and the other way round; .cu files include plain headers only") {
  std::set<fs::path> wanted;
  const fs::path folder = kSource / "kernels" / "cuda";
  for (const std::string& line : lines_of(folder / "variants.def")) {
    char op[64], name[64];
    if (std::sscanf(line.c_str(), "OCTET_CUDA_VARIANT(%63[a-z0-9_], %63[a-z0-9_])", op, name) != 2) continue;
    const fs::path file = folder / (std::string(op) + "_" + name + ".cu");
    CHECK_MESSAGE(fs::exists(file), file.string());
    CHECK_MESSAGE(wanted.insert(file).second, "twice in variants.def: " << file.string());
  }
  CHECK(wanted.size() >= 18);
  for (const fs::path& file : files_below(folder, {".cu"})) {
    if (file.filename().string().starts_with("gemm_")) continue;  // what several rows share
    if (file.filename() == "decode.cu") continue;                 // behind a network, not a layer of one
    CHECK_MESSAGE(wanted.contains(file), "no row for " << file.string());
  }
  const std::size_t built = kernels::cuda::all_kernels().size();
  CHECK((built == 0 || built == wanted.size()));
  for (const kernels::cuda::Kernel* kernel : kernels::cuda::all_kernels()) {
    const std::string name = kernels::cuda::name_of(*kernel);
    CHECK_MESSAGE((kernel->refuse != nullptr && kernel->launch != nullptr), name);
    CHECK_MESSAGE((kernel->pack == nullptr) == (kernel->packed_bytes == nullptr), name);
    CHECK_MESSAGE((kernel->configurations >= 1), name);
  }
  // nvcc compiles neither fmt nor Eigen, and <ranges> and <format> cost it seconds a file. Of our own headers, those
  // that are plain: kernels/cuda/'s and these.
  const std::set<std::string> heavy = {"ranges", "format", "regex", "iostream", "sstream", "functional"};
  const std::set<std::string> plain = {"runtime/view.h",       "runtime/window.h",          "runtime/dtype.h",
                                       "runtime/gpu.h",        "runtime/quant_params.h",    "runtime/arithmetic.h",
                                       "kernels/params.h",     "runtime/function_of_one.h", "runtime/box_decode.h",
                                       "runtime/cuda/sites.h", "runtime/cuda/voxels.h"};
  for (const fs::path& file : files_below(folder, {".cu", ".cuh"})) {
    for (const std::string& line : lines_of(file)) {
      const std::string name = included(line);
      const bool ours = name.starts_with("kernels/cuda/") && name != "kernels/cuda/registry.h";
      const bool light = name.find('/') == std::string::npos && !heavy.contains(name);  // the standard's and CUDA's
      CHECK_MESSAGE((ours || light || plain.contains(name)), file.string() << ": " << line);
    }
  }
}

TEST_CASE("no file is long") {
  int checked = 0;
  for (const char* folder : {"runtime", "kernels", "calib", "models", "examples", "tests", "benchmarks"}) {
    for (const fs::path& file : files_below(kSource / folder, kSources)) {
      const std::size_t count = lines_of(file).size();
      CHECK_MESSAGE(count <= 600, file.string() << " has " << count << " lines");
      ++checked;
    }
  }
  CHECK(checked > 80);
}
