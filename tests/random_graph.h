// Seeded random networks and ranges for the fuzzer: every operation in small odd shapes, branches, shared inputs, and
// ranges from sensible to absurd. One seed makes one case on every machine (no std:: distributions).
#pragma once

#include <algorithm>
#include <random>

#include "calib/quantise.h"
#include "calib/ranges.h"
#include "tests/qgraph_interpreter.h"

namespace octet::test {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t bits() { return engine_(); }
  int between(int lo, int hi) { return lo + static_cast<int>(engine_() % static_cast<std::uint64_t>(hi - lo + 1)); }
  bool chance(double p) { return unit() < p; }
  double unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  float real(double magnitude) { return static_cast<float>((2 * unit() - 1) * magnitude); }
  void fill(std::span<float> values, double magnitude) {
    for (float& v : values) v = real(magnitude);
  }
  Tensor tensor(Shape shape, double magnitude) {
    Tensor t(DType::f32, shape);
    fill(t.span<float>(), magnitude);
    return t;
  }

 private:
  std::mt19937_64 engine_;
};

inline Shape with_batch(std::int64_t n, const Shape& shape) {
  std::vector<std::int64_t> dims{n};
  for (const std::int64_t d : shape.dims()) dims.push_back(d);
  return Shape(dims);
}

// Random parameters of a sensible size; some channels are all zero, some biases enormous, some variances tiny.
inline void randomise_weights(Graph& graph, Random& random, double oddity = 0.05) {
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    for (Parameter& p : graph.node(static_cast<int>(i)).parameters) {
      const bool norm = graph.nodes()[i].op == Op::batch_norm;
      p.value = Tensor(DType::f32, p.shape);
      const auto values = p.value.span<float>();
      const std::int64_t per_channel = std::max<std::int64_t>(1, p.shape.elements() / p.shape[0]);
      random.fill(values, p.key == "bias" || norm ? 0.5 : std::sqrt(6.0 / static_cast<double>(per_channel)));
      for (std::size_t k = 0; k < values.size(); ++k) {
        if (p.key == "running_var") values[k] = random.chance(oddity) ? 0.0f : std::fabs(values[k]) + 0.3f;
        if (norm && p.key == "weight") values[k] = random.chance(oddity) ? 0.0f : values[k] + 1.0f;
        if (!norm && p.key == "bias" && random.chance(oddity / 4)) values[k] *= 1e6f;
      }
      if (!norm && p.key == "weight" && random.chance(oddity)) std::ranges::fill(values.first(per_channel), 0.0f);
    }
  }
}

class GraphMaker {
 public:
  // `transposed`: with transposed convolutions, which CUDA does not know yet.
  explicit GraphMaker(Random& random, bool transposed = false) : random_(random), transposed_(transposed) {}

  Graph make() {
    // Large enough, now and then, for the kernels that work on sixteen pixels at a time.
    const bool large = random_.chance(0.15);
    const int size = random_.chance(0.1) ? 1 : large ? random_.between(18, 44) : random_.between(2, 13);
    const Shape in = random_.chance(0.1) ? Shape{random_.between(1, 70)}
                                         : Shape{channels(), size, std::max(1, size + random_.between(-2, 2))};
    loose_ = {graph_.input("x", in)};
    const int layers = random_.between(2, large ? 5 : 12);
    for (int i = 0; i < layers; ++i) grow();
    join();
    graph_.set_output(loose_.back());
    mark();
    randomise_weights(graph_, random_);
    return graph_;
  }

 private:
  int channels() { return random_.chance(0.1) ? random_.between(60, 70) : random_.between(1, 10); }
  std::string name(const char* op) { return fmt::format("{}{}", op, graph_.nodes().size()); }
  const Shape& shape(EdgeId e) const { return graph_.edges()[static_cast<std::size_t>(e)].shape; }
  EdgeId any() { return random_.between(0, static_cast<int>(graph_.edges().size()) - 1); }

  // An edge to build on: mostly one that nobody uses yet.
  EdgeId pick() {
    if (loose_.empty() || random_.chance(0.15)) return any();
    const std::size_t last = loose_.size() - 1;
    return random_.chance(0.7) ? loose_[last]
                               : loose_[static_cast<std::size_t>(random_.between(0, static_cast<int>(last)))];
  }
  void made(EdgeId output) {
    std::erase_if(loose_, [&](EdgeId e) { return !graph_.consumers(e).empty(); });
    loose_.push_back(output);
  }

  Window window(EdgeId x, int largest, bool dilate) {
    const auto fit = [&](std::int64_t size) { return std::min<int>(largest, static_cast<int>(size)); };
    Window w;
    w.kernel_h = random_.between(1, fit(shape(x)[1])), w.kernel_w = random_.between(1, fit(shape(x)[2]));
    w.stride_h = random_.between(1, 3), w.stride_w = random_.chance(0.6) ? w.stride_h : random_.between(1, 3);
    if (dilate && random_.chance(0.3)) w.dilation_h = random_.between(1, 3), w.dilation_w = random_.between(1, 3);
    const auto pad = [&](int span) { return random_.chance(0.5) ? 0 : random_.between(0, std::min(span - 1, 3)); };
    w.pad_top = pad(w.span_h()), w.pad_left = pad(w.span_w());
    w.pad_bottom = pad(w.span_h()), w.pad_right = pad(w.span_w());
    return w;
  }

  void convolution(EdgeId x) {
    const int in = static_cast<int>(shape(x)[0]);
    std::vector<int> divisors;
    for (int g = 1; g <= in; ++g) {
      if (in % g == 0) divisors.push_back(g);
    }
    ConvOptions o;
    o.window = window(x, 4, true);
    o.groups = random_.chance(0.5)
                   ? 1
                   : divisors[static_cast<std::size_t>(random_.between(0, static_cast<int>(divisors.size()) - 1))];
    o.bias = random_.chance(0.7);
    if (transposed_ && random_.chance(0.15)) return transposed(x, o);
    int out = channels();
    if (o.groups > 1) out = o.groups * (o.groups == in && random_.chance(0.6) ? 1 : random_.between(1, 3));
    made(graph_.conv2d(name("conv"), x, out, o));
    if (random_.chance(0.5)) made(graph_.batch_norm(name("bn"), loose_.back()));
    if (random_.chance(0.6)) activation(loose_.back());
    // What the fast convolutions take in: a 2x2 max-pool that alone uses them.
    const Shape& made_shape = shape(loose_.back());
    if (random_.chance(0.3) && made_shape[1] > 1 && made_shape[2] > 1) {
      made(graph_.max_pool(name("pool"), loose_.back(), Window::square(2, 2)));
    }
  }
  // Kernel = stride now and then (no outputs overlap), paddings, output paddings and dilations otherwise.
  void transposed(EdgeId x, ConvOptions o) {
    Window& w = o.window;
    if (random_.chance(0.5)) w = Window::square(random_.between(1, 3)), w.stride_h = w.stride_w = w.kernel_h;
    if (random_.chance(0.3)) w.pad_bottom -= random_.between(0, w.stride_h - 1);
    if (random_.chance(0.3)) w.pad_right -= random_.between(0, w.stride_w - 1);
    if (shape(x)[1] * shape(x)[2] * w.stride_h * w.stride_w > 2000) return;
    made(graph_.conv_transpose2d(name("up"), x, o.groups * random_.between(1, 4), o));
    if (random_.chance(0.5)) made(graph_.batch_norm(name("bn"), loose_.back()));
    if (random_.chance(0.5)) activation(loose_.back());
  }
  // A block that keeps the shape, summed with its own input or with a sibling; the operands often live on.
  void residual(EdgeId x) {
    const int same = static_cast<int>(shape(x)[0]);
    const auto block = [&] {
      const int kernel = random_.chance(0.5) ? 1 : 3;
      made(graph_.conv2d(name("conv"), x, same, {Window::square(kernel, 1, kernel / 2)}));
      return loose_.back();
    };
    const EdgeId a = block(), b = random_.chance(0.5) ? block() : x;
    made(random_.chance(0.5) ? graph_.add(name("add"), {a, b}) : graph_.add(name("add"), {b, a}));
    const EdgeId sum = loose_.back();
    if (random_.chance(0.5)) made(graph_.concat(name("cat"), {sum, a}));
    if (random_.chance(0.3)) made(graph_.add(name("add"), {sum, b}));
  }
  void activation(EdgeId x) {
    made(random_.chance(0.7) ? graph_.relu(name("relu"), x) : graph_.relu6(name("clip"), x));
  }
  // Functions of one value, a gate of one value a channel, softmax.
  void function(EdgeId x) {
    const int kind = random_.between(0, 6);
    if (kind == 5) return made(graph_.mul(name("mul"), x, graph_.global_avg_pool(name("gap"), x)));
    if (kind == 6) return made(graph_.softmax(name("softmax"), x));
    const auto op = static_cast<Op>(static_cast<int>(Op::sigmoid) + kind);
    const float alpha = op == Op::clip ? -0.5f : op == Op::leaky_relu || op == Op::hard_sigmoid ? 0.2f : 0.0f;
    const float beta = op == Op::clip ? 1.5f : op == Op::hard_sigmoid ? 0.5f : 0.0f;
    made(graph_.function(name("f"), op, x, alpha, beta));
  }
  std::vector<EdgeId> alike(EdgeId x, bool channels_too) {
    std::vector<EdgeId> found{x};
    for (int i = 0; i < random_.between(1, 3); ++i) {
      const EdgeId e = any();
      const bool fits = shape(e).rank() == 3 && shape(x).rank() == 3 && shape(e)[1] == shape(x)[1] &&
                        shape(e)[2] == shape(x)[2] && (!channels_too || shape(e)[0] == shape(x)[0]);
      if (fits && !flat(e)) found.push_back(e);
    }
    for (const EdgeId e : loose_) {
      const bool fits =
          e != x && (channels_too ? shape(e) == shape(x)
                                  : shape(e).rank() == 3 && shape(e)[1] == shape(x)[1] && shape(e)[2] == shape(x)[2]);
      if (fits && shape(x).rank() == 3 && found.size() < 5) found.push_back(e);
    }
    return found;
  }
  bool flat(EdgeId e) const { return shape(e).rank() != 3; }

  // One more layer; a layer that does not fit is an Error and simply not made.
  void grow() {
    const EdgeId x = pick();
    try {
      grow_on(x);
    } catch (const Error&) {
      ++refused_;
    }
  }
  void grow_on(EdgeId x) {
    const int kind = random_.between(0, 13);
    if (flat(x)) {
      if (kind < 6) return made(graph_.linear(name("fc"), x, random_.between(1, 70), random_.chance(0.8)));
      if (kind < 8) return activation(x);
      if (kind < 10) return made(graph_.add(name("add"), {x, x}));
      return made(graph_.linear(name("fc"), x, static_cast<int>(shape(x)[0])));
    }
    if (kind < 4) return convolution(x);
    if (kind == 4) return residual(x);
    if (kind == 5) return random_.chance(0.5) ? activation(x) : function(x);
    if (kind == 6) return made(graph_.max_pool(name("max"), x, window(x, 3, true), random_.chance(0.4)));
    if (kind == 7) {
      return made(graph_.avg_pool(name("avg"), x, window(x, 3, false), random_.chance(0.4), random_.chance(0.5)));
    }
    if (kind == 8 && random_.chance(0.3)) return made(graph_.global_avg_pool(name("gap"), x));
    if (kind == 9 && random_.chance(0.4)) {
      made(graph_.flatten(name("flat"), x));
      return made(graph_.linear(name("fc"), loose_.back(), random_.between(1, 20)));
    }
    if (kind == 10) return made(graph_.batch_norm(name("bn"), x));
    if (kind == 12 && random_.chance(0.5)) {
      if (random_.chance(0.5) && shape(x)[1] * shape(x)[2] <= 64)
        return made(graph_.upsample(name("up"), x, random_.between(1, 3), random_.between(1, 2)));
      return made(graph_.pad(name("pad"), x, random_.between(0, 2), random_.between(0, 2), random_.between(0, 3), 1));
    }
    if (kind == 11) {
      const auto inputs = alike(x, true);
      if (inputs.size() < 2) return made(graph_.add(name("add"), {x, x}));
      made(graph_.add(name("add"), inputs));
      if (random_.chance(0.5)) activation(loose_.back());
      return;
    }
    return made(graph_.concat(name("cat"), alike(x, false)));
  }

  // All loose ends into one output.
  void join() {
    while (loose_.size() > 1) {
      const EdgeId a = loose_[loose_.size() - 1], b = loose_[loose_.size() - 2];
      if (shape(a) == shape(b) && (flat(a) || random_.chance(0.5))) {
        if (!flat(a) || graph_.nodes()[producer(a)].op == Op::linear) {
          if (!flat(b) || (producer(b) < graph_.nodes().size() && graph_.nodes()[producer(b)].op == Op::linear)) {
            made(graph_.add(name("add"), {a, b}));
            continue;
          }
        }
      }
      if (!flat(a) && !flat(b) && shape(a)[1] == shape(b)[1] && shape(a)[2] == shape(b)[2]) {
        made(graph_.concat(name("cat"), {a, b}));
      } else {
        for (const EdgeId e : {a, b}) {
          EdgeId narrow = e;
          if (!flat(e)) narrow = graph_.flatten(name("flat"), graph_.global_avg_pool(name("gap"), e));
          made(graph_.linear(name("fc"), narrow, 5));
        }
      }
    }
    if (loose_.back() == graph_.input_edge()) made(graph_.relu(name("relu"), loose_.back()));
  }
  std::size_t producer(EdgeId e) const {
    return static_cast<std::size_t>(graph_.edges()[static_cast<std::size_t>(e)].producer);
  }

  // Observers on most edges, but seldom between a layer and the batch-norm or activation that wants to be folded in.
  void mark() {
    for (EdgeId e = 0; e < static_cast<EdgeId>(graph_.edges().size()); ++e) {
      bool folds = false;
      for (const int user : graph_.consumers(e)) {
        const Op op = graph_.nodes()[static_cast<std::size_t>(user)].op;
        folds |= op == Op::batch_norm || op == Op::relu || op == Op::relu6;
      }
      if (random_.chance(folds ? 0.1 : 0.92)) graph_.observe(e, "o" + graph_.edges()[static_cast<std::size_t>(e)].name);
    }
  }

  Random& random_;
  bool transposed_;
  Graph graph_{"fuzz"};
  std::vector<EdgeId> loose_;
  int refused_ = 0;
};

// Ranges as a calibration on `input` would find them, by the interpreter.
inline calib::Ranges ranges_for(const Graph& graph, const Tensor& input, calib::Scheme scheme, bool reduce = false) {
  calib::Ranges ranges;
  ranges.model = graph.name();
  ranges.images = 1;
  ranges.scheme = scheme;
  const QGraph real = calib::as_float(graph);
  Values in;
  for (const float x : input.span<float>()) in.real.push_back(static_cast<double>(x));
  in.bound.assign(in.real.size(), 0.0);
  const std::vector<Values> edges = Interpreter(real, input.shape()[0]).run(in);
  for (const Edge& edge : graph.edges()) {
    if (edge.observer.empty()) continue;
    float lo = 0, hi = 0;
    for (std::size_t i = 0; i < real.edges.size(); ++i) {
      if (real.edges[i].observer != edge.observer) continue;
      for (const double v : edges[i].real) {
        lo = std::min(lo, static_cast<float>(v)), hi = std::max(hi, static_cast<float>(v));
      }
    }
    const float amax = std::max(-lo, hi);
    ranges.edges.push_back({edge.observer, amax, lo, hi, calib::quant_params(scheme, reduce, amax, lo, hi)});
  }
  return ranges;
}

// The same, some of them too narrow, too wide or dead.
inline calib::Ranges random_ranges(const Graph& graph, const Tensor& input, Random& random) {
  const bool reduce = random.chance(0.5);
  const auto scheme = random.chance(0.5) ? calib::Scheme::affine : calib::Scheme::symmetric;
  calib::Ranges ranges = ranges_for(graph, input, scheme, reduce);
  ranges.weights = random.chance(0.5) ? calib::Granularity::tensor : calib::Granularity::channel;
  for (calib::EdgeRange& e : ranges.edges) {
    auto factor = static_cast<float>(random.chance(0.7) ? 1.0 : 0.3 + 2 * random.unit());
    if (random.chance(0.03)) factor = 0;
    e.amax *= factor, e.min *= factor, e.max *= factor;
    e.quant = calib::quant_params(scheme, reduce, e.amax, e.min, e.max);
  }
  return ranges;
}

// Every edge is observed but those that fold away: a layer's output in front of a batch-norm or an activation.
inline void observe_all(Graph& graph) {
  for (EdgeId e = 0; e < static_cast<EdgeId>(graph.edges().size()); ++e) {
    const std::vector<int> users = graph.consumers(e);
    const bool folds = std::ranges::any_of(users, [&](int user) {
      const Op op = graph.nodes()[static_cast<std::size_t>(user)].op;
      return op == Op::batch_norm || op == Op::relu || op == Op::relu6;
    });
    const Edge& edge = graph.edges()[static_cast<std::size_t>(e)];
    if (!folds && edge.observer.empty()) graph.observe(e, edge.name);
  }
}

}  // namespace octet::test
