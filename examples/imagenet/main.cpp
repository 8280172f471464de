// imagenet: what is in a photo, out of 1000 classes? EfficientNet-Lite0 in FP32 and in INT8, the five best of each side
// by side. Shows the whole way from a float network to an integer one: load, calibrate, quantise, classify.
//     models/efficientnet_lite0/fetch.sh && build/bin/imagenet photo.jpg holiday/
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>

#include "calib/calibrate.h"
#include "examples/common/terminal.h"
#include "models/classifier.h"
#include "models/data_files.h"
#include "runtime/cpu.h"
#include "runtime/cuda/device.h"
#include "runtime/error.h"

using namespace octet;

namespace {

struct Options {
  std::vector<std::string> inputs;
  std::string model = "efficientnet_lite0", calibrate, device = "auto";
  std::optional<std::filesystem::path> weights, names, ranges;
  int top = 5, threads = available_threads();
  std::int64_t limit = 100;
};

using Paths = std::vector<std::filesystem::path>;

// Files as they are given; of a folder, its photos.
Paths expand(const std::vector<std::string>& inputs) {
  Paths paths;
  for (const std::string& input : inputs) {
    std::error_code error;
    const bool folder = std::filesystem::is_directory(input, error);
    for (auto& path : folder ? list_images(input) : Paths{input}) paths.push_back(std::move(path));
  }
  return paths;
}

// Runs photos through the float network while observers on its edges remember the smallest and the largest value. The
// affine scheme gives [min, max] the integers 0 to 255: behind a ReLU6 nothing is negative, and the symmetric scheme
// would leave half of its integers unused.
calib::Ranges calibrate(const models::LoadedModel& model, const Paths& photos, ThreadPool& pool) {
  calib::CalibrationOptions options;
  options.range.scheme = calib::Scheme::affine;
  options.batch = 1;
  options.photo = model.preprocess.photo();  // the observers see (p - mean) / std, not the bytes
  calib::Calibrator calibrator(*model.graph, options, pool);
  const std::int64_t side = model.preprocess.crop;
  Tensor input(DType::u8, Shape{1, side, side, 3});
  examples::ProgressBar progress("calibrating", false);
  for (std::size_t i = 0; i < photos.size(); ++i) {
    models::preprocess(load_image(photos[i]), model.preprocess, input.span<std::uint8_t>());
    calibrator.observe(input);
    progress.update(static_cast<std::int64_t>(i + 1), static_cast<std::int64_t>(photos.size()));
  }
  return calibrator.ranges();
}

// One precision: what the network said about each photo, and how long it took.
struct Column {
  std::vector<std::vector<std::pair<std::string, float>>> top;  // by photo: name and score, best first
  std::vector<double> latency_ms;
};

Column classify(const models::LoadedModel& model, const Paths& photos, const Options& o, ThreadPool& pool) {
  models::Classifier classifier(model, pool, 1, false, cuda::choose_device(o.device));
  Column column;
  examples::ProgressBar progress(name_of(model.precision), false);
  for (const auto& path : photos) {
    models::preprocess(load_image(path), model.preprocess, classifier.input(0));
    const auto start = std::chrono::steady_clock::now();
    const auto logits = classifier.run_inputs(1);
    column.latency_ms.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    const std::vector<float> scores = models::softmax(logits);
    auto& best = column.top.emplace_back();
    for (const int index : models::top_k(logits, o.top, model.preprocess.label_offset)) {
      const auto i = static_cast<std::size_t>(index);
      const std::string name = i < model.labels.size() ? model.labels[i] : fmt::format("class {}", index);
      const std::string first = name.substr(0, name.find(','));  // "tabby, tabby cat": synonyms
      best.emplace_back(first, scores[i + static_cast<std::size_t>(model.preprocess.label_offset)]);
    }
    progress.update(static_cast<std::int64_t>(column.top.size()), static_cast<std::int64_t>(photos.size()));
  }
  return column;
}

void print(const Paths& photos, const Column& fp32, const Column& int8) {
  examples::Table table({"photo", "FP32", "score", "INT8", "score"});
  std::size_t agree = 0;
  for (std::size_t i = 0; i < photos.size(); ++i) {
    agree += fp32.top[i][0].first == int8.top[i][0].first;
    for (std::size_t k = 0; k < fp32.top[i].size(); ++k) {
      const auto& [real, p] = fp32.top[i][k];
      const auto& [integer, q] = int8.top[i][k];
      table.add({k == 0 ? photos[i].filename().string() : "", real, fmt::format("{:.3f}", p), integer,
                 fmt::format("{:.3f}", q)});
    }
  }
  fmt::print("{}\nINT8 agrees with FP32 on the best class of {} of {} photos.\n", table.str(), agree, photos.size());
}

int run(const Options& o) {
  ThreadPool pool(o.threads);
  models::LoadOptions load;
  load.weights = o.weights, load.names = o.names;
  const Paths photos = expand(o.inputs);

  // 1. The float network: its definition, batch-norm and all, with the weights in it.
  models::LoadedModel real = models::load_float_model(o.model, load);
  require(!real.seeded, "{}: no weights here; models/efficientnet_lite0/fetch.sh fetches those of EfficientNet-Lite0",
          o.model);

  // 2. The range of every edge: from photos (a hundred are enough), or from a file that somebody made so.
  const auto shipped = models::shipped_file(o.model + "/ranges.json");
  const bool own = o.calibrate.empty() && (o.ranges || shipped);
  Paths samples = o.calibrate.empty() ? photos : list_images(o.calibrate);
  samples.resize(std::min(samples.size(), static_cast<std::size_t>(o.limit)));
  const calib::Ranges ranges =
      own ? calib::load_ranges(o.ranges ? *o.ranges : *shipped) : calibrate(real, samples, pool);

  // 3. Two networks of one kind, QGraph: nothing quantised (batch-norm folded), and weights, biases and edges in
  //    integers.
  models::LoadedModel integer = real;
  real.network = calib::as_float(*real.graph);
  integer.network = calib::quantise(*real.graph, ranges);
  integer.precision = Precision::int8;

  // 4. Both are planned for the GPU, if there is one, or for this processor, and run.
  const Column fp32 = classify(real, photos, o, pool), int8 = classify(integer, photos, o, pool);
  const std::optional<Gpu> gpu = cuda::choose_device(o.device);
  print(photos, fp32, int8);
  fmt::print("Calibrated on {} photos{}.\n", ranges.images, !own && o.calibrate.empty() ? ", these" : "");
  fmt::print("median {:.2f} ms and {:.2f} ms, {} and {}; {}, {} thread{}\n", examples::percentile(fp32.latency_ms, 50),
             examples::percentile(int8.latency_ms, 50), examples::human_bytes(models::deployed_bytes(real)),
             examples::human_bytes(models::deployed_bytes(integer)), gpu ? std::string(gpu->name) : cpu_features().name,
             o.threads, o.threads == 1 ? "" : "s");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"The five most likely of 1000 classes, in FP32 and in INT8", "imagenet"};
  Options o;
  app.add_option("PHOTO", o.inputs, "photos or folders")->required();
  app.add_option("--model", o.model, "a network with 1000 classes")->capture_default_str();
  app.add_option("--weights", o.weights, "default: what models/efficientnet_lite0/fetch.sh has fetched");
  app.add_option("--names", o.names, "names of the classes, one a line; default: likewise");
  app.add_option("--ranges", o.ranges, "ranges.json of octet calibrate; default: those that come with the model");
  app.add_option("--calibrate", o.calibrate, "a folder of photos to calibrate on");
  app.add_option("--limit", o.limit, "calibrate on at most so many")->check(CLI::Range(1, 100000));
  app.add_option("--top", o.top, "show the K best")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--device", o.device, "where the two networks run")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--threads", o.threads)->check(CLI::Range(1, 1024))->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  return examples::guarded("imagenet", [&] { return run(o); });
}
