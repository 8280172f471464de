// CenterPoint with a voxel encoder: points in, boxes out. The network itself, from voxels to the maps of its heads; the
// node names are the official checkpoint's (det3d's nusc_centerpoint_voxelnet), so that epoch_20.pth loads.
//
//     voxels -> sparse encoder (21 sparse convolutions, 4 resolutions) -> [256, H, W] seen from above
//            -> neck (two resolutions, joined to 512 channels) -> shared convolution -> 6 tasks x 6 heads
//
// All maps of all heads leave as one output [70, H, W] of floats (rule 13): HeadMaps says which channels are what.
#pragma once

#include <string>
#include <vector>

#include "models/centerpoint/config.h"
#include "runtime/box_decode.h"
#include "runtime/graph.h"
#include "runtime/state_dict.h"

namespace octet::models {

using octet::TaskMaps;  // the channels of one task in the output

// Those of all tasks.
struct HeadMaps {
  std::vector<TaskMaps> tasks;
  int channels = 0;
};
// Of the network that centerpoint(config) builds.
HeadMaps head_maps(const CenterPointConfig& config);

struct Head {  // one of a task's six
  const char* name;
  int channels;  // 0: one a class
};
// In the checkpoint's order: reg, height, dim, rot, vel, hm.
const std::vector<Head>& centerpoint_heads();

// Without weights. Input "voxels": sites on config.grid() with 5 features; output [70, H, W] for the official classes.
Graph centerpoint(const CenterPointConfig& config);

// Checkpoints of spconv 1.x hold sparse weights as [kz, ky, kx, C, O], those of 2.x as [O, kz, ky, kx, C], which the
// graph has: the former are turned into the latter, told apart by what the graph expects. A leading "module." is taken
// off each key; checkpoints with quantisers and folded batch-norms (quantised_checkpoint.h) get the official keys.
// Whatever else does not fit is left for Graph::load to name.
StateDict in_graph_layout(const StateDict& checkpoint, const Graph& graph);

}  // namespace octet::models
