// octet calibrate: photos or frames in, ranges.json out; by one process or, under mpirun, by several.
#include "calib/quantise.h"
#include "examples/common/terminal.h"
#include "examples/octet/calibration.h"
#include "examples/octet/ranks.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

struct Options {
  Common common;
  CalibrationFlags flags;
  std::string data, out;
};

int run(Options o) {
  if (ranks().rank() != 0) o.common.quiet = true;
  const models::LoadedModel model = load_float(o.common);
  require_weights(o.common, model, "calibrating");
  const auto folder = models::part_of(o.data, models::Part::calibration);
  const auto data = models::open_dataset(model, folder, {.skip = o.common.skip, .limit = o.common.limit});
  const auto pool = make_pool(o.common);
  const calib::CalibrationOptions options = calibration_options(o.flags, o.common, *data);
  require(ranks().size() == 1 || options.range.method != calib::Method::moving_average,
          "--method moving_average depends on the order of the batches: it runs in one process");
  calib::Calibrator calibrator(*model.graph, options, *pool);
  const models::Score score = stream(o.flags, o.common, *data, calibrator);
  if (ranks().rank() != 0) return 0;
  calib::Ranges ranges = finish_ranges(o.flags, *data, calibrator);
  ranges.seeded = model.seeded;
  const QGraph check = calib::quantise(*model.graph, ranges);  // an --ignore that matches nothing fails before we write
  calib::save_ranges(ranges, o.out);
  note_dead_edges(o.common, ranges);

  if (o.common.json) {
    print_json(json::parse(calib::to_json(ranges)));
    return 0;
  }
  examples::Table table({"edge", "amax", "min", "max", "step", "zero"});
  for (const calib::EdgeRange& e : ranges.edges) {
    table.add({e.observer, fmt::format("{:.6g}", e.amax), fmt::format("{:.6g}", e.min), fmt::format("{:.6g}", e.max),
               fmt::format("{:.9g}", e.quant.step), std::to_string(e.quant.zero)});
  }
  fmt::print("{}", table.str());
  for (const std::string& line : layers_left_out(check)) fmt::print("{}\n", line);
  if (score.count > 0) fmt::print("FP32 on these {}s: {:.2f} % of {}\n", data->noun(), score.top1(), score.count);
  fmt::print("{} of {}; method {}; written: {}\n", counted(ranges.images, data->noun()), folder.string(), ranges.method,
             o.out);
  return 0;
}

}  // namespace

Command add_calibrate(CLI::App& app) {
  CLI::App* command = app.add_subcommand("calibrate", "find the ranges of a model's activations on photos or frames");
  auto o = std::make_shared<Options>();
  add_common(*command, o->common);
  add_image_flags(*command, o->common);
  command->get_option("MODEL")->description("a model's name (octet models) or an .onnx file");
  command
      ->add_option("--data", o->data,
                   "folder of photos or frames (its sub-folder calibration or train, where there is one)")
      ->required();
  command->add_option("--out", o->out, "the ranges.json to write")->required();
  add_calibration_flags(*command, o->flags);
  return {command, [o] { return run(*o); }};
}

}  // namespace octet::cli
