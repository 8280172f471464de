// A network that turns photos into class scores: preprocessing, program, context and what comes out, in one object.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "models/loaded_model.h"
#include "models/photos.h"
#include "runtime/program.h"

namespace octet::models {

class Classifier {  // not thread-safe: one a thread, they may share the model and the pool
 public:
  // `pool` must outlive it. Throws Error when the network does not take photos.
  // With a `gpu` it runs there, otherwise on the CPU.
  Classifier(const LoadedModel& model, ThreadPool& pool, int batch = 1, bool keep_edges = false,
             const std::optional<Gpu>& gpu = {});

  // The logits of up to `batch` photos, [n][classes]. Valid until the next call.
  std::span<const float> run(std::span<const Image> images, const Context::Hook* hook = nullptr);
  // The same for inputs that are preprocessed already: fill input(i) for each, then call run_inputs.
  std::span<std::uint8_t> input(int index);
  std::span<const float> run_inputs(int count, const Context::Hook* hook = nullptr);

  int classes() const { return classes_; }
  int batch() const { return program_->batch; }
  const Program& program() const { return *program_; }
  Context& context() { return *context_; }  // to time or watch single layers
  const Preprocess& how() const { return how_; }

 private:
  Preprocess how_;
  std::shared_ptr<const Program> program_;
  std::unique_ptr<Context> context_;
  Tensor inputs_, outputs_;
  int classes_ = 0;
};

// The class with the highest logit; the lowest index wins a tie. `offset` is Preprocess::label_offset.
int top1(std::span<const float> logits, int offset = 0);
// Class indices, best first; ties by index.
std::vector<int> top_k(std::span<const float> logits, int k, int offset = 0);
// Numerically stable softmax.
std::vector<float> softmax(std::span<const float> logits);

struct Score {  // of `count` labelled photos; top1() and top5() in percent
  std::int64_t count = 0, correct = 0, correct5 = 0;
  double top1() const { return count == 0 ? 0 : 100.0 * static_cast<double>(correct) / static_cast<double>(count); }
  double top5() const { return count == 0 ? 0 : 100.0 * static_cast<double>(correct5) / static_cast<double>(count); }
};

struct Evaluation {  // accuracy and speed on one set of photos
  Score score;
  std::vector<double> latency_ms;  // of each batch, host call to host-visible result
  double images_per_second = 0;    // network only: photos decoded and resized are not counted
};

// Scores labelled photos. `progress(done, total)` is called after every batch. Throws Error when a photo has no label.
Evaluation evaluate(Classifier& classifier, std::span<const Photo> photos,
                    const std::function<void(std::int64_t, std::int64_t)>& progress);

}  // namespace octet::models
