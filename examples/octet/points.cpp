// octet run centerpoint: boxes in LiDAR frames, as JSON or tables.
#include "examples/octet/points.h"

#include "examples/common/terminal.h"
#include "examples/octet/stages.h"
#include "models/centerpoint/picture.h"
#include "models/data_files.h"
#include "models/tensor_hash.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kRows = 20;  // of boxes in a table

json boxes_json(const models::LoadedModel& model, const std::vector<models::Box>& boxes) {
  json list = json::array();
  for (const models::Box& b : boxes) {
    list.push_back({{"label", model.labels[static_cast<std::size_t>(b.label)]},
                    {"score", b.score},
                    {"x", b.x},
                    {"y", b.y},
                    {"z", b.z},
                    {"dx", b.dx},
                    {"dy", b.dy},
                    {"dz", b.dz},
                    {"yaw", b.yaw},
                    {"vx", b.vx},
                    {"vy", b.vy}});
  }
  return list;
}

json frame_json(const models::LoadedModel& model, const std::string& file, const models::Detection& d) {
  json stages = json::object();
  for (const auto& [name, ms] : d.stages_ms) stages[name] = ms;
  stages["total"] = d.total_ms();
  return {{"file", file},
          {"points", d.voxels.points},
          {"voxels", d.voxels.voxels},
          {"skipped", {{"not_finite", d.voxels.not_finite}, {"out_of_range", d.voxels.out_of_range}}},
          {"dropped",
           {{"voxels", d.voxels.dropped_voxels},
            {"candidates", d.decoded.dropped_candidates},
            {"boxes", d.decoded.dropped_boxes}}},
          {"beyond_max_points", d.voxels.beyond_max},
          {"candidates", d.decoded.candidates},
          {"boxes", boxes_json(model, d.boxes)},
          {"stages_ms", stages}};
}

void print_frame(const json& frame) {
  fmt::print("{}: {} points, {} voxels, {} candidates, {} boxes\n", frame["file"].get<std::string>(),
             frame["points"].get<std::int64_t>(), frame["voxels"].get<std::int64_t>(),
             frame["candidates"].get<std::int64_t>(), frame["boxes"].size());
  const std::int64_t outside = frame["skipped"]["out_of_range"], not_finite = frame["skipped"]["not_finite"];
  if (outside + not_finite != 0)
    fmt::print("skipped: {} points outside of the range, {} not finite\n", outside, not_finite);
  for (const auto& [what, count] : frame["dropped"].items()) {
    if (count != 0) fmt::print("dropped: {} {}\n", count.get<std::int64_t>(), what);
  }
  examples::Table boxes({"label", "score", "x", "y", "z", "dx", "dy", "dz", "yaw"});
  std::size_t rows = 0;
  for (const json& b : frame["boxes"]) {
    if (++rows > kRows) break;
    std::vector<std::string> row{b["label"].get<std::string>(), fmt::format("{:.3f}", b["score"].get<double>())};
    for (const char* key : {"x", "y", "z", "dx", "dy", "dz", "yaw"}) {
      row.push_back(fmt::format("{:.2f}", b[key].get<double>()));
    }
    boxes.add(std::move(row));
  }
  if (rows > 0) fmt::print("{}", boxes.str());
  if (rows > kRows) fmt::print("and {} more (--json prints all)\n", frame["boxes"].size() - kRows);
  examples::Table stages({"stage", "ms"});
  for (const auto& [name, ms] : frame["stages_ms"].items()) stages.add({name, fmt::format("{:.2f}", ms.get<double>())});
  fmt::print("\n{}\n", stages.str());
}

void draw(const PointFlags& flags, const fs::path& file, const PointCloud& cloud, const models::LoadedModel& model,
          const models::Detection& d) {
  models::Picture picture{.config = *model.points, .points = cloud.points, .boxes = d.boxes};
  const auto truth = flags.annotations ? std::optional<fs::path>(*flags.annotations) : models::annotations_beside(file);
  if (truth) picture.truth = models::read_annotations(*truth).boxes;
  models::save_picture(picture, *flags.picture);
}

}  // namespace

void add_point_format_flags(CLI::App& app, PointFlags& f) {
  app.add_option("--points", f.format, "what a point of a frame is; default: what FRAME.f32x5.bin says")
      ->check(CLI::IsMember({"f32x4", "f32x5", "fp16x4", "fp16x5"}));
  app.add_option("--fifth", f.fifth, "what the fifth number of a point is")
      ->check(CLI::IsMember({"guess", "time", "laser"}))
      ->capture_default_str();
}

void add_point_flags(CLI::App& app, PointFlags& f) {
  add_point_format_flags(app, f);
  app.add_option("--picture", f.picture, "draw the frame from above: F.svg or F.png");
  app.add_option("--annotations", f.annotations,
                 "true boxes for the picture; default: FRAME.annotations.json, if there");
  app.add_option("--dump-stage", f.dump_stage, "hash what the stages up to this one made; with --dump, write it")
      ->check(CLI::IsMember(stage_names()));
  app.add_option("--dump", f.dump, "with --dump-stage: the .safetensors file (octet diff compares two)");
}

std::optional<PointFormat> asked_format(const PointFlags& f) {
  if (f.format.empty() && f.fifth == "guess") return std::nullopt;
  require(!f.format.empty(), "--fifth {} goes with --points, which says what a point is", f.fifth);
  PointFormat format = point_format(f.format, "--points");
  if (f.fifth == "time") format.fifth = PointFormat::Fifth::time_lag;
  if (f.fifth == "laser") format.fifth = PointFormat::Fifth::laser;
  return format;
}

PointCloud load_frame(const Common& common, const PointFlags& flags, const fs::path& path) {
  PointCloud cloud = read_points(path, asked_format(flags));
  if (cloud.fifth_was_laser) {
    note(common,
         fmt::format("{}: its fifth column holds whole numbers, lasers it seems: time lags are 0", path.string()));
  }
  return cloud;
}

std::vector<fs::path> list_frames(const Common& common, const PointFlags& flags,
                                  const std::vector<std::string>& inputs) {
  std::vector<fs::path> files;
  for (const std::string& input : inputs) {
    std::error_code error;
    if (!fs::is_directory(input, error)) {
      files.emplace_back(input);
      continue;
    }
    const auto found = list_point_files(input, !flags.format.empty());
    files.insert(files.end(), found.begin(), found.end());
  }
  return models::selected_files(std::move(files), common.skip, common.limit, "frames");
}

int run_points(const Common& common, const models::LoadedModel& model, const std::vector<std::string>& inputs,
               const PointFlags& flags) {
  require(common.device != "cuda", "{}: its CUDA kernels have not been run on a GPU yet; --device cpu runs it",
          model.name);
  const auto files = list_frames(common, flags, inputs);
  const bool looks = !flags.dump_stage.empty() || flags.hash_layers;
  require(!flags.dump || !flags.dump_stage.empty(), "--dump {} goes with --dump-stage", flags.dump.value_or(""));
  require((!flags.dump && !flags.picture) || files.size() == 1, "{} frames: --dump and --picture are for one",
          files.size());
  if (flags.picture) models::check_picture_name(*flags.picture);
  const auto pool = make_pool(common);
  models::Detector detector(model, *pool, looks);
  models::LayerHashes hashes(detector.program().graph);
  StageDump stages(detector.program().graph, flags.dump_stage);
  const Context::Hook hook = [&](EdgeId edge, const View& view) {
    if (flags.hash_layers) hashes.add(edge, view);
    stages.add(edge, view);
  };
  json frames = json::array();
  examples::ProgressBar progress("frames", common.quiet);
  for (const auto& file : files) {
    const PointCloud cloud = load_frame(common, flags, file);
    const models::Detection d = detector.run(cloud.points, looks ? &hook : nullptr);
    frames.push_back(frame_json(model, file.string(), d));
    if (!flags.dump_stage.empty()) frames.back()["dump"] = stages.finish(detector, flags.dump);
    if (flags.picture) draw(flags, file, cloud, model, d);
    progress.update(static_cast<std::int64_t>(frames.size()), static_cast<std::int64_t>(files.size()));
  }
  if (!common.json) {
    for (const json& frame : frames) print_frame(frame);
    if (!flags.dump_stage.empty()) print_stages(frames[0]["dump"]);
    if (model.seeded) fmt::print("The weights are seeded (random): these boxes mean nothing.\n");
    return 0;
  }
  json result{{"model", model.name},
              {"precision", name_of(model.precision)},
              {"device", detector.program().device},
              {"kernel_isa", detector.program().isa},
              {"seeded", model.seeded}};
  if (frames.size() == 1) {  // one frame's keys stand by themselves
    for (const auto& [key, value] : frames[0].items()) result[key] = value;
  } else {
    result["frames"] = frames;
  }
  if (flags.hash_layers) {
    json layers = json::array();
    for (const auto& [name, hash] : hashes.list()) layers.push_back({{"name", name}, {"hash", hash}});
    result["layers"] = layers;
  }
  print_json(result);
  return 0;
}

}  // namespace octet::cli
