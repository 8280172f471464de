// Checkpoints of the SparseConvolution walk-through (PTQ and QAT of CenterPoint's sparse encoder with
// pytorch-quantization): beside the weights they hold what each quantiser learned.
//
//     backbone.conv1.0.conv1._input_quantizer._amax               of the convolution's input, one number
//     backbone.conv1.0.conv1._weight_quantizer._amax              of its weights, one an output channel (any shape)
//     backbone.conv1.0.quant_add._input_quantizer._amax           of both inputs of a block's add
//
// Their batch-norms are folded, but for conv_input's, and the blocks of conv2 to conv4 stand one place nearer to the
// front ("conv2.2", "conv2.3" for the official "conv2.3", "conv2.4"), as a torch Sequential without them counts.
#pragma once

#include <optional>

#include "calib/ranges.h"
#include "runtime/graph.h"
#include "runtime/state_dict.h"

namespace octet::models {

// The official keys: folded batch-norms become ones that change nothing (rounding to float gives back every weight; the
// bias of a convolution that has none in the graph moves into its batch-norm), quantisers are left out. A checkpoint
// that is not folded comes back as it is, without its quantisers.
StateDict without_quantisers(const StateDict& checkpoint, const Graph& graph);

// The ranges that the quantisers hold; none where the checkpoint has none. `partial`: an edge that no quantiser reads
// has no range, and the layers around it run in floats (the walk-through quantises the encoder alone). The network's
// input keeps 15 bits and a sign (runtime/graph.h), whatever the checkpoint rounded it to. An add's other input is
// also a convolution's, and keeps that one's range. Throws Error: an amax that is no positive number, or not one for
// each output channel; a quantiser of a layer that the network does not have.
std::optional<calib::Ranges> ranges_in(const StateDict& checkpoint, const Graph& graph);

}  // namespace octet::models
