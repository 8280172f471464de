// octet evaluate: accuracy, speed and size on a folder of labelled photos or annotated frames; by one process or, under
// mpirun, by several.
#include <algorithm>

#include "examples/common/terminal.h"
#include "examples/octet/cli.h"
#include "examples/octet/evaluate_points.h"
#include "examples/octet/ranks.h"
#include "models/dataset.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

struct Options {
  Common common;
  std::string data, weights;
  std::optional<std::string> labels;
  EvaluatePoints points;
};

// The photos of this rank's batches; without mpirun all of them.
std::vector<models::Photo> share_of(const std::vector<models::Photo>& photos, int batch_size) {
  std::vector<models::Photo> share;
  for (std::size_t i = 0; i < photos.size(); ++i) {
    if (mine(static_cast<std::int64_t>(i) / batch_size)) share.push_back(photos[i]);
  }
  return share;
}

// On rank 0: what all ranks have counted. Ranks run side by side, so their photos a second add up.
models::Evaluation together(const models::Evaluation& mine) {
  if (ranks().size() == 1) return mine;
  const bool any = mine.score.count > 0;
  const json own = {{"score", {mine.score.count, mine.score.correct, mine.score.correct5}},
                    {"latency_ms", mine.latency_ms},
                    {"images_per_second", any ? mine.images_per_second : 0.0}};
  models::Evaluation all;
  for (const std::string& text : ranks().gather(own.dump())) {
    const json one = json::parse(text);
    const auto score = one["score"].get<std::vector<std::int64_t>>();
    all.score.count += score[0], all.score.correct += score[1], all.score.correct5 += score[2];
    const auto latency = one["latency_ms"].get<std::vector<double>>();
    all.latency_ms.insert(all.latency_ms.end(), latency.begin(), latency.end());
    all.images_per_second += one["images_per_second"].get<double>();
  }
  return all;
}

std::vector<std::filesystem::path> paths_of(const std::vector<models::Photo>& photos) {
  std::vector<std::filesystem::path> paths;
  for (const models::Photo& photo : photos) paths.push_back(photo.path);
  return paths;
}

int run(Options o) {
  if (ranks().rank() != 0) o.common.quiet = true;
  require(o.data.empty() || o.points.found.empty(), "either --data or --found was expected");
  if (!o.points.found.empty()) return evaluate_found(o.common, o.points);
  calib::QuantiseOptions quantise;
  if (!o.weights.empty())
    quantise.weights = o.weights == "tensor" ? calib::Granularity::tensor : calib::Granularity::channel;
  models::LoadedModel model = load(o.common, quantise);
  require(!model.seeded, "{}: seeded weights have no accuracy; give --weights", model.name);
  const auto folder = models::part_of(o.data, models::Part::test);
  if (model.points) {
    require(!o.labels, "--labels is for photos; annotations of frames stand beside them (NAME.annotations.json)");
    return evaluate_points(o.common, model, folder, o.points);
  }
  const PointFlags& points = o.points.points;
  require(points.format.empty() && points.fifth == "guess" && !o.points.save && !o.points.against,
          "--points, --fifth, --save-matches and --against are for networks of points; {} takes photos", model.name);
  models::PhotoSetOptions set{.skip = o.common.skip, .limit = o.common.limit};
  if (o.labels) set.labels = *o.labels;
  // A model file without names for its classes: the folders' names, in alphabetical order.
  if (model.labels.empty() && !o.labels) {
    model.labels = models::class_names(model, folder);
    const std::int64_t classes = model.network.edges[static_cast<std::size_t>(model.network.output)].shape.elements();
    require(!model.labels.empty(),
            "{}: {} sub-folders for the {} classes of {}; one for each, or --labels F.csv, was expected",
            folder.string(), models::class_folders(folder).size(), classes, model.name);
  }
  const auto photos = models::list_photos(folder, model.labels, model.info, set);
  const auto by_name = std::ranges::count_if(photos, [](const models::Photo& p) { return p.by_name && p.label >= 0; });
  if (by_name > 0 && !o.common.json) {
    note(o.common,
         fmt::format("{} photos are labelled by their file names alone ('cat' in it: {}; else {}); folders named "
                     "after the classes, or --labels, say it surely",
                     by_name, model.labels.front(), model.labels.back()));
  }
  const auto pool = make_pool(o.common);
  models::Classifier classifier(model, *pool, o.common.batch_size, false, gpu_of(o.common, model));
  examples::ProgressBar progress("photos", o.common.quiet);
  const models::Evaluation e =
      together(models::evaluate(classifier, share_of(photos, o.common.batch_size),
                                [&](std::int64_t done, std::int64_t total) { progress.update(done, total); }));
  if (ranks().rank() != 0) return 0;
  const std::int64_t overlap = model.ranges ? models::calibration_overlap(*model.ranges, paths_of(photos)) : 0;

  const double median = examples::percentile(e.latency_ms, 50), p90 = examples::percentile(e.latency_ms, 90);
  if (o.common.json) {
    print_json({{"model", model.name},
                {"precision", name_of(model.precision)},
                {"device", classifier.program().device},
                {"kernel_isa", classifier.program().isa},
                {"threads", pool->threads()},
                {"batch", classifier.batch()},
                {"count", e.score.count},
                {"correct", e.score.correct},
                {"top1", e.score.top1()},
                {"top5", e.score.top5()},
                {"images_per_second", e.images_per_second},
                {"latency_ms", {{"median", median}, {"p90", p90}}},
                {"model_bytes", models::deployed_bytes(model)},
                {"on_calibration_data", overlap > 0},
                {"calibration_overlap", overlap},
                {"seeded", model.seeded}});
    return 0;
  }
  examples::Table table(
      {"model", "precision", "photos", "top-1 %", "top-5 %", "photos/s", "median ms a batch", "p90 ms", "size"});
  table.add({model.name, name_of(model.precision), std::to_string(e.score.count), fmt::format("{:.2f}", e.score.top1()),
             fmt::format("{:.2f}", e.score.top5()), fmt::format("{:.0f}", e.images_per_second),
             fmt::format("{:.2f}", median), fmt::format("{:.2f}", p90),
             examples::human_bytes(models::deployed_bytes(model))});
  fmt::print("{}photos of {}; batches of {}, {} thread(s), {} {}\n", table.str(), folder.string(), classifier.batch(),
             pool->threads(), classifier.program().device, classifier.program().isa);
  const std::string marked = overlap_note(overlap, e.score.count, "photo");
  if (!marked.empty()) fmt::print("{}\n", marked);
  return 0;
}

}  // namespace

Command add_evaluate(CLI::App& app) {
  CLI::App* command = app.add_subcommand("evaluate", "accuracy, speed and size on labelled photos or annotated frames");
  auto o = std::make_shared<Options>();
  add_common(*command, o->common);
  add_image_flags(*command, o->common);
  command->add_option("--data", o->data, "folder of photos or frames (its sub-folder test or val, where there is one)");
  command->add_option("--labels", o->labels, "CSV: file, class index");
  add_evaluate_points_flags(*command, o->points);
  command->add_option("--weights-granularity", o->weights, "one step for each output channel, or one for all")
      ->check(CLI::IsMember({"channel", "tensor"}));
  command->parse_complete_callback([o] {
    if (o->data.empty() && o->points.found.empty()) throw CLI::RequiredError("--data");
  });
  return {command, [o] { return run(*o); }};
}

}  // namespace octet::cli
