#include "models/registry.h"

#include <algorithm>

#include "models/catdog/catdog.h"
#include "models/centerpoint/centerpoint.h"
#include "models/centerpoint/quantised_checkpoint.h"
#include "models/centerpoint/seeded.h"
#include "models/efficientnet_lite0/efficientnet_lite0.h"
#include "models/mobilenet_v2/mobilenet_v2.h"
#include "models/resnet50/resnet50.h"
#include "runtime/error.h"

namespace octet::models {
namespace {

// The notebook's rule: the label comes from the file's own name alone.
int catdog_label(const std::string& file_name) { return file_name.find("cat") != std::string::npos ? 0 : 1; }

// Photos for the ImageNet networks: shorter side to 256, centre 224 x 224. torchvision's networks want p / 255 less the
// mean of ImageNet, over its standard deviation.
constexpr Preprocess kTorchvision{.resize = 256,
                                  .mean = {0.485f * 255, 0.456f * 255, 0.406f * 255},
                                  .std = {0.229f * 255, 0.224f * 255, 0.225f * 255}};
constexpr Preprocess kTensorflow{.resize = 256, .mean = {127, 127, 127}, .std = {128, 128, 128}};

constexpr const char* kImageNetNames = "imagenet_names.txt";

const std::vector<ModelInfo>& table() {
  static const std::vector<ModelInfo> models = {
      {.name = "catdog",
       .summary = "cat or dog, 224x224 photos: 4 conv-BN-ReLU-pool stages, 2 linear layers, 517,130 parameters",
       .build = [](const BuildOptions&) { return catdog(); },
       .preprocess = {},
       .labels = {"cat", "dog"},
       .label_of_name = catdog_label},
      {.name = "mobilenet_v2",
       .summary = "1000 ImageNet classes, torchvision's MobileNetV2: 17 inverted residuals, 3,504,872 parameters",
       .build =
           [](const BuildOptions& o) { return mobilenet_v2({.activation = o.activation.value_or(Activation::relu6)}); },
       .preprocess = kTorchvision,
       .names_file = kImageNetNames,
       .any_activation = true},
      {.name = "resnet50",
       .summary = "1000 ImageNet classes, torchvision's ResNet50 v1.5: 16 bottlenecks, 25,557,032 parameters",
       .build = [](const BuildOptions&) { return resnet50(); },
       .preprocess = kTorchvision,
       .names_file = kImageNetNames},
      {.name = "efficientnet_lite0",
       .summary = "1000 ImageNet classes, EfficientNet-Lite0: 16 inverted residuals, 4,652,008 parameters",
       .build = [](const BuildOptions&) { return efficientnet_lite0(); },
       .preprocess = kTensorflow,
       .names_file = kImageNetNames},
      {.name = "centerpoint",
       .summary =
           "3D boxes from LiDAR points, voxels of 0.075 m: sparse encoder, neck, 6 x 6 heads, 8,941,590 parameters",
       .build = [](const BuildOptions& o) { return centerpoint(o.points.value_or(CenterPointConfig{})); },
       .takes_points = true,
       .in_graph_layout = in_graph_layout,
       .seed = [](Graph& graph, const BuildOptions& o,
                  std::uint64_t seed) { seed_centerpoint(graph, o.points.value_or(CenterPointConfig{}), seed); },
       .ranges_in = ranges_in,
       .ships_for = [](const BuildOptions& o) { return !o.points || same_scale(*o.points, CenterPointConfig{}); }},
  };
  return models;
}

}  // namespace

std::span<const ModelInfo> all_models() { return table(); }

bool is_model_name(std::string_view name) {
  return std::ranges::any_of(table(), [&](const ModelInfo& m) { return m.name == name; });
}

const ModelInfo& find_model(std::string_view name) {
  require(!name.ends_with(".tflite"), "{}: TensorFlow Lite files are not read; an .onnx file of the network is", name);
  std::string names;
  for (const ModelInfo& m : table()) {
    if (m.name == name) return m;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", m.name);
  }
  require(!name.ends_with(".tflite"),
          "{}: TensorFlow Lite files are not read (runtime/onnx/README.md says why); .onnx and .octet files are", name);
  fail("unknown model '{}': the models are {}; a path to an .octet or .onnx file works too", name, names);
}

Graph build(const ModelInfo& info, const BuildOptions& options) {
  require(!options.activation || info.any_activation, "{} has no choice of activation: --activation is for {}",
          info.name, "mobilenet_v2");
  require(!options.points || info.takes_points, "{} takes photos: a configuration for points is for centerpoint",
          info.name);
  return info.build(options);
}

}  // namespace octet::models
