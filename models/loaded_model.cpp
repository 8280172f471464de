#include "models/loaded_model.h"

#include <fmt/format.h>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "calib/calibrate.h"
#include "models/centerpoint/seeded.h"
#include "models/data_files.h"
#include "models/onnx_model.h"
#include "runtime/error.h"
#include "runtime/io/octet_file.h"
#include "runtime/io/weights.h"

namespace octet::models {
namespace {

namespace fs = std::filesystem;

bool is_octet_path(const std::string& model) { return model.ends_with(".octet"); }

// What `work` throws, with the file's name in front: checks that see values only do not know where they come from.
template <class Work>
auto naming(const fs::path& file, const Work& work) {
  try {
    return work();
  } catch (const Error& e) {
    const std::string what = e.what();
    if (what.starts_with(file.string())) throw;
    fail("{}: {}", file.string(), what);
  }
}

void load_weights(LoadedModel& model, const LoadOptions& options) {
  const bool shipped = model.info->ships_for == nullptr || model.info->ships_for(options.build);
  const auto path = options.weights ? options.weights : shipped ? shipped_weights(model.name) : std::nullopt;
  if (!path || *path == kSeeded) {
    if (model.info->seed != nullptr) {
      model.info->seed(*model.graph, options.build, options.seed);
    } else {
      model.graph->seed_weights(options.seed);
    }
    model.seeded = true;
    model.notes.push_back(fmt::format("{}: {}seeded weights ({}), good for speed only", model.name,
                                      path      ? ""
                                      : shipped ? "no weights given and none shipped: "
                                                : "no weights given and none shipped for this configuration: ",
                                      options.seed));
    return;
  }
  const bool adapts = model.info->in_graph_layout != nullptr;
  const StateDict checkpoint = read_state_dict(*path);
  const std::vector<std::string> extra = naming(*path, [&] {
    if (model.info->ranges_in != nullptr) model.ranges = model.info->ranges_in(checkpoint, *model.graph);
    return model.graph->load(adapts ? model.info->in_graph_layout(checkpoint, *model.graph) : checkpoint);
  });
  if (!extra.empty()) {
    model.notes.push_back(fmt::format("{}: {} keys that {} does not use: {}", path->string(), extra.size(), model.name,
                                      fmt::join(extra, ", ")));
  }
}

// Ranges of one seeded batch, so that INT8 speed can be measured without data.
calib::Ranges seeded_ranges(const LoadedModel& model, std::uint64_t seed) {
  if (model.points) return seeded_centerpoint_ranges(*model.graph, *model.points, seed);
  ThreadPool pool(1);
  calib::CalibrationOptions options;
  options.batch = 1;
  options.photo = model.preprocess.photo();
  calib::Calibrator calibrator(*model.graph, options, pool);
  Tensor batch(DType::u8, Shape{1, model.preprocess.crop, model.preprocess.crop, 3});
  std::uint64_t state = seed;
  for (std::uint8_t& value : batch.span<std::uint8_t>()) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<std::uint8_t>(state >> 56);
  }
  calibrator.observe(batch);
  calib::Ranges ranges = calibrator.ranges();
  ranges.seeded = true;
  return ranges;
}

void find_ranges(LoadedModel& model, const LoadOptions& options) {
  // Shipped ranges belong to the shipped weights, not to a user's.
  const bool shipped = !options.weights && !model.seeded && model.info != nullptr;
  const auto path = options.ranges ? options.ranges
                    : shipped      ? shipped_file(model.name + "/ranges.json")
                                   : std::nullopt;
  if (!path) return;  // or what the weights brought with them
  model.ranges = calib::load_ranges(*path);
  naming(*path, [&] { model.ranges->check(*model.graph); });
}

std::int64_t outputs_of(const QGraph& network) {
  return network.edges[static_cast<std::size_t>(network.output)].shape.elements();
}

// The classes' names: of the file that was given; else the network's own; else those that were fetched beside it.
void find_names(LoadedModel& model, const LoadOptions& options, std::int64_t outputs) {
  auto path = options.names;
  if (!path && model.labels.empty() && model.info != nullptr && model.info->names_file != nullptr)
    path = shipped_file(model.info->names_file);
  if (!path) return;
  model.labels = read_names(*path);
  const auto names = static_cast<std::int64_t>(model.labels.size());
  const std::int64_t classes = outputs - model.preprocess.label_offset;
  // TensorFlow's lists begin with a class "background" that most networks do not have.
  if (names == classes + 1 && model.labels.front() == "background") {
    model.labels.erase(model.labels.begin());
  } else {
    require(names == classes, "{}: {} names for the {} classes of {}", path->string(), names, classes, model.name);
  }
}

std::int64_t float_bytes(const Graph& graph) {
  StateDict tensors;
  for (const Node& node : graph.nodes()) {
    for (const Parameter& p : node.parameters) tensors.insert(node.name + "." + p.key, p.value);
  }
  return static_cast<std::int64_t>(safetensors_bytes(tensors).size());
}

LoadedModel load_octet(const std::string& path, const LoadOptions& options) {
  require(!options.weights && !options.ranges, "{} holds its weights and ranges: --weights and --ranges do not apply",
          path);
  require(!options.build.activation && !options.build.points,
          "{} is built already: --activation and a configuration for points do not apply", path);
  require(options.quantise.ignore.empty() && options.quantise.only.empty() && !options.quantise.weights,
          "{} is quantised already: --ignore, --only and --weights-granularity do not apply", path);
  LoadedModel model;
  model.network = load_octet_file(path);
  model.name = model.network.name;
  if (is_model_name(model.name)) model.info = &find_model(model.name);
  bool any_integer = false;
  for (const QNode& node : model.network.nodes) any_integer |= node.precision == Precision::int8;
  model.precision = any_integer ? Precision::int8 : Precision::fp32;
  require(!options.precision || *options.precision == model.precision, "{} is an {} program; {} was asked for", path,
          name_of(model.precision), name_of(options.precision.value_or(model.precision)));
  const auto& metadata = model.network.metadata;
  if (const auto how = metadata.find("preprocess"); how != metadata.end()) {
    model.preprocess = preprocess_from_json(how->second);
  }
  if (const auto points = metadata.find("points"); points != metadata.end()) {
    model.points = centerpoint_config(points->second, path);
  }
  if (const auto labels = metadata.find("labels"); labels != metadata.end()) {
    try {
      model.labels = nlohmann::json::parse(labels->second).get<std::vector<std::string>>();
    } catch (const nlohmann::json::exception& e) {
      fail("{}: its labels are not a list of names: {}", path, e.what());
    }
  }
  if (!model.points) find_names(model, options, outputs_of(model.network));
  if (const auto seeded = metadata.find("seeded"); seeded != metadata.end()) model.seeded = seeded->second == "true";
  if (model.seeded) model.notes.push_back(fmt::format("{} was made from seeded weights, good for speed only", path));
  model.file = path;
  return model;
}

LoadedModel load_onnx_named(const std::string& path, const LoadOptions& options) {
  require(!options.build.activation, "{} is built already: --activation does not apply", path);
  require(!options.build.points, "{} is built already: a configuration for points does not apply", path);
  LoadedModel model = load_onnx(path, options);
  if (model.points) return model;  // its labels are its configuration's
  const auto outputs = [](const auto& graph, EdgeId output) {
    return graph[static_cast<std::size_t>(output)].shape.elements();
  };
  find_names(model, options,
             model.graph ? outputs(model.graph->edges(), model.graph->output_edge())
                         : outputs(model.network.edges, model.network.output));
  return model;
}

void describe(LoadedModel& model) {
  model.network.metadata["preprocess"] = to_json(model.preprocess);
  if (model.points) model.network.metadata["points"] = to_json(*model.points);
  model.network.metadata["labels"] = nlohmann::json(model.labels).dump();
  if (model.seeded) model.network.metadata["seeded"] = "true";
}

}  // namespace

LoadedModel load_float_model(const std::string& name, const LoadOptions& options) {
  require(!is_octet_path(name), "{}: an .octet program has no float weights; a model's name was expected", name);
  if (is_onnx_path(name)) {
    LoadedModel model = load_onnx_named(name, options);
    require(model.graph.has_value(), "{} is quantised: it has no float network to calibrate", name);
    return model;
  }
  LoadedModel model;
  model.info = &find_model(name);
  model.name = name;
  model.preprocess = model.info->preprocess;
  model.labels = model.info->labels;
  model.graph = build(*model.info, options.build);
  const Graph& graph = *model.graph;
  if (model.info->takes_points) {
    model.points = options.build.points.value_or(CenterPointConfig{});
    model.labels = model.points->labels();
  } else {
    find_names(model, options, graph.edges()[static_cast<std::size_t>(graph.output_edge())].shape.elements());
  }
  load_weights(model, options);
  return model;
}

LoadedModel load_model(const std::string& name, const LoadOptions& options) {
  if (is_octet_path(name)) return load_octet(name, options);
  LoadedModel model = is_onnx_path(name) ? load_onnx_named(name, options) : load_float_model(name, options);
  if (!model.graph) {  // a quantised .onnx file
    describe(model);
    return model;
  }
  find_ranges(model, options);
  if (!model.ranges && model.seeded && options.precision != Precision::fp32)
    model.ranges = seeded_ranges(model, options.seed);
  model.precision = options.precision.value_or(model.ranges ? Precision::int8 : Precision::fp32);
  if (model.precision == Precision::fp32) {
    model.network = calib::as_float(*model.graph);
    describe(model);
    return model;
  }
  require(model.ranges.has_value(), "INT8 needs ranges for these weights of {}: give --ranges, made by octet calibrate",
          name);
  model.network = calib::quantise(*model.graph, *model.ranges, options.quantise);
  if (options.quantise.weights) model.ranges->weights = *options.quantise.weights;
  model.file.reset();  // an .onnx file of floats is not what INT8 deploys
  describe(model);
  return model;
}

bool LoadedModel::gives_scores() const {
  const auto makes_output = [&](const QNode& node) { return node.output == network.output; };
  const auto last = std::ranges::find_if(network.nodes, makes_output);
  return last != network.nodes.end() && last->op == Op::softmax;
}

std::int64_t deployed_bytes(const LoadedModel& model) {
  if (model.file) return static_cast<std::int64_t>(fs::file_size(*model.file));
  if (model.precision == Precision::fp32) return float_bytes(*model.graph);
  return static_cast<std::int64_t>(octet_file_bytes(model.network).size());
}

}  // namespace octet::models
