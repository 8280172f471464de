// Hashes of the quantised tensors of a run: equal on every instruction set and device when the bytes are.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/hash.h"
#include "runtime/qgraph.h"
#include "runtime/view.h"

namespace octet::models {

// Visits the values of an activation of 8 bits (or 16, a sparse network's input) in N, C, H, W order, whatever its
// layout.
template <class Visit>
void for_each_nchw(const View& v, Visit visit) {
  for (std::int64_t n = 0; n < v.n; ++n) {
    for (std::int64_t c = 0; c < v.c; ++c) {
      for (std::int64_t y = 0; y < v.h; ++y) {
        for (std::int64_t x = 0; x < v.w; ++x) {
          if (v.type == DType::s16) {
            visit(int{*v.at<std::int16_t>(n, y, x, c)});
          } else {
            visit(v.type == DType::u8 ? int{*v.at<std::uint8_t>(n, y, x, c)} : int{*v.at<std::int8_t>(n, y, x, c)});
          }
        }
      }
    }
  }
}

// Add it to Context::run's hook (with PlanOptions::keep_edges, so that no layer disappears into another).
class LayerHashes {
 public:
  explicit LayerHashes(const QGraph& graph) : graph_(graph) {}

  void add(EdgeId edge, const View& view) {  // what is not quantised is left out
    if (!graph_.edges[static_cast<std::size_t>(edge)].quantised) return;
    Fnv1a& hash = hashes_[edge];
    for_each_nchw(view, [&](int q) {
      hash.add(static_cast<std::uint8_t>(q));
      if (view.type == DType::s16) hash.add(static_cast<std::uint8_t>(q >> 8));
    });
  }
  // Names and hexadecimal hashes, in the network's order.
  std::vector<std::pair<std::string, std::string>> list() const {
    std::vector<std::pair<std::string, std::string>> result;
    for (const auto& [edge, hash] : hashes_) {
      result.emplace_back(graph_.edges[static_cast<std::size_t>(edge)].name, hex(hash.value()));
    }
    return result;
  }

 private:
  const QGraph& graph_;
  std::map<EdgeId, Fnv1a> hashes_;
};

}  // namespace octet::models
