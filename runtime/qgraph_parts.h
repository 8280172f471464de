// A network of points in two: what is sparse, and what follows it on dense maps. Tools that lack sparse convolutions
// can run the second, which is most of the arithmetic; the two one after the other give the whole network's bytes.
#pragma once

#include "runtime/qgraph.h"

namespace octet {

// Up to and with to_dense, whose reals come out (dequantised where they are integers).
QGraph sparse_part(const QGraph& graph);
// Behind to_dense: the reals that sparse_part() gives go in, and are quantised again to the integers that they were.
QGraph dense_part(const QGraph& graph);

// Both throw Error when the network has no to_dense, several, or other edges from its sparse to its dense half.

}  // namespace octet
