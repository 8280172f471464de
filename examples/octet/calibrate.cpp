// octet calibrate: photos in, ranges.json out.
#include <algorithm>

#include "calib/quantise.h"
#include "examples/common/terminal.h"
#include "examples/octet/cli.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

struct Options {
  Common common;
  std::string data, out, method = "max", weights = "channel", scheme = "symmetric", preset = "none";
  std::vector<std::string> only, ignore;
  bool reduce_range = false, after_pool = false, fold_after = false;
  std::int64_t batches = -1;
};

calib::CalibrationOptions calibration_options(const Options& o, const models::LoadedModel& model) {
  calib::CalibrationOptions c;
  c.scheme = o.scheme == "affine" ? calib::Scheme::affine : calib::Scheme::symmetric;
  c.weights = o.weights == "tensor" ? calib::Granularity::tensor : calib::Granularity::channel;
  c.preset = o.preset == "notebook" ? calib::Preset::notebook : calib::Preset::none;
  c.reduce_range = o.reduce_range;
  c.after_pool = o.after_pool;
  c.fold_first = !o.fold_after;
  c.batch = o.common.batch_size;
  c.photo = model.preprocess.photo();
  require(!c.reduce_range || c.scheme == calib::Scheme::affine, "--reduce-range goes with --scheme affine");
  require(c.preset == calib::Preset::none || c.scheme == calib::Scheme::symmetric,
          "--preset notebook is symmetric: --scheme affine does not go with it");
  return c;
}

// Streams the photos through; returns how many of the labelled ones were right.
models::Score stream(const Options& o, const models::LoadedModel& model, const std::vector<models::Photo>& photos,
                     calib::Calibrator& calibrator) {
  models::Score score;
  examples::ProgressBar progress("calibrating", o.common.quiet);
  const auto batch = static_cast<std::size_t>(o.common.batch_size);
  const auto size =
      static_cast<std::size_t>(model.preprocess.crop) * static_cast<std::size_t>(model.preprocess.crop) * 3;
  std::int64_t batches = 0;
  for (std::size_t first = 0; first < photos.size() && batches != o.batches; first += batch, ++batches) {
    const std::size_t count = std::min(batch, photos.size() - first);
    Tensor input(DType::u8, Shape{static_cast<std::int64_t>(count), model.preprocess.crop, model.preprocess.crop, 3});
    for (std::size_t i = 0; i < count; ++i) {
      models::preprocess(load_image(photos[first + i].path), model.preprocess,
                         input.span<std::uint8_t>().subspan(i * size, size));
    }
    const Tensor logits = calibrator.observe(input);
    const auto classes = static_cast<std::size_t>(logits.elements()) / count;
    for (std::size_t i = 0; i < count; ++i) {
      if (photos[first + i].label < 0) continue;
      ++score.count;
      score.correct += models::top1(logits.span<float>().subspan(i * classes, classes),
                                    model.preprocess.label_offset) == photos[first + i].label;
    }
    progress.update(static_cast<std::int64_t>(first + count), static_cast<std::int64_t>(photos.size()));
  }
  return score;
}

int run(const Options& o) {
  const models::LoadedModel model = load_float(o.common);
  require(!model.seeded, "{}: calibrating seeded weights means nothing; give --weights", model.name);
  const auto folder = models::part_of(o.data, models::Part::calibration);
  auto photos = models::list_photos(folder, model.labels, model.info, {.skip = o.common.skip, .limit = o.common.limit});
  const auto pool = make_pool(o.common);
  calib::Calibrator calibrator(*model.graph, calibration_options(o, model), *pool);
  const models::Score score = stream(o, model, photos, calibrator);
  calib::Ranges ranges = calibrator.ranges();
  photos.resize(static_cast<std::size_t>(ranges.images));
  ranges.data = hash_photos(photos);
  ranges.ignore = o.ignore, ranges.only = o.only;
  const QGraph check = calib::quantise(*model.graph, ranges);  // an --ignore that matches nothing fails before we write
  calib::save_ranges(ranges, o.out);

  if (o.common.json) {
    print_json(json::parse(calib::to_json(ranges)));
    return 0;
  }
  examples::Table table({"edge", "amax", "min", "max", "step", "zero"});
  for (const calib::EdgeRange& e : ranges.edges) {
    table.add({e.observer, fmt::format("{:.6g}", e.amax), fmt::format("{:.6g}", e.min), fmt::format("{:.6g}", e.max),
               fmt::format("{:.9g}", e.quant.step), std::to_string(e.quant.zero)});
    if (e.quant.dead) note(o.common, fmt::format("edge {} is dead: every value was 0; its step is 1", e.observer));
  }
  fmt::print("{}", table.str());
  for (const QNode& node : check.nodes) {
    if (node.why.starts_with("--ignore") || node.why.starts_with("not named"))
      fmt::print("float: {} ({})\n", node.name, node.why);
  }
  if (score.count > 0) fmt::print("FP32 on these photos: {:.2f} % of {}\n", score.top1(), score.count);
  fmt::print("{} photo{} of {}; written: {}\n", ranges.images, ranges.images == 1 ? "" : "s", folder.string(), o.out);
  return 0;
}

}  // namespace

Command add_calibrate(CLI::App& app) {
  CLI::App* command = app.add_subcommand("calibrate", "find the ranges of a model's activations on photos");
  auto o = std::make_shared<Options>();
  add_common(*command, o->common);
  add_image_flags(*command, o->common);
  command->get_option("MODEL")->description("a model's name (octet models) or an .onnx file");
  command->add_option("--data", o->data, "folder of photos (its sub-folder calibration or train, where there is one)")
      ->required();
  command->add_option("--out", o->out, "the ranges.json to write")->required();
  command->add_option("--method", o->method, "max: the largest absolute value seen")
      ->check(CLI::IsMember({"max"}))
      ->capture_default_str();
  command->add_option("--weights-granularity", o->weights, "one step for each output channel, or one for all")
      ->check(CLI::IsMember({"channel", "tensor"}))
      ->capture_default_str();
  command->add_option("--scheme", o->scheme, "activations in [-127, 127], or in [0, 255] with a zero point")
      ->check(CLI::IsMember({"symmetric", "affine"}))
      ->capture_default_str();
  command->add_option("--preset", o->preset, "notebook: the cat/dog notebook's arithmetic")
      ->check(CLI::IsMember({"none", "notebook"}));
  command->add_flag("--reduce-range", o->reduce_range, "7-bit activations (affine)");
  command->add_flag("--after-pool", o->after_pool, "observe behind a max-pool instead of before it");
  command->add_flag("--fold-after", o->fold_after, "observe with batch-norm as its own layer, fold afterwards");
  command->add_option("--batches", o->batches, "read exactly N batches")->check(at_least(1));
  command->add_option("--only", o->only, "quantise only the layers that match");
  command->add_option("--ignore", o->ignore, "leave the layers that match in float");
  return {command, [o] { return run(*o); }};
}

}  // namespace octet::cli
