// octet and centerpoint on LiDAR frames, as a user runs them: JSON, tables, pictures, dumps, bad input.
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>

#include "runtime/io/file.h"
#include "runtime/io/image.h"
#include "tests/point_frames.h"
#include "tests/program.h"

using namespace octet;
using namespace octet::testing;

namespace {

const std::string& kConfig = kPointConfig;

// The seeded network as a program, made once: seeding runs it in floats, whose last bits differ between instruction
// sets.
const std::string& program() {
  static const TempFolder folder;
  static const std::string path = folder / "net.octet";
  if (!fs::exists(path)) {
    octet_json({"export", "centerpoint", "--centerpoint", kConfig, "--out", path, "--quiet"},
               {.timeout = std::chrono::minutes(10)});  // seeding runs the network in floats: slow under the sanitisers
  }
  return path;
}

Arguments on(const std::string& frame, Arguments more = {}) {
  Arguments a = {"run", program(), frame, "--threads", "2", "--quiet"};
  a.insert(a.end(), more.begin(), more.end());
  return a;
}

}  // namespace

TEST_CASE("octet run centerpoint: boxes as JSON, whatever the order of the points and the instruction set") {
  const TempFolder folder;
  const std::string frame = write_frame(folder / "a.f32x5.bin", 3000);
  const json result = octet_json(on(frame));
  CHECK(result["points"] == 3000);
  CHECK(result["voxels"].get<int>() > 500);
  CHECK(result["seeded"] == true);
  CHECK(result["precision"] == "int8");
  for (const char* key : {"voxels", "candidates", "boxes"}) CHECK(result["dropped"][key] == 0);
  for (const char* key : {"voxelise", "rulebooks", "encoder", "neck", "heads", "decode", "total"}) {
    CHECK(result["stages_ms"][key].get<double>() >= 0);
  }
  REQUIRE(result["boxes"].size() > 0);
  for (const char* key : {"label", "score", "x", "y", "z", "dx", "dy", "dz", "yaw", "vx", "vy"}) {
    CHECK(result["boxes"][0].contains(key));
  }
  const std::string reversed = write_frame(folder / "b.f32x5.bin", 3000, true);
  CHECK(octet_json(on(reversed))["boxes"] == result["boxes"]);
  CHECK(octet_json(on(frame), {.environment = {{"OCTET_ISA", "avx2"}}})["boxes"] == result["boxes"]);

  const std::string empty = write_frame(folder / "none.f32x5.bin", 0);
  const json none = octet_json(on(empty));
  CHECK(none["points"] == 0);
  CHECK(none["boxes"].empty());

  const Result text =
      run_octet({"run", "centerpoint", frame, "--centerpoint", kConfig, "--precision", "fp32", "--quiet"});
  CHECK(text.status == 0);
  CHECK(text.out.find("3000 points") != std::string::npos);
  CHECK(text.out.find("these boxes mean nothing") != std::string::npos);
}

TEST_CASE("dumps of two runs: octet diff names the first stage that differs; pictures open") {
  const TempFolder folder;
  const std::string frame = write_frame(folder / "a.f32x5.bin", 3000),
                    fewer = write_frame(folder / "b.f32x5.bin", 2990);
  const auto dump = [&](const std::string& of, const std::string& to) {
    return octet_json(on(of, {"--dump-stage", "heads", "--dump", folder / to}));
  };
  const json first = dump(frame, "1.safetensors");
  std::set<std::string> stages;
  for (const json& t : first["dump"]) stages.insert(t["stage"].get<std::string>());
  CHECK(stages == std::set<std::string>{"voxels", "rulebook", "conv3", "bev", "heads"});
  dump(frame, "2.safetensors"), dump(fewer, "3.safetensors");
  CHECK(octet_json({"diff", folder / "1.safetensors", folder / "2.safetensors"})["equal"] == true);
  const json differs = octet_json({"diff", folder / "1.safetensors", folder / "3.safetensors"});
  CHECK(differs["equal"] == false);
  CHECK(differs["first_difference"].get<std::string>().starts_with("0.voxels"));
  const json part = octet_json(on(frame, {"--dump-stage", "rulebook"}));
  for (const json& t : part["dump"]) CHECK((t["stage"] == "voxels" || t["stage"] == "rulebook"));

  write_text(folder / "a.annotations.json",
             R"({"instances": [{"class": "car", "box": [1, 2, 0, 4, 2, 1.5, 0.3], "velocity": [ NaN, -Infinity]},
                                {"note": "NaN \"Infinity"}]})");  // as Python writes what nobody knows
  octet_json(on(frame, {"--picture", folder / "a.png"}));
  const Image image = load_image(folder / "a.png");
  CHECK(image.width == 1080);
  CHECK(image.height == 1080);
  octet_json(on(frame, {"--picture", folder / "a.svg"}));
  const std::string svg = read_text(folder / "a.svg");
  CHECK(svg.starts_with("<svg"));
  CHECK(svg.find("true: car") != std::string::npos);
  CHECK(svg.find("<path transform") != std::string::npos);  // the points
  CHECK(svg.ends_with("</svg>\n"));
}

TEST_CASE("plan, inspect, bench and the example program know a network for points") {
  const TempFolder folder;
  const std::string frame = write_frame(folder / "a.f32x5.bin", 2000);
  const json plan = octet_json({"plan", program(), "--quiet"});
  int floats = 0;
  for (const json& layer : plan["layers"]) floats += layer["precision"] == "fp32" && layer["macs"].get<double>() > 0;
  CHECK(floats == 0);
  const json bench = octet_json({"bench", program(), "--frame", frame, "--runs", "2", "--per-layer", "--quiet"});
  CHECK(bench["stages_ms"]["neck"].get<double>() > 0);
  CHECK(bench["layers"].size() == plan["layers"].size());
  CHECK(plan["exact_through"] != "nothing");
  CHECK(plan["exact_through"].get<std::string>().starts_with("bbox_head."));
  CHECK_FALSE(octet_json({"inspect", program(), "--quiet"}).contains("preprocess"));
  CHECK(run_octet({"plan", program()}).out.find("voxels of 0.1 x 0.1 x 0.2 m") != std::string::npos);
  if (kSanitised) return;  // the program seeds its network first, which takes minutes then
  const Result example = run_program({program_path("centerpoint"), frame, "--config", kConfig});
  CHECK(example.status == 0);
  CHECK(example.out.find("2000 points") != std::string::npos);
}

TEST_CASE("bad frames and configurations: one line, exit status 1") {
  const TempFolder folder;
  const std::string frame = write_frame(folder / "a.f32x5.bin", 10);
  write_text(folder / "odd.f32x5.bin", std::string(7, 'x'));
  write_text(folder / "plain.bin", std::string(20, 'x'));
  octet_refuses(on(folder / "odd.f32x5.bin"), {"odd.f32x5.bin", "7 bytes"});
  octet_refuses(on(folder / "plain.bin"), {"plain.bin", "--points"});
  octet_refuses(on(folder / "missing.f32x5.bin"), {"missing.f32x5.bin"});
  octet_refuses(on(frame, {"--centerpoint", kConfig}), {"is built already"});
  octet_refuses({"run", "centerpoint", frame, "--centerpoint", R"({"voxel": 1})"}, {"--centerpoint", "voxel"});
  // A --config file may hold it as an object.
  write_text(folder / "flags.json", R"({"centerpoint": {"voxel": 1}, "quiet": true})");
  octet_refuses({"run", "centerpoint", frame, "--config", folder / "flags.json"}, {"--centerpoint", "voxel: a list"});
  octet_refuses({"run", "catdog", frame, "--centerpoint", "{}"}, {"catdog takes photos"});
  octet_refuses(on(frame, {"--device", "cuda"}), {"cuda"});
  octet_refuses(on(frame, {"--picture", folder / "a.gif"}), {".svg or .png"});
  octet_refuses(on(frame, {"--picture", folder / "none/a.svg"}), {"no folder"});
  octet_refuses(
      {"calibrate", "centerpoint", "--weights", "seeded", "--data", folder.path().string(), "--out", folder / "r.json"},
      {"seeded"});
}

TEST_CASE("a real frame of ten sweeps: the published number of voxels, at least 50 boxes of every task") {
  const fs::path frame =
      fs::path(OCTET_SOURCE_DIR) / ".." / "shared" / "data" / "lidar" / "nuscenes_10sweep_ff9eff43.fp16x5.bin";
  if (kSanitised || !fs::exists(frame)) {
    MESSAGE("SKIPPED: no frame at ", frame.string(), ", or sanitised");
    return;
  }
  const json result = octet_json({"run", "centerpoint", frame.string(), "--weights", "seeded", "--quiet"});
  CHECK(result["points"] == 271156);
  CHECK(result["voxels"] == 105126);
  CHECK(result["dropped"]["voxels"] == 0);
  CHECK(result["dropped"]["candidates"] == 0);
  const std::map<std::string, int> task_of = {{"car", 0},         {"truck", 1},   {"construction_vehicle", 1},
                                              {"bus", 2},         {"trailer", 2}, {"barrier", 3},
                                              {"motorcycle", 4},  {"bicycle", 4}, {"pedestrian", 5},
                                              {"traffic_cone", 5}};
  std::map<int, int> boxes;
  for (const json& b : result["boxes"]) ++boxes[task_of.at(b["label"].get<std::string>())];
  for (int task = 0; task < 6; ++task) CHECK(boxes[task] >= 50);
}
