// LiDAR frames made up for tests, what is in them, and a checkpoint to run on them.
#pragma once

#include <cmath>

#include "models/loaded_model.h"
#include "runtime/io/safetensors.h"
#include "runtime/state_dict.h"
#include "tests/program.h"

namespace octet::testing {

// 128 x 128 cells: maps of 16 x 16.
inline const std::string kPointConfig = R"({"range": [-6.4, -6.4, -5, 6.4, 6.4, 3], "voxel": [0.1, 0.1, 0.2]})";

// A checkpoint for `graph` as det3d writes it: with counters, in either of spconv's layouts.
inline StateDict checkpoint_of(const Graph& graph, bool spconv1, const std::string& prefix = "") {
  StateDict dict;
  for (const Node& node : graph.nodes()) {
    for (const Parameter& p : node.parameters) {
      Tensor value = p.value;
      if (node.op == Op::conv_transpose2d && p.key == "weight") value = channels_turned(value, node.groups);
      if (node.op == Op::sparse_conv && p.key == "weight" && spconv1) {
        const Shape& s = p.shape;
        Tensor turned(DType::f32, Shape{s[1], s[2], s[3], s[4], s[0]});
        const std::int64_t rest = s.elements() / s[0];
        for (std::int64_t i = 0; i < s.elements(); ++i) {
          turned.span<float>()[static_cast<std::size_t>(i % rest * s[0] + i / rest)] =
              value.span<float>()[static_cast<std::size_t>(i)];
        }
        value = turned;
      }
      dict.insert(prefix + node.name + "." + p.key, value);
    }
    if (node.op == Op::batch_norm)
      dict.insert(prefix + node.name + ".num_batches_tracked", Tensor(DType::s64, Shape{}));
  }
  return dict;
}

// Seeded weights in a file, so that nothing knows that they are: made once a program.
inline const std::string& seeded_checkpoint() {
  static const TempFolder folder;
  static const std::string path = folder / "weights.safetensors";
  if (!fs::exists(path)) {
    models::LoadOptions options;
    options.build.points = models::centerpoint_config(kPointConfig, "test");
    write_safetensors(path, checkpoint_of(*models::load_float_model("centerpoint", options).graph, false));
  }
  return path;
}

// A frame of `n` points on a ground and walls, within 6 m, one record after another.
inline std::string write_frame(const fs::path& path, int n, bool reversed = false, int turn = 0) {
  std::vector<float> values;
  for (int i = 0; i < n; ++i) {
    const int k = reversed ? n - 1 - i : i;
    const float angle = 0.37f * static_cast<float>(k + turn);
    const float far = 1 + 5 * std::fmod(0.618034f * static_cast<float>(k), 1.0f);
    const float z = k % 3 == 0 ? -1 + 0.01f * static_cast<float>(k % 200) : -1.7f;
    const float point[] = {far * std::cos(angle), far * std::sin(angle), z, static_cast<float>(k % 256),
                           0.05f * static_cast<float>(k % 4)};
    values.insert(values.end(), point, point + 5);
  }
  write_text(path, std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)));
  return path.string();
}

// The boxes that octet run printed, as annotations.
inline std::string annotations_from(const json& boxes) {
  json instances = json::array();
  for (const json& b : boxes) {
    const auto at = [&](const char* key) { return b[key].get<double>(); };
    const double vx = at("vx"), vy = at("vy");
    instances.push_back(
        {{"class", b["label"]},
         {"box", {at("x"), at("y"), at("z"), at("dy"), at("dx"), at("dz"), -at("yaw") - 1.5707963267948966}},
         {"velocity", {vx, vy}},
         {"num_lidar_pts", 5}});
  }
  return json{{"instances", instances}}.dump();
}

}  // namespace octet::testing
