// catdog: is it a cat or a dog? Each photo is classified in FP32 and in INT8, side by side, with both speeds and sizes.
// `catdog --notebook --data DIR` (notebook.cpp) replays the INT8 notebook that the network comes from.
#include <CLI/CLI.hpp>
#include <chrono>
#include <fmt/format.h>

#include "examples/catdog/notebook.h"
#include "examples/common/terminal.h"
#include "models/classifier.h"
#include "runtime/cpu.h"
#include "runtime/error.h"

using namespace octet;

namespace {

// One precision: the network, and what it said about each photo.
struct Column {
  models::LoadedModel model;
  std::vector<int> labels;
  std::vector<float> scores;
  std::vector<double> latency_ms;
  models::Score score;
};

Column classify(const std::vector<Image>& images, const std::vector<int>& truth, models::LoadOptions options,
                Precision precision, ThreadPool& pool) {
  options.precision = precision;
  Column column{.model = models::load_model("catdog", options)};
  models::Classifier classifier(column.model, pool);
  for (std::size_t i = 0; i < images.size(); ++i) {
    models::preprocess(images[i], classifier.how(), classifier.input(0));
    for (int repeat = 0; repeat < 5; ++repeat) {  // the first run of all warms up; the median tells
      const auto start = std::chrono::steady_clock::now();
      classifier.run_inputs(1);
      const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
      column.latency_ms.push_back(taken.count());
    }
    const auto logits = classifier.run_inputs(1);
    column.labels.push_back(models::top1(logits));
    column.scores.push_back(models::softmax(logits)[static_cast<std::size_t>(column.labels.back())]);
    if (truth[i] < 0) continue;
    ++column.score.count;
    column.score.correct += column.labels.back() == truth[i];
  }
  return column;
}

void print(const std::vector<std::string>& names, const Column& fp32, const Column& int8, int threads) {
  const auto& labels = fp32.model.labels;
  const auto label = [&](const Column& c, std::size_t i) { return labels[static_cast<std::size_t>(c.labels[i])]; };
  examples::Table photos({"photo", "FP32", "score", "INT8", "score"});
  for (std::size_t i = 0; i < names.size(); ++i) {
    photos.add({names[i], label(fp32, i), fmt::format("{:.3f}", fp32.scores[i]), label(int8, i),
                fmt::format("{:.3f}", int8.scores[i])});
  }
  examples::Table summary({"", "FP32", "INT8"});
  const auto top1 = [](const Column& c) {
    return c.score.count == 0 ? "-" : fmt::format("{:.1f} % ({}/{})", c.score.top1(), c.score.correct, c.score.count);
  };
  const auto median = [](const Column& c) { return fmt::format("{:.2f} ms", examples::percentile(c.latency_ms, 50)); };
  summary.add({"top-1", top1(fp32), top1(int8)});
  summary.add({"median latency", median(fp32), median(int8)});
  summary.add({"model size", examples::human_bytes(fp32.model.deployed_bytes),
               examples::human_bytes(int8.model.deployed_bytes)});
  fmt::print("{}\n{}\n{}, {} thread(s), batch 1\n", photos.str(), summary.str(), cpu_features().name, threads);
}

int run(const std::vector<std::string>& inputs, const models::LoadOptions& options, int threads) {
  const models::ModelInfo& info = models::find_model("catdog");
  std::vector<Image> images;
  std::vector<int> truth;
  std::vector<std::string> names;
  for (const std::string& input : inputs) {
    std::error_code error;
    const bool folder = std::filesystem::is_directory(input, error);
    for (const auto& path : folder ? list_images(input) : std::vector<std::filesystem::path>{input}) {
      images.push_back(load_image(path));
      truth.push_back(models::label_of(path, info.labels, &info));
      names.push_back(path.filename().string());
    }
  }
  ThreadPool pool(threads);
  const Column fp32 = classify(images, truth, options, Precision::fp32, pool);
  for (const std::string& note : fp32.model.notes) fmt::print(stderr, "note: {}\n", note);
  print(names, fp32, classify(images, truth, options, Precision::int8, pool), threads);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Cat or dog, in FP32 and in INT8"};
  std::vector<std::string> photos;
  std::optional<std::string> weights, ranges;
  examples::NotebookOptions notebook;
  bool replay = false;
  int threads = available_threads();
  app.add_option("PHOTO", photos, "photos or folders; dogs.jpg#xywh=percent:0,0,50,50 is a part of one");
  app.add_option("--weights", weights, ".safetensors or a PyTorch checkpoint");
  app.add_option("--ranges", ranges, "ranges.json of those weights");
  app.add_option("--threads", threads)->check(CLI::Range(1, 1024))->capture_default_str();
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
    return replay ? examples::replay_notebook(options, notebook, threads) : run(photos, options, threads);
  });
}
