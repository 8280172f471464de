// Dumps of a frame's stages, and octet diff, which compares two.
#include "examples/octet/stages.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <cstring>

#include "examples/common/terminal.h"
#include "runtime/error.h"
#include "runtime/hash.h"
#include "runtime/io/safetensors.h"

namespace octet::cli {
namespace {

struct Stage {
  const char* name;
  const char* edge;  // of the network; null: not one
};
constexpr Stage kStages[] = {{"voxels", nullptr},
                             {"rulebook", nullptr},
                             {"conv3", "backbone.conv3.4.relu2"},
                             {"bev", "backbone.dense"},
                             {"heads", nullptr}};

// A copy without gaps, [n, h, w, c].
Tensor dense(const View& v) {
  Tensor tensor(v.type, Shape{v.n, v.h, v.w, v.c});
  const auto size = static_cast<std::size_t>(size_of(v.type));
  std::byte* to = tensor.raw();
  for (std::int64_t n = 0; n < v.n; ++n) {
    for (std::int64_t y = 0; y < v.h; ++y) {
      for (std::int64_t x = 0; x < v.w; ++x) {
        for (std::int64_t c = 0; c < v.c; ++c, to += size) {
          const std::int64_t at = n * v.stride_n + y * v.stride_h + x * v.stride_w + c * v.stride_c;
          std::memcpy(to, v.data + at * static_cast<std::int64_t>(size), size);
        }
      }
    }
  }
  return tensor;
}

template <class T>
Tensor copy_of(std::span<const T> values, Shape shape) {
  return Tensor::of<T>(std::move(shape), values);
}

// The largest difference of two tensors of one type and shape, and how many elements differ.
struct Difference {
  std::int64_t elements = 0;
  double largest = 0;
};
Difference difference_of(const Tensor& a, const Tensor& b) {
  Difference d;
  const Tensor x = a.to_f32(), y = b.to_f32();
  const auto size = static_cast<std::size_t>(size_of(a.dtype()));
  for (std::size_t i = 0; i < static_cast<std::size_t>(a.elements()); ++i) {
    if (std::memcmp(a.raw() + i * size, b.raw() + i * size, size) == 0) continue;
    ++d.elements;
    d.largest = std::max(d.largest,
                         std::fabs(static_cast<double>(x.span<float>()[i]) - static_cast<double>(y.span<float>()[i])));
  }
  return d;
}

std::string verdict_of(const Tensor* a, const Tensor* b) {
  if (a == nullptr || b == nullptr) return a == nullptr ? "only in the second" : "only in the first";
  if (a->dtype() != b->dtype() || a->shape() != b->shape()) {
    return fmt::format("{} {} against {} {}", name_of(a->dtype()), a->shape().str(), name_of(b->dtype()),
                       b->shape().str());
  }
  const Difference d = difference_of(*a, *b);
  return d.elements == 0 ? "equal"
                         : fmt::format("{} of {} differ, by {:.6g} at most", d.elements, a->elements(), d.largest);
}

int diff(const std::string& first, const std::string& second, bool as_json) {
  const SafetensorsFile a = read_safetensors(first), b = read_safetensors(second);
  std::map<std::string, std::string> verdicts;  // names begin with the number of their stage
  for (const auto* file : {&a, &b}) {
    for (const auto& entry : file->tensors) {
      verdicts[entry.name] = verdict_of(a.tensors.find(entry.name), b.tensors.find(entry.name));
    }
  }
  const auto differs = std::ranges::find_if(verdicts, [](const auto& v) { return v.second != "equal"; });
  const std::string at = differs == verdicts.end() ? "" : differs->first;
  if (as_json) {
    json list = json::object();
    for (const auto& [name, verdict] : verdicts) list[name] = verdict;
    print_json({{"equal", at.empty()}, {"first_difference", at.empty() ? json() : json(at)}, {"tensors", list}});
    return 0;
  }
  examples::Table table({"tensor", "verdict"});
  for (const auto& [name, verdict] : verdicts) table.add({name, verdict});
  fmt::print("{}\n{}\n", table.str(), at.empty() ? "equal" : "the first difference: " + at);
  return 0;
}

}  // namespace

std::vector<std::string> stage_names() {
  std::vector<std::string> names;
  for (const Stage& stage : kStages) names.emplace_back(stage.name);
  return names;
}

StageDump::StageDump(const QGraph& graph, const std::string& last) : graph_(graph) {
  if (last.empty()) return;
  const auto found = std::ranges::find(kStages, last, [](const Stage& s) { return std::string(s.name); });
  stages_ = static_cast<std::size_t>(found - std::begin(kStages)) + 1;
}

void StageDump::add(EdgeId edge, const View& view) {
  const std::string& name = graph_.edges[static_cast<std::size_t>(edge)].name;
  for (std::size_t i = 0; i < stages_; ++i) {
    if (kStages[i].edge != nullptr && name == kStages[i].edge && !edges_.contains(name)) edges_[name] = dense(view);
  }
}

json StageDump::finish(const models::Detector& detector, const std::optional<std::string>& path) {
  StateDict tensors;
  json list = json::array();
  const auto keep = [&](std::size_t stage, const std::string& name, const Tensor& tensor) {
    if (tensor.elements() == 0 || stage >= stages_) return;
    const std::string full = fmt::format("{}.{}.{}", stage, kStages[stage].name, name);
    tensors.insert(full, tensor);
    list.push_back({{"stage", kStages[stage].name},
                    {"name", full},
                    {"type", name_of(tensor.dtype())},
                    {"shape", tensor.shape().dims()},
                    {"hash", hex(fnv1a({tensor.raw(), tensor.bytes()}))}});
  };
  const SparseTensor& voxels = detector.voxels();
  keep(0, "keys", copy_of<std::int64_t>(voxels.keys, Shape{voxels.rows()}));
  keep(0, "features", voxels.features);
  if (const SparseGeometry* geometry = detector.geometry(); geometry != nullptr && voxels.rows() > 0) {
    for (std::size_t i = 0; i < detector.program().sparse.rulebooks().size(); ++i) {
      const Rulebook& book = geometry->rulebook(static_cast<int>(i));
      keep(1, fmt::format("{:02}", i), copy_of<std::int32_t>(book.map(), Shape{book.taps(), book.rows()}));
    }
  }
  for (std::size_t i = 0; i < stages_; ++i) {
    if (kStages[i].edge != nullptr && edges_.contains(kStages[i].edge))
      keep(i, kStages[i].edge, edges_[kStages[i].edge]);
  }
  if (voxels.rows() > 0) {
    const auto maps = detector.maps();
    keep(4, "maps", copy_of<float>(maps, Shape{static_cast<std::int64_t>(maps.size())}));
  }
  if (path) write_safetensors(*path, tensors, {{"model", detector.program().graph.name}});
  edges_.clear();
  return list;
}

void print_stages(const json& dump) {
  examples::Table table({"stage", "tensor", "type", "shape", "hash"});
  for (const json& t : dump) table.add({t["stage"], t["name"], t["type"], t["shape"].dump(), t["hash"]});
  fmt::print("{}\n", table.str());
}

Command add_diff(CLI::App& app) {
  struct Options {
    std::string first, second;
    bool json = false;
  };
  CLI::App* command = app.add_subcommand("diff", "compare two dumps of octet run --dump-stage S --dump F");
  auto o = std::make_shared<Options>();
  command->add_option("FIRST", o->first, "a .safetensors file")->required();
  command->add_option("SECOND", o->second, "another")->required();
  command->add_flag("--json", o->json, "print JSON");
  return {command, [o] { return diff(o->first, o->second, o->json); }};
}

}  // namespace octet::cli
