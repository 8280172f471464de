// CenterPoint without a checkpoint: seeded weights and ranges, for speed and for tests. A frame gives boxes with them,
// and they mean nothing.
#pragma once

#include "calib/ranges.h"
#include "models/centerpoint/centerpoint.h"
#include "runtime/sparse.h"

namespace octet::models {

// Kaiming-normal layers (Graph::seed_weights) would leave maps of any magnitude: sigmoids of 0 and 1, boxes of
// kilometres. So a made-up frame on a small grid of the same voxels is run through, and what comes out decides the
// variance of the shared convolution's batch-norm and each last convolution's scale and bias: offsets about half a
// cell, sizes about a metre, and a heat map above the threshold in about one cell of a hundred.
void seed_centerpoint(Graph& graph, const CenterPointConfig& config, std::uint64_t seed);

// Ranges of the same made-up frame.
calib::Ranges seeded_centerpoint_ranges(const Graph& graph, const CenterPointConfig& config, std::uint64_t seed);

// The made-up frame: a rough ground, some walls and boxes, on `grid`; features as a real frame has them.
SparseTensor made_up_frame(const SparseGrid& grid, const CenterPointConfig& config, std::uint64_t seed);

}  // namespace octet::models
