#include "models/centerpoint/peak_heads.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernels/plan/gathered.h"
#include "runtime/error.h"
#include "runtime/float_environment.h"

namespace octet::models {
namespace {

using kernels::GatheredConv;
using Layers = std::vector<const QNode*>;

// A task's regression heads: the convolutions of each, in the order of centerpoint_heads().
struct Found {
  std::vector<Layers> first, last;  // by task
  const QNode* join = nullptr;      // of all heads' maps
  std::string missing;              // why this is not all
};

const QNode* named(const QGraph& network, const std::string& name) {
  const auto found = std::ranges::find(network.nodes, name, &QNode::name);
  return found == network.nodes.end() ? nullptr : &*found;
}

std::vector<const QNode*> readers(const QGraph& network, EdgeId edge) {
  std::vector<const QNode*> nodes;
  for (const int i : network.consumers(edge)) nodes.push_back(&network.nodes[static_cast<std::size_t>(i)]);
  return nodes;
}

Found find(const QGraph& network, const CenterPointConfig& config) {
  Found found;
  for (std::size_t t = 0; t < config.tasks.size(); ++t) {
    found.first.emplace_back(), found.last.emplace_back();
    for (const Head& head : centerpoint_heads()) {
      const std::string name = fmt::format("bbox_head.tasks.{}.{}", t, head.name);
      const QNode *first = named(network, name + ".0"), *last = named(network, name + ".3");
      if (first == nullptr || last == nullptr) return {.missing = "it has no " + name};
      const auto after = readers(network, first->output), end = readers(network, last->output);
      const bool chained = after == Layers{last} && end.size() == 1 && end[0]->op == Op::concat &&
                           end[0]->output == network.output && first->output != network.output;
      if (!chained) return {.missing = name + " is not two convolutions in front of the output's concatenation"};
      found.join = end[0];
      if (head.channels == 0) continue;
      found.first.back().push_back(first), found.last.back().push_back(last);
    }
  }
  return found;
}

// Without the nodes of `found`; the output has the channels that are left.
QGraph without(const QGraph& network, const Found& found) {
  QGraph rest = network;
  std::vector<EdgeId> gone;
  std::int64_t channels = 0;
  std::vector<QNode> nodes;
  for (const auto* layers : {&found.first, &found.last}) {
    for (const Layers& of_task : *layers) {
      for (const QNode* layer : of_task) gone.push_back(layer->output);
    }
  }
  for (QNode& node : rest.nodes) {
    if (std::ranges::find(gone, node.output) != gone.end()) continue;
    if (node.name == found.join->name) {
      std::erase_if(node.inputs, [&](EdgeId e) { return std::ranges::find(gone, e) != gone.end(); });
      for (const EdgeId e : node.inputs) channels += rest.edges[static_cast<std::size_t>(e)].shape[0];
    }
    nodes.push_back(std::move(node));
  }
  rest.nodes = std::move(nodes);
  Shape& shape = rest.edges[static_cast<std::size_t>(rest.output)].shape;
  shape = Shape{channels, shape[1], shape[2]};
  rest.validate();
  return rest;
}

// Calls visit(tap, neighbour's cell, or -1 outside) for every tap of a window of stride 1 at `cell`.
template <class Visit>
void for_taps(const Window& w, const BoxDecoding& d, std::int64_t cell, Visit visit) {
  const std::int64_t y = cell / d.width - w.pad_top, x = cell % d.width - w.pad_left;
  std::size_t tap = 0;
  for (int ky = 0; ky < w.kernel_h; ++ky) {
    for (int kx = 0; kx < w.kernel_w; ++kx, ++tap) {
      const bool inside = y + ky >= 0 && y + ky < d.height && x + kx >= 0 && x + kx < d.width;
      visit(tap, inside ? (y + ky) * d.width + x + kx : -1);
    }
  }
}

View rows_view(std::byte* data, DType type, std::size_t rows, int channels, int stride) {
  View v{.data = data, .type = type, .n = 1, .w = static_cast<std::int32_t>(rows), .c = channels};
  v.stride_w = v.stride_h = v.stride_n = stride;
  return v;
}

}  // namespace

struct PeakHeads::Task {
  GatheredConv first;              // all heads side by side
  std::vector<GatheredConv> last;  // one a head
  std::vector<int> depth;          // channels between the two
  TaskMaps heat;                   // `hm` in network()'s output
  TaskMaps values;                 // the others in a row of evaluate()
  int channels = 0;                // of such a row
};

std::string PeakHeads::refuse(const QGraph& network, const CenterPointConfig& config) {
  const Found found = find(network, config);
  if (!found.missing.empty()) return found.missing;
  for (std::size_t t = 0; t < found.first.size(); ++t) {
    if (std::string why = GatheredConv::refuse(network, found.first[t]); !why.empty()) return why;
    for (const QNode* last : found.last[t]) {
      if (std::string why = GatheredConv::refuse(network, Layers{last}); !why.empty()) return why;
      if (network.edges[static_cast<std::size_t>(last->output)].quantised) return last->name + " makes no reals";
      if (last->window != found.last[t][0]->window) return last->name + " has another window than its neighbours";
    }
    if (found.first[t][0]->inputs != found.first[0][0]->inputs) return "tasks that do not read the same activation";
  }
  return "";
}

PeakHeads::PeakHeads(const QGraph& network, const CenterPointConfig& config, kernels::Isa isa)
    : config_(config), decoding_(box_decoding(config)) {
  const std::string reason = refuse(network, config);
  require(reason.empty(), "{}: heads at peaks only: {}", network.name, reason);
  const Found found = find(network, config);
  network_ = without(network, found);
  shared_ = found.first[0][0]->inputs[0];
  const HeadMaps heads = head_maps(config);
  int classes = 0;
  for (std::size_t t = 0; t < heads.tasks.size(); ++t) {
    Task task{.first = GatheredConv(network, found.first[t], isa)};
    int* const offsets[] = {&task.values.reg, &task.values.height, &task.values.dim, &task.values.rot,
                            &task.values.vel};
    for (std::size_t h = 0; h < found.last[t].size(); ++h) {
      task.last.emplace_back(network, Layers{found.last[t][h]}, isa);
      task.depth.push_back(static_cast<int>(found.first[t][h]->weight.shape()[0]));
      *offsets[h] = task.channels;
      task.channels += task.last.back().channels();
    }
    task.heat = heads.tasks[t];
    task.heat.hm = classes;
    classes += task.heat.classes;
    tasks_.push_back(std::move(task));
  }
  place_.assign(static_cast<std::size_t>(BoxDecoding::cells_of(decoding_)), -1);
}

PeakHeads::~PeakHeads() = default;

void PeakHeads::keep(const View& v) {
  const auto row_bytes = static_cast<std::size_t>(v.c * size_of(v.type));
  kept_.resize(static_cast<std::size_t>(v.h) * static_cast<std::size_t>(v.w) * row_bytes + View::kReadableBeyond);
  std::byte* to = kept_.data();
  for (std::int32_t y = 0; y < v.h; ++y) {
    for (std::int32_t x = 0; x < v.w; ++x, to += row_bytes) std::memcpy(to, v.at<std::byte>(0, y, x), row_bytes);
  }
  rows_ = rows_view(kept_.data(), v.type, static_cast<std::size_t>(v.h) * static_cast<std::size_t>(v.w), v.c, v.c);
}

// The values of all heads at the candidates: rows of task.channels.
std::span<const float> PeakHeads::evaluate(Task& task, const std::vector<Candidate>& candidates, ThreadPool& pool) {
  const std::size_t count = candidates.size();
  cells_.clear();
  last_map_.resize(count * static_cast<std::size_t>(task.last[0].taps()));
  for (std::size_t i = 0; i < count; ++i) {
    for_taps(task.last[0].window(), decoding_, candidates[i].cell, [&](std::size_t tap, std::int64_t cell) {
      std::int32_t* place = cell < 0 ? nullptr : &place_[static_cast<std::size_t>(cell)];
      if (place != nullptr && *place < 0) *place = static_cast<std::int32_t>(cells_.size()), cells_.push_back(cell);
      last_map_[tap * count + i] = place == nullptr ? -1 : *place;
    });
  }
  first_map_.resize(cells_.size() * static_cast<std::size_t>(task.first.taps()));
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    for_taps(task.first.window(), decoding_, cells_[i], [&](std::size_t tap, std::int64_t cell) {
      first_map_[tap * cells_.size() + i] = static_cast<std::int32_t>(cell);
    });
    place_[static_cast<std::size_t>(cells_[i])] = -1;
  }

  const int between = task.first.channels();
  first_out_.resize(cells_.size() * static_cast<std::size_t>(between) + View::kReadableBeyond);
  const View first = rows_view(first_out_.data(), task.first.type(), cells_.size(), between, between);
  task.first.run(rows_, first_map_, first, pool);
  values_.resize(count * static_cast<std::size_t>(task.channels));
  auto* out = reinterpret_cast<std::byte*>(values_.data());
  int offset = 0;
  for (std::size_t h = 0; h < task.last.size(); ++h) {
    const View in = rows_view(first.data + offset, first.type, cells_.size(), task.depth[h], between);
    task.last[h].run(in, last_map_, rows_view(out, DType::f32, count, task.last[h].channels(), task.channels), pool);
    out += static_cast<std::size_t>(task.last[h].channels()) * sizeof(float);
    offset += task.depth[h];
  }
  return values_;
}

std::vector<Box> PeakHeads::boxes(std::span<const float> heat_maps, ThreadPool& pool, DecodeCounts& counts) {
  using Clock = std::chrono::steady_clock;
  const FloatEnvironment environment;
  convolutions_ms_ = 0;
  std::vector<Box> all;
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    Task& task = tasks_[t];
    std::vector<Candidate> candidates = find_candidates(heat_maps, task.heat, decoding_);
    const auto before = Clock::now();
    const std::span<const float> values = evaluate(task, candidates, pool);
    convolutions_ms_ += std::chrono::duration<double, std::milli>(Clock::now() - before).count();
    const auto box = [&](const Candidate& c) {
      const float* row = values.data() + c.place * static_cast<std::size_t>(task.channels);
      return box_of(row, 1, task.values, decoding_, c.cell, c.peak);
    };
    const std::vector<Box> sorted = sorted_boxes(std::move(candidates), decoding_, box, counts);
    const std::vector<Box> kept = suppress(sorted, config_, t, counts);
    all.insert(all.end(), kept.begin(), kept.end());
  }
  return all;
}

}  // namespace octet::models
