// What `octet calibrate` and `octet ptq` share: the calibration flags, and data streaming through a Calibrator.
#pragma once

#include "examples/octet/cli.h"
#include "models/dataset.h"

namespace octet::cli {

// The design's flags (C).
struct CalibrationFlags {
  std::optional<std::string> method, weights, scheme;  // unset: the preset's
  std::string preset = "none", add_observer = "output";
  double percentile = 99.99;
  int bins = 2048, start_bin = 128, stride = 1, num_bits = 8;
  std::int64_t batches = -1;
  bool reduce_range = false, share_add_range = false, after_pool = false, fold_after = false;
  bool equalize = false, bias_correct = false;
  std::vector<std::string> only, ignore;
};

void add_calibration_flags(CLI::App& app, CalibrationFlags& flags);
// --only and --ignore alone. One expression a flag, so that a flag does not swallow the model behind its expression.
void add_layer_flags(CLI::App& app, std::vector<std::string>& only, std::vector<std::string>& ignore);

// Throws Error where flags contradict each other.
calib::CalibrationOptions calibration_options(const CalibrationFlags& flags, const Common& common,
                                              const models::Dataset& data);

// Streams the data through, `flags.batches` batches of it at most. Under mpirun each rank takes its share, and rank 0's
// calibrator ends with what all have seen: exactly what a single process would have. Returns how many of the labelled
// samples were right, of all ranks on rank 0.
models::Score stream(const CalibrationFlags& flags, const Common& common, const models::Dataset& data,
                     calib::Calibrator& calibrator);

// The ranges, with marks of the samples and the flags' layer lists; `data` is what was offered.
calib::Ranges finish_ranges(const CalibrationFlags& flags, const models::Dataset& data,
                            const calib::Calibrator& calibrator);

// A note for every edge whose range is 0, and why it is.
void note_dead_edges(const Common& common, const calib::Ranges& ranges);

// The layers that expressions left in float, one line each: "float: NAME (--ignore EXPRESSION)".
std::vector<std::string> layers_left_out(const QGraph& network);

}  // namespace octet::cli
