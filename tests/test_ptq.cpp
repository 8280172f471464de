// octet ptq, sensitivity and report as users run them: files, resuming after kill -9, an analysis that goes on.
#include <algorithm>
#include <random>

#include "tests/photos.h"
#include "tests/program.h"

using namespace octet;
using namespace octet::testing;

namespace {

const char* const kFiles[] = {"ranges.json", "sensitivity.json", "summary.json", "report.html"};
const RunOptions kNoData{.environment = {{"OCTET_DATA", "/nonexistent"}}};

// Photos in data/calibration and data/test, each half in cat/ and in dog/.
void write_data(const fs::path& folder, int calibration, int test) {
  const auto write = [&](const char* part, int count, std::uint32_t seed) {
    for (int i = 0; i < count; ++i) {
      const fs::path name = folder / part / (i % 2 == 0 ? "cat" : "dog") / (std::to_string(i) + ".bmp");
      write_photo(name, seed + static_cast<std::uint32_t>(i));
    }
  };
  write("calibration", calibration, 1);
  write("test", test, 100);
}

Arguments ptq(const TempFolder& folder, const std::string& out, Arguments more = {}) {
  Arguments arguments = {"ptq",       "catdog", "--data",  folder / "data", "--out", folder / out,
                         "--threads", "1",      "--quiet", "--batch-size",  "4"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// A file's text without what may differ from run to run: the times of summary.json.
std::string stable(const fs::path& path) {
  const std::string text = read_text(path);
  if (path.filename() != "summary.json") return text;
  json summary = json::parse(text);
  CHECK(summary.erase("time") == 1);
  return summary.dump();
}

}  // namespace

TEST_CASE("ptq writes ranges, sensitivity, summary and report, and what it writes runs") {
  const TempFolder folder;
  write_data(folder.path() / "data", 6, 8);
  const Result result = run_octet(ptq(folder, "out", {"--json"}));
  CAPTURE(result.err);
  REQUIRE(result.status == 0);
  for (const char* name : kFiles) CHECK(fs::file_size(folder.path() / "out" / name) > 500);
  const json summary = json::parse(read_text(folder / "out/summary.json"));
  CHECK(json::parse(result.out) == summary);
  CHECK(summary["metric"] == "top1");
  CHECK(summary["count"] == 8);
  CHECK(summary["drop"].get<double>() ==
        doctest::Approx(summary["origin"].get<double>() - summary["ptq"].get<double>()));
  CHECK(summary["sizes"]["fp32"].get<double>() > 3.5 * summary["sizes"]["int8"].get<double>());
  CHECK(summary["edges"].size() >= 6);
  CHECK(summary["on_calibration_data"] == false);
  const json ranges = json::parse(read_text(folder / "out/ranges.json"));
  CHECK(ranges["method"] == "mse");  // ptq's default
  CHECK(ranges["images"] == 6);
  const json sensitivity = json::parse(read_text(folder / "out/sensitivity.json"));
  CHECK(sensitivity["complete"] == true);
  CHECK(sensitivity["layers"].size() >= 6);

  // Scores are those of octet evaluate on the same photos.
  for (const auto& [precision, key] : {std::pair{"fp32", "origin"}, std::pair{"int8", "ptq"}}) {
    const json e = octet_json({"evaluate", "catdog", "--data", folder / "data", "--ranges", folder / "out/ranges.json",
                               "--precision", precision, "--threads", "1", "--quiet"});
    CHECK(e["top1"] == summary[key]);
    CHECK(e["model_bytes"] == summary["sizes"][precision]);
  }
  const json report = octet_json({"report", "--ranges", folder / "out/ranges.json", "--sensitivity-json",
                                  folder / "out/sensitivity.json", "--summary", folder / "out/summary.json", "--out",
                                  folder / "again.html"});
  CHECK(report["edges"] == ranges["edges"].size());
  CHECK(read_text(folder / "again.html") == read_text(folder / "out/report.html"));
}

TEST_CASE("seeded weights go through ptq when --seed asks for them, scored without labels") {
  const TempFolder folder;
  write_data(folder.path() / "data", 2, 2);
  octet_refuses(ptq(folder, "out"), {"seeded", "--weights", "--seed"}, kNoData);
  const Result result = run_octet(ptq(folder, "out", {"--seed", "3", "--json"}), kNoData);
  CAPTURE(result.err);
  REQUIRE(result.status == 0);
  const json summary = json::parse(result.out);
  CHECK(summary["metric"] == "agreement");  // of top-1 with the float network
  CHECK(summary["origin"] == 100.0);
  CHECK(json::parse(read_text(folder / "out/ranges.json"))["seeded"] == true);
  const json run = octet_json({"run", "catdog", "--seed", "3", "--ranges", folder / "out/ranges.json",
                               folder / "data/test/cat/0.bmp", "--quiet"},
                              kNoData);
  CHECK(run["precision"] == "int8");
}

TEST_CASE("killed at random moments and run again, ptq ends with the files of an unbroken run") {
  const TempFolder folder;
  write_data(folder.path() / "data", kSanitised ? 2 : 6, kSanitised ? 2 : 12);
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(run_octet(ptq(folder, "whole")).status == 0);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::mt19937 random(20261122);
  constexpr int kTimes = kSanitised ? 4 : 10;
  int killed = 0;
  for (int i = 0; i < kTimes; ++i) {
    const double moment = seconds * (0.05 + 0.9 * static_cast<double>(random() % 1000) / 1000);
    Arguments command = {"timeout", "-s", "KILL", std::to_string(moment), program_path("octet")};
    for (const std::string& a : ptq(folder, "broken" + std::to_string(i))) command.push_back(a);
    killed += run_program(command).status != 0;
    REQUIRE(run_octet(ptq(folder, "broken" + std::to_string(i))).status == 0);
    for (const char* name : kFiles) {
      CAPTURE(name);
      CHECK(stable(folder.path() / ("broken" + std::to_string(i)) / name) == stable(folder.path() / "whole" / name));
    }
  }
  MESSAGE(killed << " of " << kTimes << " runs were killed before their end");
  CHECK(killed >= kTimes / 3);
}

TEST_CASE("other arguments start anew; the same ones find everything done") {
  const TempFolder folder;
  write_data(folder.path() / "data", 4, 4);
  REQUIRE(run_octet(ptq(folder, "out")).status == 0);
  const std::string before = read_text(folder / "out/summary.json");
  REQUIRE(run_octet(ptq(folder, "out")).status == 0);
  CHECK(read_text(folder / "out/summary.json") == before);
  for (const std::string method : {"entropy", "mse", "percentile"}) {
    CAPTURE(method);
    const Result result = run_octet(ptq(folder, "out", {"--hist-method", method, "--no-sensitivity"}));
    REQUIRE(result.status == 0);
    CHECK(result.out.find("method " + method) != std::string::npos);
    const json ranges = json::parse(read_text(folder / "out/ranges.json"));
    CHECK(ranges["method"] == method);
    REQUIRE(ranges["edges"].size() >= 6);
    for (const json& edge : ranges["edges"]) CHECK(edge["amax"] == edge["rules"][method]);
  }
  CHECK(!fs::exists(folder / "out/sensitivity.json"));
  REQUIRE(run_octet(ptq(folder, "out", {"--calib-method", "max", "--no-sensitivity"})).status == 0);
  CHECK(json::parse(read_text(folder / "out/ranges.json"))["method"] == "max");
}

TEST_CASE("photos of the same names and sizes but other bytes start anew, of calibration and of scoring") {
  const TempFolder folder;
  write_data(folder.path() / "data", 2, 2);
  const auto run = [&] {
    REQUIRE(run_octet(ptq(folder, "out", {"--no-sensitivity"})).status == 0);
    return json::parse(read_text(folder / "out/summary.json"));
  };
  const json first = run();
  CHECK(run()["time"] == first["time"]);  // nothing changed: the same file
  const std::string ranges = read_text(folder / "out/ranges.json");
  write_photo(folder.path() / "data/calibration/cat/0.bmp", 77);
  const json second = run();
  CHECK(read_text(folder / "out/ranges.json") != ranges);
  write_photo(folder.path() / "data/test/cat/0.bmp", 78);
  const json third = run();
  CHECK(third["edges"] != second["edges"]);
  // Two photos change places: the same bytes, other labels.
  fs::rename(folder.path() / "data/test/cat/0.bmp", folder.path() / "swap.bmp");
  fs::rename(folder.path() / "data/test/dog/1.bmp", folder.path() / "data/test/cat/0.bmp");
  fs::rename(folder.path() / "swap.bmp", folder.path() / "data/test/dog/1.bmp");
  CHECK(run()["time"] != third["time"]);
}

TEST_CASE("a network whose name follows from its flags goes through ptq, and another's results are not taken for its") {
  if (kSanitised) {
    MESSAGE("skipped: mobilenet_v2 is slow under the sanitisers");
    return;
  }
  const TempFolder folder;
  write_data(folder.path() / "data", 1, 1);
  std::string ranges;
  for (const auto& [activation, name] : {std::pair{"relu", "mobilenet_v2_relu"}, std::pair{"relu6", "mobilenet_v2"}}) {
    Arguments arguments = ptq(folder, "out", {"--seed", "3", "--activation", activation, "--no-sensitivity"});
    arguments[1] = "mobilenet_v2";  // the same weights with either activation
    const Result result = run_octet(arguments, kNoData);
    CAPTURE(result.err);
    REQUIRE(result.status == 0);
    CHECK(json::parse(read_text(folder / "out/summary.json"))["model"] == name);
    CHECK(json::parse(read_text(folder / "out/ranges.json"))["model"] == name);
    CHECK(read_text(folder / "out/ranges.json") != ranges);
    ranges = read_text(folder / "out/ranges.json");
  }
}

TEST_CASE("what --method, --calib-method, --hist-method and --preset come to, and what contradicts") {
  const TempFolder folder;
  write_data(folder.path() / "data", 1, 1);
  const std::pair<Arguments, const char*> fine[] = {
      {{"--calib-method", "histogram"}, "mse"},
      {{"--calib-method", "histogram", "--preset", "simple"}, "mse"},
      {{"--calib-method", "histogram", "--method", "percentile"}, "percentile"},
      {{"--method", "max"}, "max"},
      {{"--preset", "simple"}, "max"},
  };
  for (const auto& [flags, method] : fine) {
    Arguments more = flags;
    more.push_back("--no-sensitivity");
    const Result result = run_octet(ptq(folder, "out", more));
    CAPTURE(result.err);
    REQUIRE(result.status == 0);
    CHECK(json::parse(read_text(folder / "out/ranges.json"))["method"] == method);
  }
  octet_refuses(ptq(folder, "no", {"--method", "mse", "--hist-method", "entropy"}),
                {"--hist-method entropy", "--method mse"});
  octet_refuses(ptq(folder, "no", {"--method", "mse", "--calib-method", "max"}),
                {"--calib-method max", "--method mse"});
  octet_refuses(ptq(folder, "no", {"--method", "max", "--calib-method", "histogram"}),
                {"--calib-method histogram", "--method max"});
  octet_refuses(ptq(folder, "no", {"--hist-method", "mse", "--calib-method", "max"}),
                {"--hist-method mse", "--calib-method max"});
  octet_refuses(ptq(folder, "no", {"--preset", "notebook", "--calib-method", "histogram"}), {"method max"});
  CHECK(run_octet({"ptq", "--help"}).out.find("(default: mse") != std::string::npos);
}

TEST_CASE("ptq --auto-ignore chooses on other photos than it scores") {
  const TempFolder folder;
  write_data(folder.path() / "data", 4, 9);
  const Result result = run_octet(ptq(folder, "out", {"--auto-ignore", "100"}));
  REQUIRE(result.status == 0);
  CHECK(result.out.find("--auto-ignore 100: the loss on these photos") != std::string::npos);
  const json summary = json::parse(read_text(folder / "out/summary.json"));
  const json sensitivity = json::parse(read_text(folder / "out/sensitivity.json"));
  CHECK(sensitivity["images"] == 5);
  CHECK(summary["count"] == 4);
  CHECK(summary["float_layers"].empty());  // a loss of 100 points is allowed
  CHECK(summary["auto_ignore"]["points"] == 100.0);
  CHECK(summary["auto_ignore"]["below"] == (summary["drop"].get<double>() < 100));
}

TEST_CASE("sensitivity: both modes, photos without labels, and a file that an interrupted run left") {
  const TempFolder folder;
  for (int i = 0; i < 3; ++i)
    write_photo(folder.path() / "photos" / (std::to_string(i) + ".bmp"), 5u + static_cast<std::uint32_t>(i));
  const std::string out = folder / "s.json";
  for (const char* mode : {"leave-out", "alone"}) {
    const Result result = run_octet({"sensitivity", "catdog", "--data", folder / "photos", "--out", out, "--mode", mode,
                                     "--threads", "1", "--top", "3", "--quiet"});
    CAPTURE(result.err);
    REQUIRE(result.status == 0);
    CHECK(result.out.find("Top2") != std::string::npos);
    CHECK(result.out.find("Top3") == std::string::npos);
    CHECK(json::parse(read_text(out))["mode"] == mode);
  }
  json s = json::parse(read_text(out));
  const std::string whole = read_text(out);
  while (s["layers"].size() > 2) s["layers"].erase(2);
  s["complete"] = false;
  write_text(out, s.dump());
  const Result resumed = run_octet(
      {"sensitivity", "catdog", "--data", folder / "photos", "--out", out, "--mode", "alone", "--threads", "1"});
  REQUIRE(resumed.status == 0);
  CHECK(resumed.err.find("going on behind 2 layers") != std::string::npos);
  CHECK(read_text(out) == whole);
}

TEST_CASE("what ptq, sensitivity and report refuse") {
  const TempFolder folder;
  write_data(folder.path() / "data", 2, 2);
  octet_refuses(ptq(folder, "out", {"--ignore", "nothing"}), {"--ignore 'nothing' matches no layer"});
  CHECK(!fs::exists(folder / "out/ranges.json"));
  octet_refuses(ptq(folder, "out", {"--auto-ignore", "1", "--no-sensitivity"}), {"--auto-ignore"});
  octet_refuses(ptq(folder, "out", {"--auto-ignore", "0"}), {"--auto-ignore 0", "more than 0 points"});
  for (const char* points : {"-1", "101"}) {
    const Result result = run_octet(ptq(folder, "out", {"--auto-ignore", points}));
    CHECK(result.status != 0);
    CHECK(result.err.find("--auto-ignore") != std::string::npos);
  }
  octet_refuses({"ptq", "catdog", "--data", folder / "none", "--out", folder / "out", "--quiet"}, {"none"});
  octet_refuses({"report", "--ranges", folder / "none.json", "--out", folder / "r.html"}, {"none.json"});
  write_text(folder / "bad.json", "{\"octet_sensitivity\": 99}");
  octet_refuses({"sensitivity", "catdog", "--data", folder / "data", "--out", folder / "bad.json", "--quiet"},
                {"bad.json", "version 99"});
}

TEST_CASE("an analysis is not continued with other weights or other labels") {
  const TempFolder folder;
  write_data(folder.path() / "data", 2, 4);
  const auto analyse = [&](Arguments more) {
    Arguments a = {"sensitivity",     "catdog",    "--data", folder / "data", "--out",
                   folder / "s.json", "--threads", "1",      "--leaves-only"};
    a.insert(a.end(), more.begin(), more.end());
    const Result result = run_octet(a);
    CAPTURE(result.err);
    REQUIRE(result.status == 0);
    return result.err.find("going on behind") != std::string::npos;
  };
  CHECK_FALSE(analyse({}));
  CHECK(analyse({}));
  write_text(folder / "labels.csv", "0.bmp,1\n1.bmp,0\n2.bmp,1\n3.bmp,0\n");
  CHECK_FALSE(analyse({"--labels", folder / "labels.csv"}));
  CHECK_FALSE(analyse({}));
  write_photo(folder.path() / "data/test/cat/0.bmp", 77);  // of the same name and size
  CHECK_FALSE(analyse({}));
}
