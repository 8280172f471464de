#include "examples/octet/shared_calibration.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "runtime/error.h"

namespace octet::cli {
namespace {

using nlohmann::json;

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

// An observer's bin width and the batch that fixed it: -1 when it was given, kNever while it is 0.
struct Width {
  float width = 0;
  std::int64_t batch = kNever;
};

// Runs this rank's batches and keeps track of what fixed the widths.
class Share {
 public:
  Share(calib::Calibrator& calibrator, const std::function<models::Score(std::int64_t)>& observe)
      : calibrator_(calibrator), observe_(observe) {}

  void begin(const std::vector<float>& widths) {
    calibrator_.restart(widths);
    widths_.clear(), score = {};
    for (const float w : widths) widths_.push_back({w, w == 0 ? kNever : -1});
  }
  void run(std::int64_t batch) {
    add(score, observe_(batch));
    const std::vector<float> now = calibrator_.widths();
    for (std::size_t i = 0; i < now.size(); ++i) {
      if (widths_[i].width == 0 && now[i] != 0) widths_[i].batch = batch;
      // Halving doubles a width; what fixed it stays. The first one is what others need.
      if (widths_[i].width == 0) widths_[i].width = now[i];
    }
  }
  const std::vector<Width>& widths() const { return widths_; }

  models::Score score;

 private:
  calib::Calibrator& calibrator_;
  const std::function<models::Score(std::int64_t)>& observe_;
  std::vector<Width> widths_;
};

std::vector<float> agreed_from(const std::string& text) { return json::parse(text).get<std::vector<float>>(); }

std::string report_of(const Share& share, const calib::Calibrator& calibrator) {
  json widths = json::array();
  for (const Width& w : share.widths()) widths.push_back({w.width, w.batch});
  return json{{"widths", widths},
              {"score", {share.score.count, share.score.correct, share.score.correct5}},
              {"state", calibrator.state()}}
      .dump();
}

// Of every observer the width from the earliest batch, and whether more than one rank had to find its own.
std::vector<float> earliest(const std::vector<json>& reports, bool& conflict) {
  std::vector<float> widths;
  for (std::size_t i = 0; i < reports[0]["widths"].size(); ++i) {
    Width best;
    int finders = 0;
    for (const json& report : reports) {
      const json& one = report["widths"][i];
      const Width w{one[0].get<float>(), one[1].get<std::int64_t>()};
      finders += w.batch >= 0 && w.batch != kNever;
      if (w.batch < best.batch) best = w;
    }
    conflict |= finders > 1;
    widths.push_back(best.width);
  }
  return widths;
}

}  // namespace

void add(models::Score& sum, const models::Score& part) {
  sum.count += part.count, sum.correct += part.correct, sum.correct5 += part.correct5;
}

models::Score stream_by_ranks(calib::Calibrator& calibrator, std::int64_t batches,
                              const std::function<models::Score(std::int64_t batch)>& observe) {
  Ranks& all = ranks();
  Share share(calibrator, observe);
  share.begin(std::vector<float>(calibrator.widths().size()));
  if (all.rank() == 0 && batches > 0) share.run(0);
  const std::vector<float> first = agreed_from(all.broadcast(json(calibrator.widths()).dump()));
  if (all.rank() != 0) share.begin(first);
  for (std::int64_t start = all.rank() == 0 ? 1 : 0;;) {
    for (std::int64_t batch = start; batch < batches; ++batch) {
      if (mine(batch)) share.run(batch);
    }
    std::vector<json> reports;
    for (const std::string& text : all.gather(report_of(share, calibrator))) reports.push_back(json::parse(text));
    bool conflict = false;
    json verdict = json::array();
    if (all.rank() == 0) {
      const std::vector<float> widths = earliest(reports, conflict);
      if (conflict) verdict = widths;
    }
    const std::vector<float> again = agreed_from(all.broadcast(verdict.dump()));
    if (!again.empty()) {
      share.begin(again);
      start = 0;
      continue;
    }
    models::Score score = share.score;
    for (std::size_t rank = 1; rank < reports.size(); ++rank) {
      calibrator.merge(reports[rank]["state"].get<std::string>());
      const json& s = reports[rank]["score"];
      add(score, {s[0].get<std::int64_t>(), s[1].get<std::int64_t>(), s[2].get<std::int64_t>()});
    }
    return score;
  }
}

}  // namespace octet::cli
