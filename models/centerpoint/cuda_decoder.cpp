#include "models/centerpoint/cuda_decoder.h"

#include <cstring>

#include "kernels/cuda/decode.h"
#include "runtime/error.h"

#ifdef OCTET_HAS_CUDA
#include "runtime/cuda/memory.h"
#endif

namespace octet::models {

std::string CudaDecoder::refuse(const CenterPointConfig& config) {
  constexpr double kMostBytes = 256 << 20;  // of the bits that say which candidate suppresses which
  const auto limit = static_cast<double>(kernels::cuda::sorted_limit(box_decoding(config)));
  const auto tasks = config.tasks.size();
  if (tasks > kernels::cuda::Decode::kMostTasks) {
    return fmt::format("{} tasks: at most {}", tasks, kernels::cuda::Decode::kMostTasks);
  }
  if (limit * limit / 8 * static_cast<double>(tasks) > kMostBytes) {
    return fmt::format("most_candidates: {} of each of {} tasks is too many to compare with each other",
                       config.most_candidates, tasks);
  }
  return "";
}

#ifdef OCTET_HAS_CUDA

struct CudaDecoder::State {
  kernels::cuda::Decode decode;
  cuda::DeviceMemory workspace, result;
  cuda::PinnedMemory staged;  // the result's twin
};

CudaDecoder::CudaDecoder(const CenterPointConfig& config) : state_(std::make_unique<State>()) {
  const std::string reason = refuse(config);
  require(reason.empty(), "decoding on the GPU: {}", reason);
  const HeadMaps heads = head_maps(config);
  kernels::cuda::Decode& d = state_->decode;
  d.decoding = box_decoding(config);
  d.tasks = static_cast<int>(heads.tasks.size());
  for (std::size_t t = 0; t < heads.tasks.size(); ++t) {
    d.maps[t] = heads.tasks[t];
    if (!d.decoding.rotated) d.squared_radius[t] = config.squared_radius[t];
  }
  state_->workspace = cuda::allocate_device(kernels::cuda::decode_workspace_bytes(d), "decoding");
  state_->result = cuda::allocate_device(kernels::cuda::decode_result_bytes(d), "decoding");
  state_->staged = cuda::allocate_pinned(kernels::cuda::decode_result_bytes(d), "decoding");
}

void CudaDecoder::start(const float* maps, CUstream_st* stream) {
  State& s = *state_;
  const int error = kernels::cuda::launch_decode(s.decode, maps, s.workspace.data(), s.result.data(), stream);
  cuda::check(static_cast<cudaError_t>(error), "decoding");
  cuda::check(cudaMemcpyAsync(s.staged.data(), s.result.data(), s.result.size(), cudaMemcpyDeviceToHost, stream),
              "copying the boxes");
}

std::vector<Box> CudaDecoder::boxes(DecodeCounts& counts) const {
  using kernels::cuda::DecodeResult;
  const State& s = *state_;
  const auto most = static_cast<std::size_t>(s.decode.decoding.most_boxes);
  const auto tasks = static_cast<std::size_t>(s.decode.tasks);
  const std::byte* from = s.staged.data() + (s.staged.size() - tasks * most * sizeof(Box));
  std::vector<Box> all;
  for (std::size_t t = 0; t < tasks; ++t, from += most * sizeof(Box)) {
    DecodeResult result;
    std::memcpy(&result, s.staged.data() + t * sizeof result, sizeof result);
    const std::int64_t in_range = result.candidates - result.out_of_range;
    const std::int64_t limit = s.decode.decoding.most_candidates;
    counts.candidates += result.candidates;
    counts.out_of_range += result.out_of_range;
    counts.dropped_candidates += std::max<std::int64_t>(in_range - limit, 0);
    counts.dropped_boxes += result.survivors - result.kept;
    if (result.kept == 0) continue;  // nothing to copy, perhaps to nowhere
    const std::size_t before = all.size();
    all.resize(before + static_cast<std::size_t>(result.kept));
    std::memcpy(static_cast<void*>(all.data() + before), from, static_cast<std::size_t>(result.kept) * sizeof(Box));
  }
  return all;
}

#else

struct CudaDecoder::State {};
CudaDecoder::CudaDecoder(const CenterPointConfig&) { fail("decoding on the GPU: this build has no CUDA kernels"); }
void CudaDecoder::start(const float*, CUstream_st*) {}
std::vector<Box> CudaDecoder::boxes(DecodeCounts&) const { return {}; }

#endif

CudaDecoder::~CudaDecoder() = default;

}  // namespace octet::models
