// An operation of one's own, whole in this one file: x + y + z, as the quantisation walk-throughs add it, with its
// observers, its float reference and its quantised form. Two variants stand side by side:
//
//   shared     one quantiser for all three inputs: one histogram has seen them all, so all have one step
//   separate   a quantiser each: the small input keeps its bits, and the addition has three multipliers
//
// The arithmetic is rule 11 of calib/QUANTIZATION.md (q_i: integers, M_i: multipliers of 16 significant bits):
//
//   q = clamp(rne((q_x - z_x) M_x + (q_y - z_y) M_y + (q_z - z_z) M_z)) + z_out,     M_i = step_i / step_out
//
// Everything used here is public: observers and rules (calib/), the contract's functions (runtime/arithmetic.h). The
// program exits with 1 when an integer is more than a step away from the reference.
//
// Networks that are planned (runtime/program.h) take their operations from the Op table instead; Octet's own n-ary add
// is such a one, and `octet calibrate --share-add-range` is the shared variant for it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "calib/choose_range.h"
#include "examples/common/terminal.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"
#include "runtime/float_environment.h"

using namespace octet;

namespace {

constexpr int kSide = 224, kBatches = 4;
const Shape kShape{3, kSide, kSide};

using Inputs = std::array<std::vector<float>, 3>;  // x, y, z

// --- the operation ---------------------------------------------------------------------------------------------------

class ThreeInputAdd {
 public:
  explicit ThreeInputAdd(bool share_inputs) : share_(share_inputs) {}

  static float reference(float x, float y, float z) { return x + y + z; }

  // Calibration: each input to its observer (all to the first one when they share), the result to its own.
  void observe(const Inputs& in) {
    std::vector<float> sum(in[0].size());
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = reference(in[0][i], in[1][i], in[2][i]);
    for (std::size_t k = 0; k < 3; ++k) inputs_[share_ ? 0 : k].observe(in[k]);
    output_.observe(sum);
  }

  // From histograms to quantisers, by the mse rule.
  void quantise() {
    const auto choose = [](const char* name, const calib::Histogram& h) {
      return calib::choose_range(name, calib::HistogramObserver(h), {.method = calib::Method::mse});
    };
    for (std::size_t k = 0; k < 3; ++k) in_[k] = choose("input", inputs_[share_ ? 0 : k]);
    out_ = choose("sum", output_);
    for (std::size_t k = 0; k < 3; ++k) m_[k] = arithmetic::add_multiplier(in_[k].quant.step, out_.quant.step);
  }

  // The quantised form: 8-bit integers in, 8-bit integers out.
  std::int32_t run(const std::array<std::int32_t, 3>& q) const {
    const auto term = [&](std::size_t k) { return static_cast<float>(q[k] - in_[k].quant.zero) * m_[k]; };
    const float sum = term(0) + term(1) + term(2);  // left to right, rounded after each +
    const QuantParams& o = out_.quant;
    const float clamped = arithmetic::clamp(sum, static_cast<float>(o.lo - o.zero), static_cast<float>(o.hi - o.zero));
    return arithmetic::round_even(clamped) + o.zero;
  }
  std::int32_t quantise_input(std::size_t k, float value) const { return arithmetic::quantise(value, in_[k].quant); }
  float dequantise(std::int32_t q) const { return arithmetic::dequantise(q, out_.quant.step, out_.quant.zero); }

  const calib::EdgeRange& input(std::size_t k) const { return in_[k]; }
  const calib::EdgeRange& output() const { return out_; }

 private:
  bool share_;
  std::array<calib::Histogram, 3> inputs_;
  calib::Histogram output_;
  std::array<calib::EdgeRange, 3> in_;
  calib::EdgeRange out_;
  std::array<float, 3> m_{};
};

// --- trying it -------------------------------------------------------------------------------------------------------

// Three activations of different widths: 1, 0.1 and, with a few outliers, 4.
Inputs make_batch(std::mt19937& random) {
  Inputs in;
  const float scale[] = {1.0f, 0.1f, 4.0f};
  for (std::size_t k = 0; k < 3; ++k) {
    for (std::int64_t i = 0; i < kShape.elements(); ++i) {
      float sum = -6;
      for (int n = 0; n < 12; ++n) sum += static_cast<float>(random() >> 8) * 0x1p-24f;  // close to a normal number
      in[k].push_back(scale[k] * sum * (k == 2 && i % 5000 == 0 ? 4.0f : 1.0f));
    }
  }
  return in;
}

struct Outcome {
  double sqnr_db = 0;
  std::int64_t values = 0, one_step_off = 0, further_off = 0;
};

// Integers against two references: the float sum (what quantising costs), and the sum of the fake-quantised inputs,
// rounded exactly (what the 16-bit multipliers cost: one step, next to ties).
Outcome compare(const ThreeInputAdd& op, const Inputs& in) {
  Outcome outcome;
  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < in[0].size(); ++i) {
    std::array<std::int32_t, 3> q{};
    double exact = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      q[k] = op.quantise_input(k, in[k][i]);
      exact += static_cast<double>(op.input(k).quant.step) * (q[k] - op.input(k).quant.zero);
    }
    const QuantParams& o = op.output().quant;
    const std::int32_t got = op.run(q);
    const double level = std::nearbyint(exact / static_cast<double>(o.step)) + o.zero;
    const double off = std::fabs(got - std::clamp(level, static_cast<double>(o.lo), static_cast<double>(o.hi)));
    outcome.one_step_off += off == 1, outcome.further_off += off > 1;
    const double real = ThreeInputAdd::reference(in[0][i], in[1][i], in[2][i]), error = real - op.dequantise(got);
    signal += real * real, noise += error * error;
    ++outcome.values;
  }
  outcome.sqnr_db = 10 * std::log10(signal / noise);
  return outcome;
}

int run() {
  const FloatEnvironment environment;  // round to nearest, no flushing of small numbers: what the contract assumes
  std::mt19937 random(20261122);
  std::array<ThreeInputAdd, 2> variants = {ThreeInputAdd(true), ThreeInputAdd(false)};
  for (int b = 0; b < kBatches; ++b) {
    const Inputs batch = make_batch(random);
    for (ThreeInputAdd& op : variants) op.observe(batch);
  }
  const Inputs fresh = make_batch(random);  // not what calibrated
  examples::Table table({"inputs", "amax x", "amax y", "amax z", "step y", "amax sum", "SQNR dB", "one step off"});
  bool exact = true;
  for (std::size_t v = 0; v < variants.size(); ++v) {
    ThreeInputAdd& op = variants[v];
    op.quantise();
    const Outcome o = compare(op, fresh);
    exact &= o.further_off == 0;
    std::vector<std::string> row = {v == 0 ? "shared" : "separate"};
    for (std::size_t k = 0; k < 3; ++k) row.push_back(fmt::format("{:.4f}", op.input(k).amax));
    row.push_back(fmt::format("{:.6f}", op.input(1).quant.step));
    row.push_back(fmt::format("{:.4f}", op.output().amax));
    row.push_back(fmt::format("{:.2f}", o.sqnr_db));
    row.push_back(fmt::format("{} of {}", o.one_step_off, o.values));
    table.add(std::move(row));
  }
  fmt::print("x + y + z, inputs {} (widths 1, 0.1 and 4), histograms of {} batches, mse:\n\n{}", kShape.str(), kBatches,
             table.str());
  require(exact, "the quantised form is more than a step away from its reference");
  return 0;
}

}  // namespace

int main() { return examples::guarded("custom_op", run); }
