// The programs of examples/arithmetic as a reader meets them: their transcripts byte by byte, their pictures, their
// answers to bad numbers, and the page that orders them.
#include <sys/resource.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "tests/lesson_output.h"

using namespace octet::testing;

namespace {

const fs::path kSource = OCTET_SOURCE_DIR;
const fs::path kFolder = kSource / "examples" / "arithmetic";

// Processor time of the programs that this one has run: a busy machine does not lengthen it.
double children_seconds() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::vector<std::string> lessons() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".cpp") names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

TEST_CASE("every lesson prints its transcript, byte by byte, in under a second") {
  for (const std::string& name : lessons()) {
    CAPTURE(name);
    const fs::path expected = kSource / "tests" / "transcripts" / (name + ".txt");
    REQUIRE(fs::exists(expected));
    const double start = children_seconds();
    CHECK(lesson(name) == read_text(expected));
    if (!kSanitised) CHECK(children_seconds() - start < 1);
  }
}

TEST_CASE("the whole network prints the same bytes with other instruction sets") {
  for (const std::string isa : {"portable", "avx2", "neon"}) {
    const Result result = run_program({program_path("13_whole_network")}, {.environment = {{"OCTET_ISA", isa}}});
    if (result.status != 0) {
      MESSAGE("skipped: no ", isa, " here");
      CHECK(isa != "portable");
      continue;
    }
    CHECK(result.out == read_text(kSource / "tests" / "transcripts" / "13_whole_network.txt"));
  }
}

TEST_CASE("a lesson is at most 100 lines that include Octet's headers and the standard library's only") {
  const std::set<std::string> folders = {"runtime", "kernels", "calib", "models", "examples"};
  int checked = 0;
  for (const std::string& name : lessons()) {
    CAPTURE(name);
    const auto lines = lines_of(read_text(kFolder / (name + ".cpp")));
    CHECK(lines.size() <= 100);
    CHECK(lines.front().starts_with("// " + name.substr(0, 2) + "  "));
    for (const std::string& line : lines) {
      if (!line.starts_with("#include \"")) continue;
      CHECK_MESSAGE(folders.contains(line.substr(10, line.find('/') - 10)), line);
      CHECK_MESSAGE(fs::exists(kSource / line.substr(10, line.rfind('"') - 10)), line);
      ++checked;
    }
  }
  CHECK(checked > 40);
}

TEST_CASE("bad numbers: 1 and one line when they make no sense, 2 when they are no numbers") {
  struct Bad {
    const char* program;
    Arguments arguments;
    std::vector<std::string> words;
  };
  const std::vector<Bad> senseless = {
      {"01_scale_and_rounding", {"--amax", "-2"}, {"--amax", "-2"}},
      {"01_scale_and_rounding", {"--values", "1,inf"}, {"--values", "inf"}},
      {"03_per_tensor_and_per_channel", {"--inputs", "1,2,3"}, {"--weights", "8", "3"}},
      {"04_integer_dot_product", {"--inputs", "1,2"}, {"--weights", "8", "2"}},
      {"04_integer_dot_product", {"--inputs", "128", "--weights", "1"}, {"--inputs", "128", "-127..127"}},
      {"05_bias", {"--step-in", "0"}, {"--step-in"}},
      {"05_bias", {"--zero", "256"}, {"--zero", "256", "0..255"}},
      {"05_bias", {"--inputs", "1,2"}, {"--inputs", "2", "3"}},
      {"06_requantise", {"--step-out", "0"}, {"positive"}},
      {"06_requantise", {"--step-in", "100"}, {"step_in"}},
      {"07_fold_batch_norm", {"--var", "-1"}, {"--var", "-1"}},
      {"08_one_layer", {"--image", "1,2,3,4"}, {"--image", "4 numbers"}},
      {"08_one_layer", {"--norm", "1,1,1,1,-1"}, {"--norm"}},
      {"09_observers_and_rules", {"--values", "1,2"}, {"--values", "2"}},
      {"09_observers_and_rules", {"--values", "0,0,0,0"}, {"--values", "0"}},
      {"09_observers_and_rules", {"--bins", "0"}, {"0"}},
      {"10_qdq_equals_integers", {"--amax-out", "0"}, {"--amax-out"}},
      {"11_residual_add", {"--a", "1"}, {"--b", "6", "1"}},
      {"11_residual_add", {"--step-a", "-1"}, {"-1"}},
      {"12_sparse_convolution", {"--sites", "3,2"}, {"--sites", "ascending"}},
      {"12_sparse_convolution", {"--sites", "1,25"}, {"--sites", "24"}},
      {"12_sparse_convolution", {"--sites", "1,2"}, {"--features", "4", "2"}},
      {"13_whole_network", {"no_such_photo.jpg"}, {"no_such_photo.jpg"}},
  };
  for (const Bad& bad : senseless) {
    Arguments command = bad.arguments;
    command.insert(command.begin(), program_path(bad.program));
    INFO(joined(command));
    check_refused(run_program(command), bad.program, bad.words);
  }
  for (const std::string& name : lessons()) {
    CAPTURE(name);
    CHECK(run_program({program_path(name), "--no-such-flag"}).status == 2);
    CHECK(run_program({program_path(name), "--help"}).status == 0);
  }
  CHECK(run_program({program_path("01_scale_and_rounding"), "--values", "1,two"}).status == 2);
  CHECK(run_program({program_path("01_scale_and_rounding"), "--values", ""}).status == 2);
  CHECK(run_program({program_path("04_integer_dot_product"), "--inputs", "1.5"}).status == 2);
  CHECK(run_program({program_path("04_integer_dot_product"), "--bias", "99999999999"}).status == 2);
}

TEST_CASE("the committed pictures are what the programs draw") {
  const TempFolder folder;
  int drawn = 0;
  for (const std::string& name : lessons()) {
    CAPTURE(name);
    const fs::path committed = kFolder / (name + ".svg");
    const std::string file = folder / (name + ".svg");
    const Result result = run_program({program_path(name), "--svg", file});
    CHECK((result.status == 0) == fs::exists(committed));  // 2: this lesson draws nothing
    if (result.status != 0) continue;
    CHECK(read_text(file) == read_text(committed));
    ++drawn;
  }
  CHECK(drawn >= 9);
  const std::string nowhere = folder / "missing/picture.svg";
  CHECK(run_program({program_path("01_scale_and_rounding"), "--svg", nowhere}).status == 1);
}

TEST_CASE("the page orders all lessons, shows their pictures and hides an answer for each") {
  const std::string page = read_text(kFolder / "README.md");
  std::size_t before = 0;
  for (const std::string& name : lessons()) {
    CAPTURE(name);
    const std::size_t heading = page.find("\n## " + name.substr(0, 2) + " ");
    REQUIRE(heading != std::string::npos);
    CHECK(heading > before);
    before = heading;
    const std::string section = page.substr(heading, page.find("\n## ", heading + 4) - heading);
    CHECK(section.find("](" + name + ".cpp)") != std::string::npos);
    CHECK((section.find("](" + name + ".svg)") != std::string::npos) == fs::exists(kFolder / (name + ".svg")));
    CHECK(section.find("**Exercise.**") != std::string::npos);
    const std::size_t details = section.find("<details>");
    REQUIRE(details != std::string::npos);
    CHECK(section.find("</details>", details) != std::string::npos);
  }
}
