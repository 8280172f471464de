// Load -> FP32 pass over all batches (the observers fill, top-1 is printed) -> scales, folding, integers -> INT8 pass.
// The arithmetic is the notebook's own (--preset notebook: ranges from 1.0, per-tensor weights, 16-bit biases,
// requantise by multiply, then divide); its meter, which went on counting over both passes, is reset in between.
#include "examples/catdog/notebook.h"

#include <algorithm>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "models/classifier.h"
#include "runtime/error.h"

namespace octet::examples {
namespace {

constexpr std::size_t kPhotosPerClass = 50;
constexpr std::size_t kBatch = 5;

std::vector<models::Photo> choose_photos(const NotebookOptions& o, const models::LoadedModel& model) {
  std::vector<models::Photo> chosen;
  std::size_t counts[2] = {};
  for (models::Photo& photo : models::list_photos(o.data, model.labels, model.info, {})) {
    if (counts[photo.label]++ < kPhotosPerClass) chosen.push_back(std::move(photo));
  }
  // Fisher-Yates with a fixed generator: std::shuffle differs between standard libraries.
  std::uint64_t state = o.seed;
  for (std::size_t i = chosen.size(); i > 1; --i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    std::swap(chosen[i - 1], chosen[(state >> 33) % i]);
  }
  if (o.swap_labels) {
    for (models::Photo& photo : chosen) photo.label = 1 - photo.label;
  }
  return chosen;
}

// One pass over all photos; `forward` maps a batch of preprocessed photos to logits, two a photo.
template <class Forward>
void pass(const char* name, const std::vector<models::Photo>& photos, const std::vector<Tensor>& batches,
          Forward forward) {
  models::Score score;
  for (std::size_t b = 0; b < batches.size(); ++b) {
    const Tensor logits = forward(batches[b]);
    for (std::size_t i = 0; i < static_cast<std::size_t>(batches[b].shape()[0]); ++i) {
      ++score.count;
      score.correct += models::top1(logits.span<float>().subspan(2 * i, 2)) == photos[b * kBatch + i].label;
    }
    fmt::print("{} Top1: {:.3f}, {}/{}\n\n", name, score.top1(), b, batches.size());
  }
}

std::vector<Tensor> load_batches(const std::vector<models::Photo>& photos, const models::Preprocess& how) {
  std::vector<Tensor> batches;
  const auto size = static_cast<std::size_t>(how.crop) * static_cast<std::size_t>(how.crop) * 3;
  for (std::size_t first = 0; first < photos.size(); first += kBatch) {
    const std::size_t count = std::min(kBatch, photos.size() - first);
    batches.emplace_back(DType::u8, Shape{static_cast<std::int64_t>(count), how.crop, how.crop, 3});
    for (std::size_t i = 0; i < count; ++i) {
      models::preprocess(load_image(photos[first + i].path), how,
                         batches.back().span<std::uint8_t>().subspan(i * size, size));
    }
  }
  return batches;
}

}  // namespace

int replay_notebook(const models::LoadOptions& load, const NotebookOptions& options, int threads) {
  const models::LoadedModel model = models::load_float_model("catdog", load);
  const auto photos = choose_photos(options, model);
  const auto batches = load_batches(photos, model.preprocess);
  ThreadPool pool(threads);

  calib::CalibrationOptions calibration;
  calibration.preset = calib::Preset::notebook;
  calibration.batch = kBatch;
  calibration.photo = model.preprocess.photo();
  calib::Calibrator calibrator(*model.graph, calibration, pool);
  pass("FP32", photos, batches, [&](const Tensor& batch) { return calibrator.observe(batch); });

  kernels::PlanOptions plan;
  plan.batch = kBatch;
  plan.photo = calibration.photo;
  Context context(kernels::plan(calib::quantise(*model.graph, calibrator.ranges()), plan), pool);
  pass("INT8", photos, batches, [&](const Tensor& batch) {
    Tensor logits(DType::f32, Shape{batch.shape()[0], 2});
    context.run(batch, logits);
    return logits;
  });
  return 0;
}

}  // namespace octet::examples
