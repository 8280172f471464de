// The main job: the cat/dog classifier on real photos. Eight photos come from Debian's packages (tests/run.sh fetches
// them); accuracy is measured where the larger photo sets lie beside the project; both are skipped, visibly, elsewhere.
#include <fmt/format.h>
#include <bitset>
#include <cmath>
#include <map>
#include <regex>

#include "models/classifier.h"
#include "models/tensor_hash.h"
#include "tests/photos.h"
#include "tests/program.h"

using namespace octet;
using namespace octet::testing;

namespace {

const fs::path kSource = OCTET_SOURCE_DIR;
const fs::path kPhotos = kSource / "build" / "photos";
const fs::path kData = kSource / ".." / "shared" / "data" / "catdog";
const fs::path kModels = kSource / "models" / "catdog";
constexpr int kFirstTestId = 3500, kLastTestId = 3849;

bool have_photos() {
  const bool have = fs::exists(kPhotos / "complete");
  if (!have) MESSAGE("SKIPPED: no photos in build/photos (examples/fetch_photos.sh fetches them)");
  return have;
}

bool have_data() {
  const bool have = fs::is_directory(kData / "test");
  if (!have) MESSAGE("SKIPPED: no photo sets in ../shared/data/catdog");
  return have;
}

// As examples/quickstart.sh shows them.
Arguments eight_photos() {
  Arguments photos;
  for (const char* name : {"cat/cat.jpg", "cat/chelsea.png", "cat/face.jpg"})
    photos.push_back((kPhotos / name).string());
  for (const char* corner : {"0,0", "50,0", "0,50", "50,50"}) {
    photos.push_back(fmt::format("{}#xywh=percent:{},50,50", (kPhotos / "dog/dogs.jpg").string(), corner));
  }
  photos.push_back((kPhotos / "dog/puppy.jpg").string());
  return photos;
}

json evaluate(const std::string& part, const std::string& precision, const Arguments& flags = {}) {
  Arguments arguments = {"evaluate", "catdog", "--data", (kData / part).string(), "--precision", precision};
  if (kSanitised) arguments.insert(arguments.end(), {"--limit", "4"});
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return octet_json(arguments);
}

struct NotebookLine {
  std::string precision;
  double top1;
  int batch, batches;
};

// Each line as the notebook prints it, and an empty line behind it.
std::vector<NotebookLine> parse_notebook(const std::string& text) {
  static const std::regex pattern(R"((FP32|INT8) Top1: (\d+\.\d{3}), (\d+)/(\d+))");
  std::vector<NotebookLine> lines;
  std::istringstream stream(text);
  for (std::string line, empty; std::getline(stream, line);) {
    CAPTURE(line);
    std::smatch match;
    REQUIRE(std::regex_match(line, match, pattern));
    lines.push_back({match[1], std::stod(match[2]), std::stoi(match[3]), std::stoi(match[4])});
    REQUIRE(std::getline(stream, empty));
    CHECK(empty.empty());
  }
  return lines;
}

Result notebook(const std::string& data, const Arguments& flags = {}) {
  Arguments command = {program_path("catdog"), "--notebook", "--data", data};
  command.insert(command.end(), flags.begin(), flags.end());
  return run_program(command, {.timeout = std::chrono::seconds(600)});
}

// Photos that the FP32 network gets right every other time, so that no figure is 0 or 100 by itself.
void write_half_right(const fs::path& folder, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) write_photo(folder / fmt::format("{}.bmp", i), 3 * i);
  const json run = octet_json({"run", "catdog", folder.string(), "--precision", "fp32"});
  for (std::uint32_t i = 0; i < count; ++i) {
    const bool cat = (run["images"][i]["label"] == "cat") == (i % 2 == 0);
    fs::rename(folder / fmt::format("{}.bmp", i), folder / fmt::format("{}.{}.bmp", cat ? "cat" : "dog", i));
  }
}

// Is `percent` (three decimals) a share of `count` photos?
bool is_share(double percent, int count) {
  const double right = std::round(percent * count / 100);
  return std::abs(100 * right / count - percent) < 0.00051;
}

std::vector<std::string> tar_names(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::string> names;
  for (std::array<char, 512> header; file.read(header.data(), header.size()) && header[0] != '\0';) {
    const std::uint64_t size = std::stoull(std::string(header.data() + 124, 11), nullptr, 8);
    if (header[156] == '0' || header[156] == '\0') names.emplace_back(header.data());
    file.seekg(static_cast<std::streamoff>((size + 511) / 512 * 512), std::ios::cur);
  }
  return names;
}

// The number in cat.N.webp; -1 for other names.
int id_of(const std::string& name) {
  static const std::regex pattern(R"((?:.*/)?(?:cat|dog)\.(\d+)\..*)");
  std::smatch match;
  return std::regex_match(name, match, pattern) ? std::stoi(match[1]) : -1;
}

}  // namespace

TEST_CASE("the eight photos: at least seven right, in FP32 and in INT8") {
  if (!have_photos()) return;
  for (const char* precision : {"fp32", "int8"}) {
    Arguments arguments = {"run", "catdog", "--precision", precision};
    const Arguments photos = eight_photos();
    arguments.insert(arguments.end(), photos.begin(), photos.end());
    const json images = octet_json(arguments)["images"];
    REQUIRE(images.size() == 8);
    int right = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      const bool ok = images[i]["label"] == (i < 3 ? "cat" : "dog");
      right += ok;
      if (!ok) MESSAGE(std::string(precision) << " calls " << photos[i] << " a " << images[i]["label"]);
    }
    CHECK(right >= 7);
  }
}

TEST_CASE("catdog shows both precisions side by side, with accuracy, latency and size") {
  if (!have_photos()) return;
  Arguments command = eight_photos();
  if (kSanitised) command.resize(1);
  command.insert(command.begin(), {program_path("catdog"), "--threads", "1"});
  const Result result = run_program(command);
  CHECK(result.status == 0);
  CHECK(result.err.empty());
  for (const char* text :
       {"photo ", "FP32", "INT8", "cat.jpg", "top-1", "median latency", "model size", "2.07 MB", "0.53 MB"}) {
    CAPTURE(text);
    CHECK(result.out.find(text) != std::string::npos);
  }
  // A folder works as well as its photos; the bar of progress is for terminals only.
  const Result folder = run_program({program_path("catdog"), (kPhotos / "cat").string()});
  CHECK(folder.status == 0);
  CHECK(folder.err.empty());
  CHECK(folder.out.find("chelsea.png") != std::string::npos);
}

TEST_CASE("every quantised layer uses its range: at least 32 distinct values on real photos") {
  if (!have_photos()) return;
  models::LoadOptions options;
  options.weights = kModels / "catdog.safetensors";
  options.ranges = kModels / "ranges.json";
  const models::LoadedModel model = models::load_model("catdog", options);
  ThreadPool pool(1);
  models::Classifier classifier(model, pool, 1, true);
  const QGraph& graph = classifier.program().graph;
  std::map<EdgeId, std::bitset<512>> values;  // by value + 128
  const Context::Hook hook = [&](EdgeId edge, const View& view) {
    if (!graph.edges[static_cast<std::size_t>(edge)].quantised) return;
    models::for_each_nchw(view, [&seen = values[edge]](int q) { seen.set(static_cast<std::size_t>(q + 128)); });
  };
  for (const std::string& name : eight_photos()) {
    const Image photo = load_image(name);
    classifier.run({&photo, 1}, &hook);
  }
  CHECK(values.size() >= 12);
  for (const auto& [edge, distinct] : values) {
    const QEdge& e = graph.edges[static_cast<std::size_t>(edge)];
    if (e.shape.elements() == 2) continue;  // the two logits
    CAPTURE(e.name);
    CHECK(distinct.count() >= 32);
  }
}

TEST_CASE("catdog --notebook prints the notebook's lines, with a meter of its own for each pass") {
  const TempFolder temp;
  constexpr int kCount = 6;
  write_half_right(temp / "data", kCount);
  const Result result = notebook(temp / "data");
  REQUIRE(result.status == 0);
  CHECK(result.err.empty());
  const auto lines = parse_notebook(result.out);
  REQUIRE(lines.size() == 4);  // batches of five and of one, in both precisions
  for (std::size_t i = 0; i < lines.size(); ++i) {
    CAPTURE(i);
    CHECK(lines[i].precision == (i < 2 ? "FP32" : "INT8"));
    CHECK(lines[i].batch == static_cast<int>(i % 2));
    CHECK(lines[i].batches == 2);
    CHECK(is_share(lines[i].top1, i % 2 == 0 ? 5 : kCount));  // a meter that went on would show elevenths
  }
  CHECK(lines[1].top1 == doctest::Approx(50));
  CHECK(lines[3].top1 > 0);
  CHECK(lines[3].top1 < 100);
  if (kSanitised) return;  // the notebook's arithmetic runs on the reference kernels, which are slow
  CHECK(notebook(temp / "data", {"--seed", "0", "--threads", "1"}).out == result.out);
  const auto swapped = parse_notebook(notebook(temp / "data", {"--swap-labels"}).out);
  REQUIRE(swapped.size() == lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    CHECK(fmt::format("{:.3f}", swapped[i].top1 + lines[i].top1) == "100.000");
  }
}

TEST_CASE("catdog --notebook on 100 photos: 20 + 20 lines") {
  if (kSanitised || !have_data()) return;
  const auto lines = parse_notebook(notebook((kData / "calibration").string()).out);
  REQUIRE(lines.size() == 40);
  for (int i = 0; i < 40; ++i) {
    const NotebookLine& line = lines[static_cast<std::size_t>(i)];
    CHECK(line.precision == (i < 20 ? "FP32" : "INT8"));
    CHECK(line.batch == i % 20);
    CHECK(line.batches == 20);
    CHECK(is_share(line.top1, 5 * (i % 20 + 1)));
  }
  MESSAGE("notebook, 100 calibration photos: FP32 " << lines[19].top1 << ", INT8 " << lines[39].top1);
  CHECK(lines[19].top1 >= 93);
  CHECK(lines[39].top1 >= lines[19].top1 - 2);
}

TEST_CASE("ranges with --preset notebook can be evaluated") {
  const TempFolder temp;
  write_half_right(temp / "data", 2);
  const std::string ranges = temp / "notebook.json";
  const json calibrated =
      octet_json({"calibrate", "catdog", "--data", temp / "data", "--out", ranges, "--preset", "notebook"});
  CHECK(calibrated["preset"] == "notebook");
  CHECK(calibrated["weights"] == "tensor");
  for (const json& edge : calibrated["edges"]) CHECK(edge["amax"].get<double>() >= 1.0);  // ranges start at 1
  const json scores = octet_json({"evaluate", "catdog", "--data", temp / "data", "--ranges", ranges});
  CHECK(scores["count"] == 2);
  CHECK(scores["precision"] == "int8");
}

TEST_CASE("accuracy: FP32 at least 93.0 on the test photos, INT8 at most 0.3 below") {
  if (!have_data()) return;
  const json fp32 = evaluate("test", "fp32"), int8 = evaluate("test", "int8");
  const json fp32_oxford = evaluate("oxford", "fp32"), int8_oxford = evaluate("oxford", "int8");
  if (kSanitised) return;  // a few photos only, to see the sanitisers pass
  CHECK(fp32["count"] == 700);
  CHECK(int8["count"] == 700);
  CHECK(fp32["on_calibration_data"] == false);
  CHECK(int8["on_calibration_data"] == false);
  const double top1 = fp32["top1"], top1_int8 = int8["top1"];
  MESSAGE("test: FP32 " << top1 << ", INT8 " << top1_int8 << "; oxford: FP32 " << fp32_oxford["top1"] << ", INT8 "
                        << int8_oxford["top1"]);
  CHECK(top1 >= 93.0);
  CHECK(top1_int8 >= top1 - 0.3);
  CHECK(fp32_oxford["count"] == 400);
}

TEST_CASE("calibrating on the calibration photos gives the shipped ranges again") {
  if (!have_data()) return;
  const TempFolder temp;
  Arguments arguments = {"calibrate", "catdog", "--data", kData.string(), "--out", temp / "ranges.json"};
  if (kSanitised) arguments.insert(arguments.end(), {"--limit", "4"});
  // Float sums differ in their last bits between instruction sets; the portable kernels made the shipped file.
  const json made = octet_json(arguments, {.environment = {{"OCTET_ISA", "portable"}}});
  if (kSanitised) return;
  const json shipped = json::parse(read_text(kModels / "ranges.json"));
  CHECK(made["images"] == shipped["images"]);
  CHECK(made["data"].get<std::string>().starts_with(shipped["data"].get<std::string>()));
  CHECK(made["edges"] == shipped["edges"]);
}

TEST_CASE("no photo of the test sets trains, selects or calibrates") {
  const fs::path script = kModels / "train.py", record = kModels / "training.json";
  REQUIRE(fs::exists(script));
  const std::string text = read_text(script);
  std::smatch match;
  REQUIRE(std::regex_search(text, match, std::regex(R"(CHECK_IDS = range\((\d+), (\d+)\))")));
  const int first = std::stoi(match[1]), last = std::stoi(match[2]) - 1;
  CHECK(first <= last);
  CHECK((last < kFirstTestId || first > kLastTestId));  // the ids that every choice was made on
  REQUIRE(std::regex_search(text, match, std::regex(R"(TEST_IDS = range\((\d+), (\d+)\))")));  // which it refuses
  CHECK(std::stoi(match[1]) == kFirstTestId);
  CHECK(std::stoi(match[2]) == kLastTestId + 1);

  if (fs::exists(record)) {
    const json commands = json::parse(read_text(record)).at("commands");
    REQUIRE_FALSE(commands.empty());
    for (const json& command : commands) {
      CAPTURE(command);
      const std::string line = command;
      CHECK(line.find("oxford") == std::string::npos);
      CHECK_FALSE(std::regex_search(line, std::regex(R"(\btest\b)")));
      if (line.find("decode") == std::string::npos) continue;
      CHECK(std::regex_search(line, std::regex(R"(--photos( train_\d\.tar)+ --out)")));
    }
  }
  if (!have_data()) return;
  std::vector<std::string> read;
  for (const char* tar : {"train_0.tar", "train_1.tar", "train_2.tar"}) {
    if (!fs::exists(kData / tar)) continue;
    const auto names = tar_names(kData / tar);
    CHECK(names.size() > 1000);
    read.insert(read.end(), names.begin(), names.end());
  }
  for (const auto& file : list_images(kData / "calibration")) read.push_back(file.filename().string());
  for (const std::string& name : read) {
    const int id = id_of(name);
    if (id < 0 || (id >= kFirstTestId && id <= kLastTestId)) FAIL_CHECK(name << " trains or calibrates");
  }
  for (const auto& file : list_images(kData / "test")) {
    const int id = id_of(file.filename().string());
    if (id < kFirstTestId || id > kLastTestId) FAIL_CHECK(file << " is not one of the test ids");
  }
}
