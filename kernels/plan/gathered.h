// Convolutions at chosen pixels: INT8 layers of a planned network, computed where somebody needs them and nowhere else,
// with the sparse convolutions' kernels. The same bytes as the whole layer has there.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/isa.h"
#include "kernels/kernel.h"
#include "runtime/qgraph.h"
#include "runtime/thread_pool.h"

namespace octet::kernels {

struct ConvData;

// Convolutions of one INT8 map side by side, at chosen cells of it alone: their rows are gathered and multiplied.
class GatheredConv {
 public:
  // Why these layers of `graph` cannot be computed so, side by side; empty when they can. They read one edge through
  // one window of stride 1 and finish alike.
  static std::string refuse(const QGraph& graph, std::span<const QNode* const> layers);

  // Their output channels follow each other. Throws Error with refuse()'s reason.
  GatheredConv(const QGraph& graph, std::span<const QNode* const> layers, Isa isa);

  const Window& window() const { return window_; }
  std::int64_t taps() const { return std::int64_t{window_.kernel_h} * window_.kernel_w; }
  int channels() const { return channels_; }
  DType type() const { return type_; }  // of the outputs

  // in and out: views of rows (n = h = 1, w rows). Of output row r, tap k meets input row neighbours[k * out.w + r],
  // or what lies outside of the image where that is -1. Kernels may read View::kReadableBeyond bytes past the inputs.
  void run(const View& in, std::span<const std::int32_t> neighbours, const View& out, ThreadPool& pool);

 private:
  std::shared_ptr<ConvData> data_;
  const Kernel* kernel_ = nullptr;
  Window window_;
  int channels_ = 0;
  DType type_ = DType::s8;
  std::vector<std::byte> scratch_;
};

}  // namespace octet::kernels
