// Planning: a QGraph becomes a Program for one device and one instruction-set level. The planner chooses kernels, packs
// weights and lays activations out; it can change no result of an integer layer.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "kernels/isa.h"
#include "runtime/gpu.h"
#include "runtime/program.h"

namespace octet::kernels {

struct PlanOptions {  // what a Program is made for
  int batch = 1;      // the largest batch a run may have
  Isa isa = chosen_isa();
  std::optional<Gpu> gpu;  // plan for this CUDA device instead of the CPU (it need not be here; a Context needs it)
  // When set, the program's input is photos, u8 [n, H, W, 3] RGB, and (p - mean) / std happens inside (through a table
  // of 256 entries a channel, so that it costs nothing). Otherwise the input is f32 [n, C, H, W].
  struct Photo {
    std::array<float, 3> mean{0, 0, 0};
    std::array<float, 3> std{1, 1, 1};
  };
  std::optional<Photo> photo;
  // Sparse networks: how many sites of each level a Context makes room for at once. More may come: it then grows.
  std::int64_t sites = 0;
  // Sparse networks on CUDA: the program's input is points, of which its first step makes voxels.
  std::optional<VoxelOptions> voxels;
  // Calibration and --hash-layers look at every edge of the graph: no two layers are fused into one step.
  bool keep_edges = false;
};

// The first operation of the network for which there is no CUDA kernel that has proved itself on a GPU (a user's own
// have none; those of functions of one value, products, softmax, moved pixels, transposed convolutions and sparse
// networks, which plan() takes, have only run on tests/simt's emulated device); nullptr when there is none, and a GPU
// can run all of it.
const QNode* not_for_cuda(const QGraph& graph);

// Throws Error naming the node when the graph is invalid or no kernel fits.
std::shared_ptr<const Program> plan(const QGraph& graph, const PlanOptions& options);

}  // namespace octet::kernels
