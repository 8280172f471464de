#include "examples/octet/calibration.h"

#include <algorithm>

#include "calib/quantise.h"
#include "examples/common/terminal.h"
#include "examples/octet/shared_calibration.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"

namespace octet::cli {

void add_calibration_flags(CLI::App& app, CalibrationFlags& f) {
  app.add_option("--method", f.method, "how a range follows from what was seen (default: max, or the preset's)")
      ->check(CLI::IsMember({"max", "entropy", "mse", "percentile", "moving_average", "histogram"}));
  app.add_option("--percentile", f.percentile, "of --method percentile")
      ->check(CLI::Range(1e-6, 100.0))
      ->capture_default_str();
  app.add_option("--bins", f.bins, "of a histogram's first batch; later ones may add more")
      ->check(CLI::Range(2, calib::Histogram::kMaxBins))
      ->capture_default_str();
  app.add_option("--start-bin", f.start_bin, "first candidate of entropy and mse")
      ->check(CLI::Range(1, calib::Histogram::kMaxBins))
      ->capture_default_str();
  app.add_option("--stride", f.stride, "entropy and mse try every Nth candidate")->check(at_least(1));
  app.add_option("--weights-granularity", f.weights, "one step for each output channel (default), or one for all")
      ->check(CLI::IsMember({"channel", "tensor"}));
  app.add_option("--scheme", f.scheme, "activations in [-127, 127] (default), or in [0, 255] with a zero point")
      ->check(CLI::IsMember({"symmetric", "affine"}));
  app.add_option("--preset", f.preset,
                 "notebook: the cat/dog notebook's arithmetic; simple: affine 7-bit min-max, weights per tensor; x86: "
                 "affine 7-bit histogram, weights per channel")
      ->check(CLI::IsMember({"none", "notebook", "simple", "x86"}));
  app.add_flag("--reduce-range", f.reduce_range, "one bit less for activations (affine)");
  app.add_option("--num-bits", f.num_bits, "of activations")->check(CLI::Range(2, 8))->capture_default_str();
  app.add_option("--batches", f.batches, "read exactly N batches")->check(at_least(1));
  app.add_flag("--share-add-range", f.share_add_range, "all inputs of an add share one observer");
  app.add_option("--add-observer", f.add_observer,
                 "output: watch what an add makes; inputs: its range follows from its inputs'")
      ->check(CLI::IsMember({"inputs", "output"}))
      ->capture_default_str();
  app.add_flag("--equalize", f.equalize, "share the weights' scales between layers in a row first");
  app.add_flag("--bias-correct", f.bias_correct, "correct biases by what rounding the weights does to the means");
  app.add_flag("--after-pool", f.after_pool, "observe behind a max-pool instead of before it");
  app.add_flag("--fold-after", f.fold_after, "observe with batch-norm as its own layer, fold afterwards");
  add_layer_flags(app, f.only, f.ignore);
}

void add_layer_flags(CLI::App& app, std::vector<std::string>& only, std::vector<std::string>& ignore) {
  app.add_option("--only", only, "quantise only the layers that match; may be repeated")->allow_extra_args(false);
  app.add_option("--ignore", ignore, "leave the layers that match in float; may be repeated")->allow_extra_args(false);
}

calib::CalibrationOptions calibration_options(const CalibrationFlags& f, const Common& common,
                                              const models::Dataset& data) {
  using calib::Preset;
  const Preset preset = f.preset == "notebook" ? Preset::notebook
                        : f.preset == "simple" ? Preset::simple
                        : f.preset == "x86"    ? Preset::x86
                                               : Preset::none;
  calib::CalibrationOptions c = calib::preset_options(preset);
  if (f.scheme) c.range.scheme = *f.scheme == "affine" ? calib::Scheme::affine : calib::Scheme::symmetric;
  if (f.weights) c.weights = *f.weights == "tensor" ? calib::Granularity::tensor : calib::Granularity::channel;
  if (f.method) c.range.method = calib::method_named(*f.method);
  const bool affine = c.range.scheme == calib::Scheme::affine;
  require(!f.reduce_range || affine, "--reduce-range goes with --scheme affine");
  require(c.range.method != calib::Method::histogram || affine, "--method histogram goes with --scheme affine");
  require(preset != Preset::notebook || !affine, "--preset notebook is symmetric: --scheme affine does not go with it");
  c.range.reduce_range = (c.range.reduce_range || f.reduce_range) && affine;
  c.range.rule = {.num_bits = f.num_bits, .start_bin = f.start_bin, .stride = f.stride, .percentile = f.percentile};
  c.bins = f.bins;
  c.share_add_range = f.share_add_range;
  c.observe_add_output = f.add_observer == "output";
  c.equalize = f.equalize, c.bias_correct = f.bias_correct;
  c.after_pool = f.after_pool;
  c.fold_first = !f.fold_after;
  c.batch = std::min(common.batch_size, data.most_at_once());
  c.photo = data.plan_options().photo;
  return c;
}

models::Score stream(const CalibrationFlags& flags, const Common& common, const models::Dataset& data,
                     calib::Calibrator& calibrator) {
  const std::int64_t available = (data.count() + common.batch_size - 1) / common.batch_size;
  require(flags.batches <= available, "--batches {}: {} make only {} batches of {}", flags.batches,
          counted(data.count(), data.noun()), available, common.batch_size);
  const std::int64_t batches = flags.batches < 0 ? available : flags.batches;
  examples::ProgressBar progress("calibrating", common.quiet);
  const auto observe = [&](std::int64_t batch) {
    const std::int64_t first = batch * common.batch_size;
    const models::Score score =
        data.observe(calibrator, first, std::min<std::int64_t>(common.batch_size, data.count() - first));
    progress.update(batch + 1, batches);
    return score;
  };
  if (ranks().size() > 1) return stream_by_ranks(calibrator, batches, observe);
  models::Score score;
  for (std::int64_t batch = 0; batch < batches; ++batch) add(score, observe(batch));
  return score;
}

calib::Ranges finish_ranges(const CalibrationFlags& flags, const models::Dataset& data,
                            const calib::Calibrator& calibrator) {
  calib::Ranges ranges = calibrator.ranges();
  std::vector<std::filesystem::path> files = data.files();
  files.resize(static_cast<std::size_t>(ranges.images));
  ranges.data = models::marks_of(files);
  ranges.ignore = flags.ignore, ranges.only = flags.only;
  return ranges;
}

void note_dead_edges(const Common& common, const calib::Ranges& ranges) {
  for (const calib::EdgeRange& e : ranges.edges) {
    if (!e.quant.dead) continue;
    const auto seen = e.rules.find("max");  // before a rule cut it
    const double largest = seen == e.rules.end() ? e.amax : seen->second;
    const std::string why =
        largest == 0 ? "every value was 0"
        : largest <= arithmetic::kDeadRange
            ? fmt::format("no value was above {:.3g}, which counts as 0", largest)
            : fmt::format("the method {} chose {:.3g} as its range although values reach {:.6g}; all become 0",
                          ranges.method, e.amax, largest);
    note(common, fmt::format("edge {} is dead: {}; its step is 1", e.observer, why));
  }
}

std::vector<std::string> layers_left_out(const QGraph& network) {
  std::vector<std::string> lines;
  for (const QNode& node : network.nodes) {
    if (node.why.starts_with("--ignore") || node.why.starts_with("not named"))
      lines.push_back(fmt::format("float: {} ({})", node.name, node.why));
  }
  return lines;
}

}  // namespace octet::cli
