#include "models/classifier.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "runtime/error.h"

namespace octet::models {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

Classifier::Classifier(const LoadedModel& model, ThreadPool& pool, int batch, bool keep_edges,
                       const std::optional<Gpu>& gpu)
    : how_(model.preprocess) {
  const auto refuse = [&](const Shape& in) {
    fail("{}: takes an input of {}; photos of {}x{}x3 were expected", model.name, in.str(), how_.crop, how_.crop);
  };
  const Shape& wanted = model.network.edges[static_cast<std::size_t>(model.network.input)].shape;
  if (wanted.rank() == 4) refuse(wanted);  // sparse: points, not photos
  kernels::PlanOptions options;
  options.batch = batch;
  options.photo = how_.photo();
  options.keep_edges = keep_edges;
  options.gpu = gpu;
  program_ = kernels::plan(model.network, options);
  const Shape& in = program_->input_like.shape();
  if (in.rank() != 3 || in[0] != how_.crop || in[1] != how_.crop || in[2] != 3) refuse(in);
  const Shape& out = program_->output_like.shape();
  classes_ = static_cast<int>(out.elements());
  context_ = std::make_unique<Context>(program_, pool);
  inputs_ = context_->host_tensor(DType::u8, Shape{batch, in[0], in[1], in[2]});
  std::vector<std::int64_t> dims{batch};
  dims.insert(dims.end(), out.dims().begin(), out.dims().end());
  outputs_ = Tensor(DType::f32, Shape(dims));
}

std::span<std::uint8_t> Classifier::input(int index) {
  const auto size = static_cast<std::size_t>(program_->input_like.shape().elements());
  return inputs_.span<std::uint8_t>().subspan(static_cast<std::size_t>(index) * size, size);
}

std::span<const float> Classifier::run_inputs(int count, const Context::Hook* hook) {
  const auto first = [count](const Tensor& tensor) {
    std::vector<std::int64_t> dims(tensor.shape().dims().begin(), tensor.shape().dims().end());
    dims[0] = count;
    return Tensor(tensor.dtype(), Shape(dims), const_cast<std::byte*>(tensor.raw()));
  };
  Tensor output = first(outputs_);
  context_->run(first(inputs_), output, hook);
  return outputs_.span<float>().first(static_cast<std::size_t>(count * classes_));
}

std::span<const float> Classifier::run(std::span<const Image> images, const Context::Hook* hook) {
  require(!images.empty() && static_cast<int>(images.size()) <= batch(), "{} photos for a batch of {}", images.size(),
          batch());
  for (std::size_t i = 0; i < images.size(); ++i) preprocess(images[i], how_, input(static_cast<int>(i)));
  return run_inputs(static_cast<int>(images.size()), hook);
}

std::vector<int> top_k(std::span<const float> logits, int k, int offset) {
  require(static_cast<std::size_t>(offset) < logits.size(),
          "--label-offset {} leaves no class: the network has {} outputs", offset, logits.size());
  std::vector<int> order(logits.size() - static_cast<std::size_t>(offset));
  std::iota(order.begin(), order.end(), 0);
  k = std::min(k, static_cast<int>(order.size()));
  std::ranges::partial_sort(order, order.begin() + k, [&](int a, int b) {
    const float x = logits[static_cast<std::size_t>(a + offset)], y = logits[static_cast<std::size_t>(b + offset)];
    return x != y ? x > y : a < b;
  });
  order.resize(static_cast<std::size_t>(k));
  return order;
}

int top1(std::span<const float> logits, int offset) { return top_k(logits, 1, offset).front(); }

std::vector<float> softmax(std::span<const float> logits) {
  const float top = *std::ranges::max_element(logits);
  std::vector<float> scores(logits.size());
  float sum = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) sum += scores[i] = std::exp(logits[i] - top);
  for (float& score : scores) score /= sum;
  return scores;
}

Evaluation evaluate(Classifier& classifier, std::span<const Photo> photos,
                    const std::function<void(std::int64_t, std::int64_t)>& progress) {
  Evaluation result;
  double seconds = 0;
  const int classes = classifier.classes() - classifier.how().label_offset;
  const auto batch = static_cast<std::size_t>(classifier.batch());
  for (std::size_t first = 0; first < photos.size(); first += batch) {
    const auto part = photos.subspan(first, std::min(batch, photos.size() - first));
    for (std::size_t i = 0; i < part.size(); ++i) {
      require(part[i].label >= 0, "{}: no label: its folder names no class and no --labels file lists it",
              part[i].path.string());
      require(part[i].label < classes, "{}: its label is {}, the network's classes are 0 to {}", part[i].path.string(),
              part[i].label, classes - 1);
      preprocess(load_image(part[i].path), classifier.how(), classifier.input(static_cast<int>(i)));
    }
    const auto start = Clock::now();
    const auto logits = classifier.run_inputs(static_cast<int>(part.size()));
    const std::chrono::duration<double> taken = Clock::now() - start;
    seconds += taken.count();
    result.latency_ms.push_back(taken.count() * 1e3);
    for (std::size_t i = 0; i < part.size(); ++i) {
      const auto outputs = static_cast<std::size_t>(classifier.classes());
      const auto best = top_k(logits.subspan(i * outputs, outputs), 5, classifier.how().label_offset);
      ++result.score.count;
      result.score.correct += best.front() == part[i].label;
      result.score.correct5 += std::ranges::find(best, part[i].label) != best.end();
    }
    if (progress) progress(static_cast<std::int64_t>(first + part.size()), static_cast<std::int64_t>(photos.size()));
  }
  result.images_per_second = static_cast<double>(photos.size()) / seconds;
  return result;
}

}  // namespace octet::models
