#include "examples/octet/cli.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cstdio>

#include "runtime/cuda/device.h"
#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/io/json_text.h"

namespace octet::cli {
namespace {

constexpr std::uint64_t kMaxConfig = 1 << 20;

std::array<float, 3> three(const std::string& text, const char* flag) {
  std::array<float, 3> values{};
  char rest = 0;
  const int read = std::sscanf(text.c_str(), "%f,%f,%f%c", &values[0], &values[1], &values[2], &rest);
  require(read == 3, "{} '{}': three numbers a,b,c were expected", flag, text);
  return values;
}

void apply_image_flags(const Common& c, models::Preprocess& how) {
  if (c.resize) how.resize = *c.resize;
  if (c.crop) how.crop = *c.crop;
  if (!c.filter.empty()) how.filter = c.filter == "bilinear" ? Filter::bilinear : Filter::bicubic;
  if (!c.mean.empty()) how.mean = three(c.mean, "--mean");
  if (!c.std.empty()) how.std = three(c.std, "--std");
  for (const float s : how.std) require(s != 0, "--std: a standard deviation of 0");
  if (c.label_offset) how.label_offset = *c.label_offset;
}

void check_device(const Common& c) {
  (void)cuda::choose_device(c.device);
  require(c.precision != "fp16", "--precision fp16: there are no half-precision kernels yet; fp32 and int8 work");
}

models::LoadedModel finish(const Common& c, models::LoadedModel model) {
  for (const std::string& text : model.notes) note(c, text);
  apply_image_flags(c, model.preprocess);
  model.network.metadata["preprocess"] = models::to_json(model.preprocess);  // an export keeps the flags
  return model;
}

// Removes `--config F.json` or `--config=F.json` and returns F.json; empty when there is none.
std::string take_config(std::vector<std::string>& arguments) {
  std::string path;
  for (auto a = arguments.begin(); a != arguments.end();) {
    const bool joined = a->starts_with("--config=");
    if (!joined && (*a != "--config" || a + 1 == arguments.end())) {
      ++a;
      continue;
    }
    require(path.empty(), "--config is given twice");
    path = joined ? a->substr(9) : *(a + 1);
    a = arguments.erase(a, a + (joined ? 1 : 2));
  }
  return path;
}

std::string flag_value(const json& value, const std::string& key, const std::string& path) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && key == "centerpoint") return value.dump();  // its configuration
  require(value.is_number(), "{}: \"{}\": a text, a number, true, false or a list of them was expected", path, key);
  return json_text(value);
}

}  // namespace

CLI::Validator at_least(std::int64_t least) {
  const auto check = [least](const std::string& text) -> std::string {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    if (whole && value >= least) return {};
    return fmt::format("{}: a whole number of at least {} was expected", text, least);
  };
  return {check, fmt::format("(>= {})", least)};
}

void add_common(CLI::App& app, Common& c) {
  app.add_option("MODEL", c.model, "a model's name (octet models), an .onnx or an .octet file")->required();
  app.add_option("--weights", c.weights, ".safetensors or a PyTorch checkpoint; 'seeded': random ones");
  app.add_option("--ranges", c.ranges, "ranges.json from octet calibrate");
  app.add_option("--precision", c.precision, "default: int8 when there are ranges, else fp32 (fp16: not there yet)")
      ->check(CLI::IsMember({"fp32", "fp16", "int8"}));
  app.add_option("--activation", c.activation, "mobilenet_v2's activation; default: relu6")
      ->check(CLI::IsMember({"relu", "relu6"}));
  app.add_option("--device", c.device, "where to run")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--threads", c.threads, "0: all processors")->check(CLI::Range(0, 1024))->capture_default_str();
  app.add_option("--batch-size", c.batch_size, "photos that go through the network together; frames go one by one")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--skip", c.skip, "leave out the first N of the sorted files")->check(at_least(0));
  app.add_option("--limit", c.limit, "use at most N files")->check(at_least(1));
  app.add_option("--seed", c.seed, "of seeded weights, and of the inputs that bench makes up (default: 1)");
  app.add_option(
      "--centerpoint", c.centerpoint,
      "centerpoint's grid, limits and classes: a JSON file, or {\"preset\": \"0.1\", \"score_threshold\": 0.2}");
  app.add_flag("--json", c.json, "print JSON");
  app.add_flag("--quiet", c.quiet, "no progress, no notes");
  // expand_config() has replaced it; one that is left over lacks its file.
  app.add_option("--config", "a JSON file of flags: {\"batch-size\": 8, \"json\": true}")
      ->expected(1)
      ->type_name("FILE");
}

void add_image_flags(CLI::App& app, Common& c) {
  app.add_option("--resize", c.resize, "shorter side; 0: the whole photo to the crop's size")
      ->check(CLI::Range(0, 16384));
  app.add_option("--crop", c.crop, "side of the square that the network sees")->check(CLI::Range(1, 16384));
  app.add_option("--filter", c.filter, "how a photo is resized")->check(CLI::IsMember({"bicubic", "bilinear"}));
  app.add_option("--mean", c.mean, "a,b,c subtracted from the bytes of R,G,B");
  app.add_option("--std", c.std, "a,b,c that R,G,B are divided by");
  app.add_option("--names", c.names, "names of the classes, one a line");
  app.add_option("--label-offset", c.label_offset, "the output index of class 0")->check(at_least(0));
}

models::LoadOptions load_options(const Common& c) {
  check_device(c);
  models::LoadOptions options;
  if (c.weights) options.weights = *c.weights;
  if (c.ranges) options.ranges = *c.ranges;
  if (c.names) options.names = *c.names;
  if (c.precision == "fp32") options.precision = Precision::fp32;
  if (c.precision == "int8") options.precision = Precision::int8;
  if (c.activation == "relu") options.build.activation = Activation::relu;
  if (c.activation == "relu6") options.build.activation = Activation::relu6;
  if (c.centerpoint) {
    const bool text = c.centerpoint->find('{') != std::string::npos;
    options.build.points = models::centerpoint_config(
        text ? *c.centerpoint : read_text_file(*c.centerpoint, kMaxConfig), text ? "--centerpoint" : *c.centerpoint);
  }
  options.seed = seed_of(c);
  return options;
}

models::LoadedModel load(const Common& c, const calib::QuantiseOptions& quantise) {
  models::LoadOptions options = load_options(c);
  options.quantise = quantise;
  return finish(c, models::load_model(c.model, options));
}

models::LoadedModel load_float(const Common& c) {
  return finish(c, models::load_float_model(c.model, load_options(c)));
}

void require_weights(const Common& c, const models::LoadedModel& model, std::string_view doing) {
  require(!model.seeded || c.seed, "{}: {} seeded weights means nothing; give --weights, or --seed N to try it on them",
          model.name, doing);
}

std::unique_ptr<ThreadPool> make_pool(const Common& c) {
  return std::make_unique<ThreadPool>(c.threads == 0 ? available_threads() : c.threads);
}

std::optional<Gpu> gpu_of(const Common& c, const models::LoadedModel& model) {
  const std::optional<Gpu> gpu = cuda::choose_device(c.device);
  const QNode* node = gpu ? kernels::not_for_cuda(model.network) : nullptr;
  if (node == nullptr) return gpu;
  const std::string why =
      fmt::format("{}: {} {}", node->name,
                  node->op == Op::custom ? "there is no CUDA kernel for" : "not yet run on a GPU: the CUDA kernel for",
                  name_of(node->op));
  require(c.device != "cuda", "{}; --device cpu runs it", why);
  note(c, why + ": the CPU runs the network");
  return std::nullopt;
}

kernels::PlanOptions plan_options(const Common& c, const models::LoadedModel& model, int batch) {
  kernels::PlanOptions options;
  options.batch = batch;
  // Of networks that take something else there is no more to say: the dense part of a network of points, for one.
  const Shape& in = model.network.edges[static_cast<std::size_t>(model.network.input)].shape;
  if (!model.points && in.rank() == 3 && in[0] == 3) options.photo = model.preprocess.photo();
  options.gpu = gpu_of(c, model);
  return options;
}

void note(const Common& c, const std::string& text) {
  if (!c.quiet) fmt::print(stderr, "note: {}\n", text);
}

std::string counted(std::int64_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string overlap_note(std::int64_t overlap, std::int64_t count, const char* noun) {
  if (overlap == 0) return "";
  if (overlap == count) return fmt::format("These are the {}s that calibrated the model: the score says little.", noun);
  return fmt::format("{} of these {}s calibrated the model: the score says less than it seems.", overlap, noun);
}

void print_json(const json& value) { fmt::print("{}\n", value.dump(2, ' ', false, json::error_handler_t::replace)); }

std::vector<std::string> expand_config(std::vector<std::string> arguments) {
  const std::string path = take_config(arguments);
  if (path.empty()) return arguments;
  json config;
  try {
    config = json::parse(read_text_file(path, kMaxConfig));
  } catch (const json::exception& e) {
    fail("{}: not valid JSON: {}", path, e.what());
  }
  require(config.is_object(), "{}: an object of flags was expected, such as {{\"batch-size\": 8}}", path);
  const std::vector<std::string> given = arguments;
  for (const auto& [key, value] : config.items()) {
    const std::string flag = "--" + key;
    const auto is_flag = [&](const std::string& a) { return a == flag || a.starts_with(flag + "="); };
    if (std::ranges::any_of(given, is_flag)) continue;
    for (const json& one : value.is_array() ? value : json::array({value})) {
      if (!one.is_boolean()) {
        arguments.push_back(flag + "=" + flag_value(one, key, path));
      } else if (one.get<bool>()) {
        arguments.push_back(flag);
      }
    }
  }
  return arguments;
}

std::string describe_input(const models::LoadedModel& model) {
  if (!model.points) return model.preprocess.str();
  const auto& v = model.points->voxel;
  return fmt::format("points, voxels of {} x {} x {} m; x, y, z from and to: {}", v[0], v[1], v[2],
                     fmt::join(model.points->range, ", "));
}

}  // namespace octet::cli
