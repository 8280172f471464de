#include "models/onnx_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/onnx/export.h"
#include "runtime/onnx/import.h"
#include "runtime/onnx/lower_quantised.h"
#include "runtime/onnx/range_metadata.h"

namespace octet::models {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxPreprocess = 1 << 16;
constexpr std::array<float, 3> kImageNetMean{0.485f, 0.456f, 0.406f}, kImageNetStd{0.229f, 0.224f, 0.225f};

const Shape& shape_at(const Graph& graph, EdgeId edge) { return graph.edges()[static_cast<std::size_t>(edge)].shape; }

// The names of the classes that an export of ours carries.
std::vector<std::string> labels_in(const std::string& path, const std::map<std::string, std::string>& metadata) {
  const auto found = metadata.find(std::string(onnx::kMetadataPrefix) + "labels");
  if (found == metadata.end()) return {};
  try {
    return nlohmann::json::parse(found->second).get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception& e) {
    fail("{}: its labels are not a list of names: {}", path, e.what());
  }
}

// What an export of a network of points says about its grid and classes.
std::optional<CenterPointConfig> points_in(const std::string& path,
                                           const std::map<std::string, std::string>& metadata) {
  const auto found = metadata.find(std::string(onnx::kMetadataPrefix) + "points");
  if (found == metadata.end()) return std::nullopt;
  return centerpoint_config(found->second, path);
}

}  // namespace

bool is_onnx_path(const std::string& model) { return model.ends_with(".onnx"); }

Preprocess onnx_preprocess(const fs::path& file, const Graph& graph,
                           const std::map<std::string, std::string>& metadata) {
  for (const fs::path& beside :
       {fs::path(file.string() + ".preprocess.json"), fs::path(file).replace_extension(".preprocess.json")}) {
    std::error_code error;
    if (fs::exists(beside, error)) return preprocess_from_json(read_text_file(beside, kMaxPreprocess));
  }
  if (const auto ours = metadata.find(std::string(onnx::kMetadataPrefix) + "preprocess"); ours != metadata.end()) {
    return preprocess_from_json(ours->second);
  }
  Preprocess how;
  const Shape& in = shape_at(graph, graph.input_edge());
  if (in.rank() != 3) return how;
  how.crop = static_cast<int>(std::min<std::int64_t>(in[2], 1 << 14));
  if (in == Shape{3, 32, 32}) {
    for (std::size_t c = 0; c < 3; ++c) how.mean[c] = 255 * kImageNetMean[c], how.std[c] = 255 * kImageNetStd[c];
    return how;
  }
  how.resize = how.crop * 8 / 7;
  how.mean.fill(127), how.std.fill(128);
  if (shape_at(graph, graph.output_edge()).elements() == 1001) {
    how.mean.fill(127.5f), how.std.fill(127.5f);
    how.label_offset = 1;
  }
  return how;
}

LoadedModel load_onnx(const std::string& path, const LoadOptions& options) {
  require(!options.weights, "{} holds its weights: --weights does not apply", path);
  LoadedModel model;
  model.name = fs::path(path).stem().string();
  const onnx::Model file = onnx::read_model(path);
  Graph graph = onnx::import_graph(file, model.name, &model.notes);
  model.preprocess = onnx_preprocess(path, graph, file.metadata);
  model.labels = labels_in(path, file.metadata);
  model.points = points_in(path, file.metadata);
  const auto seeded = file.metadata.find(std::string(onnx::kMetadataPrefix) + "seeded");
  model.seeded = seeded != file.metadata.end() && seeded->second == "true";
  if (model.seeded) model.notes.push_back(fmt::format("{} was made from seeded weights, good for speed only", path));
  if (shape_at(graph, graph.input_edge()).rank() == 3)
    model.notes.push_back(
        fmt::format("{}: photos are preprocessed so: {}{} (image flags or a .preprocess.json beside the "
                    "file change it)",
                    path, model.preprocess.str(), model.preprocess.label_offset == 0 ? "" : ", class 0 is output 1"));
  model.file = path;
  if (!onnx::is_quantised(graph)) {
    onnx::observe_activations(graph);
    model.graph = std::move(graph);
    return model;
  }
  require(!options.ranges && options.quantise.ignore.empty() && options.quantise.only.empty(),
          "{} is quantised already: --ranges, --ignore and --only do not apply", path);
  require(options.precision != Precision::fp32, "{} is quantised; fp32 was asked for", path);
  model.network = onnx::lower_quantised(graph, model.notes, onnx::float_layers(file));
  model.precision = Precision::int8;
  return model;
}

}  // namespace octet::models
