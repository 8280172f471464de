// Cross-layer equalisation: two layers in a row share their channels' scales so that neither has channels that one step
// for all weights cannot serve. With r1[c] the largest |weight| of the first layer's output channel c and r2[c] that of
// the second layer's input channel c,
//     s[c] = sqrt(r1[c] / r2[c]),   w1[c] /= s[c],   b1[c] /= s[c],   w2[., c] *= s[c]
// makes both sqrt(r1 r2). Between them may stand a ReLU, max-pools, average pools and a flatten, which let a positive
// factor pass, as long as nobody else reads what is between. (ReLU6 does not let it pass.) s is rounded to a power of
// two, so that the float network computes the same bits as before.
#pragma once

#include "runtime/graph.h"

namespace octet::calib {

struct Equalised {  // the network with moved scales, and where they moved
  Graph graph;
  std::vector<std::string> pairs;  // "first -> second", in the network's order
};

// Of a folded graph with its weights; pairs influence each other along a chain, so it goes over them until no factor
// changes, at most 20 times.
Equalised equalise(const Graph& folded);

}  // namespace octet::calib
