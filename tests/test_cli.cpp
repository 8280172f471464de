// The command line as an interface: exit statuses, JSON keys, --config, which files are read, and where labels come
// from. Every test starts the program.
#include "tests/photos.h"
#include "tests/program.h"

#include "models/csv.h"
#include "models/photos.h"
#include "models/registry.h"
#include "runtime/error.h"

using namespace octet;
using namespace octet::testing;

namespace {

const std::vector<std::string> kCommands = {"run",         "calibrate", "evaluate", "plan",    "export",
                                            "bench",       "inspect",   "models",   "kernels", "amax",
                                            "sensitivity", "ptq",       "report"};

// Checks `value` against a shape: "key" or "key.inner", and one letter for its type.
struct Key {
  const char* path;
  char type;  // s text, n number, i whole number, b boolean, a list, o object, ? text, number or null
};

bool has_type(const json& value, char type) {
  switch (type) {
    case 's':
      return value.is_string();
    case 'n':
      return value.is_number();
    case 'i':
      return value.is_number_integer();
    case 'b':
      return value.is_boolean();
    case 'a':
      return value.is_array();
    case 'o':
      return value.is_object();
    default:
      return value.is_null() || value.is_number();
  }
}

void check_keys(const json& value, const std::vector<Key>& keys) {
  for (const Key& key : keys) {
    CAPTURE(key.path);
    const json* at = &value;
    std::istringstream path(key.path);
    for (std::string name; std::getline(path, name, '.');) {
      REQUIRE(at->is_object());
      REQUIRE(at->contains(name));
      at = &at->at(name);
    }
    CHECK(has_type(*at, key.type));
  }
}

// Photos 1.bmp ... N.bmp in `folder`, each different.
void write_photos(const fs::path& folder, int count, std::uint32_t seed = 0) {
  for (int i = 1; i <= count; ++i) {
    write_photo(folder / (std::to_string(i) + ".bmp"), seed + static_cast<std::uint32_t>(i));
  }
}

std::vector<std::string> files_of(const json& run) {
  std::vector<std::string> names;
  for (const json& image : run.at("images")) names.push_back(fs::path(image.at("file").get<std::string>()).filename());
  return names;
}

std::string ranges_of(const std::string& data, const std::string& out) {
  const Result result = run_octet({"calibrate", "catdog", "--data", data, "--out", out, "--threads", "1"});
  REQUIRE(result.status == 0);
  return out;
}

}  // namespace

TEST_CASE("a wrong command line: status 2, nothing on stdout, lines fit for a terminal") {
  const std::vector<Arguments> wrong = {
      {},
      {"nonsense"},
      {"--bogus"},
      {"run"},
      {"run", "catdog"},
      {"run", "catdog", "x.jpg", "--bogus"},
      {"run", "catdog", "x.jpg", "--precision", "int4"},
      {"run", "catdog", "x.jpg", "--device", "tpu"},
      {"run", "catdog", "x.jpg", "--threads", "-1"},
      {"run", "catdog", "x.jpg", "--threads", "two"},
      {"run", "catdog", "x.jpg", "--top", "0"},
      {"run", "catdog", "x.jpg", "--limit", "0"},
      {"run", "catdog", "x.jpg", "--limit", "1.5"},
      {"run", "catdog", "x.jpg", "--skip", "-1"},
      {"run", "catdog", "x.jpg", "--batch-size", "0"},
      {"run", "catdog", "x.jpg", "--filter", "box"},
      {"run", "catdog", "x.jpg", "--crop", "0"},
      {"run", "catdog", "x.jpg", "--label-offset", "-1"},
      {"run", "catdog", "x.jpg", "--config"},
      {"evaluate", "catdog"},
      {"evaluate", "--data", "x"},
      {"calibrate", "catdog", "--data", "x"},
      {"calibrate", "catdog", "--data", "x", "--out", "y", "--method", "median"},
      {"calibrate", "catdog", "--data", "x", "--out", "y", "--preset", "none-such"},
      {"calibrate", "catdog", "--data", "x", "--out", "y", "--batches", "0"},
      {"calibrate", "catdog", "--data", "x", "--out", "y", "--percentile", "101"},
      {"calibrate", "catdog", "--data", "x", "--out", "y", "--num-bits", "9"},
      {"calibrate", "catdog", "--data", "x", "--out", "y", "--bins", "1"},
      {"amax"},
      {"amax", "x", "--num-bits", "17"},
      {"export", "catdog"},
      {"bench", "catdog", "--batch", "0"},
      {"models", "catdog"},
      {"kernels", "--bogus"},
  };
  for (const Arguments& arguments : wrong) {
    INFO("octet", joined(arguments));
    const Result result = run_octet(arguments);
    CHECK(result.status == 2);
    CHECK(result.out.empty());
    const auto lines = result.err_lines();
    CHECK((lines.size() == 1 || lines.size() == 2));
    for (const std::string& line : lines) {
      CAPTURE(line);
      CHECK(line.size() < 160);
    }
  }
}

TEST_CASE("--help works for every command, names it and explains every option") {
  const Result top = run_octet({"--help"});
  CHECK(top.status == 0);
  for (const std::string& command : kCommands) {
    CAPTURE(command);
    CHECK(top.out.find("  " + command) != std::string::npos);
    const Result help = run_octet({command, "--help"});
    CHECK(help.status == 0);
    CHECK(help.err.empty());
    CHECK(help.out.find("Usage: octet " + command) != std::string::npos);
    CHECK(help.out.find("--json") != std::string::npos);
    std::istringstream stream(help.out.substr(help.out.find("Options:")));
    std::string previous;
    for (std::string line; std::getline(stream, line); previous = line) {
      // An option stands alone on its line only when its explanation follows on the next.
      const bool alone = previous.starts_with("  -") && previous.find_first_of(' ', 2) == std::string::npos;
      CAPTURE(previous);
      if (alone) CHECK(line.starts_with("          "));
    }
  }
}

TEST_CASE("models, kernels and inspect print the JSON that scripts rely on") {
  const json models = octet_json({"models"}).at("models");
  REQUIRE(!models.empty());
  check_keys(models[0],
             {{"name", 's'}, {"summary", 's'}, {"weights_shipped", 'b'}, {"ranges_shipped", 'b'}, {"labels", 'a'}});
  CHECK(models[0]["name"] == "catdog");
  CHECK(models[0]["weights_shipped"] == true);

  const json kernels = octet_json({"kernels"});
  check_keys(kernels, {{"kernels", 'a'}, {"available", 'a'}, {"chosen", 's'}, {"cpu", 's'}});
  check_keys(kernels["kernels"][0], {{"name", 's'}, {"op", 's'}, {"isa", 's'}, {"supported", 'b'}});

  const json network = octet_json({"inspect", "catdog"});
  check_keys(network, {{"model", 's'},
                       {"precision", 's'},
                       {"labels", 'a'},
                       {"preprocess", 'o'},
                       {"model_bytes", 'i'},
                       {"seeded", 'b'},
                       {"layers", 'a'}});
  const std::string weights = std::string(OCTET_SOURCE_DIR) + "/models/catdog/catdog.safetensors";
  const json file = octet_json({"inspect", weights});
  CHECK(file["format"] == "safetensors");
  CHECK(file["tensors"].size() == 32);
  check_keys(file["tensors"][0], {{"name", 's'}, {"dtype", 's'}, {"shape", 'a'}});
}

TEST_CASE("inspect --quantizers: name, bits, signed, axis, rule, amax and whether it is enabled") {
  const TempFolder temp;
  write_photos(temp.path() / "photos", 2);
  const auto calibrated = [&](Arguments flags) {
    Arguments a = {"calibrate", "catdog", "--data", temp / "photos", "--out", temp / "r.json", "--quiet"};
    a.insert(a.end(), flags.begin(), flags.end());
    REQUIRE(run_octet(a).status == 0);
    std::map<std::string, json> by_name;
    const json list = octet_json({"inspect", "catdog", "--quantizers", "--ranges", temp / "r.json"}).at("quantizers");
    for (const json& q : list) by_name[q["name"].get<std::string>()] = q;
    return by_name;
  };
  const json shipped = octet_json({"inspect", "catdog", "--quantizers"}).at("quantizers");
  CHECK(shipped.size() == 7 + 6);  // the notebook's edges; four convolutions and two linear layers
  for (const json& q : shipped) {
    for (const char* key : {"name", "bits", "signed", "axis", "rule", "amax", "enabled"}) CHECK(q.contains(key));
    CHECK(q["enabled"] == true);
  }
  const json bare = octet_json({"inspect", "mobilenet_v2", "--quantizers", "--precision", "fp32", "--quiet"})
                        .at("quantizers");  // no ranges, no weights
  CHECK(bare.size() > 100);
  int weights = 0;
  for (const json& q : bare) {
    CHECK(q["enabled"] == false);
    CHECK(q["amax"].is_null());
    weights += q["name"].get<std::string>().ends_with(".weight") ? 1 : 0;
  }
  CHECK(weights == 53);
  auto q = calibrated({"--scheme", "affine", "--reduce-range", "--method", "mse", "--ignore", "cnn2"});
  CHECK(q["cv1"]["bits"] == 7);
  CHECK(q["cv1"]["signed"] == false);
  CHECK(q["cv1"]["rule"] == "mse");
  CHECK(q["cv1"]["axis"].is_null());
  CHECK(q["cnn1.weight"]["axis"] == 0);
  CHECK(q["cnn1.weight"]["bits"] == 8);
  CHECK(q["cnn1.weight"]["amax_by_channel"].size() == 16);
  CHECK(q["cnn2.weight"]["enabled"] == false);
  CHECK(q["cnn2.weight"]["amax"].is_null());
  CHECK(q["cv2"]["enabled"] == false);  // what the float layer makes; the pool's result is quantised for the next one
  q = calibrated({"--weights-granularity", "tensor", "--num-bits", "5", "--ignore", "cnn"});
  CHECK(q["cv1"]["bits"] == 5);
  CHECK(q["cv1"]["signed"] == true);
  CHECK(q["cv1"]["enabled"] == false);  // between two float layers
  CHECK(q["fc1.weight"]["axis"].is_null());
  const Result table = run_octet({"inspect", "catdog", "--quantizers", "--ranges", temp / "r.json"});
  for (const char* column : {"quantizer", "bits", "signed", "axis", "rule", "amax", "enabled"}) {
    CHECK(table.out.find(column) != std::string::npos);
  }
}

TEST_CASE("plan says for every layer what runs and why") {
  const json plan = octet_json({"plan", "catdog"});
  check_keys(plan, {{"model", 's'},
                    {"precision", 's'},
                    {"device", 's'},
                    {"kernel_isa", 's'},
                    {"exact_through", 's'},
                    {"layers", 'a'}});
  CHECK(plan["exact_through"] == "fc2");
  std::int64_t macs = 0;
  for (const json& layer : plan["layers"]) {
    check_keys(layer, {{"name", 's'},
                       {"op", 's'},
                       {"shape", 'a'},
                       {"precision", 's'},
                       {"variant", 's'},
                       {"scale_in", '?'},
                       {"scale_out", '?'},
                       {"zero_in", '?'},
                       {"zero_out", '?'},
                       {"macs", 'i'},
                       {"packed_bytes", 'i'},
                       {"why", 's'}});
    macs += layer["macs"].get<std::int64_t>();
  }
  CHECK(macs == 220 * 220 * 16 * 75 + 106 * 106 * 32 * 400 + 51 * 51 * 16 * 288 + 23 * 23 * 8 * 144 + 968 * 512 + 1024);

  const json ignoring = octet_json({"plan", "catdog", "--ignore", "cnn[12]"});
  for (const json& layer : ignoring["layers"]) {
    if (layer["name"] != "cnn1" && layer["name"] != "cnn2") continue;
    CHECK(layer["precision"] == "fp32");
    CHECK(layer["why"].get<std::string>().find("--ignore") != std::string::npos);
  }
  for (const Arguments& all_float :
       {Arguments{"plan", "catdog", "--precision", "fp32"}, Arguments{"plan", "catdog", "--ignore", "cnn[12]"}}) {
    CHECK(octet_json(all_float)["exact_through"].get<std::string>().starts_with("nothing"));
  }
  octet_refuses({"plan", "catdog", "--ignore", "cnn9"}, {"cnn9", "matches no layer", "cnn1"});
}

TEST_CASE("run, calibrate, evaluate, export and bench print the JSON that scripts rely on") {
  const TempFolder temp;
  write_photos(temp.path() / "data", 2);
  const std::string data = temp / "data", ranges = temp / "ranges.json";

  const json run = octet_json({"run", "catdog", data, "--top", "2", "--hash-layers"});
  check_keys(run, {{"images", 'a'}, {"layers", 'a'}, {"model", 's'}, {"precision", 's'}, {"seeded", 'b'}});
  REQUIRE(run["images"].size() == 2);
  for (const json& image : run["images"]) {
    check_keys(image, {{"file", 's'}, {"label", 's'}, {"score", 'n'}, {"top", 'a'}, {"logits", 'a'}});
    REQUIRE(image["top"].size() == 2);
    CHECK(image["logits"].size() == 2);
    CHECK(image["top"][0]["label"] == image["label"]);
    CHECK(image["top"][0]["score"].get<double>() >= image["top"][1]["score"].get<double>());
    CHECK(image["top"][0]["score"].get<double>() + image["top"][1]["score"].get<double>() == doctest::Approx(1));
  }
  for (const json& layer : run["layers"]) CHECK(layer["hash"].get<std::string>().size() == 16);
  CHECK(octet_json({"run", "catdog", data})["images"][0]["top"].size() == 1);
  CHECK_FALSE(octet_json({"run", "catdog", data}).contains("layers"));

  const json calibrated = octet_json({"calibrate", "catdog", "--data", data, "--out", ranges});
  check_keys(calibrated, {{"model", 's'}, {"method", 's'}, {"scheme", 's'}, {"images", 'i'}, {"edges", 'a'}});
  CHECK(calibrated == json::parse(read_text(ranges)));
  CHECK(calibrated["edges"].size() == 7);

  const json scores = octet_json({"evaluate", "catdog", "--data", data});
  check_keys(scores, {{"model", 's'},
                      {"precision", 's'},
                      {"device", 's'},
                      {"count", 'i'},
                      {"correct", 'i'},
                      {"top1", 'n'},
                      {"top5", 'n'},
                      {"images_per_second", 'n'},
                      {"latency_ms.median", 'n'},
                      {"latency_ms.p90", 'n'},
                      {"model_bytes", 'i'},
                      {"on_calibration_data", 'b'},
                      {"seeded", 'b'}});
  CHECK(scores["precision"] == "int8");
  CHECK(scores["top1"].get<double>() == doctest::Approx(50.0 * scores["correct"].get<double>()));
  CHECK(scores["model_bytes"].get<int>() < 600'000);
  const json fp32 = octet_json({"evaluate", "catdog", "--data", data, "--precision", "fp32"});
  CHECK(fp32["precision"] == "fp32");
  CHECK(fp32["model_bytes"].get<int>() > 2'000'000);

  const json exported = octet_json({"export", "catdog", "--out", temp / "m.octet"});
  check_keys(exported, {{"out", 's'}, {"model_bytes", 'i'}, {"precision", 's'}});
  CHECK(exported["model_bytes"] == fs::file_size(temp / "m.octet"));
  CHECK(exported["model_bytes"] == scores["model_bytes"]);
  check_keys(octet_json({"inspect", temp / "m.octet"}), {{"model", 's'}, {"layers", 'a'}});

  const json bench = octet_json({"bench", "catdog", "--runs", "2", "--batch", "2", "--threads", "1"});
  check_keys(bench, {{"model", 's'},
                     {"batch", 'i'},
                     {"threads", 'i'},
                     {"precision", 's'},
                     {"device", 's'},
                     {"kernel_isa", 's'},
                     {"latency_ms_median", 'n'},
                     {"latency_ms_p90", 'n'},
                     {"latency_ms_p99", 'n'},
                     {"peak_bytes", 'i'},
                     {"seeded", 'b'}});
  CHECK(bench["batch"] == 2);
  CHECK(bench["threads"] == 1);
}

TEST_CASE("what does not fit is named with its file") {
  const TempFolder temp;
  const std::string weights = std::string(OCTET_SOURCE_DIR) + "/models/catdog/catdog.safetensors";
  const std::string ranges = std::string(OCTET_SOURCE_DIR) + "/models/catdog/ranges.json";
  octet_refuses({"plan", "mobilenet_v2", "--weights", weights}, {"catdog.safetensors: ", "features.0.0.weight"});
  octet_refuses({"plan", "mobilenet_v2", "--ranges", ranges}, {"catdog/ranges.json: ", "of 'catdog'"});
  octet_refuses({"plan", temp / "net.tflite"}, {"net.tflite", "TensorFlow Lite", ".onnx"});
  write_text(temp / "flags.json", R"({"limt": 3})");
  const Result unknown = run_octet({"run", "catdog", "x.jpg", "--config", temp / "flags.json"});
  CHECK(unknown.status == 2);
  CHECK(unknown.err.find("--limt=3") != std::string::npos);
  CHECK(unknown.err.find("--config") != std::string::npos);
}

TEST_CASE("--config: flags in a file; the command line wins; a bad file is refused") {
  const TempFolder temp;
  write_photos(temp.path() / "data", 3);
  const std::string data = temp / "data", config = temp / "flags.json";
  write_text(config, R"({"limit": 2, "json": true, "quiet": false, "precision": "int8"})");
  const Result plain = run_octet({"run", "catdog", data, "--config", config});
  REQUIRE(plain.status == 0);
  CHECK(json::parse(plain.out)["images"].size() == 2);
  CHECK(octet_json({"run", "catdog", data, "--config=" + config, "--limit", "1"})["images"].size() == 1);
  CHECK(octet_json({"run", "--limit=3", "catdog", data, "--config", config})["images"].size() == 3);

  write_text(config, R"({"ignore": ["cnn1", "fc2"]})");
  const json plan = octet_json({"plan", "catdog", "--config", config});
  for (const json& layer : plan["layers"]) {
    if (layer["name"] == "cnn1" || layer["name"] == "fc2") CHECK(layer["precision"] == "fp32");
    if (layer["name"] == "fc1") CHECK(layer["precision"] == "int8");
  }
  write_text(config, R"({"mean": "-1,2,3"})");  // a value that looks like a flag
  CHECK(run_octet({"run", "catdog", data, "--config", config, "--limit", "1"}).status == 0);

  write_text(config, R"({"limit": 2)");
  octet_refuses({"run", "catdog", data, "--config", config}, {config, "JSON"});
  write_text(config, "[1]");
  octet_refuses({"run", "catdog", data, "--config", config}, {config, "object"});
  write_text(config, R"({"limit": {"of": 2}})");
  octet_refuses({"run", "catdog", data, "--config", config}, {config, "limit"});
  octet_refuses({"run", "catdog", data, "--config", temp / "none.json"}, {"none.json", "no such file"});
  write_text(config, R"({"limitt": 2})");
  const Result unknown = run_octet({"run", "catdog", data, "--config", config});
  CHECK(unknown.status == 2);
  CHECK(unknown.err.find("--limitt") != std::string::npos);
}

TEST_CASE("--skip, --limit and --batches read exactly the files they name, in bytewise order") {
  const TempFolder temp;
  const std::string data = temp / "data";
  write_text(data + "/B.jpg", "not a photo");  // 'B' < 'a': left out by --skip 1
  write_photo(data + "/a10.bmp", 1);
  write_photo(data + "/a2.bmp", 2);
  write_photo(data + "/sub/a1.bmp", 3);
  write_text(data + "/z.jpg", "not a photo");  // behind --limit
  write_text(data + "/notes.txt", "no photo by its name, so not counted");
  const Arguments window = {"--skip", "1", "--limit", "3", "--threads", "1"};
  const auto with_window = [&](Arguments arguments) {
    arguments.insert(arguments.end(), window.begin(), window.end());
    return octet_json(arguments);
  };
  CHECK(files_of(with_window({"run", "catdog", data})) == std::vector<std::string>{"a10.bmp", "a2.bmp", "a1.bmp"});
  CHECK(with_window({"evaluate", "catdog", "--data", data, "--batch-size", "2"})["count"] == 3);
  CHECK(with_window({"calibrate", "catdog", "--data", data, "--out", temp / "r.json"})["images"] == 3);
  // Two batches of one: sub/a1.bmp, which would be next, is not opened.
  write_text(data + "/sub/a1.bmp", "broken");
  CHECK(octet_json({"calibrate", "catdog", "--data", data, "--out", temp / "r.json", "--batches", "2", "--batch-size",
                    "1", "--skip", "1"})["images"] == 2);
  octet_refuses({"run", "catdog", data, "--skip", "1"}, {"a1.bmp"});
  octet_refuses({"run", "catdog", data, "--skip", "9"}, {"--skip 9", "5 photos"});
  octet_refuses({"evaluate", "catdog", "--data", data, "--skip", "9"}, {"--skip 9", "5 photos"});
}

TEST_CASE("files given one by one keep their order; a fragment is a part of a photo") {
  const TempFolder temp;
  const auto half = [](std::uint32_t seed, int from) {
    return [seed, from](int x, int y) { return scene(seed)(x - from, y); };
  };
  write_bmp(temp / "both.bmp", 200, 100, [&](int x, int y) { return x < 100 ? half(1, 0)(x, y) : half(5, 100)(x, y); });
  write_bmp(temp / "left.bmp", 100, 100, half(1, 0));
  write_bmp(temp / "right.bmp", 100, 100, half(5, 0));
  const json run = octet_json({"run", "catdog", "--precision", "fp32", temp / "right.bmp", temp / "left.bmp",
                               temp / "both.bmp#xywh=0,0,100,100", temp / "both.bmp#xywh=percent:50,0,50,100"});
  REQUIRE(run["images"].size() == 4);
  CHECK(run["images"][0]["file"] == temp / "right.bmp");
  CHECK(run["images"][2]["logits"] == run["images"][1]["logits"]);
  CHECK(run["images"][3]["logits"] == run["images"][0]["logits"]);
  CHECK(run["images"][0]["logits"] != run["images"][1]["logits"]);
  octet_refuses({"run", "catdog", temp / "both.bmp#xywh=150,0,100,100"}, {"both.bmp", "outside"});
}

TEST_CASE("an exported program keeps the image flags it was made with") {
  const TempFolder temp;
  const std::string file = temp / "m.octet";
  REQUIRE(run_octet({"export", "catdog", "--out", file, "--filter", "bilinear", "--resize", "256"}).status == 0);
  const json how = octet_json({"inspect", file})["preprocess"];
  CHECK(how["filter"] == "bilinear");
  CHECK(how["resize"] == 256);
  write_photo(temp / "p.bmp", 3);
  const json by_flags = octet_json({"run", "catdog", temp / "p.bmp", "--filter", "bilinear", "--resize", "256"});
  CHECK(octet_json({"run", file, temp / "p.bmp"})["images"] == by_flags["images"]);
  CHECK(octet_json({"run", file, temp / "p.bmp", "--resize", "0"})["images"] != by_flags["images"]);
}

TEST_CASE("--quiet is silent") {
  const TempFolder temp;
  write_photos(temp.path() / "data", 1);
  const RunOptions nowhere{.environment = {{"OCTET_DATA", "/nonexistent"}}};
  CHECK_FALSE(run_octet({"run", "catdog", temp / "data"}, nowhere).err.empty());
  const Result quiet = run_octet({"run", "catdog", temp / "data", "--quiet"}, nowhere);
  CHECK(quiet.status == 0);
  CHECK(quiet.err.empty());
}

TEST_CASE("a data folder's parts: calibration or train calibrates, test or val is scored") {
  const TempFolder temp;
  const std::string data = temp / "data";
  const auto calibrates = [&] {
    return octet_json({"calibrate", "catdog", "--data", data, "--out", temp / "r.json"})["images"].get<int>();
  };
  const auto scores = [&] { return octet_json({"evaluate", "catdog", "--data", data})["count"].get<int>(); };
  write_photos(data, 1);
  CHECK(calibrates() == 1);
  CHECK(scores() == 1);
  write_photos(data + "/train", 2);
  write_photos(data + "/val", 3);
  CHECK(calibrates() == 2);
  CHECK(scores() == 3);
  write_photos(data + "/calibration", 4);
  write_photos(data + "/test", 5);
  CHECK(calibrates() == 4);
  CHECK(scores() == 5);
}

TEST_CASE("a score on the photos that calibrated is marked") {
  const TempFolder temp;
  write_photos(temp.path() / "seen", 2);
  write_photos(temp.path() / "other", 2, 50);
  const std::string ranges = ranges_of(temp / "seen", temp / "r.json");
  const auto marked = [&](const std::string& data) {
    return octet_json({"evaluate", "catdog", "--ranges", ranges, "--data", data})["on_calibration_data"].get<bool>();
  };
  CHECK(marked(temp / "seen"));
  CHECK(run_octet({"evaluate", "catdog", "--ranges", ranges, "--data", temp / "seen"}).out.find("calibrated") !=
        std::string::npos);
  fs::rename(temp / "other/1.bmp", temp / "other/3.bmp");
  fs::rename(temp / "other/2.bmp", temp / "other/4.bmp");
  CHECK_FALSE(marked(temp / "other"));
  // Some of the same photos, in another folder and by --limit.
  fs::copy(temp / "seen/1.bmp", temp / "other/1.bmp");
  const json some = octet_json({"evaluate", "catdog", "--ranges", ranges, "--data", temp / "other"});
  CHECK(some["on_calibration_data"] == true);
  CHECK(some["calibration_overlap"] == 1);
  CHECK(run_octet({"evaluate", "catdog", "--ranges", ranges, "--data", temp / "other"}).out.find("1 of these photos") !=
        std::string::npos);
  CHECK(octet_json({"evaluate", "catdog", "--ranges", ranges, "--data", temp / "seen", "--limit",
                    "1"})["calibration_overlap"] == 1);
}

TEST_CASE("labels: the folder first, then the file's own name, never the path above") {
  const auto& catdog = models::find_model("catdog");
  const auto label = [&](const char* path) { return models::label_of(path, catdog.labels, &catdog); };
  CHECK(label("cat/x.jpg") == 0);
  CHECK(label("dog/cat.jpg") == 1);
  CHECK(label("a/cat/b/cat.1.jpg") == 0);
  CHECK(label("cats/x.jpg") == 1);  // a folder that only resembles a class says nothing; the name holds no 'cat'
  CHECK(label("dogs/my.cat.jpg") == 0);
  CHECK(label("cat.9.jpg") == 0);
  CHECK(label("/data/cat_dog/val/dog.3.jpg") == 1);
  CHECK(label("cat/dogs.jpg#xywh=percent:0,0,50,50") == 0);

  const TempFolder temp;
  write_photo(temp.path() / "catalogue" / "x.bmp", 5);
  const bool is_cat = octet_json({"run", "catdog", temp / "catalogue"})["images"][0]["label"] == "cat";
  const auto correct = [&] { return octet_json({"evaluate", "catdog", "--data", temp / "catalogue"})["correct"] == 1; };
  CHECK(correct() == !is_cat);
  fs::rename(temp / "catalogue/x.bmp", temp / "catalogue/xcat.bmp");
  CHECK(correct() == is_cat);
}

TEST_CASE("--labels: quotes, a header, names or relative paths; wrong tables are refused") {
  const TempFolder temp;
  const std::string data = temp / "data", table = temp / "labels.csv";
  write_photo(data + "/one, two.bmp", 1);
  write_photo(data + "/sub/a \"b\".bmp", 2);
  const json images = octet_json({"run", "catdog", data})["images"];
  const auto said = [&](int i) { return images[static_cast<std::size_t>(i)]["label"] == "cat" ? 0 : 1; };
  const auto correct = [&](const std::string& text) {
    write_text(table, text);
    return octet_json({"evaluate", "catdog", "--data", data, "--labels", table})["correct"].get<int>();
  };
  const auto rows = [&](int first, int second, const char* end) {
    return "\"one, two.bmp\"," + std::to_string(first) + ",more,\"columns, quoted\"" + end +
           "\"sub/a \"\"b\"\".bmp\"," + std::to_string(second) + end;
  };
  CHECK(correct("file,class,wnid,name\r\n" + rows(said(0), said(1), "\r\n")) == 2);
  CHECK(correct("\xef\xbb\xbf" + rows(said(0), 1 - said(1), "\n")) == 1);  // as spreadsheets write it
  CHECK(correct(rows(1 - said(0), 1 - said(1), "\n")) == 0);

  const Arguments evaluate = {"evaluate", "catdog", "--data", data, "--labels", table};
  write_text(table, "file,class\n\"one, two.bmp,0\n");
  octet_refuses(evaluate, {table, "quote"});
  write_text(table, "one.bmp\n");
  octet_refuses(evaluate, {table, "row 1"});
  write_text(table, "file,class\nx.bmp,zero\n");
  octet_refuses(evaluate, {table, "row 2", "zero"});
  write_text(table, "\"one, two.bmp\",2\n");
  octet_refuses(evaluate, {"one, two.bmp", "2", "classes"});
  octet_refuses({"evaluate", "catdog", "--data", data, "--labels", temp / "none.csv"}, {"none.csv", "no such file"});
}
