#include "models/onnx_model.h"

#include <algorithm>

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/onnx/import.h"

namespace octet::models {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxPreprocess = 1 << 16;
constexpr std::array<float, 3> kImageNetMean{0.485f, 0.456f, 0.406f}, kImageNetStd{0.229f, 0.224f, 0.225f};

const Shape& shape_at(const Graph& graph, EdgeId edge) { return graph.edges()[static_cast<std::size_t>(edge)].shape; }

}  // namespace

bool is_onnx_path(const std::string& model) { return model.ends_with(".onnx"); }

Preprocess onnx_preprocess(const fs::path& file, const Graph& graph) {
  for (const fs::path& beside :
       {fs::path(file.string() + ".preprocess.json"), fs::path(file).replace_extension(".preprocess.json")}) {
    std::error_code error;
    if (fs::exists(beside, error)) return preprocess_from_json(read_text_file(beside, kMaxPreprocess));
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
  model.graph = onnx::import_graph(file, model.name);
  onnx::observe_activations(*model.graph);
  model.preprocess = onnx_preprocess(path, *model.graph);
  model.notes.push_back(
      fmt::format("{}: photos are preprocessed so: {}{} (image flags or a .preprocess.json beside the "
                  "file change it)",
                  path, model.preprocess.str(), model.preprocess.label_offset == 0 ? "" : ", class 0 is output 1"));
  model.file = path;
  return model;
}

}  // namespace octet::models
