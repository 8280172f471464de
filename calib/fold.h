// Batch-norm folding (QUANTIZATION.md, "Folding"). For a convolution w, b followed by a batch-norm, per output channel:
//     g = gamma / sqrt(running_var + eps),   w' = w * g,   b' = b * g + (beta - running_mean * g).
#pragma once

#include "runtime/graph.h"

namespace octet::calib {

enum class FoldArithmetic {  // how the folded weights are rounded
  rounded_once,              // computed in double, rounded to float at the end
  notebook,                  // in float32, step by step in the order above, as the cat/dog notebook does
};

// A copy of the graph in which every batch-norm right behind a convolution or linear layer is folded into it; the input
// is not touched, and folding a folded graph changes nothing. A batch-norm stays where it is when the layer's output
// has another use or is observed by itself. Observers behind the batch-norm stay behind the folded layer.
Graph fold_batch_norm(const Graph& graph, FoldArithmetic arithmetic = FoldArithmetic::rounded_once);

}  // namespace octet::calib
