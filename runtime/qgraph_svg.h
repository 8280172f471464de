// A picture of a QGraph: one self-contained SVG, layers from top to bottom, integers and floats told apart.
//
//   - a box is a layer: its name, operation, window, weights and output shape; INT8 blue, float white, with the reason
//     as a tooltip;
//   - Q and DQ stand where reals become integers and back: as pills of their own where the network does it, and on each
//     edge of integers between two layers, where a QDQ file has its pair, with the step and the zero point;
//   - an edge that skips rows runs in a lane to the right.
#pragma once

#include <string>

#include "runtime/qgraph.h"

namespace octet {

std::string to_svg(const QGraph& graph);  // a whole file; equal graphs give equal bytes

}  // namespace octet
