// Filling a Graph's parameters: from a checkpoint, or seeded.
#include <cmath>
#include <cstring>
#include <random>
#include <set>

#include "runtime/error.h"
#include "runtime/graph.h"
#include "runtime/state_dict.h"
#include "runtime/weight_scan.h"

namespace octet {
namespace {

void check_values(const std::string& key, const Tensor& tensor) {
  if (all_finite(tensor.span<float>())) return;
  for (const float value : tensor.span<float>()) {
    require(std::isfinite(value), "weights: {} holds {}, finite numbers were expected", key,
            std::isnan(value) ? "NaN" : "an infinity");
  }
}

bool is_variance(const Parameter& p) { return p.key == "running_var"; }

void check_variance(const std::string& key, const Tensor& tensor) {
  for (const float value : tensor.span<float>()) {
    require(value >= 0, "weights: {} holds the variance {}, at least 0 was expected", key, value);
  }
}

// Box-Muller from one 64-bit generator: std::normal_distribution differs between standard libraries.
void fill_normal(Tensor& tensor, double deviation, std::mt19937_64& random) {
  const auto uniform = [&] { return (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53; };
  for (float& value : tensor.span<float>()) {
    const double radius = std::sqrt(-2.0 * std::log(uniform()));
    value = static_cast<float>(deviation * radius * std::cos(6.283185307179586 * uniform()));
  }
}

bool turned_in_file(const Node& node, const Parameter& p) {
  return node.op == Op::conv_transpose2d && p.key == "weight";
}

// The shape that a checkpoint has where the graph has p.shape.
Shape shape_in_file(const Node& node, const Parameter& p) {
  const Shape& s = p.shape;
  return turned_in_file(node, p) ? Shape{s[1] * node.groups, s[0] / node.groups, s[2], s[3]} : s;
}

void fill(Tensor& tensor, float constant) {
  for (float& value : tensor.span<float>()) value = constant;
}

}  // namespace

Tensor channels_turned(const Tensor& weight, int groups) {
  const Shape& s = weight.shape();
  require(s.rank() == 4 && groups > 0 && s[0] % groups == 0, "a weight of {} in {} groups cannot be turned round",
          s.str(), groups);
  const std::int64_t in_group = s[0] / groups, out_group = s[1];
  const auto kernel = static_cast<std::size_t>(s[2] * s[3] * size_of(weight.dtype()));
  Tensor turned(weight.dtype(), Shape{out_group * groups, in_group, s[2], s[3]});
  const std::byte* from = weight.raw();
  for (std::int64_t group = 0; group < groups; ++group) {
    for (std::int64_t i = 0; i < in_group; ++i) {
      for (std::int64_t o = 0; o < out_group; ++o, from += kernel) {
        const auto target = static_cast<std::size_t>((group * out_group + o) * in_group + i);
        std::memcpy(turned.raw() + target * kernel, from, kernel);
      }
    }
  }
  return turned;
}

std::vector<std::string> Graph::load(const StateDict& weights) {
  std::set<std::string> used;
  for (Node& node : nodes_) {
    for (Parameter& p : node.parameters) {
      const std::string key = node.name + "." + p.key;
      const Tensor* found = weights.find(key);
      const Shape expected = shape_in_file(node, p);
      require(found != nullptr, "weights: '{}' is missing; {} expects a tensor of {} there", key, name_,
              expected.str());
      require(found->shape() == expected, "weights: '{}' has the shape {}, {} expects {}", key, found->shape().str(),
              name_, expected.str());
      Tensor value = found->to_f32();
      if (turned_in_file(node, p)) value = channels_turned(value, node.groups);
      check_values(key, value);
      if (is_variance(p)) check_variance(key, value);
      p.value = std::move(value);
      used.insert(key);
    }
  }
  std::vector<std::string> extra;
  for (const auto& [key, tensor] : weights) {
    const bool counter = key.ends_with(".num_batches_tracked");  // every batch-norm has one; nobody wants it
    if (!used.contains(key) && !counter) extra.push_back(key);
  }
  return extra;
}

void Graph::seed_weights(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  for (Node& node : nodes_) {
    for (Parameter& p : node.parameters) {
      p.value = Tensor(DType::f32, p.shape);
      if ((node.op == Op::conv2d || node.op == Op::conv_transpose2d) && p.key == "weight") {
        const double fan_out = static_cast<double>(p.shape[0] * p.shape[2] * p.shape[3]) / node.groups;
        fill_normal(p.value, std::sqrt(2.0 / fan_out), random);
      } else if (node.op == Op::sparse_conv && p.key == "weight") {
        fill_normal(p.value, std::sqrt(2.0 / static_cast<double>(p.shape.elements() / p.shape[4])), random);
      } else if (node.op == Op::linear && p.key == "weight") {
        fill_normal(p.value, 0.01, random);
      } else if (node.op == Op::batch_norm && (p.key == "weight" || is_variance(p))) {
        fill(p.value, 1.0f);
      }
    }
  }
}

std::int64_t Graph::parameter_count() const {
  std::int64_t count = 0;
  for (const Node& node : nodes_) {
    for (const Parameter& p : node.parameters) {
      if (p.key == "weight" || p.key == "bias") count += p.shape.elements();
    }
  }
  return count;
}

}  // namespace octet
