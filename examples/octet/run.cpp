// octet run: classify photos.
#include "examples/common/terminal.h"
#include "examples/octet/cli.h"
#include "examples/octet/points.h"
#include "models/data_files.h"
#include "models/tensor_hash.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

struct Options {
  Common common;
  std::vector<std::string> inputs;
  int top = 1;
  bool hash_layers = false;
  PointFlags points;
};

// Files as they are given; of a folder, its photos.
std::vector<std::filesystem::path> expand_inputs(const Options& o) {
  std::vector<std::filesystem::path> files;
  for (const std::string& input : o.inputs) {
    std::error_code error;
    if (!std::filesystem::is_directory(input, error)) {
      files.emplace_back(input);
      continue;
    }
    for (auto& file : list_images(input)) files.push_back(std::move(file));
  }
  return models::selected_files(std::move(files), o.common.skip, o.common.limit, "photos");
}

std::string label_name(const models::LoadedModel& model, int index) {
  const auto i = static_cast<std::size_t>(index);
  return i < model.labels.size() ? model.labels[i] : std::to_string(index);
}

json result_of(const Options& o, const models::LoadedModel& model, const std::string& file,
               std::span<const float> logits) {
  const std::vector<float> scores =
      model.gives_scores() ? std::vector<float>(logits.begin(), logits.end()) : models::softmax(logits);
  json top = json::array();
  for (const int index : models::top_k(logits, o.top, model.preprocess.label_offset)) {
    const auto i = static_cast<std::size_t>(index + model.preprocess.label_offset);
    top.push_back({{"label", label_name(model, index)}, {"score", scores[i]}});
  }
  return {{"file", file},
          {"label", top[0]["label"]},
          {"score", top[0]["score"]},
          {"top", top},
          {"logits", std::vector<float>(logits.begin(), logits.end())}};
}

void print_table(const json& images) {
  std::vector<std::string> header{"photo", "label", "score"};
  if (images[0]["top"].size() > 1) header.emplace_back("next");
  examples::Table table(header);
  for (const json& image : images) {
    std::string next;
    for (std::size_t i = 1; i < image["top"].size(); ++i) {
      const json& t = image["top"][i];
      next += fmt::format("{}{} {:.3f}", i == 1 ? "" : ", ", t["label"].get<std::string>(), t["score"].get<double>());
    }
    table.add({image["file"].get<std::string>(), image["label"].get<std::string>(),
               fmt::format("{:.3f}", image["score"].get<double>()), next});
  }
  fmt::print("{}", table.str());
}

int run(const Options& o) {
  const models::LoadedModel model = load(o.common);
  if (model.points) return run_points(o.common, model, o.inputs, o.points);
  const bool for_points = o.points.picture || o.points.annotations || o.points.dump || !o.points.dump_stage.empty();
  require(!for_points, "--picture, --annotations, --dump-stage and --dump are for networks of points; {} takes photos",
          model.name);
  const auto files = expand_inputs(o);
  const auto pool = make_pool(o.common);
  models::Classifier classifier(model, *pool, 1, o.hash_layers, gpu_of(o.common, model));
  models::LayerHashes hashes(classifier.program().graph);
  const Context::Hook hook = [&](EdgeId edge, const View& view) { hashes.add(edge, view); };

  json images = json::array();
  examples::ProgressBar progress("photos", o.common.quiet);
  for (const auto& file : files) {
    const Image image = load_image(file);
    const auto logits = classifier.run({&image, 1}, o.hash_layers ? &hook : nullptr);
    images.push_back(result_of(o, model, file.string(), logits));
    progress.update(static_cast<std::int64_t>(images.size()), static_cast<std::int64_t>(files.size()));
  }
  json layers = json::array();
  for (const auto& [name, hash] : hashes.list()) layers.push_back({{"name", name}, {"hash", hash}});
  if (o.common.json) {
    json result{{"model", model.name},
                {"precision", name_of(model.precision)},
                {"device", classifier.program().device},
                {"kernel_isa", classifier.program().isa},
                {"seeded", model.seeded},
                {"images", images}};
    if (o.hash_layers) result["layers"] = layers;
    print_json(result);
    return 0;
  }
  print_table(images);
  const bool no_ranges = o.common.weights && !model.ranges && o.common.precision.empty();
  if (no_ranges) fmt::print("These weights came without --ranges: the network ran in fp32.\n");
  if (model.seeded) fmt::print("The weights are seeded (random): these labels mean nothing.\n");
  if (!o.hash_layers) return 0;
  if (layers.empty()) {
    fmt::print("\nNo layer hashes: the network ran in fp32 and has no quantised tensor.\n");
    return 0;
  }
  examples::Table table({"layer", "hash"});
  for (const json& layer : layers) table.add({layer["name"].get<std::string>(), layer["hash"].get<std::string>()});
  fmt::print("\n{}", table.str());
  return 0;
}

}  // namespace

Command add_run(CLI::App& app) {
  CLI::App* command = app.add_subcommand("run", "classify photos, or find boxes in LiDAR frames");
  auto o = std::make_shared<Options>();
  add_common(*command, o->common);
  add_image_flags(*command, o->common);
  command
      ->add_option("INPUT", o->inputs,
                   "photos, frames of points, or folders; dogs.jpg#xywh=percent:0,0,50,50 is a part of a photo")
      ->required();
  command->add_option("--top", o->top, "show the K best classes")->check(CLI::Range(1, 1000))->capture_default_str();
  command->add_flag("--hash-layers", o->hash_layers, "a 64-bit hash of every quantised tensor");
  add_point_flags(*command, o->points);
  return {command, [o] {
            o->points.hash_layers = o->hash_layers;
            return run(*o);
          }};
}

}  // namespace octet::cli
