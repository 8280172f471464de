// octet inspect: what is in a model, an .octet file or a weights file, as a table or as a picture.
#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <functional>

#include "examples/common/terminal.h"
#include "examples/octet/cli.h"
#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/io/weights.h"
#include "runtime/qgraph_svg.h"

namespace octet::cli {
namespace {

struct Options {
  Common common;  // model is FILE
  bool quantizers = false;
  std::string svg;
};

int inspect_weights(const Options& o) {
  const WeightsFile file = read_weights(o.common.model);
  json tensors = json::array();
  examples::Table table({"tensor", "type", "shape", "bytes"});
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : file.tensors) {
    bytes += static_cast<std::int64_t>(tensor.bytes());
    tensors.push_back({{"name", name}, {"dtype", name_of(tensor.dtype())}, {"shape", tensor.shape().dims()}});
    table.add({name, name_of(tensor.dtype()), tensor.shape().str(), std::to_string(tensor.bytes())});
  }
  if (o.common.json) {
    print_json({{"file", o.common.model}, {"format", file.format}, {"tensors", tensors}, {"ignored", file.ignored}});
    return 0;
  }
  fmt::print("{}\n{}, {} tensors, {}\n", table.str(), file.format, file.tensors.size(), examples::human_bytes(bytes));
  for (const std::string& text : file.ignored) fmt::print("not a tensor: {}\n", text);
  return 0;
}

int inspect_network(const Options& o, const models::LoadedModel& model) {
  json nodes = json::array();
  examples::Table table({"layer", "op", "inputs", "output", "shape", "precision", "weights", "why"});
  for (const QNode& n : model.network.nodes) {
    const auto& edges = model.network.edges;
    std::vector<std::string> inputs;
    for (const EdgeId i : n.inputs) inputs.push_back(edges[static_cast<std::size_t>(i)].name);
    const QEdge& out = edges[static_cast<std::size_t>(n.output)];
    const std::string weights =
        n.weight.empty() ? "" : fmt::format("{} {}", name_of(n.weight.dtype()), n.weight.shape().str());
    nodes.push_back({{"name", n.name},
                     {"op", name_of(n.op)},
                     {"inputs", inputs},
                     {"output", out.name},
                     {"shape", out.shape.dims()},
                     {"precision", name_of(n.precision)},
                     {"weights", weights},
                     {"why", n.why}});
    table.add({n.name, name_of(n.op), fmt::format("{}", fmt::join(inputs, " ")), out.name, out.shape.str(),
               name_of(n.precision), weights, n.why});
  }
  if (o.common.json) {
    json result{{"model", model.name},    {"precision", name_of(model.precision)},
                {"labels", model.labels}, {"model_bytes", models::deployed_bytes(model)},
                {"seeded", model.seeded}, {"layers", nodes}};
    if (!model.points) result["preprocess"] = json::parse(models::to_json(model.preprocess));
    print_json(result);
    return 0;
  }
  fmt::print("{}, {}, {}\ninput: {}\n\n{}", model.name, name_of(model.precision),
             examples::human_bytes(models::deployed_bytes(model)), describe_input(model), table.str());
  return 0;
}

json quantizer(const std::string& name, int bits, bool is_signed, const json& axis, const std::string& rule,
               const json& amax, bool enabled) {
  return {{"name", name}, {"bits", bits}, {"signed", is_signed}, {"axis", axis},
          {"rule", rule}, {"amax", amax}, {"enabled", enabled}};
}

// [-127, 127] and [-128, 127] are 8 bits, [0, 127] is 7, [-7, 7] is 4.
int bits_of(const QuantParams& q) { return static_cast<int>(std::bit_width(static_cast<unsigned>(q.hi - q.lo))); }

// The quantiser of an edge is enabled when the network holds the edge as integers.
json edge_quantizers(const models::LoadedModel& model) {
  json list = json::array();
  const auto& edges = model.network.edges;
  const bool integers = std::ranges::any_of(edges, &QEdge::quantised);
  if (!model.ranges && model.graph && !integers) {  // what a calibration would find ranges for
    for (const Edge& e : model.graph->edges()) {
      if (!e.observer.empty())
        list.push_back(quantizer(e.observer, 8, true, nullptr, "not calibrated", nullptr, false));
    }
    return list;
  }
  if (!model.ranges) {
    for (const QEdge& e : edges) {
      if (!e.quantised) continue;
      const float amax =
          e.quant.step * static_cast<float>(std::max(e.quant.hi - e.quant.zero, e.quant.zero - e.quant.lo));
      list.push_back(quantizer(e.name, bits_of(e.quant), e.quant.lo < 0, nullptr, "given", amax, true));
    }
    return list;
  }
  const Graph folded = calib::float_form(*model.graph, *model.ranges);  // whose edges' names the network has
  for (const calib::EdgeRange& range : model.ranges->edges) {
    const Edge& source = folded.edges()[static_cast<std::size_t>(folded.observed(range.observer))];
    const bool enabled =
        std::ranges::any_of(edges, [&](const QEdge& e) { return e.quantised && e.name == source.name; });
    list.push_back(quantizer(range.observer, bits_of(range.quant), range.quant.lo < 0, nullptr, model.ranges->method,
                             range.amax, enabled));
  }
  return list;
}

// One for the weights of each layer that has some. With a step a channel, amax is the largest of theirs.
json weight_quantizers(const models::LoadedModel& model) {
  json list = json::array();
  for (const QNode& n : model.network.nodes) {
    if (n.weight.empty() || n.op == Op::batch_norm) continue;
    const bool enabled = n.precision == Precision::int8;
    const bool per_tensor =
        model.ranges ? model.ranges->weights == calib::Granularity::tensor
                     : std::ranges::adjacent_find(n.weight_step, std::ranges::not_equal_to()) == n.weight_step.end();
    std::vector<float> amax;
    for (const float step : n.weight_step) amax.push_back(step * 127.0f);
    json one = quantizer(n.name + ".weight", 8, true, per_tensor ? json() : json(0), "max",
                         enabled ? json(*std::ranges::max_element(amax)) : json(), enabled);
    if (enabled && !per_tensor) one["amax_by_channel"] = amax;
    list.push_back(std::move(one));
  }
  return list;
}

json list_quantizers(const models::LoadedModel& model) {
  json list = edge_quantizers(model);
  for (json& one : weight_quantizers(model)) list.push_back(std::move(one));
  return list;
}

// One number, or of several channels the smallest and the largest.
std::string amax_text(const json& quantizer) {
  if (quantizer["amax"].is_null()) return "-";
  if (!quantizer.contains("amax_by_channel")) return fmt::format("{:.6g}", quantizer["amax"].get<double>());
  const auto values = quantizer["amax_by_channel"].get<std::vector<double>>();
  const auto [low, high] = std::ranges::minmax(values);
  return fmt::format("{:.4g} to {:.4g}", low, high);
}

int inspect_quantizers(const Options& o, const models::LoadedModel& model) {
  const json list = list_quantizers(model);
  if (o.common.json) {
    print_json({{"model", model.name}, {"quantizers", list}});
    return 0;
  }
  examples::Table table({"quantizer", "bits", "signed", "axis", "rule", "amax", "enabled"});
  for (const json& q : list) {
    table.add({q["name"], q["bits"].dump(), q["signed"] ? "yes" : "no",
               q["axis"].is_null() ? "tensor" : q["axis"].dump(), q["rule"], amax_text(q),
               q["enabled"] ? "yes" : "no"});
  }
  fmt::print("{}", table.str());
  return 0;
}

bool is_weights_file(const std::string& name) {
  std::error_code error;
  return !models::is_model_name(name) && !name.ends_with(".octet") && !name.ends_with(".onnx") &&
         std::filesystem::exists(name, error);
}

int run(const Options& o) {
  if (is_weights_file(o.common.model)) {
    require(!o.quantizers && o.svg.empty(), "{}: a weights file has no {}; a model or an .octet file was expected",
            o.common.model, o.quantizers ? "quantisers" : "graph to draw");
    return inspect_weights(o);
  }
  require(o.svg.empty() || o.svg.ends_with(".svg"), "--svg {}: a name that ends in .svg was expected", o.svg);
  const models::LoadedModel model = load(o.common);
  if (!o.svg.empty()) write_file_atomically(o.svg, to_svg(model.network));
  return o.quantizers ? inspect_quantizers(o, model) : inspect_network(o, model);
}

}  // namespace

Command add_inspect(CLI::App& app) {
  CLI::App* command = app.add_subcommand("inspect", "show a model, an .octet file or a weights file");
  auto o = std::make_shared<Options>();
  add_common(*command, o->common);
  command->get_option("MODEL")->description(
      "a model's name, an .octet or .onnx file, .safetensors or a PyTorch checkpoint");
  command->add_flag("--quantizers", o->quantizers, "list every quantiser");
  command->add_option("--svg", o->svg, "draw the network into this file, with Q and DQ marked");
  return {command, [o] { return run(*o); }};
}

}  // namespace octet::cli
