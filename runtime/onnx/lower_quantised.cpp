#include "runtime/onnx/lower_quantised.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "runtime/arithmetic.h"
#include "runtime/error.h"
#include "runtime/float_environment.h"
#include "runtime/functions.h"

namespace octet::onnx {
namespace {

// A layer's real scale and shift behind its integer product: the batch-norm that was folded into it.
struct Affine {
  std::vector<double> scale, shift;
};

class QuantisedLowering {
 public:
  QuantisedLowering(const Graph& graph, std::vector<std::string>& notes, const std::set<std::string>& real_layers)
      : graph_(graph), notes_(notes), real_layers_(real_layers) {
    forms_.resize(graph.edges().size());
    done_.resize(graph.nodes().size());
    users_.resize(graph.edges().size());
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
      for (const EdgeId input : graph.nodes()[i].inputs) users_[index(input)].push_back(static_cast<int>(i));
    }
    result_.name = graph.name();
  }

  QGraph run() {
    const FloatEnvironment environment;
    result_.input = add_edge(graph_.input_edge(), std::nullopt);
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      if (!done_[i]) lower(graph_.nodes()[i]);
    }
    result_.output = need_real(graph_.output_edge());
    result_.validate();
    return std::move(result_);
  }

 private:
  // A Graph edge as the QGraph has it: as reals, as integers, or both. Behind a dequantise node the integers serve
  // until somebody asks for the reals.
  struct Forms {
    EdgeId real = -1, integer = -1;
  };

  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }
  const Edge& edge(EdgeId id) const { return graph_.edges()[index(id)]; }
  const Node& node(int id) const { return graph_.nodes()[index(id)]; }
  const std::vector<int>& users(EdgeId id) const { return users_[index(id)]; }
  Forms& forms(EdgeId id) { return forms_[index(id)]; }
  const QuantParams& quant_of(EdgeId q_edge) const { return result_.edges[index(q_edge)].quant; }

  EdgeId add_edge(EdgeId source, const std::optional<QuantParams>& quant) {
    QEdge made{.name = edge(source).name, .shape = edge(source).shape, .quantised = quant.has_value()};
    if (quant) made.quant = *quant;
    result_.edges.push_back(std::move(made));
    const auto id = static_cast<EdgeId>(result_.edges.size()) - 1;
    (quant ? forms(source).integer : forms(source).real) = id;
    return id;
  }

  EdgeId need_real(EdgeId source) {
    if (forms(source).real >= 0) return forms(source).real;
    const EdgeId from = forms(source).integer;
    // One dequantised copy serves every dequantise node of the same integers.
    const auto known = std::ranges::find_if(
        result_.nodes, [&](const QNode& n) { return n.op == Op::dequantise && n.inputs[0] == from; });
    if (known != result_.nodes.end()) return forms(source).real = known->output;
    const std::string name = result_.edges[index(from)].name;
    QNode made{.name = unused_name(name + ".dequantise"), .op = Op::dequantise, .inputs = {from}};
    made.output = add_edge(source, std::nullopt);
    result_.edges.back().name = name;
    result_.nodes.push_back(std::move(made));
    return forms(source).real;
  }

  std::string unused_name(std::string name) const {
    const auto taken = [&] { return std::ranges::find(result_.nodes, name, &QNode::name) != result_.nodes.end(); };
    while (taken()) name += "_";
    return name;
  }

  void lower(const Node& source) {
    if (source.op == Op::quantise) return quantise(source);
    if (source.op == Op::dequantise) {
      forms(source.output).integer = forms(source.inputs[0]).integer;
      return;
    }
    QNode made{.name = source.name,
               .op = source.op,
               .window = source.window,
               .sparse = source.sparse,
               .inverse_of = source.inverse_of,
               .groups = source.groups,
               .ceil_mode = source.ceil_mode,
               .count_include_pad = source.count_include_pad,
               .alpha = source.alpha,
               .beta = source.beta};
    if (has_weights(source.op)) {
      const Shape& w = source.parameter("weight").shape();
      const Shape &in = edge(source.inputs[0]).shape, &out = edge(source.output).shape;
      made.macs = source.op == Op::conv_transpose2d ? in[1] * in[2] * w.elements()
                  : source.op == Op::sparse_conv    ? w.elements()
                                                    : out.elements() * (w.elements() / w[0]);
    }
    if (!integer(made, source)) real(made, source);
    result_.nodes.push_back(std::move(made));
  }

  void quantise(const Node& source) {
    const EdgeId known = forms(source.inputs[0]).integer;
    if (known >= 0 && quant_of(known) == *source.quant) {  // DQ -> Q of the same parameters is nothing
      forms(source.output).integer = known;
      return;
    }
    const EdgeId from = need_real(source.inputs[0]);
    // Exporters that quantise inputs, not outputs, write one quantise node for each layer that reads an edge.
    const auto twin = std::ranges::find_if(result_.nodes, [&](const QNode& n) {
      return n.op == Op::quantise && n.inputs[0] == from && quant_of(n.output) == *source.quant;
    });
    if (twin != result_.nodes.end()) {
      forms(source.output).integer = twin->output;
      return;
    }
    QNode made{.name = source.name, .op = Op::quantise, .inputs = {from}};
    made.output = add_edge(source.output, *source.quant);
    result_.edges.back().name = edge(source.inputs[0]).name;
    result_.nodes.push_back(std::move(made));
  }

  void real(QNode& made, const Node& source) {
    made.precision = Precision::fp32;
    made.weight = {}, made.bias_q.clear(), made.weight_step.clear(), made.table = {};
    made.activation = Activation::none;
    made.op = source.op, made.alpha = source.alpha, made.beta = source.beta;
    made.inputs.clear();
    const bool had_integers = std::ranges::any_of(source.inputs, [&](EdgeId e) { return forms(e).integer >= 0; });
    if (had_integers && source.op != Op::softmax) {
      notes_.push_back(fmt::format("{} ({}) runs in float: {}", source.name, name_of(source.op), made.why));
    }
    for (const EdgeId input : source.inputs) made.inputs.push_back(need_real(input));
    if (has_weights(source.op)) {
      made.weight = source.parameter("weight");
      if (source.has("bias")) made.bias = source.parameter("bias");
    } else if (source.op == Op::batch_norm) {
      const Affine affine = affine_of(source);
      const Shape channels = source.parameter("weight").shape();
      made.weight = Tensor(DType::f32, channels), made.bias = Tensor(DType::f32, channels);
      for (std::size_t c = 0; c < affine.scale.size(); ++c) {
        made.weight.span<float>()[c] = static_cast<float>(affine.scale[c]);
        made.bias.span<float>()[c] = static_cast<float>(affine.shift[c]);
      }
    }
    EdgeId output = source.output;
    const Node* next = only_user(output);
    const bool can = has_weights(source.op) || source.op == Op::add;
    if (can && next != nullptr && (next->op == Op::relu || next->op == Op::relu6)) {
      made.activation = next->op == Op::relu ? Activation::relu : Activation::relu6;
      skip(*next);
      output = next->output;
    }
    made.output = add_edge(output, std::nullopt);
  }

  static Affine affine_of(const Node& norm) {
    Affine affine;
    const auto count = norm.parameter("weight").span<float>().size();
    for (std::size_t c = 0; c < count; ++c) {
      const auto at = [&](const char* key) { return static_cast<double>(norm.parameter(key).span<float>()[c]); };
      const double g = at("weight") / std::sqrt(at("running_var") + static_cast<double>(norm.eps));
      affine.scale.push_back(g), affine.shift.push_back(at("bias") - at("running_mean") * g);
      require(std::isfinite(affine.scale.back()) && std::isfinite(affine.shift.back()),
              "{}: gamma / sqrt(running_var + eps) of channel {} is not finite", norm.name, c);
    }
    return affine;
  }

  // The only user of an edge that is not the network's output; null when there are more or none.
  const Node* only_user(EdgeId id) const {
    return users(id).size() == 1 && id != graph_.output_edge() ? &node(users(id)[0]) : nullptr;
  }
  void skip(const Node& absorbed) { done_[index(&absorbed - graph_.nodes().data())] = true; }

  // The parameters of the quantise nodes that are all that uses `id`; nothing when others use it or they differ.
  std::optional<QuantParams> quantised_as(EdgeId id) const {
    if (id == graph_.output_edge() || users(id).empty()) return std::nullopt;
    std::optional<QuantParams> quant;
    for (const int user : users(id)) {
      const Node& n = node(user);
      if (n.op != Op::quantise || (quant && *quant != *n.quant)) return std::nullopt;
      quant = n.quant;
    }
    return quant;
  }

  // Makes `made` an INT8 node; false, with made.why set, when it has to be float.
  bool integer(QNode& made, const Node& source) {
    for (const EdgeId input : source.inputs) {
      if (forms(input).integer >= 0) continue;
      made.why = fmt::format("its input {} is not quantised", edge(input).name);
      return false;
    }
    if (real_layers_.contains(source.name)) {
      made.why = "the file says so";
      return false;
    }
    made.precision = Precision::int8;
    switch (source.op) {
      case Op::max_pool:
      case Op::flatten:
      case Op::upsample:
      case Op::pad:
      case Op::to_dense:
        take_inputs(made, source);
        made.output = add_edge(source.output, quant_of(made.inputs[0]));
        return true;
      case Op::conv2d:
      case Op::conv_transpose2d:
      case Op::linear:
      case Op::sparse_conv:
        return weighted(made, source);
      case Op::relu:
      case Op::relu6:
        made.op = Op::clip;
        made.alpha = 0, made.beta = source.op == Op::relu6 ? 6.0f : std::numeric_limits<float>::max();
        return to_integers(made, source, source.output);
      case Op::add:
      case Op::concat:
      case Op::avg_pool:
      case Op::global_avg_pool:
      case Op::sigmoid:
      case Op::hard_sigmoid:
      case Op::hard_swish:
      case Op::leaky_relu:
      case Op::clip:
        return to_integers(made, source, activated(made, source.output));
      default:
        made.why = fmt::format("{} has no integer form", name_of(source.op));
        return false;
    }
  }

  void take_inputs(QNode& made, const Node& source) {
    for (const EdgeId input : source.inputs) made.inputs.push_back(forms(input).integer);
  }

  // The edge behind a ReLU or ReLU6 that alone uses `output` and that quantising follows; `output` where there is none.
  EdgeId activated(QNode& made, EdgeId output) const {
    const Node* next = only_user(output);
    const bool can = has_weights(made.op) || made.op == Op::add;
    if (!can || next == nullptr || (next->op != Op::relu && next->op != Op::relu6)) return output;
    if (!quantised_as(next->output)) return output;
    made.activation = next->op == Op::relu ? Activation::relu : Activation::relu6;
    return next->output;
  }

  // Finishes a node whose integers come out at the Graph edge `output`.
  bool to_integers(QNode& made, const Node& source, EdgeId output) {
    const auto quant = quantised_as(output);
    if (!quant) {
      made.why = fmt::format("its output {} is not quantised (in one way)", edge(output).name);
      return false;
    }
    take_inputs(made, source);
    if (is_function(made.op)) {
      made.table = function_table(made.op, made.alpha, made.beta, quant_of(made.inputs[0]), *quant);
    }
    if (made.activation != Activation::none) skip(node(edge(output).producer));
    finish(made, output, *quant);
    return true;
  }
  void finish(QNode& made, EdgeId output, const QuantParams& quant) {
    made.output = add_edge(output, quant);
    for (const int user : users(output)) {
      forms(node(user).output).integer = made.output;
      done_[index(user)] = true;
    }
  }

  bool weighted(QNode& made, const Node& source) {
    if (source.integers == nullptr) {
      made.why = "its weights are not quantised to 8 bits";
      return false;
    }
    EdgeId output = source.output;
    const Node* norm = only_user(output);
    std::optional<Affine> affine;
    if (norm != nullptr && norm->op == Op::batch_norm) {
      affine = affine_of(*norm);
      output = norm->output;
    } else {
      norm = nullptr;
    }
    take_inputs(made, source);
    if (!integers_of(made, source, affine)) return false;
    if (norm != nullptr) skip(*norm);
    const EdgeId after = activated(made, output);
    const auto quant = quantised_as(after);
    if (!quant) {  // real: whoever comes next quantises, or does not
      made.output = add_edge(output, std::nullopt);
      return true;
    }
    if (after != output) skip(*only_user(output));
    finish(made, after, *quant);
    return true;
  }

  // Weights, steps and biases, with a batch-norm's scale and shift taken in: real = step_in * step * acc * g + shift.
  bool integers_of(QNode& made, const Node& source, const std::optional<Affine>& affine) {
    const IntegerWeights& from = *source.integers;
    const QuantParams& in = quant_of(made.inputs[0]);
    made.weight = affine ? from.weight.clone() : from.weight;
    made.weight_step = from.step;
    const std::size_t channels = from.step.size(), per_channel = from.weight.span<std::int8_t>().size() / channels;
    for (std::size_t c = 0; c < channels; ++c) {
      const double g = affine ? affine->scale[c] : 1.0, shift = affine ? affine->shift[c] : 0.0;
      const double scaled = static_cast<double>(from.step[c]) * std::fabs(g);
      made.weight_step[c] = scaled < 0x1p-126 ? 1.0f : static_cast<float>(scaled);
      for (std::int8_t& w :
           affine ? made.weight.span<std::int8_t>().subspan(c * per_channel, per_channel) : std::span<std::int8_t>()) {
        w = scaled < 0x1p-126 ? std::int8_t{0} : g < 0 ? static_cast<std::int8_t>(-w) : w;
      }
      const double unit = static_cast<double>(in.step) * static_cast<double>(made.weight_step[c]);
      double bias = shift / unit;
      if (!from.bias.empty()) {
        // Files say "scale of x times scale of w" with one rounding: then the integers are ours as they are.
        const double given = from.bias_step[c];
        const bool same = std::fabs(given - unit) <= unit * 1e-6;
        bias += static_cast<double>(from.bias[c]) * g * (same && !affine ? 1.0 : given / unit);
      } else if (source.has("bias")) {
        bias += static_cast<double>(source.parameter("bias").span<float>()[c]) * g / unit;
      }
      if (!(std::fabs(bias) < 0x1p31)) {
        made.why = fmt::format("the bias of channel {} is {:.3g} steps, beyond 31 bits", c, bias);
        return false;
      }
      made.bias_q.push_back(static_cast<std::int32_t>(std::clamp(std::nearbyint(bias), -0x1p31 + 1, 0x1p31 - 1)));
    }
    for (std::size_t c = 0; c < channels; ++c) {
      const std::int64_t bound = accumulator_bound(made, in, static_cast<std::int64_t>(c));
      if (bound < (std::int64_t{1} << 31)) continue;
      made.why = fmt::format("the accumulator of channel {} could reach {}, beyond 31 bits", c, bound);
      return false;
    }
    return true;
  }

  const Graph& graph_;
  std::vector<std::string>& notes_;
  const std::set<std::string>& real_layers_;
  QGraph result_;
  std::vector<Forms> forms_;             // by Graph edge
  std::vector<bool> done_;               // by Graph node: part of another's
  std::vector<std::vector<int>> users_;  // by Graph edge: nodes
};

}  // namespace

bool is_quantised(const Graph& graph) {
  return std::ranges::any_of(graph.nodes(), [](const Node& n) { return n.op == Op::quantise; });
}

QGraph lower_quantised(const Graph& graph, std::vector<std::string>& notes, const std::set<std::string>& real_layers) {
  graph.validate();
  return QuantisedLowering(graph, notes, real_layers).run();
}

}  // namespace octet::onnx
