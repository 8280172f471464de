#include "runtime/cuda/device.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "runtime/error.h"

#ifdef OCTET_HAS_CUDA
#include <cuda_runtime_api.h>
#endif

namespace octet::cuda {
namespace {

#ifdef OCTET_HAS_CUDA

Status refuse(std::string why) { return {.usable = false, .why = std::move(why), .gpu = {}}; }

std::string version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }

int attribute(cudaDeviceAttr which) {
  int value = 0;
  return cudaDeviceGetAttribute(&value, which, 0) == cudaSuccess ? value : 0;
}

Status look() {
  int driver = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return refuse("no NVIDIA driver is installed");
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) {
    return refuse(fmt::format("the NVIDIA driver is for CUDA {}, this build needs CUDA {}", version(driver),
                              version(CUDART_VERSION)));
  }
  if (error != cudaSuccess || count == 0) {
    return refuse(fmt::format("no CUDA device is visible ({})", cudaGetErrorString(error)));
  }
  cudaDeviceProp properties{};
  if (const cudaError_t failed = cudaGetDeviceProperties(&properties, 0); failed != cudaSuccess) {
    return refuse(fmt::format("the CUDA device cannot be asked for its properties: {}", cudaGetErrorString(failed)));
  }
  Gpu gpu;
  std::snprintf(gpu.name, sizeof gpu.name, "%.95s", properties.name);
  gpu.major = properties.major, gpu.minor = properties.minor;
  gpu.multiprocessors = properties.multiProcessorCount;
  gpu.shared_per_block = static_cast<std::size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  gpu.shared_per_multiprocessor = properties.sharedMemPerMultiprocessor;
  gpu.l2_bytes = static_cast<std::size_t>(properties.l2CacheSize);
  gpu.memory_bytes = properties.totalGlobalMem;
  if (!runs_on(OCTET_CUDA_ARCHITECTURES, gpu.capability())) {
    return refuse(fmt::format("{} has compute capability {}.{}; this build holds code for {}", gpu.name, gpu.major,
                              gpu.minor, OCTET_CUDA_ARCHITECTURES));
  }
  return {.usable = true, .why = "", .gpu = gpu};
}

#else

Status look() { return {.usable = false, .why = "this build has no CUDA kernels", .gpu = {}}; }

#endif

}  // namespace

const Status& status() {
  static const Status found = look();
  return found;
}

bool runs_on(std::string_view architectures, int capability) {
  while (!architectures.empty()) {
    const std::size_t end = std::min(architectures.find_first_of(";,"), architectures.size());
    const std::string_view entry = architectures.substr(0, end);
    architectures.remove_prefix(std::min(end + 1, architectures.size()));
    int number = 0;
    std::size_t digits = 0;
    for (; digits < entry.size() && entry[digits] >= '0' && entry[digits] <= '9'; ++digits)
      number = 10 * number + (entry[digits] - '0');
    const std::string_view rest = entry.substr(digits);
    const bool exact = !rest.empty() && rest[0] != '-';
    const bool machine_code = !rest.ends_with("-virtual"), ptx = !rest.ends_with("-real");
    if (exact ? number == capability : ptx && number <= capability) return true;
    if (!exact && machine_code && number / 10 == capability / 10 && number <= capability) return true;
  }
  return false;
}

std::optional<Gpu> choose_device(std::string_view wanted) {
  const char* isa = std::getenv("OCTET_ISA");
  if (wanted == "cpu" || (wanted == "auto" && isa != nullptr && *isa != '\0')) return std::nullopt;
  if (status().usable) return status().gpu;
  require(wanted != "cuda", "--device cuda: {}; auto and cpu work", status().why);
  return std::nullopt;
}

}  // namespace octet::cuda
