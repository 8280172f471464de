// Calibration: batches stream through the float network, observers on its marked edges remember their ranges.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "calib/observer.h"
#include "calib/ranges.h"
#include "kernels/plan/plan.h"

namespace octet::calib {

struct CalibrationOptions {
  Scheme scheme = Scheme::symmetric;
  Granularity weights = Granularity::channel;
  Preset preset = Preset::none;  // notebook: ranges start at 1.0, weights per tensor
  bool reduce_range = false;
  bool fold_first = true;   // calibrate with batch-norm folded (as inference runs) or with its own layers
  bool after_pool = false;  // watch an edge behind its max-pool instead of before it
  int batch = 8;
  std::optional<kernels::PlanOptions::Photo> photo;  // set: batches are photos, u8 [n, H, W, 3]
};

class Calibrator {
 public:
  Calibrator(const Graph& graph, const CalibrationOptions& options, ThreadPool& pool);

  // Runs one batch and returns the network's outputs, so that calibrating also scores. Throws Error on NaN.
  Tensor observe(const Tensor& batch);
  // What has been seen so far. Throws Error when that is nothing.
  Ranges ranges() const;

 private:
  CalibrationOptions options_;
  std::string model_;
  std::vector<std::string> order_;                      // observers in the graph's order
  std::map<EdgeId, std::vector<std::string>> watched_;  // edge of the float program -> observers
  std::map<std::string, AbsMaxObserver> observers_;
  std::unique_ptr<Context> context_;
  std::shared_ptr<const Program> program_;
  std::int64_t images_ = 0;
};

}  // namespace octet::calib
