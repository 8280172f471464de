// What `octet calibrate` and `octet ptq` share: the calibration flags, and photos streaming through a Calibrator.
#pragma once

#include "examples/octet/cli.h"

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

// Throws Error where flags contradict each other.
calib::CalibrationOptions calibration_options(const CalibrationFlags& flags, const Common& common,
                                              const models::LoadedModel& model);

// Streams the photos through, `flags.batches` batches of them at most. Returns how many of the labelled ones were
// right.
models::Score stream(const CalibrationFlags& flags, const Common& common, const models::LoadedModel& model,
                     const std::vector<models::Photo>& photos, calib::Calibrator& calibrator);

// The ranges, with the photos' hash and the flags' layer lists; `photos` are those that were offered.
calib::Ranges finish_ranges(const CalibrationFlags& flags, std::vector<models::Photo> photos,
                            const calib::Calibrator& calibrator);

// The layers that expressions left in float, one line each: "float: NAME (--ignore EXPRESSION)".
std::vector<std::string> layers_left_out(const QGraph& network);

}  // namespace octet::cli
