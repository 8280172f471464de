// Calibration: batches stream through the float network, observers on its marked edges remember their ranges.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>

#include "calib/choose_range.h"
#include "calib/observer.h"
#include "calib/ranges.h"
#include "kernels/plan/plan.h"

namespace octet::calib {

struct CalibrationOptions {  // what the flags of `octet calibrate` say
  RangeOptions range;        // method, scheme, bits
  Granularity weights = Granularity::channel;
  Preset preset = Preset::none;  // notebook: ranges start at 1.0, weights per tensor
  bool fold_first = true;        // calibrate with batch-norm folded (as inference runs) or with its own layers
  bool after_pool = false;       // watch an edge behind its max-pool instead of before it
  int bins = 2048;               // of a histogram's first batch
  bool histograms = false;       // keep histograms whatever the method, for a report (not with the notebook's preset)
  // All quantised inputs of one add are watched by one observer and share its range.
  bool share_add_range = false;
  // Off: the range of an add's result is not what was observed there, but what its inputs' ranges allow: their sums. It
  // never clips, and its step is coarser.
  bool observe_add_output = true;
  bool equalize = false;      // across layers (equalise.h), before anything is observed
  bool bias_correct = false;  // keep the mean of every layer's input channels (Ranges::input_means)
  int batch = 8;
  std::optional<kernels::PlanOptions::Photo> photo;  // set: batches are photos, u8 [n, H, W, 3]; else f32
};

// The MobileNetV2 walk-through's configurations: simple is min-max, affine 7-bit activations, weights per tensor; x86
// is histogram, affine 7-bit activations, weights per channel. notebook: max, symmetric, weights per tensor.
CalibrationOptions preset_options(Preset preset);

class Calibrator {  // not thread-safe: one thread feeds it, its pool computes
 public:
  Calibrator(const Graph& graph, const CalibrationOptions& options, ThreadPool& pool);

  // Runs one batch and returns the network's outputs, so that calibrating also scores. Throws Error on NaN.
  Tensor observe(const Tensor& batch);
  Tensor observe(const SparseTensor& batch);  // of a sparse network
  // What has been seen so far. Throws Error when that is nothing.
  Ranges ranges() const;

  // Several processes, each with a share of the batches, come to the ranges of a single one, bit by bit, when all
  // histograms of an edge have the first width that the single one's would have: that of the first batch in which the
  // edge is not all zeros. widths() has one number an observer (0: none yet, or no histogram); restart() forgets all
  // batches and begins with these widths; state() is everything seen, as text, for merge(). Throws Error for a state
  // of another network or method, and for moving averages, which depend on the order of the batches.
  std::vector<float> widths() const;
  void restart(std::span<const float> widths);
  std::string state() const;
  void merge(const std::string& state);

  const Observer& observer(std::string_view name) const;  // throws Error when there is none

 private:
  struct Watch {
    std::string name;
    std::size_t observer;  // in observers_; several names may share one
    bool wide = false;     // runtime/graph.h: wide_edge()
  };
  void share_observers(const Graph& graph);
  template <class Batch>
  Tensor observe_batch(const Batch& batch, std::int64_t images);
  void sum_add_ranges(Ranges& ranges) const;

  CalibrationOptions options_;
  std::string model_;
  std::vector<Watch> watches_;                                // in the graph's order
  std::map<EdgeId, std::vector<std::size_t>> watched_;        // edge of the float program -> observers
  std::vector<std::unique_ptr<Observer>> observers_, blank_;  // blank_: as they were before the first batch
  struct Sum {
    std::string result;
    std::vector<std::string> inputs;
    bool non_negative;  // a ReLU follows
  };
  std::vector<Sum> sums_;  // adds whose result's range follows from their inputs'
  // The sums of batches are added in twice the precision of a double: so precisely that their order does not show.
  struct Means {
    std::string layer;
    std::vector<double> sums, rests;  // by channel; the sum is sums[c] + rests[c]
    std::int64_t count = 0;           // values a channel
    void observe(const View& input);
    void add(std::size_t channel, double value);
  };
  std::map<EdgeId, std::vector<Means>> means_;  // by the edge that the layers read
  std::unique_ptr<Context> context_;
  std::shared_ptr<const Program> program_;
  std::int64_t images_ = 0;
};

}  // namespace octet::calib
