#include "runtime/io/octet_file.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/io/json_text.h"
#include "runtime/io/safetensors.h"

namespace octet {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr const char* kKey = "octet";

template <class Enum>
Enum choose(const json& value, std::initializer_list<Enum> choices) {
  for (const Enum choice : choices) {
    if (value == name_of(choice)) return choice;
  }
  fail("unknown word '{}'", json_text(value));
}

json to_json(const Window& w) {
  return {w.kernel_h, w.kernel_w,   w.stride_h,  w.stride_w,   w.pad_top,
          w.pad_left, w.pad_bottom, w.pad_right, w.dilation_h, w.dilation_w};
}

Window window_from(const json& j) {
  const auto v = j.get<std::vector<int>>();
  require(v.size() == 10, "a window of {} numbers, 10 were expected", v.size());
  return {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9]};
}

// z, y, x triples; a kernel of 1 to 255 a side, checked by QGraph::validate().
json to_json(const SparseWindow& w) {
  json j{{"kernel", w.kernel}, {"stride", w.stride}, {"padding", w.padding}, {"dilation", w.dilation}};
  if (w.submanifold) j["submanifold"] = true;
  if (w.inverse) j["restored"] = {w.restored.z, w.restored.y, w.restored.x};
  return j;
}

SparseWindow sparse_window_from(const json& j) {
  const auto triple = [&](const char* key) {
    const auto v = j.at(key).get<std::vector<int>>();
    require(v.size() == 3, "\"{}\" has {} numbers, 3 were expected", key, v.size());
    return SparseWindow::Triple{v[0], v[1], v[2]};
  };
  SparseWindow w{triple("kernel"), triple("stride"), triple("padding"), triple("dilation")};
  w.submanifold = j.value("submanifold", false);
  w.inverse = j.contains("restored");
  if (!w.inverse) return w;
  const auto grid = j.at("restored").get<std::vector<std::int64_t>>();
  require(grid.size() == 3, "a grid of {} numbers, 3 were expected", grid.size());
  w.restored = {grid[0], grid[1], grid[2]};
  return w;
}

json to_json(const QEdge& e) {
  json j{{"name", e.name}, {"shape", e.shape.dims()}};
  if (!e.observer.empty()) j["observer"] = e.observer;
  if (!e.quantised) return j;
  j["step"] = e.quant.step, j["zero"] = e.quant.zero, j["range"] = {e.quant.lo, e.quant.hi};
  if (e.quant.dead) j["dead"] = true;
  if (e.notebook_scale != 0) j["notebook_scale"] = e.notebook_scale;
  return j;
}

QEdge edge_from(const json& j) {
  QEdge e;
  e.name = j.at("name").get<std::string>();
  e.shape = Shape(j.at("shape").get<std::vector<std::int64_t>>());
  e.observer = j.value("observer", "");
  e.quantised = j.contains("step");
  if (!e.quantised) return e;
  e.quant.step = j.at("step").get<float>();
  e.quant.zero = j.at("zero").get<std::int32_t>();
  e.quant.lo = j.at("range").at(0).get<std::int32_t>(), e.quant.hi = j.at("range").at(1).get<std::int32_t>();
  e.quant.dead = j.value("dead", false);
  e.notebook_scale = j.value("notebook_scale", 0.0f);
  return e;
}

json to_json(const QNode& n) {
  require(n.custom == nullptr, "{}: a custom operation is code, which an .octet file cannot hold", n.name);
  json j{{"name", n.name}, {"op", name_of(n.op)}, {"inputs", n.inputs}, {"output", n.output}};
  j["precision"] = name_of(n.precision);
  if (!n.why.empty()) j["why"] = n.why;
  if (n.window != Window{}) j["window"] = to_json(n.window);
  if (n.op == Op::sparse_conv) j["sparse"] = to_json(n.sparse);
  if (!n.inverse_of.empty()) j["inverse_of"] = n.inverse_of;
  if (n.groups != 1) j["groups"] = n.groups;
  if (n.ceil_mode) j["ceil_mode"] = true;
  if (n.count_include_pad) j["count_include_pad"] = true;
  if (n.activation != Activation::none) j["activation"] = name_of(n.activation);
  if (n.alpha != 0) j["alpha"] = n.alpha;
  if (n.beta != 0) j["beta"] = n.beta;
  if (n.notebook_weight_scale != 0) j["notebook_weight_scale"] = n.notebook_weight_scale;
  if (n.macs != 0) j["macs"] = n.macs;
  return j;
}

template <class T>
std::vector<T> values_of(const Tensor& tensor) {
  const auto values = tensor.span<T>();
  return {values.begin(), values.end()};
}

QNode node_from(const json& j, const StateDict& tensors) {
  QNode n;
  n.name = j.at("name").get<std::string>();
  n.op = op_named(j.at("op").get<std::string>());
  n.inputs = j.at("inputs").get<std::vector<EdgeId>>();
  n.output = j.at("output").get<EdgeId>();
  n.precision = choose(j.at("precision"), {Precision::fp32, Precision::int8});
  n.why = j.value("why", "");
  if (j.contains("window")) n.window = window_from(j["window"]);
  if (j.contains("sparse")) n.sparse = sparse_window_from(j["sparse"]);
  n.inverse_of = j.value("inverse_of", "");
  n.groups = j.value("groups", 1);
  n.ceil_mode = j.value("ceil_mode", false);
  n.count_include_pad = j.value("count_include_pad", false);
  if (j.contains("activation")) {
    n.activation = choose(j["activation"], {Activation::none, Activation::relu, Activation::relu6});
  }
  n.alpha = j.value("alpha", 0.0f), n.beta = j.value("beta", 0.0f);
  n.notebook_weight_scale = j.value("notebook_weight_scale", 0.0f);
  n.macs = j.value("macs", std::int64_t{0});
  if (const Tensor* weight = tensors.find(n.name + ".weight")) n.weight = *weight;
  const Tensor* bias = tensors.find(n.name + ".bias");
  if (bias != nullptr && n.precision == Precision::fp32) n.bias = *bias;
  if (bias != nullptr && n.precision == Precision::int8) n.bias_q = values_of<std::int32_t>(*bias);
  if (const Tensor* table = tensors.find(n.name + ".table")) n.table = *table;
  if (const Tensor* step = tensors.find(n.name + ".weight_step")) n.weight_step = values_of<float>(*step);
  return n;
}

void insert_tensors(StateDict& tensors, const QNode& n) {
  const auto count = [](const auto& v) { return Shape{static_cast<std::int64_t>(v.size())}; };
  if (!n.weight.empty()) tensors.insert(n.name + ".weight", n.weight);
  if (!n.bias.empty()) tensors.insert(n.name + ".bias", n.bias);
  if (!n.table.empty()) tensors.insert(n.name + ".table", n.table);
  if (!n.bias_q.empty()) {
    tensors.insert(n.name + ".bias", Tensor::of<std::int32_t>(count(n.bias_q), std::span(n.bias_q)));
  }
  if (!n.weight_step.empty()) {
    tensors.insert(n.name + ".weight_step", Tensor::of<float>(count(n.weight_step), std::span(n.weight_step)));
  }
}

QGraph graph_from(const json& j, const StateDict& tensors) {
  require(j.at("version") == kVersion, "version {} of the format, {} was expected", json_text(j.at("version")),
          kVersion);
  QGraph graph;
  graph.name = j.at("name").get<std::string>();
  const json& form = j.at("requantisation");
  require(form == "one_multiply" || form == "notebook", "unknown requantisation '{}'", json_text(form));
  graph.requantisation = form == "notebook" ? Requantisation::notebook : Requantisation::one_multiply;
  graph.input = j.at("input").get<EdgeId>(), graph.output = j.at("output").get<EdgeId>();
  for (const json& e : j.at("edges")) graph.edges.push_back(edge_from(e));
  for (const json& n : j.at("nodes")) graph.nodes.push_back(node_from(n, tensors));
  for (const auto& [key, value] : j.at("metadata").items()) graph.metadata[key] = value.get<std::string>();
  graph.validate();
  return graph;
}

}  // namespace

std::vector<std::byte> octet_file_bytes(const QGraph& graph) {
  json j{{"version", kVersion}, {"name", graph.name}, {"input", graph.input}, {"output", graph.output}};
  j["requantisation"] = graph.requantisation == Requantisation::notebook ? "notebook" : "one_multiply";
  j["metadata"] = graph.metadata;
  j["edges"] = json::array(), j["nodes"] = json::array();
  StateDict tensors;
  for (const QEdge& edge : graph.edges) j["edges"].push_back(to_json(edge));
  for (const QNode& node : graph.nodes) {
    j["nodes"].push_back(to_json(node));
    insert_tensors(tensors, node);
  }
  return safetensors_bytes(tensors, {{kKey, j.dump()}});
}

void save_octet_file(const QGraph& graph, const std::filesystem::path& path) {
  write_file_atomically(path, octet_file_bytes(graph));
}

QGraph load_octet_file(const std::filesystem::path& path) {
  const SafetensorsFile file = read_safetensors(path);
  const auto text = file.metadata.find(kKey);
  require(text != file.metadata.end(), "{}: weights, not an .octet program: it has no \"octet\" metadata",
          path.string());
  try {
    return graph_from(json::parse(text->second), file.tensors);
  } catch (const json::exception& e) {
    fail("{}: not a valid .octet program: {}", path.string(), e.what());
  } catch (const Error& e) {
    fail("{}: not a valid .octet program: {}", path.string(), e.what());
  }
}

}  // namespace octet
