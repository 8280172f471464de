// Ranges: what calibration found, edge by edge, and the quantisation chosen from it. ranges.json is its file: small,
// diffable (one edge a line, in the network's order), 9 significant digits, so that every float comes back exactly.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "runtime/graph.h"
#include "runtime/quant_params.h"

namespace octet::calib {

enum class Scheme { symmetric, affine };     // [-127, 127] around 0, or [0, 255] with a zero point
enum class Granularity { channel, tensor };  // of the weights' steps
// notebook: the cat/dog notebook's arithmetic, slip by slip. simple and x86: the two configurations of the MobileNetV2
// walk-through, which only choose options (calibrate.h) and change no arithmetic.
enum class Preset { none, notebook, simple, x86 };

// What a report draws of a histogram of |x|: few bars of equal width from 0.
struct HistogramSketch {
  float width = 0;
  std::vector<std::int64_t> counts;
};

struct EdgeRange {  // of one observed edge, real units
  std::string observer;
  float amax = 0, min = 0, max = 0;    // as chosen, what the step was made from
  QuantParams quant;                   // the step is authoritative: it is not recomputed from amax on reading
  std::map<std::string, float> rules;  // what each amax rule would choose, by name; empty without a histogram
  HistogramSketch histogram;           // empty without a histogram
};

struct Ranges {
  std::string model;
  std::string method = "max";
  Scheme scheme = Scheme::symmetric;
  Granularity weights = Granularity::channel;
  Preset preset = Preset::none;
  int num_bits = 8;  // of activations
  bool reduce_range = false, share_add_range = false;
  std::string add_observer = "output";
  bool equalized = false;  // the weights were equalised across layers (equalise.h) before anything was observed
  // --bias-correct: the mean of each channel of a layer's input, by layer; its bias is corrected by what rounding the
  // weights does to that mean. Empty: no correction.
  std::map<std::string, std::vector<float>> input_means;
  // The largest magnitude that each output channel's weights are rounded with, by layer, where a checkpoint says so
  // (its weights were trained under that limit); other layers: what their weights are. Larger weights are clipped.
  std::map<std::string, std::vector<float>> weight_amax;
  bool partial = false;     // some observed edges have no range: the layers around them run in floats
  std::int64_t images = 0;  // how many calibrated
  bool seeded = false;      // made from seeded weights and inputs: good for speed only
  std::string data;         // marks of the samples, so that a score on the same ones can be marked (models/dataset.h)
  std::vector<std::string> ignore, only;  // QuantiseOptions that calibration was asked for
  std::vector<EdgeRange> edges;

  const EdgeRange* find(std::string_view observer) const;  // null: none
  // Throws Error unless the ranges are for this model and have exactly its observers (`partial`: no others).
  void check(const Graph& graph) const;
};

// The quantisation of a range. Symmetric: step = amax / hi, lo = -hi, hi = 2^(num_bits - 1) - 1. Affine: lo = 0,
// hi = 2^num_bits - 1; the range is widened to hold 0, step = (max - min) / hi, zero = -rne(min / step); `reduce_range`
// (affine only) takes one bit less, [0, 127]. 2 to 8 bits. A dead range is marked (rule 3).
QuantParams quant_params(Scheme scheme, bool reduce_range, float amax, float min, float max, int num_bits = 8);

std::string to_json(const Ranges& ranges);  // ranges.json; reals with nine digits, so every bit comes back
Ranges ranges_from_json(const std::string& text, const std::string& where);  // throws Error that begins with `where`
Ranges load_ranges(const std::filesystem::path& path);                       // throws Error naming the file
void save_ranges(const Ranges& ranges, const std::filesystem::path& path);   // atomically

const char* name_of(Scheme scheme);            // as ranges.json and the flags say it
const char* name_of(Granularity granularity);  // likewise
const char* name_of(Preset preset);            // likewise

}  // namespace octet::calib
