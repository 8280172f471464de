// The calibration commands as users run them: octet calibrate with every method and preset, octet amax.
#include <algorithm>
#include <cmath>

#include "calib/amax.h"
#include "runtime/io/safetensors.h"
#include "tests/photos.h"
#include "tests/program.h"

using namespace octet;
using namespace octet::testing;

namespace {

void write_photos(const fs::path& folder, int count) {
  for (int i = 1; i <= count; ++i) {
    write_photo(folder / (std::to_string(i) + ".bmp"), static_cast<std::uint32_t>(i));
  }
}

json calibrate(const TempFolder& folder, Arguments flags) {
  Arguments arguments = {"calibrate", "catdog",    "--data", folder / "photos", "--out", folder / "ranges.json",
                         "--json",    "--threads", "1",      "--batch-size",    "2"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const Result result = run_octet(arguments);
  CAPTURE(result.err);
  REQUIRE(result.status == 0);
  CHECK(json::parse(read_text(folder / "ranges.json")) == json::parse(result.out));
  return json::parse(result.out);
}

Tensor row(const std::vector<float>& values) {
  return Tensor::of<float>(Shape{static_cast<std::int64_t>(values.size())}, values);
}

}  // namespace

TEST_CASE("calibrate: every method reaches the ranges, and they run") {
  const TempFolder folder;
  write_photos(folder.path() / "photos", 3);
  for (const std::string method : {"entropy", "mse", "percentile"}) {
    const json ranges = calibrate(folder, {"--method", method, "--percentile", "99.5"});
    CHECK(ranges["method"] == method);
    int below = 0;
    for (const json& edge : ranges["edges"]) {
      CAPTURE(edge["name"].get<std::string>());
      CHECK(edge["amax"] == edge["rules"][method]);
      below += edge["amax"].get<double>() < edge["rules"]["max"].get<double>();
      CHECK(edge["histogram"]["counts"].is_array());
    }
    CHECK(below >= 3);
    CHECK(
        run_octet({"run", "catdog", folder / "photos", "--ranges", folder / "ranges.json", "--threads", "1"}).status ==
        0);
  }
  const json plain = calibrate(folder, {});
  CHECK(plain["method"] == "max");
  CHECK(!plain["edges"][0].contains("rules"));
}

TEST_CASE("calibrate: --batches N reads exactly N") {
  const TempFolder folder;
  write_photos(folder.path() / "photos", 5);
  CHECK(calibrate(folder, {})["images"] == 5);
  CHECK(calibrate(folder, {"--batches", "1"})["images"] == 2);
  CHECK(calibrate(folder, {"--batches", "2"})["images"] == 4);
  CHECK(calibrate(folder, {"--batches", "3"})["images"] == 5);
  const Result more = run_octet({"calibrate", "catdog", "--data", folder / "photos", "--out", folder / "none.json",
                                 "--batches", "4", "--batch-size", "2"});
  CHECK(more.status == 1);
  CHECK(more.err.find("make only 3 batches") != std::string::npos);
  CHECK(!fs::exists(folder / "none.json"));
}

TEST_CASE("calibrate: presets, and flags that override or contradict them") {
  const TempFolder folder;
  write_photos(folder.path() / "photos", 2);
  const json x86 = calibrate(folder, {"--preset", "x86"});
  CHECK(x86["preset"] == "x86");
  CHECK(x86["method"] == "histogram");
  CHECK(x86["scheme"] == "affine");
  CHECK(x86["weights"] == "channel");
  CHECK(x86["edges"][1]["hi"] == 127);
  const json simple = calibrate(folder, {"--preset", "simple", "--method", "mse"});
  CHECK(simple["method"] == "mse");
  CHECK(simple["weights"] == "tensor");
  const json six = calibrate(folder, {"--scheme", "affine", "--num-bits", "6"});
  CHECK(six["edges"][1]["hi"] == 63);
  const std::vector<std::pair<Arguments, std::string>> wrong = {
      {{"--reduce-range"}, "--scheme affine"},
      {{"--method", "histogram"}, "--scheme affine"},
      {{"--preset", "notebook", "--scheme", "affine"}, "symmetric"},
      {{"--preset", "notebook", "--method", "mse"}, "method max"},
      {{"--ignore", "cmn1"}, "close names are cnn1"}};
  for (const auto& [flags, message] : wrong) {
    Arguments arguments = {"calibrate", "catdog", "--data", folder / "photos", "--out", folder / "none.json"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Result result = run_octet(arguments);
    CAPTURE(result.err);
    CHECK(result.status == 1);
    CHECK(result.err.find(message) != std::string::npos);
    CHECK(!fs::exists(folder / "none.json"));
  }
}

TEST_CASE("calibrate: --ignore and --only leave the model behind them alone, and may be repeated") {
  const TempFolder folder;
  write_photos(folder.path() / "photos", 1);
  const auto run = [&](Arguments first) {
    Arguments a = {"calibrate"};
    a.insert(a.end(), first.begin(), first.end());
    for (const std::string& s : {std::string("catdog"), std::string("--data"), folder / "photos", std::string("--out"),
                                 folder / "r.json", std::string("--quiet")}) {
      a.push_back(s);
    }
    const Result result = run_octet(a);
    CAPTURE(result.err);
    REQUIRE(result.status == 0);
    return json::parse(read_text(folder / "r.json"));
  };
  CHECK(run({"--ignore", "cnn2"})["ignore"] == json::array({"cnn2"}));
  CHECK(run({"--ignore", "cnn2", "--ignore", "cnn3"})["ignore"] == json::array({"cnn2", "cnn3"}));
  CHECK(run({"--only", "cnn1", "--only", "cnn2"})["only"] == json::array({"cnn1", "cnn2"}));
  CHECK(octet_json({"plan", "--ignore", "cnn1", "--ignore", "cnn2", "catdog"})["layers"].is_array());
}

TEST_CASE("calibrate: a range that the rule cut to 0 is not said to have seen only zeros") {
  const TempFolder folder;
  write_photos(folder.path() / "photos", 1);
  const auto notes = [&](Arguments flags) {
    Arguments a = {"calibrate", "catdog", "--data", folder / "photos", "--out", folder / "r.json"};
    a.insert(a.end(), flags.begin(), flags.end());
    const Result result = run_octet(a);
    REQUIRE(result.status == 0);
    return result.err;
  };
  const std::string cut = notes({"--method", "percentile", "--percentile", "0.5"});
  CHECK(cut.find("is dead: the method percentile chose 0") != std::string::npos);
  CHECK(cut.find("every value was 0") == std::string::npos);
  write_bmp(folder.path() / "photos/1.bmp", 8, 8, [](int, int) { return Colour{0, 0, 0}; });
  const std::string black = notes({"--mean", "0,0,0", "--std", "1,1,1"});
  CHECK(black.find("is dead: every value was 0") != std::string::npos);
}

TEST_CASE("amax: every rule of every edge, batches in the order of their numbers") {
  const TempFolder folder;
  std::vector<float> first, second;
  for (int i = 0; i < 5000; ++i) {
    const double u = (i + 0.5) / 5000;
    first.push_back(static_cast<float>(std::log(u)));
    second.push_back(static_cast<float>(-1.5 * std::log(u)));
  }
  StateDict tensors;
  tensors.insert("edge.10", row({0.25f, 20.0f}));  // the last batch, not the second
  tensors.insert("edge.2", row(second));
  tensors.insert("edge.0", row(first));
  tensors.insert("alone", row({1, 2, 3}));
  write_safetensors(folder / "a.safetensors", tensors);

  calib::Histogram h;
  h.observe(first), h.observe(second), h.observe(std::vector<float>{0.25f, 20.0f});
  const Result result = run_octet({"amax", folder / "a.safetensors", "--json", "--stride", "3", "--start-bin", "200"});
  REQUIRE(result.status == 0);
  const json all = json::parse(result.out);
  CHECK(all.size() == 2);
  const json& edge = all.at("edge");
  const calib::AmaxOptions o{.start_bin = 200, .stride = 3};
  CHECK(edge["max"].get<float>() == 20.0f);
  CHECK(edge["entropy"].get<float>() == calib::choose_amax(h, calib::Rule::entropy, o));
  CHECK(edge["mse"].get<float>() == calib::choose_amax(h, calib::Rule::mse, o));
  CHECK(edge["percentile"].size() == 3);
  CHECK(edge["percentile"]["99.9"].get<float>() ==
        calib::choose_amax(h, calib::Rule::percentile, {.percentile = 99.9}));
  CHECK(edge["bin_width"].get<float>() == h.width());
  CHECK(all["alone"]["max"] == 3.0);
  CHECK(run_octet({"amax", folder / "a.safetensors"}).out.find("edge") != std::string::npos);
  CHECK(run_octet({"amax", folder / "a.safetensors", "--unsigned", "--num-bits", "4"}).status == 0);
}

TEST_CASE("amax: what it refuses, by name") {
  const TempFolder folder;
  StateDict tensors;
  tensors.insert("edge.0", row({1.0f, std::nanf("")}));
  write_safetensors(folder / "nan.safetensors", tensors);
  const Result nan = run_octet({"amax", folder / "nan.safetensors"});
  CHECK(nan.status == 1);
  CHECK(nan.err.find("tensor 'edge.0'") != std::string::npos);
  CHECK(run_octet({"amax", folder / "absent.safetensors"}).status == 1);
  StateDict fine;
  fine.insert("edge.0", row({1.0f}));
  write_safetensors(folder / "fine.safetensors", fine);
  const Result start = run_octet({"amax", folder / "fine.safetensors", "--start-bin", "5000"});
  CHECK(start.status == 1);
  CHECK(start.err.find("start bin 5000") != std::string::npos);
}

TEST_CASE("an empty set, silent activations and activations that overflow") {
  const TempFolder folder;
  fs::create_directories(folder.path() / "empty");
  octet_refuses({"calibrate", "catdog", "--data", folder / "empty", "--out", folder / "r.json"}, {"no photos"});
  CHECK(!fs::exists(folder / "r.json"));

  write_bmp(folder.path() / "black" / "1.bmp", 60, 50, [](int, int) { return Colour{0, 0, 0}; });
  for (const std::string method : {"max", "mse", "entropy", "percentile"}) {
    const Result silent = run_octet(
        {"calibrate", "catdog", "--data", folder / "black", "--out", folder / "r.json", "--json", "--method", method});
    CAPTURE(method);
    REQUIRE(silent.status == 0);
    CHECK(silent.err.find("edge input is dead") != std::string::npos);
    const json input = json::parse(silent.out)["edges"][0];
    CHECK(input["name"] == "input");
    CHECK(input["step"] == 1.0);
    CHECK(input["dead"] == true);
    CHECK(run_octet({"run", "catdog", folder / "black", "--ranges", folder / "r.json"}).status == 0);
  }

  StateDict weights;
  const std::string shipped = std::string(OCTET_SOURCE_DIR) + "/models/catdog/catdog.safetensors";
  const SafetensorsFile file = read_safetensors(shipped);
  for (const auto& [name, tensor] : file.tensors) {
    Tensor copy = tensor.clone();
    if (name == "bn2.weight" || name == "bn1.weight") {
      for (float& v : copy.span<float>()) v *= 1e30f;  // finite, but not what they are multiplied with
    }
    weights.insert(name, copy);
  }
  write_safetensors(folder / "huge.safetensors", weights);
  write_photos(folder.path() / "photos", 1);
  octet_refuses({"calibrate", "catdog", "--data", folder / "photos", "--out", folder / "none.json", "--weights",
                 folder / "huge.safetensors"},
                {"edge 'cv", "NaN or an infinity"});
  CHECK(!fs::exists(folder / "none.json"));
}

TEST_CASE("ranges of an older format or of another model") {
  const TempFolder folder;
  write_photos(folder.path() / "photos", 1);
  json ranges = calibrate(folder, {});
  const auto refused = [&](const char* key, const json& value, const std::string& message) {
    json other = ranges;
    other[key] = value;
    write_text(folder / "other.json", other.dump());
    octet_refuses({"run", "catdog", folder / "photos", "--ranges", folder / "other.json"}, {message});
  };
  refused("octet_ranges", 0, "version 0 of the format, 1 was expected");
  refused("model", "resnet50", "these ranges are of 'resnet50', the model is 'catdog'");
}
