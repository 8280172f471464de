// How a step calls a user's own operation.
#pragma once

#include "kernels/reference/access.h"

namespace octet::kernels::reference {

[[maybe_unused]] static void run_custom(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const auto& p = *static_cast<const CustomParams*>(args.params);
  for (std::int64_t tile = first; tile < last; ++tile) {
    p.row(p.operation, args, tile / args.output.h, tile % args.output.h);
  }
}

}  // namespace octet::kernels::reference
