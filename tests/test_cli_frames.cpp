// octet evaluate, ptq and sensitivity on a folder of annotated LiDAR frames, as users run them. What the weights
// (random ones) find in floats is written down as the truth: so the float network's mAP is known.
#include <doctest/doctest.h>

#include <set>

#include "tests/mpirun.h"
#include "tests/point_frames.h"
#include "tests/program.h"

using namespace octet;
using namespace octet::testing;

namespace {

constexpr int kFrames = kSanitised ? 1 : 2;
// At this threshold the random weights find six classes.
const std::string kConfig =
    R"({"range": [-6.4, -6.4, -5, 6.4, 6.4, 3], "voxel": [0.1, 0.1, 0.2], "score_threshold": 0.05})";

Arguments centerpoint(const std::string& command, Arguments more) {
  Arguments a = {command,     "centerpoint", "--weights", seeded_checkpoint(), "--centerpoint", kConfig,
                 "--threads", "1",           "--quiet"};
  a.insert(a.end(), more.begin(), more.end());
  return a;
}

std::string frame_name(const TempFolder& folder, const std::string& part, int i) {
  return folder / ("data/" + part + "/" + std::to_string(i) + ".f32x5.bin");
}

// data/calibration and data/test; the latter with annotations. Returns the classes that were found.
std::set<std::string> write_data(const TempFolder& folder) {
  std::set<std::string> classes;
  for (int i = 0; i < kFrames; ++i) {
    write_frame(frame_name(folder, "calibration", i), 2000, false, 100 + i);
    const std::string frame = write_frame(frame_name(folder, "test", i), 2000 + i, false, 7 * i);
    const json boxes = octet_json(centerpoint("run", {frame, "--precision", "fp32"}))["boxes"];
    for (const json& box : boxes) classes.insert(box["label"].get<std::string>());
    write_text(folder / ("data/test/" + std::to_string(i) + ".annotations.json"), annotations_from(boxes));
  }
  return classes;
}

}  // namespace

TEST_CASE("octet evaluate centerpoint: what the float network finds, it finds; the integers most of it") {
  const TempFolder folder;
  const std::set<std::string> classes = write_data(folder);
  REQUIRE(classes.size() >= 3);
  const Arguments fp32 = centerpoint(
      "evaluate", {"--data", folder / "data", "--precision", "fp32", "--save-matches", folder / "fp32.json"});
  Arguments as_json = fp32;
  as_json.emplace_back("--json");
  const json result = octet_json(as_json);
  CHECK(result["count"] == kFrames);
  CHECK(result["precision"] == "fp32");
  CHECK(result["on_calibration_data"] == false);
  CHECK(result["images_per_second"].get<double>() > 0);
  REQUIRE(result["per_class"].size() == 10);
  for (const auto& [name, c] : result["per_class"].items()) {
    CAPTURE(name);
    const bool there = c["annotations"].get<int>() > 0;
    CHECK(there == classes.contains(name));
    CHECK(c["AP"].get<double>() == doctest::Approx(there ? 100 : 0));
    CHECK(c["AP_by_distance"]["0.5"].get<double>() == doctest::Approx(there ? 100 : 0));
    CHECK(c["boxes"] == c["annotations"]);
    CHECK(c["ATE"].get<double>() == doctest::Approx(there ? 0 : 1).epsilon(1e-6));
    CHECK(c["AOE"].is_null() == (name == "traffic_cone"));
    CHECK(c["AVE"].is_null() == (name == "traffic_cone" || name == "barrier"));
  }
  CHECK(result["mAP"].get<double>() == doctest::Approx(10.0 * static_cast<double>(classes.size())));
  CHECK(result["errors"]["mAAE"] == 1);  // nobody wrote attributes down
  CHECK(result["NDS"].get<double>() > 0);

  const Result text = run_octet(fp32);
  CHECK(text.status == 0);
  CHECK(text.out.find("mAP " + fmt::format("{:.2f} %", result["mAP"].get<double>())) != std::string::npos);
  CHECK(text.out.find("a class without one counts as AP 0") != std::string::npos);

  octet_json(centerpoint("calibrate", {"--data", folder / "data", "--out", folder / "r.json", "--json"}));
  const Arguments int8 = centerpoint("evaluate", {"--data", folder / "data", "--ranges", folder / "r.json", "--json",
                                                  "--against", folder / "fp32.json"});
  const json integers = octet_json(int8);
  CHECK(integers["precision"] == "int8");
  CHECK(integers["mAP"].get<double>() > 0.2 * result["mAP"].get<double>());
  CHECK(integers["mAP"].get<double>() < result["mAP"].get<double>());

  const json& loss = integers["loss"];
  CHECK(loss["against"] == "centerpoint in fp32");
  CHECK(loss["mAP"]["points"].get<double>() ==
        doctest::Approx(result["mAP"].get<double>() - integers["mAP"].get<double>()));
  CHECK(loss["mAP"]["low"].get<double>() <= loss["mAP"]["high"].get<double>());
  Arguments other = int8;
  other.insert(other.end(), {"--limit", "1"});
  if (kFrames > 1) octet_refuses(other, {"--against", "2 frames"});
  if (kFrames > 1) {  // parts of the frames, evaluated one by one
    Arguments part = fp32;
    part.back() = folder / "first.json";
    part.insert(part.end(), {"--limit", "1", "--json"});
    octet_json(part);
    part = fp32;
    part.back() = folder / "rest.json";
    part.insert(part.end(), {"--skip", "1", "--json"});
    octet_json(part);
    const Arguments joined = {"evaluate", "centerpoint",         "--found",   folder / "rest.json",
                              "--found",  folder / "first.json", "--against", folder / "fp32.json",
                              "--json"};
    const json together = octet_json(joined);
    for (const char* key : {"count", "mAP", "NDS", "errors", "per_class", "precision"}) {
      CHECK(together[key] == result[key]);
    }
    CHECK(together["loss"]["mAP"]["points"] == 0);
    octet_refuses({"evaluate", "centerpoint", "--found", folder / "rest.json", "--found", folder / "rest.json"},
                  {"is in two of the files"});
    octet_refuses({"evaluate", "catdog", "--found", folder / "rest.json"}, {"it is of centerpoint, not of catdog"});
    octet_refuses({"evaluate", "centerpoint", "--found", folder / "rest.json", "--data", folder / "data"},
                  {"either --data or --found"});
  }
  write_text(
      folder / "fp32.json",
      R"({"octet_matches": 1, "model": "m", "precision": "fp32", "frames": [{"name": "0.f32x5.bin", "classes": [[]]}]})");
  octet_refuses(int8, {"fp32.json", "a frame of 10 classes was expected"});
  octet_json(as_json);  // writes them again

  if (kSanitised || !have_mpi()) return;
  for (const int count : {2, 5}) {
    Arguments command = int8;
    command.insert(command.begin(), program_path("octet"));
    const Result many = mpirun(count, command);
    INFO(many.err);
    REQUIRE(many.status == 0);
    const json together = json::parse(many.out);
    for (const char* key : {"count", "mAP", "NDS", "errors", "per_class", "loss", "calibration_overlap"}) {
      CHECK(together[key] == integers[key]);
    }
  }
}

TEST_CASE(
    "octet ptq and sensitivity centerpoint: scored by mAP where there are annotations, and what decides is noticed") {
  if (kSanitised) return;  // a minute; measure() by itself runs in test_cli_frames' first case
  const TempFolder folder;
  write_data(folder);
  const auto ptq = [&](Arguments more = {}) {
    Arguments a = centerpoint("ptq", {"--data", folder / "data", "--out", folder / "out", "--json", "--only",
                                      "backbone\\.conv1\\.0\\..*", "--only", "neck\\.blocks\\.0\\.1"});
    a.insert(a.end(), more.begin(), more.end());
    return octet_json(a);
  };
  const json summary = ptq();
  CHECK(summary["metric"] == "mAP");
  CHECK(summary["count"] == kFrames);
  CHECK(summary["calibration_overlap"] == 0);
  const auto evaluate = [&](const std::string& precision) {
    return octet_json(centerpoint("evaluate", {"--data", folder / "data", "--ranges", folder / "out/ranges.json",
                                               "--precision", precision, "--json"}));
  };
  const json fp32 = evaluate("fp32"), int8 = evaluate("int8");
  CHECK(summary["origin"] == fp32["mAP"]);
  CHECK(summary["ptq"] == int8["mAP"]);
  CHECK(summary["NDS"] == json{{"origin", fp32["NDS"]}, {"ptq", int8["NDS"]}});
  CHECK(summary["drop"].get<double>() > 0);
  const std::string report = read_text(folder / "out/report.html"),
                    ranking = read_text(folder / "out/sensitivity.json");
  CHECK(report.find("mAP") != std::string::npos);
  CHECK(report.find("NDS: FP32") != std::string::npos);
  CHECK(report.find("photo") == std::string::npos);
  const json sensitivity = json::parse(ranking);
  CHECK(sensitivity["metric"] == "mAP");
  CHECK(sensitivity["layers"].size() >= 4);
  for (const json& layer : sensitivity["layers"]) CHECK(layer["score"] == layer["mAP"]);

  // Killed after three layers: the same files.
  json begun = sensitivity;
  begun["complete"] = false;
  begun["layers"].erase(begun["layers"].begin() + 3, begun["layers"].end());
  write_text(folder / "out/sensitivity.json", begun.dump());
  for (const char* name : {"ranges.json", "summary.json", "report.html"})
    fs::remove(folder / (std::string("out/") + name));
  const json again = ptq();
  CHECK(again["ptq"] == summary["ptq"]);
  CHECK(read_text(folder / "out/sensitivity.json") == ranking);
  CHECK(read_text(folder / "out/report.html") == report);

  // Other annotations: another result. Half of the frames choose, the others score.
  write_text(folder / "data/test/0.annotations.json", R"({"instances": []})");
  const json other = ptq({"--no-sensitivity"});
  CHECK(other["origin"].get<double>() < summary["origin"].get<double>());
  const json chosen = ptq({"--auto-ignore", "0.01"});
  CHECK(chosen["count"] == 1);
  CHECK(chosen["float_layers"].size() > 0);

  // A frame without a point has no boxes, and stops nothing. What is wrong with annotations is said at once.
  write_frame(folder / "data/test/5.f32x5.bin", 0);
  write_text(folder / "data/test/5.annotations.json", R"({"instances": []})");
  CHECK(ptq({"--no-sensitivity"})["count"] == kFrames + 1);
  write_text(folder / "data/test/5.annotations.json", R"({"instances": [3]})");
  octet_refuses(centerpoint("ptq", {"--data", folder / "data", "--out", folder / "bad"}), {"5.annotations.json"});
  CHECK(!fs::exists(folder / "bad"));
  fs::remove(folder / "data/test/5.annotations.json"), fs::remove(folder / "data/test/5.f32x5.bin");

  // Without those of one frame: compared with the float network, and that is said.
  fs::remove(folder / "data/test/0.annotations.json");
  Arguments unlabelled = centerpoint("sensitivity", {"--data", folder / "data", "--ranges", folder / "out/ranges.json",
                                                     "--out", folder / "s.json", "--leaves-only"});
  std::erase(unlabelled, "--quiet");
  const Result compared = run_octet(unlabelled);
  CHECK(compared.status == 0);
  CHECK(compared.err.find("1 of 2 frames have labels or annotations") != std::string::npos);
  CHECK(compared.out.find("no labels") != std::string::npos);
  CHECK(json::parse(read_text(folder / "s.json"))["metric"] == "sqnr_db");
}

TEST_CASE("octet evaluate centerpoint refuses what it cannot score, before it runs anything") {
  const TempFolder folder;
  const std::string frame = write_frame(folder / "data/a.f32x5.bin", 100);
  const auto evaluate = [&](Arguments more = {}) {
    Arguments a = centerpoint("evaluate", {"--data", folder / "data", "--precision", "fp32"});
    a.insert(a.end(), more.begin(), more.end());
    return a;
  };
  octet_refuses(evaluate(), {"a.f32x5.bin", "no annotations beside it (NAME.annotations.json)"});
  write_text(folder / "data/a.annotations.json", R"({"instances": [{"class": "car", "box": [1]}]})");
  octet_refuses(evaluate(), {"a.annotations.json", "instance 0: 'box'"});
  octet_refuses(evaluate({"--labels", "l.csv"}), {"--labels", "annotations"});
  octet_refuses(centerpoint("evaluate", {"--data", folder / "none"}), {"none", "no such folder"});
  octet_refuses({"evaluate", "catdog", "--data", folder / "data", "--points", "f32x5"}, {"--points", "takes photos"});
}
