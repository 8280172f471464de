#include "models/measure.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "calib/quantise.h"
#include "runtime/error.h"

namespace octet::models {
namespace {

// Photos [first, first + count) as a view of their pixels.
Tensor slice(const PreparedPhotos& photos, std::int64_t first, std::int64_t count) {
  const Shape& shape = photos.pixels.shape();
  const auto bytes = static_cast<std::size_t>(shape[1] * shape[2] * shape[3]);
  auto* start = const_cast<std::byte*>(photos.pixels.raw()) + static_cast<std::size_t>(first) * bytes;
  return Tensor(DType::u8, Shape{count, shape[1], shape[2], shape[3]}, start);
}

Tensor output_for(const Program& program, std::int64_t count) {
  const auto dims = program.output_like.shape().dims();
  std::vector<std::int64_t> shape{count};
  shape.insert(shape.end(), dims.begin(), dims.end());
  return Tensor(DType::f32, Shape(shape));
}

kernels::PlanOptions plan_options(const Preprocess& how, int batch, bool keep_edges) {
  kernels::PlanOptions options;
  options.batch = batch;
  options.photo = how.photo();
  options.keep_edges = keep_edges;
  return options;
}

// An activation as floats in NHWC order: reals, or the reals that integers stand for.
std::vector<float> floats_of(const View& v, const QEdge& edge) {
  const auto integer = [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) -> std::int32_t {
    if (v.type == DType::s16) return *v.at<std::int16_t>(n, y, x, c);
    return v.type == DType::u8 ? std::int32_t{*v.at<std::uint8_t>(n, y, x, c)} : *v.at<std::int8_t>(n, y, x, c);
  };
  std::vector<float> values;
  for (std::int64_t n = 0; n < v.n; ++n) {
    for (std::int64_t y = 0; y < v.h; ++y) {
      for (std::int64_t x = 0; x < v.w; ++x) {
        for (std::int64_t c = 0; c < v.c; ++c) {
          values.push_back(v.type == DType::f32
                               ? *v.at<float>(n, y, x, c)
                               : edge.quant.step * static_cast<float>(integer(n, y, x, c) - edge.quant.zero));
        }
      }
    }
  }
  return values;
}

// The values of every edge that `wanted` accepts, by the edge's name.
std::map<std::string, std::vector<float>> keep_edges(const QGraph& network, const RunHooked& run,
                                                     const std::function<bool(const QEdge&)>& wanted) {
  std::map<std::string, std::vector<float>> kept;
  run(network, [&](EdgeId id, const View& view) {
    const QEdge& edge = network.edges[static_cast<std::size_t>(id)];
    if (wanted(edge)) kept[edge.name] = floats_of(view, edge);
  });
  return kept;
}

}  // namespace

PreparedPhotos prepare(std::span<const Photo> photos, const Preprocess& how, const PhotoProgress& progress) {
  require(!photos.empty(), "no photo to measure with");
  PreparedPhotos prepared;
  const auto side = static_cast<std::int64_t>(how.crop), count = static_cast<std::int64_t>(photos.size());
  const auto size = static_cast<std::size_t>(side * side * 3);
  prepared.pixels = Tensor(DType::u8, Shape{count, side, side, 3});
  prepared.labelled = true;
  for (std::size_t i = 0; i < photos.size(); ++i) {
    preprocess(load_image(photos[i].path), how, prepared.pixels.span<std::uint8_t>().subspan(i * size, size));
    prepared.labels.push_back(photos[i].label);
    prepared.labelled &= photos[i].label >= 0;
    if (progress) progress(static_cast<std::int64_t>(i) + 1, count);
  }
  return prepared;
}

std::vector<float> outputs_of(const QGraph& network, const PreparedPhotos& photos, const Preprocess& how,
                              ThreadPool& pool, int batch) {
  const auto program = kernels::plan(network, plan_options(how, batch, false));
  Context context(program, pool);
  std::vector<float> outputs;
  for (std::int64_t first = 0; first < photos.count(); first += batch) {
    const std::int64_t count = std::min<std::int64_t>(batch, photos.count() - first);
    Tensor output = output_for(*program, count);
    context.run(slice(photos, first, count), output);
    outputs.insert(outputs.end(), output.span<float>().begin(), output.span<float>().end());
  }
  return outputs;
}

double sqnr_db(std::span<const float> reference, std::span<const float> other) {
  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double r = reference[i], d = r - other[i];
    signal += r * r, noise += d * d;
  }
  if (noise == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / noise);
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double aa = 0, bb = 0, ab = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    aa += x * x, bb += y * y, ab += x * y;
  }
  return aa == 0 || bb == 0 ? static_cast<double>(aa == bb) : ab / std::sqrt(aa * bb);
}

Comparison::Comparison(const Graph& graph, const PreparedPhotos& photos, const Preprocess& how, ThreadPool& pool,
                       int batch)
    : photos_(photos), how_(how), pool_(pool), batch_(batch) {
  reference_ = outputs_of(calib::as_float(graph), photos, how, pool, batch);
}

calib::Measurement Comparison::operator()(const QGraph& network) const {
  const std::vector<float> outputs = outputs_of(network, photos_, how_, pool_, batch_);
  const auto classes = outputs.size() / static_cast<std::size_t>(photos_.count());
  std::int64_t same = 0, correct = 0;
  for (std::size_t i = 0; i < photos_.labels.size(); ++i) {
    const auto best = top1(std::span(outputs).subspan(i * classes, classes), how_.label_offset);
    same += best == top1(std::span(reference_).subspan(i * classes, classes), how_.label_offset);
    correct += best == photos_.labels[i];
  }
  const auto percent = [&](std::int64_t n) {
    return 100.0 * static_cast<double>(n) / static_cast<double>(photos_.count());
  };
  calib::Measurement m;
  if (photos_.labelled) m.top1 = percent(correct);
  m.agreement = percent(same);
  m.sqnr_db = sqnr_db(reference_, outputs);
  m.cosine = cosine(reference_, outputs);
  return m;
}

std::vector<EdgeNoise> edge_noise(const Graph& graph, const calib::Ranges& ranges, const RunHooked& run) {
  // Equalised edges hold other values than the network's own: compare like with like.
  const QGraph real = calib::as_float(calib::float_form(graph, ranges)), integer = calib::quantise(graph, ranges);
  const auto observed = keep_edges(real, run, [](const QEdge& e) { return !e.observer.empty(); });
  const auto quantised = keep_edges(integer, run, [](const QEdge& e) { return e.quantised; });
  std::vector<EdgeNoise> noise;
  for (const calib::EdgeRange& range : ranges.edges) {
    const auto edge = std::ranges::find(real.edges, range.observer, &QEdge::observer);
    if (edge == real.edges.end()) continue;
    const auto a = observed.find(edge->name), b = quantised.find(edge->name);
    if (a == observed.end() || b == quantised.end() || a->second.size() != b->second.size()) continue;
    noise.push_back({range.observer, sqnr_db(a->second, b->second)});
  }
  return noise;
}

std::vector<EdgeNoise> edge_noise(const Graph& graph, const calib::Ranges& ranges, const PreparedPhotos& photos,
                                  const Preprocess& how, ThreadPool& pool, int batch) {
  const Tensor input = slice(photos, 0, std::min<std::int64_t>(batch, photos.count()));
  return edge_noise(graph, ranges, [&](const QGraph& network, const Context::Hook& hook) {
    const auto count = static_cast<int>(input.shape()[0]);
    const auto program = kernels::plan(network, plan_options(how, count, true));
    Context context(program, pool);
    Tensor output = output_for(*program, count);
    context.run(input, output, &hook);
  });
}

}  // namespace octet::models
