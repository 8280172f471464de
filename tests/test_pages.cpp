// The pages that tell how to add something, followed to the letter; and every code block of README.md and of the pages,
// executed where it can be.
#include <dlfcn.h>

#include <cmath>
#include <map>
#include <regex>
#include <set>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "kernels/plan/plan.h"
#include "tests/kernel_makers.h"
#include "tests/pages.h"
#include "tests/photos.h"

using namespace octet;
using namespace octet::testing;

namespace {

const fs::path kSource = OCTET_SOURCE_DIR;
const std::vector<std::string> kPages = {"README.md", "examples/arithmetic/README.md", "kernels/README.md",
                                         "runtime/README.md", "models/README.md"};

// A network of one function, in INT8 by the planner's choice of kernel and by the reference: the same bytes, and who
// ran.
constexpr const char* kUsesTheKernel = R"(
#include <cstdio>
#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "kernels/plan/plan.h"

int main() {
  using namespace octet;
  Graph graph("function");
  const EdgeId x = graph.observe(graph.input("x", Shape{8, 5, 3}), "x");
  graph.set_output(graph.observe(graph.function("f", Op::hard_swish, x), "f"));
  Tensor input(DType::f32, Shape{1, 8, 5, 3}), first(DType::f32, Shape{1, 8, 5, 3}), second = first.clone();
  for (int i = 0; float& v : input.span<float>()) v = 0.06f * static_cast<float>(i++ - 60);
  ThreadPool threads(1);
  calib::Calibrator calibrator(graph, {}, threads);
  calibrator.observe(input);
  const QGraph integers = calib::quantise(graph, calibrator.ranges());
  const auto program = kernels::plan(integers, {.isa = kernels::Isa::portable});
  Context(program, threads).run(input, first);
  Context(kernels::plan(integers, {.isa = kernels::Isa::reference}), threads).run(input, second);
  for (const Step& step : program->steps) std::puts(step.variant.c_str());
  return std::equal(first.span<float>().begin(), first.span<float>().end(), second.span<float>().begin()) ? 0 : 1;
}
)";

// The network by its name, as every command finds it.
constexpr const char* kUsesTheName = R"(
#include <cstdio>
#include "models/classifier.h"

int main() {
  using namespace octet;
  const models::LoadedModel model = models::load_model("lenet", {});
  ThreadPool pool(1);
  models::Classifier classifier(model, pool);
  std::printf("%s: %d classes, %s\n", model.name.c_str(), classifier.classes(), model.seeded ? "seeded" : "trained");
}
)";

// `text` with `row` in front of the one place where `before` stands.
std::string with_row(const std::string& text, const std::string& row, const std::string& before) {
  const std::size_t at = text.find(before);
  REQUIRE_MESSAGE((at != std::string::npos && text.find(before, at + 1) == std::string::npos), before);
  return text.substr(0, at) + row + text.substr(at);
}

constexpr bool kLinks = OCTET_PAGES_LINK != 0;  // a build with CUDA links to more than pages.h knows

// A folder as README.md describes one: build/, photos/ with cat/ and dog/, and a few files of the reader's own.
void furnish(const TempFolder& folder) {
  fs::create_directory_symlink(OCTET_BINARY_DIR, folder / "build");
  fs::create_directory_symlink(kSource, folder / "octet");
  for (std::uint32_t i = 0; i < 4; ++i)
    write_photo(folder.path() / "photos" / (i % 2 == 0 ? "cat" : "dog") / fmt::format("{}.bmp", i), i);
  write_photo(folder.path() / "my_cat.jpg", 7);
  write_photo(folder.path() / "holiday" / "sea.bmp", 8);
}

}  // namespace

TEST_CASE("a new kernel, as kernels/README.md says") {
  const auto blocks = blocks_of(kSource / "kernels/README.md");
  const std::string file = "kernels/cpu/table_s8_portable.cpp";
  const std::string row = block_of(blocks, "row", "kernels/variants.def").text;
  const std::string table = read_text(kSource / "kernels/variants.def");
  CHECK(row == "OCTET_VARIANT(table_s8, portable)\n");
  CHECK(table.find("OCTET_VARIANT(table_s8, reference)\n") != std::string::npos);
  REQUIRE_MESSAGE((table.find(row) == std::string::npos && !fs::exists(kSource / file)),
                  "table_s8_portable exists now: let the page add another kernel");
  const TempFolder folder;
  write_text(folder / "kernel.cpp", block_of(blocks, "file", file).text);
  const std::string library = folder / "kernel.so";
  // Not sanitised: a library of its own, and the tester looks beyond its buffers itself.
  const Result built = run_program({OCTET_CXX, "-std=c++20", "-O2", "-ffp-contract=off", "-fwrapv", "-Wall", "-Wextra",
                                    "-Werror", "-Wno-missing-field-initializers", "-I", kSource.string(), "-shared",
                                    "-fPIC", "-o", library, folder / "kernel.cpp"});
  REQUIRE_MESSAGE(built.status == 0, built.err);
  void* loaded = dlopen(library.c_str(), RTLD_NOW);
  REQUIRE(loaded != nullptr);
  const auto* kernel = static_cast<const kernels::Kernel*>(dlsym(loaded, "_ZN5octet7kernels17table_s8_portableE"));
  REQUIRE(kernel != nullptr);
  CHECK(kernels::name_of(*kernel) == "table_s8_portable");
  const kernels::Kernel& reference = test::reference_of(kernel->op);
  test::Random random(20261122);
  int run = 0;
  for (const test::Case& test : test::makers().at(kernel->op)(reference, random)) {
    const std::string error = test::examine(*kernel, test::wanted_of(reference, test), test);
    CHECK_MESSAGE(error.empty(), test.name << ": " << error);
    ++run;
  }
  CHECK(run > 3);
}

TEST_CASE("the row of the new kernel: the registry knows it, the planner takes it") {
  if (!kLinks) {
    MESSAGE("skipped: a build with CUDA");
    return;
  }
  const auto blocks = blocks_of(kSource / "kernels/README.md");
  const TempFolder folder;  // what is in it is found before the tree's own files
  const std::string table = read_text(kSource / "kernels/variants.def");
  const std::string above = "OCTET_VARIANT(table_s8, reference)\n";
  const std::size_t below = table.find(above) + above.size();
  write_text(folder.path() / "kernels/variants.def",
             table.substr(0, below) + block_of(blocks, "row", "kernels/variants.def").text + table.substr(below));
  write_text(folder / "kernel.cpp", block_of(blocks, "file", "kernels/cpu/table_s8_portable.cpp").text);
  write_text(folder / "registry.cpp", read_text(kSource / "kernels/registry.cpp"));
  write_text(folder / "use.cpp", kUsesTheKernel);
  Arguments arguments = {"-I", folder.path().string(), "-I", kSource.string(), "-o", folder / "use"};
  for (const char* file : {"use.cpp", "registry.cpp", "kernel.cpp"}) arguments.push_back(folder / file);
  for (const std::string& library : libraries()) arguments.push_back(library);
  compile(arguments);
  const Result result = run_program({folder / "use"});
  INFO(result.out, result.err);
  CHECK(result.status == 0);
  CHECK(result.out.find("table_s8_portable\n") != std::string::npos);
}

TEST_CASE("a new model, as models/README.md says") {
  if (!kLinks) {
    MESSAGE("skipped: a build with CUDA");
    return;
  }
  const auto blocks = blocks_of(kSource / "models/README.md");
  const TempFolder folder;
  for (const char* file : {"models/lenet/lenet.h", "models/lenet/lenet.cpp"}) {
    CHECK_MESSAGE(!fs::exists(kSource / file), "lenet exists now: let the page add another model");
    write_text(folder.path() / file, block_of(blocks, "file", file).text);
  }
  write_text(folder / "try.cpp", block_of(blocks, "program", "lenet_try").text);
  Arguments arguments = {"-I",
                         folder.path().string(),
                         "-I",
                         kSource.string(),
                         "-o",
                         folder / "try",
                         folder / "try.cpp",
                         folder / "models/lenet/lenet.cpp"};
  for (const std::string& library : libraries()) arguments.push_back(library);
  compile(arguments);
  const Result result = run_program({folder / "try"});
  INFO(result.out, result.err);
  CHECK(result.status == 0);
  CHECK(result.out.find("INT8 is off by") != std::string::npos);
  for (const char* layer : {"conv1", "conv2", "fc1", "fc2"}) {
    CHECK(std::regex_search(result.out, std::regex(fmt::format("{} +int8", layer))));
  }
  // The row, in the registry as it is: the network is found by its name.
  const std::string row = block_of(blocks, "row", "models/registry.cpp").text;
  const std::string registry =
      with_row(read_text(kSource / "models/registry.cpp"), row, "      {.name = \"centerpoint\"");
  write_text(folder / "registry.cpp", "#include \"models/lenet/lenet.h\"\n" + registry);
  write_text(folder / "use.cpp", kUsesTheName);
  arguments = {"-I", folder.path().string(), "-I", kSource.string(), "-o", folder / "use"};
  for (const char* file : {"use.cpp", "registry.cpp", "models/lenet/lenet.cpp"}) arguments.push_back(folder / file);
  for (const std::string& library : libraries()) arguments.push_back(library);
  compile(arguments);
  const Result used = run_program({folder / "use"});
  INFO(used.err);
  CHECK(used.out == "lenet: 10 classes, seeded\n");
}

TEST_CASE("an operation of a program's own, as runtime/README.md says") {
  if (!kLinks) {
    MESSAGE("skipped: a build with CUDA");
    return;
  }
  const TempFolder folder;
  write_text(folder / "program.cpp", block_of(blocks_of(kSource / "runtime/README.md"), "program", "distance").text);
  Arguments arguments = {"-I", kSource.string(), "-o", folder / "program", folder / "program.cpp"};
  for (const std::string& library : libraries()) arguments.push_back(library);
  compile(arguments);
  const Result result = run_program({folder / "program"});
  INFO(result.out, result.err);
  CHECK(result.status == 0);
  CHECK(std::regex_search(result.out, std::regex("far +int8")));
}

TEST_CASE("a new operation, as runtime/README.md says: the table of places is right and complete") {
  const std::string page = read_text(kSource / "runtime/README.md");
  static const std::regex line(R"re(\| \[[^\]]+\]\(([^)]+)\) \| [^|]+ \| `([^|]+)` \|)re");
  std::set<fs::path> listed;
  for (std::sregex_iterator it(page.begin(), page.end(), line), end; it != end; ++it) {
    const fs::path file = fs::weakly_canonical(kSource / "runtime" / (*it)[1].str());
    CAPTURE(file.string());
    REQUIRE(fs::is_regular_file(file));
    CHECK_MESSAGE(read_text(file).find((*it)[2].str()) != std::string::npos, (*it)[2].str());
    listed.insert(file);
  }
  CHECK(listed.size() == 8);
  for (const char* folder : {"runtime", "kernels", "calib", "models"}) {
    for (const auto& entry : fs::recursive_directory_iterator(kSource / folder)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh") continue;
      if (read_text(entry.path()).find("hard_swish") == std::string::npos) continue;
      CHECK_MESSAGE(listed.contains(fs::weakly_canonical(entry.path())), entry.path().string());
    }
  }
  // What the page promises of such a function: it becomes INT8, within half a step of its definition.
  Graph graph("function");
  const EdgeId x = graph.observe(graph.input("x", Shape{64}), "x");
  graph.set_output(graph.observe(graph.function("f", Op::hard_swish, x), "f"));
  Tensor input(DType::f32, Shape{1, 64}), output(DType::f32, Shape{1, 64});
  for (int i = 0; float& v : input.span<float>()) v = 0.125f * static_cast<float>(i++ - 32);
  ThreadPool threads(1);
  calib::Calibrator calibrator(graph, {}, threads);
  calibrator.observe(input);
  const calib::Ranges ranges = calibrator.ranges();
  Context context(kernels::plan(calib::quantise(graph, ranges), {}), threads);
  context.run(input, output);
  const double step_in = ranges.find("x")->quant.step, step = ranges.find("f")->quant.step;
  for (std::size_t i = 0; i < 64; ++i) {
    const double q = std::nearbyint(input.span<float>()[i] / step_in) * step_in;
    const double y = q * std::min(std::max(q / 6 + 0.5, 0.0), 1.0);
    CHECK(std::fabs(output.span<float>()[i] - y) <= 0.51 * step);
  }
}

TEST_CASE("every code block of README.md and the pages is run, or says why not") {
  int ran = 0, skipped = 0;
  for (const std::string& page : kPages) {
    const TempFolder folder;
    furnish(folder);
    for (const Block& block : blocks_of(kSource / page)) {
      INFO(page, ":", block.line);
      if (block.kind == "not run") {
        CHECK_FALSE(block.what.empty());
        MESSAGE("skipped: ", page, ":", block.line, ": ", block.what);
        ++skipped;
      } else if (block.kind == "run") {
        REQUIRE(block.tag == "sh");
        if (kSanitised) {
          MESSAGE("skipped: ", page, ":", block.line, ": the plain build runs it; it is ten times slower here");
          continue;
        }
        std::istringstream lines(block.text);
        for (std::string line; std::getline(lines, line);) {
          const Result result = run_program({"bash", "-c", line}, {.folder = folder.path()});
          CHECK_MESSAGE(result.status == 0, line << "\n" << result.err);
          ++ran;
        }
      } else if (block.kind == "program" && page == "README.md") {
        if (!kLinks) {
          MESSAGE("skipped: ", page, ":", block.line, ": a build with CUDA");
          continue;
        }
        write_text(folder / "program.cpp", block.text);
        Arguments arguments = {"-I", kSource.string(), "-o", folder / "program", folder / "program.cpp"};
        for (const std::string& library : libraries()) arguments.push_back(library);
        compile(arguments);
        const Result result = run_program({folder / "program"}, {.folder = folder.path()});
        CHECK((result.out == "cat\n" || result.out == "dog\n"));
        ++ran;
      } else {
        // the tests above use these
        CHECK_MESSAGE((block.kind == "file" || block.kind == "row" || block.kind == "program"),
                      "says nothing of itself");
      }
    }
  }
  CHECK((kSanitised || ran >= 15));  // README.md alone shows as many lines
  CHECK(skipped >= 3);
  // README.md has no code outside of such blocks.
  bool inside = false;
  std::istringstream text(read_text(kSource / "README.md"));
  int count = 0;
  for (std::string line; std::getline(text, line); ++count) {
    if (line.starts_with("```")) inside = !inside;
    CHECK_MESSAGE((inside || !line.starts_with("    ")), line);
  }
  CHECK(count <= 200);
}

TEST_CASE("every link of every page leads to a file") {
  static const std::regex link(R"(\]\(([^)\s]+)\))");
  int links = 0;
  std::vector<fs::path> pages = {kSource / "README.md"};
  for (const char* folder : {"runtime", "kernels", "calib", "models", "examples", "tests", "benchmarks"}) {
    for (const auto& entry : fs::recursive_directory_iterator(kSource / folder)) {
      const bool environment = entry.path().string().find("/.venv/") != std::string::npos;
      if (entry.path().extension() == ".md" && !environment) pages.push_back(entry.path());
    }
  }
  for (const fs::path& path : pages) {
    const std::string text = read_text(path);
    for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
      const std::string target = (*it)[1].str().substr(0, (*it)[1].str().find('#'));
      if (target.empty() || target.starts_with("http")) continue;
      CHECK_MESSAGE(fs::exists(path.parent_path() / target), path.string() << ": " << target);
      ++links;
    }
  }
  CHECK(links > 100);
}
