// octet sensitivity: which layers cost most when they are quantised.
#include <algorithm>

#include "calib/sensitivity.h"
#include "examples/common/terminal.h"
#include "examples/octet/analysis.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

struct Options {
  Common common;
  std::string data, out, mode = "leave-out";
  std::optional<std::string> eval_data, labels;
  int top = 10;
  bool leaves_only = false;
};

int run(const Options& o) {
  Common common = o.common;
  common.precision = "int8";
  const models::LoadedModel model = load(common);
  require_weights(common, model, "ranking the layers of");
  require(model.graph.has_value(), "{} is quantised already: sensitivity needs the float network, and --ranges for it",
          common.model);
  require(model.ranges.has_value(), "{}: --ranges of its weights are needed, made by octet calibrate", common.model);
  const auto folder = o.eval_data ? std::filesystem::path(*o.eval_data) : models::part_of(o.data, models::Part::test);
  const auto data = open_scored(model, folder, o.labels, o.common.skip, o.common.limit);
  const auto pool = make_pool(o.common);
  const auto scorer = make_scorer(o.common, model, *data, *pool);

  const auto mode = o.mode == "alone" ? calib::SensitivityMode::alone : calib::SensitivityMode::leave_out;
  const calib::Sensitivity result =
      analyse_resumably(o.common, model, *model.ranges, *scorer, mode, !o.leaves_only, *data, o.out);
  if (o.common.json) {
    print_json(json::parse(calib::to_json(result)));
    return 0;
  }
  fmt::print("{}", sensitivity_table(result, o.top));
  const std::string overlap =
      overlap_note(models::calibration_overlap(*model.ranges, data->files()), data->count(), data->noun());
  if (!overlap.empty()) fmt::print("{}\n", overlap);
  fmt::print("{} of {}; written: {}\n", counted(data->count(), data->noun()), folder.string(), o.out);
  return 0;
}

}  // namespace

Command add_sensitivity(CLI::App& app) {
  CLI::App* command = app.add_subcommand("sensitivity", "which layers cost most when they are quantised");
  auto o = std::make_shared<Options>();
  add_common(*command, o->common);
  add_image_flags(*command, o->common);
  command->get_option("MODEL")->description("a model's name (octet models) or an .onnx file");
  command->add_option("--data", o->data, "folder of photos or frames (its sub-folder test or val, where there is one)")
      ->required();
  command->add_option("--eval-data", o->eval_data, "folder of those that score instead");
  command->add_option("--labels", o->labels, "CSV: file, class index");
  command->add_option("--out", o->out, "the JSON to write, again after every layer; an interrupted run goes on")
      ->required();
  command->add_option("--mode", o->mode, "leave-out: all INT8 but one layer; alone: only that layer INT8")
      ->check(CLI::IsMember({"leave-out", "alone"}))
      ->capture_default_str();
  command->add_option("--top", o->top, "how many layers to print")->check(at_least(1))->capture_default_str();
  command->add_flag("--leaves-only", o->leaves_only, "single layers, no named blocks");
  return {command, [o] { return run(*o); }};
}

}  // namespace octet::cli
