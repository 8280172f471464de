#include "models/centerpoint/detection_metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <random>

#include "runtime/error.h"

namespace octet::models {
namespace {

using Found = ClassMatches::Found;

constexpr std::size_t kRecalls = 101;  // 0, 0.01, ... 1: where precision is read
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double distance_of(const ScoredBox& a, const ScoredBox& b) { return std::hypot(a.x - b.x, a.y - b.y); }

// Intersection over union of two boxes with one centre and one heading.
double overlap_of_sizes(const ScoredBox& a, const ScoredBox& b) {
  const double common = std::min(a.length, b.length) * std::min(a.width, b.width) * std::min(a.height, b.height);
  return common / (a.length * a.width * a.height + b.length * b.width * b.height - common);
}

double turn_between(double a, double b, double period) {
  const double turned = a - b + period / 2;
  return std::abs(turned - period * std::floor(turned / period) - period / 2);
}

TpErrors errors_of(const ScoredBox& truth, const ScoredBox& found, const MetricRules::Kind& kind) {
  TpErrors e{};
  e[kTranslation] = distance_of(truth, found);
  e[kScale] = 1 - overlap_of_sizes(truth, found);
  e[kOrientation] = turn_between(truth.heading, found.heading, (kind.half_turn ? 1 : 2) * std::numbers::pi);
  e[kVelocity] =
      std::isnan(truth.vx) || std::isnan(truth.vy) ? kNaN : std::hypot(found.vx - truth.vx, found.vy - truth.vy);
  e[kAttribute] = truth.attribute.empty() ? kNaN : truth.attribute == found.attribute ? 0 : 1;
  return e;
}

// Indices of boxes: the best score first; of equal ones the last first.
template <class Scored>
std::vector<std::size_t> best_first(const std::vector<Scored>& found, const auto& score_of) {
  std::vector<std::size_t> order(found.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    const double x = score_of(found[a]), y = score_of(found[b]);
    return x != y ? x > y : a > b;
  });
  return order;
}

void match_class(std::span<const ScoredBox> truth, std::span<const ScoredBox> found, int kind, const MetricRules& rules,
                 ClassMatches& result) {
  std::vector<const ScoredBox*> real, seen;
  for (const ScoredBox& box : truth) {
    if (box.kind == kind) real.push_back(&box);
  }
  for (const ScoredBox& box : found) {
    if (box.kind == kind) seen.push_back(&box), result.found.push_back({.score = box.score});
  }
  result.truth = static_cast<std::int64_t>(real.size());
  const auto order = best_first(seen, [](const ScoredBox* b) { return b->score; });
  for (std::size_t t = 0; t < rules.thresholds.size(); ++t) {
    std::vector<bool> taken(real.size());
    for (const std::size_t i : order) {
      double nearest = std::numeric_limits<double>::infinity();
      std::size_t match = 0;
      for (std::size_t k = 0; k < real.size(); ++k) {
        const double distance = taken[k] ? nearest : distance_of(*real[k], *seen[i]);
        if (distance < nearest) nearest = distance, match = k;
      }
      if (!(nearest < rules.thresholds[t])) continue;
      taken[match] = true;
      result.found[i].matched |= static_cast<std::uint8_t>(1u << t);
      if (t == rules.error_threshold) {
        result.found[i].errors = errors_of(*real[match], *seen[i], rules.kinds[static_cast<std::size_t>(kind)]);
      }
    }
  }
}

// numpy.interp: piecewise linear through (xs, ys), xs ascending; the first y left of them, `right` right of them. Where
// xs repeats, its last y counts.
double interpolate(double x, std::span<const double> xs, std::span<const double> ys, double right) {
  const auto above = static_cast<std::size_t>(std::ranges::upper_bound(xs, x) - xs.begin());
  if (above == 0) return ys.front();
  const std::size_t j = above - 1;
  if (above == xs.size()) return x > xs[j] ? right : ys[j];
  if (xs[j] == x) return ys[j];
  return (ys[above] - ys[j]) / (xs[above] - xs[j]) * (x - xs[j]) + ys[j];
}

// The mean of everything up to each place, NaN left out; 0 before the first number, 1 everywhere if there is none.
std::vector<double> running_means(std::span<const double> values) {
  std::vector<double> means;
  double sum = 0;
  int count = 0;
  for (const double v : values) {
    if (!std::isnan(v)) sum += v, ++count;
    means.push_back(count == 0 ? 0 : sum / count);
  }
  if (count == 0) std::ranges::fill(means, 1.0);
  return means;
}

// One class at one threshold: precision and score as functions of recall, read at kRecalls places.
struct Curve {
  std::array<double, kRecalls> precision{}, score{};
};

double recall_at(std::size_t i) { return i + 1 == kRecalls ? 1.0 : static_cast<double>(i) * 0.01; }

Curve curve_of(std::span<const Found* const> sorted, std::size_t threshold, std::int64_t truth) {
  std::vector<double> recall, precision, score;
  std::int64_t hits = 0;
  for (const Found* found : sorted) {
    hits += found->matched >> threshold & 1;
    recall.push_back(static_cast<double>(hits) / static_cast<double>(truth));
    precision.push_back(static_cast<double>(hits) / static_cast<double>(recall.size()));
    score.push_back(found->score);
  }
  Curve curve;
  if (hits == 0) return curve;
  for (std::size_t i = 0; i < kRecalls; ++i) {
    curve.precision[i] = interpolate(recall_at(i), recall, precision, 0);
    curve.score[i] = interpolate(recall_at(i), recall, score, 0);
  }
  return curve;
}

std::size_t first_recall(const MetricRules& rules) {
  return static_cast<std::size_t>(std::lround(100 * rules.min_recall)) + 1;
}

// The mean precision above the least recall, of what it exceeds the least precision by; 1 for a perfect curve.
double average_precision(const Curve& curve, const MetricRules& rules) {
  const std::size_t first = first_recall(rules);
  double sum = 0;
  for (std::size_t i = first; i < kRecalls; ++i) sum += std::max(0.0, curve.precision[i] - rules.min_precision);
  return sum / static_cast<double>(kRecalls - first) / (1 - rules.min_precision);
}

// The running mean of an error as a function of recall, averaged from the least recall to the largest one reached; 1
// where that is none.
double mean_error(std::span<const Found* const> sorted, TpError error, const Curve& curve, const MetricRules& rules) {
  std::vector<double> errors, scores;  // of the true positives
  for (const Found* found : sorted) {
    if ((found->matched >> rules.error_threshold & 1) == 0) continue;
    errors.push_back(found->errors[error]), scores.push_back(found->score);
  }
  std::size_t end = kRecalls;
  while (end > 0 && curve.score[end - 1] == 0) --end;
  const std::size_t first = first_recall(rules);
  if (errors.empty() || end <= first) return 1;
  std::vector<double> means = running_means(errors);
  std::ranges::reverse(means), std::ranges::reverse(scores);  // scores ascend
  double sum = 0;
  for (std::size_t i = first; i < end; ++i) sum += interpolate(curve.score[i], scores, means, means.back());
  return sum / static_cast<double>(end - first);
}

// Frames with their boxes sorted once, so that drawing some of them again and again is cheap.
class SortedFrames {
 public:
  SortedFrames(std::span<const FrameMatches> frames, const MetricRules& rules) : frames_(frames), rules_(rules) {
    for (std::size_t kind = 0; kind < rules.kinds.size(); ++kind) {
      std::vector<Entry> all;
      for (std::size_t f = 0; f < frames.size(); ++f) {
        for (const Found& found : frames[f][kind].found) all.push_back({&found, f});
      }
      std::vector<Entry>& sorted = sorted_.emplace_back();
      for (const std::size_t i : best_first(all, [](const Entry& e) { return e.found->score; }))
        sorted.push_back(all[i]);
    }
  }

  // With each frame taken so many times.
  DetectionMetrics metrics(std::span<const int> times) const {
    DetectionMetrics m;
    const double kinds = static_cast<double>(rules_.kinds.size());
    for (std::size_t kind = 0; kind < rules_.kinds.size(); ++kind) {
      m.classes.push_back(class_metrics(kind, times));
      m.mean_ap += m.classes.back().mean_ap() / kinds;
    }
    m.nds = rules_.ap_weight * m.mean_ap;
    for (std::size_t e = 0; e < kTpErrors; ++e) {
      int count = 0;
      for (const ClassMetrics& c : m.classes) {
        if (!std::isnan(c.errors[e])) m.errors[e] += c.errors[e], ++count;
      }
      m.errors[e] = count == 0 ? kNaN : m.errors[e] / count;
      if (count > 0) m.nds += std::max(0.0, 1 - m.errors[e]);
    }
    m.nds /= rules_.ap_weight + static_cast<double>(kTpErrors);
    return m;
  }

 private:
  struct Entry {
    const Found* found;
    std::size_t frame;
  };

  ClassMetrics class_metrics(std::size_t kind, std::span<const int> times) const {
    const MetricRules::Kind& k = rules_.kinds[kind];
    ClassMetrics m{.name = k.name, .range = k.range};
    for (std::size_t f = 0; f < frames_.size(); ++f) m.truth += times[f] * frames_[f][kind].truth;
    std::vector<const Found*> sorted;
    for (const Entry& entry : sorted_[kind]) {
      sorted.insert(sorted.end(), static_cast<std::size_t>(times[entry.frame]), entry.found);
    }
    m.found = static_cast<std::int64_t>(sorted.size());
    m.errors.fill(1);
    if (m.truth > 0) {
      for (std::size_t t = 0; t < rules_.thresholds.size(); ++t) {
        const Curve curve = curve_of(sorted, t, m.truth);
        m.ap[t] = average_precision(curve, rules_);
        if (t != rules_.error_threshold) continue;
        for (std::size_t e = 0; e < kTpErrors; ++e) m.errors[e] = mean_error(sorted, TpError{e}, curve, rules_);
      }
    }
    if (!k.has_yaw) m.errors[kOrientation] = kNaN;
    if (!k.moves) m.errors[kVelocity] = m.errors[kAttribute] = kNaN;
    return m;
  }

  std::span<const FrameMatches> frames_;
  const MetricRules& rules_;
  std::vector<std::vector<Entry>> sorted_;  // by class, the best box first
};

// The ends of the middle 95 of 100.
Loss loss_of(double value, std::vector<double> drawn) {
  std::ranges::sort(drawn);
  const auto at = [&](double share) {
    return drawn[static_cast<std::size_t>(std::lround(share * static_cast<double>(drawn.size() - 1)))];
  };
  return {value, at(0.025), at(0.975)};
}

// Whether a point is in a box that stands upright.
bool holds(const ScoredBox& box, double x, double y, double z) {
  const double c = std::cos(box.heading), s = std::sin(box.heading), dx = x - box.x, dy = y - box.y;
  return std::abs(dx * c + dy * s) <= box.length / 2 && std::abs(dy * c - dx * s) <= box.width / 2 &&
         std::abs(z - box.z) <= box.height / 2;
}

}  // namespace

int MetricRules::kind_named(std::string_view name) const {
  const auto found = std::ranges::find(kinds, name, &Kind::name);
  return found == kinds.end() ? -1 : static_cast<int>(found - kinds.begin());
}

const MetricRules& nuscenes_rules() {
  static const MetricRules rules{.kinds = {
                                     {"car", 50},
                                     {"truck", 50},
                                     {"bus", 50},
                                     {"trailer", 50},
                                     {"construction_vehicle", 50},
                                     {"pedestrian", 40},
                                     {.name = "motorcycle", .range = 40, .parks = true},
                                     {.name = "bicycle", .range = 40, .parks = true},
                                     {.name = "traffic_cone", .range = 30, .has_yaw = false, .moves = false},
                                     {.name = "barrier", .range = 30, .half_turn = true, .moves = false},
                                 }};
  return rules;
}

void filter_boxes(std::vector<ScoredBox>& boxes, std::span<const ScoredBox> racks, const MetricRules& rules) {
  std::erase_if(boxes, [&](const ScoredBox& box) {
    const MetricRules::Kind& kind = rules.kinds[static_cast<std::size_t>(box.kind)];
    const auto around = [&](const ScoredBox& rack) { return holds(rack, box.x, box.y, box.z); };
    return !(box.distance < kind.range) || box.points == 0 || (kind.parks && std::ranges::any_of(racks, around));
  });
}

FrameMatches match_frame(std::span<const ScoredBox> truth, std::span<const ScoredBox> found, const MetricRules& rules) {
  require(found.size() <= rules.most_boxes, "{} boxes were found in a frame; {} are scored at most", found.size(),
          rules.most_boxes);
  FrameMatches frame(rules.kinds.size());
  for (std::size_t kind = 0; kind < frame.size(); ++kind) {
    match_class(truth, found, static_cast<int>(kind), rules, frame[kind]);
  }
  return frame;
}

double ClassMetrics::mean_ap() const {
  return std::accumulate(ap.begin(), ap.end(), 0.0) / static_cast<double>(ap.size());
}

DetectionMetrics metrics_of(std::span<const FrameMatches> frames, const MetricRules& rules) {
  return SortedFrames(frames, rules).metrics(std::vector<int>(frames.size(), 1));
}

Losses losses_of(std::span<const FrameMatches> reference, std::span<const FrameMatches> other, const MetricRules& rules,
                 int draws, std::uint64_t seed) {
  const std::size_t count = reference.size();
  require(count > 0 && count == other.size() && draws > 0, "{} and {} frames, {} draws: a loss needs the same frames",
          count, other.size(), draws);
  const SortedFrames a(reference, rules), b(other, rules);
  std::mt19937_64 random(seed);
  std::vector<double> ap, nds;
  std::vector<int> times(count, 1);
  const auto draw = [&] {
    const DetectionMetrics x = a.metrics(times), y = b.metrics(times);
    return std::pair{x.mean_ap - y.mean_ap, x.nds - y.nds};
  };
  const auto [ap_loss, nds_loss] = draw();  // of every frame once
  for (int i = 0; i < draws; ++i) {
    std::ranges::fill(times, 0);
    for (std::size_t k = 0; k < count; ++k) ++times[random() % count];
    const auto [one_ap, one_nds] = draw();
    ap.push_back(one_ap), nds.push_back(one_nds);
  }
  return {loss_of(ap_loss, std::move(ap)), loss_of(nds_loss, std::move(nds))};
}

}  // namespace octet::models
