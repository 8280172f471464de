// The detection metrics of nuScenes: mean average precision by the distance of centres, five errors of the true
// positives, and their sum, the nuScenes detection score (NDS).
//
// Source of every formula: Caesar et al., "nuScenes: A multimodal dataset for autonomous driving" (CVPR 2020), section
// 3.1, in the form of nuscenes-devkit's python-sdk/nuscenes/eval/detection (algo.py, utils.py, loaders.py and
// configs/detection_cvpr_2019.json). Equal to it (tests/goldens/make_nuscenes_metrics.py), ties of scores included.
//
// A frame's found boxes are matched with its true ones by themselves, so frames can be scored anywhere and in any
// number of processes; only metrics_of() looks at all of them.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace octet::models {

struct MetricRules {  // what counts as found, and how it is scored
  // One class.
  struct Kind {
    std::string name;
    double range;            // metres from the vehicle: objects at this distance or beyond are not scored
    bool has_yaw = true;     // whether AOE means something: a cone has no heading
    bool half_turn = false;  // a barrier looks the same from behind: yaw modulo pi
    bool moves = true;       // whether AVE and AAE mean something
    bool parks = false;      // objects in a bicycle rack are not scored
  };
  std::vector<Kind> kinds;
  std::array<double, 4> thresholds{0.5, 1, 2, 4};  // metres between centres, from above: nearer is a match
  std::size_t error_threshold = 2;                 // of these, the one whose true positives have errors
  double min_recall = 0.1, min_precision = 0.1;    // what lies below counts for nothing
  std::size_t most_boxes = 500;                    // of a frame
  double ap_weight = 5;                            // of mAP in NDS; each of the five errors weighs 1

  int kind_named(std::string_view name) const;  // index in kinds; -1: none
};
const MetricRules& nuscenes_rules();  // detection_cvpr_2019: ten classes

// A box to be scored. All boxes of a frame are in one frame of reference whose x-y plane is the ground.
struct ScoredBox {
  int kind = 0;                                                                // index in MetricRules::kinds
  double x = 0, y = 0, z = 0, length = 0, width = 0, height = 0, heading = 0;  // metres, radians; sizes above 0
  double vx = 0, vy = 0;  // m/s; of true boxes NaN where nobody knows
  std::string attribute;  // of true boxes empty where nobody knows
  double distance = 0;    // from the vehicle, from above
  int points = -1;        // true boxes: 0 takes them out
  double score = 0;       // found boxes: not NaN
};

// Takes out what is not scored, true or found: beyond its class's range, without points, with its centre in one of
// `racks` where its class parks there. What is left stays in order.
void filter_boxes(std::vector<ScoredBox>& boxes, std::span<const ScoredBox> racks, const MetricRules& rules);

// Of a true positive: translation (metres between centres, from above), scale (1 - IoU of the sizes), orientation
// (radians), velocity (m/s), attribute (0 or 1). NaN: the true box does not say.
enum TpError : std::size_t { kTranslation, kScale, kOrientation, kVelocity, kAttribute, kTpErrors };
using TpErrors = std::array<double, kTpErrors>;
inline constexpr std::array<const char*, kTpErrors> kTpErrorNames{"ATE", "ASE", "AOE", "AVE", "AAE"};

// What one frame says about one class.
struct ClassMatches {
  struct Found {
    double score = 0;
    std::uint8_t matched = 0;  // bit t: a true positive at thresholds[t]
    TpErrors errors{};         // where it is one at error_threshold
  };
  std::int64_t truth = 0;
  std::vector<Found> found;  // in the order in which they were given
};
using FrameMatches = std::vector<ClassMatches>;  // by class

// The best found box first, each takes the nearest true box of its class that is still free, if it is near enough. Of
// equal scores the last one given is first. Throws Error: more than rules.most_boxes found.
FrameMatches match_frame(std::span<const ScoredBox> truth, std::span<const ScoredBox> found, const MetricRules& rules);

struct ClassMetrics {  // of one class, over all frames
  std::string name;
  double range = 0;
  std::int64_t truth = 0, found = 0;
  std::array<double, 4> ap{};  // by threshold; 0 for a class that is nowhere
  TpErrors errors{};           // NaN where the class has no such error; 1 where nothing was found to have one

  double mean_ap() const;
};

struct DetectionMetrics {  // of a set of frames
  std::vector<ClassMetrics> classes;
  TpErrors errors{};  // means over the classes that have them
  double mean_ap = 0, nds = 0;
};

// Frames in their order: of equal scores the later frame's box is first.
DetectionMetrics metrics_of(std::span<const FrameMatches> frames, const MetricRules& rules);

// How sure a loss is: the figure for these frames, and between what it lies in 95 of 100 sets of as many frames, drawn
// from them with replacement (Efron's percentile bootstrap; both networks get the same draws, since what they find in a
// frame goes together). A fraction, positive where `other` is worse.
struct Loss {
  double value = 0, low = 0, high = 0;
};
struct Losses {
  Loss mean_ap, nds;
};
// Throws Error: no frame, another number of frames.
Losses losses_of(std::span<const FrameMatches> reference, std::span<const FrameMatches> other, const MetricRules& rules,
                 int draws = 500, std::uint64_t seed = 1);

}  // namespace octet::models
