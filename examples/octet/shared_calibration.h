// Calibration by several ranks (ranks.h) that comes to the ranges of a single process, bit by bit.
#pragma once

#include <functional>

#include "calib/calibrate.h"
#include "examples/octet/ranks.h"
#include "models/classifier.h"

namespace octet::cli {

void add(models::Score& sum, const models::Score& part);

// `observe` shows one batch to the calibrator; batch b is rank b % K's. Histograms add up exactly when they have one
// bin width, and a single process takes it from the first batch in which an edge is not all zeros. So rank 0 goes
// through batch 0 first and tells the others its widths. An edge that batch 0 leaves at zero gets its width from
// whichever rank first meets a value; if several do, the one with the earliest batch is right, and all ranks begin
// again with its width. Rank 0's calibrator ends with everything; the score is of all ranks, on rank 0.
models::Score stream_by_ranks(calib::Calibrator& calibrator, std::int64_t batches,
                              const std::function<models::Score(std::int64_t batch)>& observe);

}  // namespace octet::cli
