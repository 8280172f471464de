// An operation of one's own, whole in this one file: x + y + z, as the quantisation walk-throughs add it, with its
// observers, its float reference and its quantised form; then a network that has it, calibrated, planned and run in
// integers. Two variants stand side by side:
//
//   shared     one quantiser for all three inputs: one histogram has seen them all, so all have one step
//   separate   a quantiser each: the small input keeps its bits, and the addition has three multipliers
//
// The arithmetic is rule 11 of calib/QUANTIZATION.md (q_i: integers, M_i: multipliers of 16 significant bits):
//
//   q = clamp(rne((q_x - z_x) M_x + (q_y - z_y) M_y + (q_z - z_z) M_z)) + z_out,     M_i = step_i / step_out
//
// The program exits with 1 when an integer is more than a step away from what its inputs say it should be, or when two
// numbers of threads give different bytes. (Octet has an n-ary add of its own, with fast kernels; this one shows how.)
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <random>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "examples/common/terminal.h"
#include "kernels/plan/plan.h"
#include "models/measure.h"
#include "runtime/arithmetic.h"
#include "runtime/custom_op.h"
#include "runtime/error.h"

using namespace octet;

namespace {

// --- the operation ---------------------------------------------------------------------------------------------------

class ThreeInputAdd final : public CustomOp {
 public:
  explicit ThreeInputAdd(bool share_range) : share_(share_range) {}

  std::string name() const override { return "three_input_add"; }
  bool shares_input_range() const override { return share_; }

  Shape infer_shape(std::span<const Shape> inputs) const override {
    require(inputs.size() == 3, "three inputs were expected, not {}", inputs.size());
    for (const Shape& s : inputs) require(s == inputs[0], "adds {} and {}", inputs[0].str(), s.str());
    return inputs[0];
  }

  Row real() const override {
    return [](std::span<const View> in, const View& out, std::int64_t n, std::int64_t y) {
      for (int x = 0; x < out.w; ++x) {
        for (int c = 0; c < out.c; ++c) {
          *out.at<float>(n, y, x, c) =
              *in[0].at<float>(n, y, x, c) + *in[1].at<float>(n, y, x, c) + *in[2].at<float>(n, y, x, c);
        }
      }
    };
  }

  Row integer(std::span<const QuantParams> inputs, const QuantParams& o) const override {
    std::array<float, 3> m{};
    std::array<std::int32_t, 3> zero{};
    for (std::size_t k = 0; k < 3; ++k) {
      m[k] = arithmetic::add_multiplier(inputs[k].step, o.step), zero[k] = inputs[k].zero;
    }
    return [=](std::span<const View> in, const View& out, std::int64_t n, std::int64_t y) {
      const auto term = [&](std::size_t k, int x, int c) {
        return static_cast<float>(integer_at(in[k], n, y, x, c) - zero[k]) * m[k];
      };
      const auto lo = static_cast<float>(o.lo - o.zero), hi = static_cast<float>(o.hi - o.zero);
      for (int x = 0; x < out.w; ++x) {
        for (int c = 0; c < out.c; ++c) {
          const float sum = term(0, x, c) + term(1, x, c) + term(2, x, c);  // left to right, rounded after each +
          put_integer(out, n, y, x, c, arithmetic::round_even(arithmetic::clamp(sum, lo, hi)) + o.zero);
        }
      }
    };
  }

 private:
  bool share_;
};

// --- a network with it -----------------------------------------------------------------------------------------------

constexpr int kSide = 32, kChannels = 16, kBatches = 4, kBatch = 8;

// Three convolutions of one image, of widths 1, 0.1 and 4, meet in the operation; a classifier follows.
Graph network(bool share) {
  Graph g("three_branches");
  const EdgeId image = g.observe(g.input("input", Shape{3, kSide, kSide}), "input");
  std::vector<EdgeId> branches;
  for (const char* name : {"x", "y", "z"}) {
    const EdgeId conv = g.conv2d(name, image, kChannels, {.window = Window::square(3, 1, 1)});
    branches.push_back(g.observe(conv, fmt::format("sum.{}", name)));
  }
  const EdgeId sum = g.observe(g.custom("sum", std::make_shared<ThreeInputAdd>(share), branches), "sum");
  const EdgeId relu =
      g.observe(g.relu("relu", g.conv2d("conv", sum, kChannels, {.window = Window::square(3, 1, 1)})), "relu");
  g.set_output(g.linear("fc", g.flatten("flatten", g.observe(g.global_avg_pool("pool", relu), "pool")), 10));
  g.seed_weights(1);
  const std::map<std::string, float> widths = {{"x", 1.0f}, {"y", 0.1f}, {"z", 4.0f}};
  for (int i = 0; i < 3; ++i) {
    for (Parameter& p : g.node(i).parameters) {
      for (float& w : p.value.span<float>()) w *= widths.at(g.node(i).name);
    }
  }
  return g;
}

Tensor make_batch(std::mt19937& random) {
  Tensor batch(DType::f32, Shape{kBatch, 3, kSide, kSide});
  for (float& value : batch.span<float>()) {
    value = -6;
    for (int n = 0; n < 12; ++n) value += static_cast<float>(random() >> 8) * 0x1p-24f;  // close to a normal number
  }
  return batch;
}

// --- trying it -------------------------------------------------------------------------------------------------------

struct Run {
  std::vector<float> logits;
  std::map<std::string, std::vector<std::int32_t>> integers;  // of the quantised edges around the operation
  std::string variant, precision;                             // of its kernel
};

Run run(const QGraph& network, const Tensor& batch, int threads) {
  Run result;
  const auto program = kernels::plan(network, {.batch = kBatch, .keep_edges = true});
  for (const Step& step : program->steps) {
    if (step.op == Op::custom) result.variant = step.variant, result.precision = name_of(step.precision);
  }
  ThreadPool pool(threads);
  Context context(program, pool);
  Tensor output(DType::f32, Shape{kBatch, 10});
  const Context::Hook keep = [&](EdgeId id, const View& v) {
    const QEdge& edge = network.edges[static_cast<std::size_t>(id)];
    if (!edge.quantised || edge.shape != Shape{kChannels, kSide, kSide}) return;
    std::vector<std::int32_t>& values = result.integers[edge.name];
    values.clear();
    for (int i = 0; i < v.n * v.h * v.w * v.c; ++i) {
      const int c = i % v.c, x = i / v.c % v.w, y = i / v.c / v.w % v.h, n = i / v.c / v.w / v.h;
      values.push_back(integer_at(v, n, y, x, c));
    }
  };
  context.run(batch, output, &keep);
  result.logits.assign(output.span<float>().begin(), output.span<float>().end());
  return result;
}

// How many integers of the sum are a step away from the exact sum of its three quantised inputs (the 16-bit
// multipliers' cost, next to ties). Throws Error for one that is further away.
std::int64_t one_step_off(const Run& r, const calib::Ranges& ranges) {
  const auto real = [&](const char* edge, const char* observer, std::size_t i) {
    const QuantParams& q = ranges.find(observer)->quant;
    return static_cast<double>(q.step) * (r.integers.at(edge)[i] - q.zero);
  };
  const QuantParams& out = ranges.find("sum")->quant;
  std::int64_t off = 0;
  for (std::size_t i = 0; i < r.integers.at("sum").size(); ++i) {
    const double exact = real("x", "sum.x", i) + real("y", "sum.y", i) + real("z", "sum.z", i);
    const double level = std::nearbyint(exact / static_cast<double>(out.step)) + out.zero;
    const double difference = std::fabs(r.integers.at("sum")[i] - std::clamp<double>(level, out.lo, out.hi));
    require(difference <= 1, "element {}: {} steps away from its reference", i, difference);
    off += difference == 1;
  }
  return off;
}

int run_all() {
  std::mt19937 random(20261122);
  std::vector<Tensor> batches;
  for (int b = 0; b <= kBatches; ++b) batches.push_back(make_batch(random));
  examples::Table table(
      {"inputs", "amax x", "amax y", "amax z", "step y", "amax sum", "kernel", "one step off", "logits dB"});
  for (const bool share : {true, false}) {
    const Graph graph = network(share);
    ThreadPool pool(2);
    calib::Calibrator calibrator(graph, {.range = {.method = calib::Method::mse}, .batch = kBatch}, pool);
    for (int b = 0; b < kBatches; ++b) calibrator.observe(batches[static_cast<std::size_t>(b)]);
    const calib::Ranges ranges = calibrator.ranges();
    const QGraph quantised = calib::quantise(graph, ranges);

    const Tensor& fresh = batches.back();  // not what calibrated
    const Run integer = run(quantised, fresh, 1), again = run(quantised, fresh, 3);
    require(integer.integers == again.integers, "1 and 3 threads give different bytes");
    std::vector<std::string> row = {share ? "shared" : "separate"};
    for (const char* name : {"sum.x", "sum.y", "sum.z"}) row.push_back(fmt::format("{:.4f}", ranges.find(name)->amax));
    row.push_back(fmt::format("{:.6f}", ranges.find("sum.y")->quant.step));
    row.push_back(fmt::format("{:.4f}", ranges.find("sum")->amax));
    row.push_back(fmt::format("{} ({})", integer.variant, integer.precision));
    row.push_back(fmt::format("{} of {}", one_step_off(integer, ranges), integer.integers.at("sum").size()));
    row.push_back(fmt::format("{:.2f}", models::sqnr_db(run(calib::as_float(graph), fresh, 1).logits, integer.logits)));
    table.add(std::move(row));
  }
  fmt::print("x + y + z within a network, branches of widths 1, 0.1 and 4, histograms of {} batches, mse:\n\n{}",
             kBatches, table.str());
  return 0;
}

}  // namespace

int main() { return examples::guarded("custom_op", run_all); }
