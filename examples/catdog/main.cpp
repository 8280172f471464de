// catdog: is it a cat or a dog? Each photo is classified in FP32 and in INT8, side by side, with both speeds and sizes.
// `catdog --notebook --data DIR` (notebook.cpp) replays the INT8 notebook that the network comes from.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>

#include "examples/catdog/notebook.h"
#include "examples/catdog/picture.h"
#include "examples/common/terminal.h"
#include "models/classifier.h"
#include "runtime/cpu.h"
#include "runtime/cuda/device.h"
#include "runtime/error.h"
#include "runtime/io/file.h"

using namespace octet;

namespace {

// What is kept of a photo: the bytes that the network sees, not the photo itself, which may be a hundred times larger.
struct Sample {
  std::string name;
  int truth = -1;
  std::vector<std::uint8_t> input;
};

constexpr std::size_t kTimed = 16;  // so many photos are run kRepeats times each; the median tells
constexpr int kRepeats = 5;

// One precision: the network, and what it said about each photo.
struct Column {
  models::LoadedModel model;
  std::vector<int> labels;
  std::vector<float> scores;
  std::vector<double> latency_ms;
  models::Score score;
};

Column classify(const std::vector<Sample>& samples, models::LoadOptions options, Precision precision, ThreadPool& pool,
                const std::optional<Gpu>& gpu) {
  options.precision = precision;
  Column column{.model = models::load_model("catdog", options)};
  models::Classifier classifier(column.model, pool, 1, false, gpu);
  examples::ProgressBar progress(name_of(precision), false);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    std::ranges::copy(samples[i].input, classifier.input(0).begin());
    if (i == 0) classifier.run_inputs(1);  // caches and page faults
    std::span<const float> logits;
    for (int repeat = 0; repeat < (i < kTimed ? kRepeats : 1); ++repeat) {
      const auto start = std::chrono::steady_clock::now();
      logits = classifier.run_inputs(1);
      const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
      column.latency_ms.push_back(taken.count());
    }
    column.labels.push_back(models::top1(logits));
    column.scores.push_back(models::softmax(logits)[static_cast<std::size_t>(column.labels.back())]);
    progress.update(static_cast<std::int64_t>(i + 1), static_cast<std::int64_t>(samples.size()));
    if (samples[i].truth < 0) continue;
    ++column.score.count;
    column.score.correct += column.labels.back() == samples[i].truth;
  }
  return column;
}

void print(const std::vector<Sample>& samples, const Column& fp32, const Column& int8, const std::string& where) {
  const auto& labels = fp32.model.labels;
  const auto label = [&](const Column& c, std::size_t i) { return labels[static_cast<std::size_t>(c.labels[i])]; };
  examples::Table photos({"photo", "FP32", "score", "INT8", "score"});
  for (std::size_t i = 0; i < samples.size(); ++i) {
    photos.add({samples[i].name, label(fp32, i), fmt::format("{:.3f}", fp32.scores[i]), label(int8, i),
                fmt::format("{:.3f}", int8.scores[i])});
  }
  examples::Table summary({"", "FP32", "INT8"});
  const auto top1 = [](const Column& c) {
    return c.score.count == 0 ? "-" : fmt::format("{:.1f} % ({}/{})", c.score.top1(), c.score.correct, c.score.count);
  };
  const auto median = [](const Column& c) { return fmt::format("{:.2f} ms", examples::percentile(c.latency_ms, 50)); };
  summary.add({"top-1", top1(fp32), top1(int8)});
  summary.add({"median latency", median(fp32), median(int8)});
  summary.add({"model size", examples::human_bytes(models::deployed_bytes(fp32.model)),
               examples::human_bytes(models::deployed_bytes(int8.model))});
  if (fp32.model.seeded) fmt::print("The weights are seeded (random): these labels mean nothing.\n\n");
  fmt::print("{}\n{}\n{}, batch 1\n", photos.str(), summary.str(), where);
}

void draw(const std::vector<Sample>& samples, const Column& fp32, const Column& int8, const std::string& file) {
  const auto dog = [](const Column& c, std::size_t i) {
    return c.labels[i] == 1 ? double{c.scores[i]} : 1 - double{c.scores[i]};
  };
  std::vector<examples::Prediction> predictions;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    predictions.push_back({samples[i].name, dog(fp32, i), dog(int8, i)});
  }
  write_file_atomically(file, std::string_view(examples::predictions_svg(predictions)));
}

// The class that the photo's folder or its name surely tells; -1: neither does, and the photo is not scored.
int true_label(const std::filesystem::path& path, const models::ModelInfo& info) {
  const int by_folder = models::label_of_folder(path, info.labels);
  const std::string name = path.filename().string();
  if (by_folder >= 0) return by_folder;
  return name.find("cat") != std::string::npos ? 0 : name.find("dog") != std::string::npos ? 1 : -1;
}

// Files as they are given; of a folder, its photos.
std::vector<Sample> load_samples(const std::vector<std::string>& inputs) {
  const models::ModelInfo& info = models::find_model("catdog");
  const auto side = static_cast<std::size_t>(info.preprocess.crop);
  std::vector<Sample> samples;
  for (const std::string& input : inputs) {
    std::error_code error;
    const bool folder = std::filesystem::is_directory(input, error);
    for (const auto& path : folder ? list_images(input) : std::vector<std::filesystem::path>{input}) {
      Sample sample{path.filename().string(), true_label(path, info), {}};
      sample.input.resize(side * side * 3);
      models::preprocess(load_image(path), info.preprocess, sample.input);
      samples.push_back(std::move(sample));
    }
  }
  return samples;
}

int run(const std::vector<std::string>& inputs, const models::LoadOptions& options, const std::string& device,
        int threads, const std::string& picture) {
  const std::vector<Sample> samples = load_samples(inputs);
  ThreadPool pool(threads);
  const std::optional<Gpu> gpu = cuda::choose_device(device);
  const Column fp32 = classify(samples, options, Precision::fp32, pool, gpu);
  for (const std::string& note : fp32.model.notes) fmt::print(stderr, "note: {}\n", note);
  const std::string where = gpu ? std::string(gpu->name)
                                : fmt::format("{}, {} thread{}", cpu_features().name, threads, threads == 1 ? "" : "s");
  const Column int8 = classify(samples, options, Precision::int8, pool, gpu);
  print(samples, fp32, int8, where);
  if (!picture.empty()) draw(samples, fp32, int8, picture);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Cat or dog, in FP32 and in INT8", "catdog"};
  std::vector<std::string> photos;
  std::optional<std::string> weights, ranges;
  examples::NotebookOptions notebook;
  bool replay = false;
  int threads = available_threads();
  std::string device = "auto", picture;
  app.add_option("PHOTO", photos, "photos or folders; dogs.jpg#xywh=percent:0,0,50,50 is a part of one");
  app.add_option("--weights", weights, ".safetensors or a PyTorch checkpoint");
  app.add_option("--ranges", ranges, "ranges.json of those weights");
  app.add_option("--threads", threads, "of this machine's processors")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--device", device, "where to run")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--picture", picture, "draw the scores: F.svg");
  app.add_flag("--notebook", replay,
               "replay the INT8 notebook on --data: 50 cats and 50 dogs calibrate and are scored");
  app.add_option("--data", notebook.data, "folder of photos for --notebook");
  app.add_option("--seed", notebook.seed, "of the notebook's shuffle")->capture_default_str();
  app.add_flag("--swap-labels", notebook.swap_labels, "score against the wrong labels: prints 100 minus the figure");
  try {
    app.parse(argc, argv);
    const bool one_way = replay ? photos.empty() && !notebook.data.empty() : !photos.empty() && notebook.data.empty();
    if (!one_way) throw CLI::ValidationError("PHOTO..., or --notebook --data DIR, was expected");
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  models::LoadOptions options;
  if (weights) options.weights = *weights;
  if (ranges) options.ranges = *ranges;
  return examples::guarded("catdog", [&] {
    return replay ? examples::replay_notebook(options, notebook, threads)
                  : run(photos, options, device, threads, picture);
  });
}
