// bench_cuda: every CUDA kernel for integer convolutions and linear layers, on the layers of real networks and on a
// sweep of odd shapes, in every configuration. Compares each result with a plain loop byte for byte, then times it.
//
//     bench_cuda [--check] [--time] [--match TEXT] [--best] > results.csv
//
// One line of CSV for each (case, kernel, configuration); "chosen" marks the one that configure() picks. GPU minutes
// are scarce: one call answers everything. Times are of a CUDA graph of 20 launches, the median of 15 replays;
// activations and weights of small layers therefore come from L2, as they do inside a network.
#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda/kernel.h"
#include "kernels/cuda/layout.h"
#include "runtime/arithmetic.h"

namespace octet::kernels::cuda {
extern const Kernel conv2d_s8_wgmma, linear_s8_wgmma, conv2d_s8_mma, linear_s8_mma, conv2d_s8_pixels;
}

namespace {

using namespace octet;
using namespace octet::kernels;
using cuda::Launch;

#define CHECK_CUDA(call)                                                                              \
  do {                                                                                                \
    const cudaError_t status = (call);                                                                \
    if (status != cudaSuccess) {                                                                      \
      std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(status)); \
      std::exit(1);                                                                                   \
    }                                                                                                 \
  } while (false)

struct Shape {
  std::string name;
  bool linear = false;
  int n, h, w, c, out_c;
  Window window;
  bool is_unsigned = false, pool = false, odd = false;  // odd: zero points, ReLU limits, f32 output at random
  int threads_check = 0;
};

// Splits [0, count) over the processor's threads.
template <class Body>
void parallel(std::int64_t count, Body body) {
  std::vector<std::thread> threads;
  std::atomic<std::int64_t> next{0};
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back([&] {
      for (std::int64_t j; (j = next.fetch_add(1)) < count;) body(j);
    });
  }
  for (std::thread& t : threads) t.join();
}

struct Buffers {
  Shape s;
  View in, out;
  ConvParams p;
  std::vector<std::uint8_t> input;
  std::vector<std::int8_t> weights;  // [O, C, kh, kw]
  std::vector<std::int32_t> bias;
  std::vector<float> multiplier;
  void *input_device = nullptr, *out_device = nullptr, *bias_device = nullptr, *multiplier_device = nullptr;
  std::size_t out_bytes = 0;
  bool real = false;
};

View view(int n, int h, int w, int c, DType type) {
  View v;
  v.type = type, v.n = n, v.h = h, v.w = w, v.c = c;
  v.stride_w = cuda::pixel_pitch(c, type) / size_of(type), v.stride_h = v.w * v.stride_w, v.stride_n = v.h * v.stride_h;
  return v;
}
std::size_t bytes_of(const View& v) { return static_cast<std::size_t>(v.n) * v.stride_n * size_of(v.type); }

template <class T>
void* upload(const std::vector<T>& host) {
  void* device = nullptr;
  CHECK_CUDA(cudaMalloc(&device, host.size() * sizeof(T)));
  CHECK_CUDA(cudaMemcpy(device, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
  return device;
}

Buffers make(const Shape& s) {
  Buffers b;
  b.s = s;
  std::mt19937_64 random(std::hash<std::string>{}(s.name));
  const auto between = [&](int lo, int hi) {
    return lo + static_cast<int>(random() % static_cast<unsigned>(hi - lo + 1));
  };
  const Window& w = s.window;
  b.in = view(s.n, s.h, s.w, s.c, s.is_unsigned ? DType::u8 : DType::s8);
  int h = (s.h + w.pad_top + w.pad_bottom - w.span_h()) / w.stride_h + 1;
  int ww = (s.w + w.pad_left + w.pad_right - w.span_w()) / w.stride_w + 1;
  if (s.linear) h = ww = 1;
  if (s.pool) h /= 2, ww /= 2;
  b.real = s.odd && between(0, 4) == 0;
  const bool u8_out = s.odd && between(0, 1) == 1;
  b.out = view(s.n, h, ww, s.out_c, b.real ? DType::f32 : u8_out ? DType::u8 : DType::s8);
  b.p.window = w, b.p.fused_max_pool = s.pool;
  if (s.odd && s.is_unsigned && between(0, 1) == 1) b.p.zero_in = between(0, 255);
  Epilogue& e = b.p.epilogue;
  e.form = b.real ? Epilogue::Form::real : Epilogue::Form::one_multiply;
  if (u8_out) e.lo = 0, e.hi = 255, e.zero = between(0, 255);
  if (s.odd && between(0, 2) == 0) e.lo = std::max(e.lo, e.zero);

  // Data: bytes from a table of random words (big matrices would take the generator seconds).
  std::vector<std::uint64_t> noise(1 << 16);
  for (auto& word : noise) word = random();
  const auto fill = [&](std::uint8_t* to, std::size_t count) {
    parallel(static_cast<std::int64_t>(count / 65536 + 1), [&](std::int64_t block) {
      std::uint64_t state = static_cast<std::uint64_t>(block) * 0x9E3779B97F4A7C15u;
      const std::size_t first = static_cast<std::size_t>(block) * 65536;
      for (std::size_t i = first; i < std::min(count, first + 65536); i += 8) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const std::uint64_t word = noise[state >> 48] ^ (state >> 13);
        std::memcpy(to + i, &word, std::min<std::size_t>(8, count - i));
      }
    });
  };
  b.input.resize(bytes_of(b.in));
  fill(b.input.data(), b.input.size());
  const std::int64_t depth = std::int64_t{s.c} * (s.linear ? s.h * s.w : w.kernel_h * w.kernel_w);
  b.weights.resize(static_cast<std::size_t>(depth * s.out_c));
  fill(reinterpret_cast<std::uint8_t*>(b.weights.data()), b.weights.size());
  for (auto& x : b.weights) x = x == -128 ? -127 : x;
  const double spread = std::sqrt(static_cast<double>(depth)) * 5000 * (s.is_unsigned ? 2 : 1);
  for (int c = 0; c < s.out_c; ++c) {
    b.bias.push_back(between(-static_cast<int>(spread), static_cast<int>(spread)));
    b.multiplier.push_back(static_cast<float>(60 / spread * (0.2 + between(0, 1000) / 1000.0)));
  }
  b.out_bytes = bytes_of(b.out);
  b.input_device = upload(b.input), b.bias_device = upload(b.bias), b.multiplier_device = upload(b.multiplier);
  CHECK_CUDA(cudaMalloc(&b.out_device, b.out_bytes));
  return b;
}

void free_all(Buffers& b) {
  for (void* p : {b.input_device, b.out_device, b.bias_device, b.multiplier_device}) CHECK_CUDA(cudaFree(p));
}

// What the plain loop gives, for the pixels whose numbers are in `pixels`: [pixel][channel] as floats or bytes widened.
std::vector<float> reference(const Buffers& b, const std::vector<std::int64_t>& pixels) {
  const Shape& s = b.s;
  Window w = s.window;
  if (s.linear) w = Window{.kernel_h = s.h, .kernel_w = s.w};
  const int taps = w.kernel_h * w.kernel_w;
  const std::int64_t depth = std::int64_t{taps} * s.c;
  std::vector<std::int16_t> rows(static_cast<std::size_t>(depth * s.out_c));  // [O][tap][C]
  parallel(s.out_c, [&](std::int64_t o) {
    for (int tap = 0; tap < taps; ++tap) {
      for (int c = 0; c < s.c; ++c) {
        const std::int64_t from = s.linear ? std::int64_t{tap} * s.c + c : std::int64_t{c} * taps + tap;
        rows[static_cast<std::size_t>(o * depth + tap * s.c + c)] =
            b.weights[static_cast<std::size_t>(o * depth + from)];
      }
    }
  });
  std::vector<float> result(pixels.size() * static_cast<std::size_t>(s.out_c));
  parallel(static_cast<std::int64_t>(pixels.size()), [&](std::int64_t i) {
    const std::int64_t pixel = pixels[static_cast<std::size_t>(i)];
    const int n = static_cast<int>(pixel / (std::int64_t{b.out.h} * b.out.w));
    const int within = static_cast<int>(pixel % (std::int64_t{b.out.h} * b.out.w));
    const int pool = s.pool ? 2 : 1;
    for (int part = 0; part < pool * pool; ++part) {
      const int oy = within / b.out.w * pool + part / 2, ox = within % b.out.w * pool + part % 2;
      std::vector<std::int16_t> values(static_cast<std::size_t>(depth));
      for (int tap = 0; tap < taps; ++tap) {
        const int y = oy * w.stride_h - w.pad_top + tap / w.kernel_w * w.dilation_h;
        const int x = ox * w.stride_w - w.pad_left + tap % w.kernel_w * w.dilation_w;
        const bool inside = y >= 0 && y < s.h && x >= 0 && x < s.w;
        for (int c = 0; c < s.c; ++c) {
          int v = b.p.zero_in;
          if (inside) {
            const std::uint8_t byte =
                b.input[static_cast<std::size_t>(n * b.in.stride_n + y * b.in.stride_h + x * b.in.stride_w + c)];
            v = s.is_unsigned ? byte : static_cast<std::int8_t>(byte);
          }
          values[static_cast<std::size_t>(std::int64_t{tap} * s.c + c)] = static_cast<std::int16_t>(v);
        }
      }
      for (int o = 0; o < s.out_c; ++o) {
        std::int32_t sum = b.bias[static_cast<std::size_t>(o)];
        const std::int16_t* row = rows.data() + o * depth;
        for (std::int64_t k = 0; k < depth; ++k) sum += std::int32_t{row[k]} * values[static_cast<std::size_t>(k)];
        const Epilogue& e = b.p.epilogue;
        const float m = b.multiplier[static_cast<std::size_t>(o)];
        const float q = b.real ? static_cast<float>(sum) * m
                               : static_cast<float>(arithmetic::requantise(sum, m, e.lo, e.hi, e.zero));
        float& to = result[static_cast<std::size_t>(i * s.out_c + o)];
        to = part == 0 ? q : std::max(to, q);
      }
    }
  });
  return result;
}

// Number of wrong elements; also looks at the bytes that must not have been written.
std::int64_t compare(const Buffers& b, const std::vector<std::int64_t>& pixels, const std::vector<float>& expected) {
  std::vector<std::uint8_t> got(b.out_bytes);
  CHECK_CUDA(cudaMemcpy(got.data(), b.out_device, b.out_bytes, cudaMemcpyDeviceToHost));
  std::int64_t wrong = 0;
  const std::int64_t size = size_of(b.out.type);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const std::uint8_t* at = got.data() + pixels[i] * b.out.stride_w * size;
    for (std::int64_t c = 0; c < b.out.stride_w; ++c) {
      float value = at[c * size];
      if (b.out.type == DType::s8) value = static_cast<std::int8_t>(at[c]);
      if (b.out.type == DType::f32) std::memcpy(&value, at + 4 * c, 4);
      if (c < b.out.c) {
        wrong += value != expected[i * static_cast<std::size_t>(b.out.c) + static_cast<std::size_t>(c)];
      } else {
        wrong += at[c * size] != 0xA5;
      }
    }
  }
  return wrong;
}

// Waits for the stream; a kernel that has not finished after three seconds never will.
void wait_or_die(cudaStream_t stream, const char* what) {
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    const cudaError_t status = cudaStreamQuery(stream);
    if (status == cudaSuccess) return;
    const bool late = std::chrono::steady_clock::now() - start > std::chrono::seconds(3);
    if (status == cudaErrorNotReady && !late) continue;
    std::printf("%s: %s\n", what, late ? "hangs" : cudaGetErrorString(status));
    std::fflush(stdout);
    std::_Exit(3);
  }
}

// Median over the replays of a graph of up to 20 launches, microseconds a launch.
double time_us(const StepArgs& args, const Launch& launch, const cuda::Kernel& kernel) {
  cudaEvent_t start, stop;
  CHECK_CUDA(cudaEventCreate(&start));
  CHECK_CUDA(cudaEventCreate(&stop));
  const auto elapsed = [&](const auto& work) {
    CHECK_CUDA(cudaEventRecord(start, launch.stream));
    work();
    CHECK_CUDA(cudaEventRecord(stop, launch.stream));
    CHECK_CUDA(cudaEventSynchronize(stop));
    float ms = 0;
    CHECK_CUDA(cudaEventElapsedTime(&ms, start, stop));
    return ms * 1000.0;
  };
  const double once = elapsed([&] { kernel.launch(args, launch); });
  const int launches = std::clamp(static_cast<int>(10000 / once), 2, 20);
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  CHECK_CUDA(cudaStreamBeginCapture(launch.stream, cudaStreamCaptureModeGlobal));
  for (int i = 0; i < launches; ++i) CHECK_CUDA(static_cast<cudaError_t>(kernel.launch(args, launch)));
  CHECK_CUDA(cudaStreamEndCapture(launch.stream, &graph));
  CHECK_CUDA(cudaGraphInstantiate(&exec, graph, 0));
  std::vector<double> times;
  double total = 0;
  for (int i = 0; i < 2 || (i < 15 && total < 40000); ++i) {
    const double us = elapsed([&] { CHECK_CUDA(cudaGraphLaunch(exec, launch.stream)); });
    if (i > 0) times.push_back(us / launches);
    total += us;
  }
  CHECK_CUDA(cudaGraphExecDestroy(exec));
  CHECK_CUDA(cudaGraphDestroy(graph));
  CHECK_CUDA(cudaEventDestroy(start));
  CHECK_CUDA(cudaEventDestroy(stop));
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

struct Options {
  bool check = false, time = false, best = false;
  std::string match, kernel;
  int config = -1;
  bool list = false;
  int once = 0;
};

bool run_case(const Shape& shape, const Options& o, const Gpu& gpu, cudaStream_t stream) {
  Buffers b = make(shape);
  std::vector<std::int64_t> pixels;
  const std::int64_t count = std::int64_t{b.out.n} * b.out.h * b.out.w;
  const double work = 2.0 * static_cast<double>(count) * (shape.pool ? 4 : 1) * shape.out_c * shape.c *
                      (shape.linear ? shape.h * shape.w : shape.window.kernel_h * shape.window.kernel_w);
  const double limit = 2e9;
  const std::int64_t step = work > limit ? static_cast<std::int64_t>(work / limit) | 1 : 1;
  for (std::int64_t i = 0; i < count; i += step) pixels.push_back(i);
  const std::vector<float> expected = o.check ? reference(b, pixels) : std::vector<float>{};

  StepArgs args;
  View in = b.in, out = b.out;
  args.inputs = &in, args.input_count = 1, args.output = out, args.params = &b.p;
  bool good = true;
  const std::vector<const cuda::Kernel*> kernels =
      shape.linear ? std::vector{&cuda::linear_s8_mma, &cuda::linear_s8_wgmma}
                   : std::vector{&cuda::conv2d_s8_mma, &cuda::conv2d_s8_pixels, &cuda::conv2d_s8_wgmma};
  for (const cuda::Kernel* kernel : kernels) {
    if (!o.kernel.empty() && o.kernel != kernel->name) continue;
    b.p.epilogue.bias = b.bias.data(), b.p.epilogue.multiplier = b.multiplier.data();
    in.data = args.output.data = nullptr;
    if (const char* why = kernel->refuse(args, gpu)) {
      std::printf("%s,%s,,refused: %s\n", shape.name.c_str(), kernel->name, why);
      continue;
    }
    const int chosen = kernel->configure == nullptr ? 0 : kernel->configure(args, gpu);
    std::vector<std::int8_t> packed;
    void *packed_device = nullptr, *workspace = nullptr;
    std::string last;
    for (int config = 0; config < kernel->configurations; ++config) {
      if (o.best && config != chosen) continue;
      if (o.config >= 0 && config != o.config) continue;
      in.data = args.output.data = nullptr;
      if (kernel->allows != nullptr && !kernel->allows(args, gpu, config)) continue;
      packed.assign(kernel->packed_bytes(args, config), 0x55);
      kernel->pack(args, config, b.weights.data(), packed.data());
      packed_device = upload(packed);
      const std::size_t space = kernel->workspace_bytes == nullptr ? 0 : kernel->workspace_bytes(args, gpu, config);
      if (space > 0) CHECK_CUDA(cudaMalloc(&workspace, space));
      in.data = static_cast<std::byte*>(b.input_device), args.output.data = static_cast<std::byte*>(b.out_device);
      b.p.weights = packed_device;
      b.p.epilogue.bias = static_cast<const std::int32_t*>(b.bias_device);
      b.p.epilogue.multiplier = static_cast<const float*>(b.multiplier_device);
      const Launch launch = {.stream = stream, .gpu = &gpu, .workspace = workspace, .config = config};
      CHECK_CUDA(cudaMemset(b.out_device, 0xA5, b.out_bytes));
      CHECK_CUDA(cudaDeviceSynchronize());
      const cudaError_t status = static_cast<cudaError_t>(kernel->launch(args, launch));
      if (status != cudaSuccess) {
        std::printf("%s,%s,%d,launch failed: %s\n", shape.name.c_str(), kernel->name, config,
                    cudaGetErrorString(status));
        good = false;
        continue;
      }
      wait_or_die(stream, (shape.name + "," + kernel->name + "," + std::to_string(config)).c_str());
      const std::int64_t wrong = o.check ? compare(b, pixels, expected) : 0;
      good = good && wrong == 0;
      const double us = o.time ? time_us(args, launch, *kernel) : 0;
      std::printf("%s,%s,%d,%s,%lld,%.2f,%.1f,%s\n", shape.name.c_str(), kernel->name, config,
                  kernel->describe == nullptr ? "" : kernel->describe(config), static_cast<long long>(wrong), us,
                  us > 0 ? work / us / 1e6 : 0, config == chosen ? "chosen" : "");
      std::fflush(stdout);
      CHECK_CUDA(cudaFree(packed_device));
      if (space > 0) CHECK_CUDA(cudaFree(workspace));
    }
  }
  free_all(b);
  return good;
}

#include "benchmarks/cuda_shapes.h"

}  // namespace

int main(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--check") o.check = true;
    if (a == "--time") o.time = true;
    if (a == "--best") o.best = true;
    if (a == "--match" && i + 1 < argc) o.match = argv[++i];
    if (a == "--kernel" && i + 1 < argc) o.kernel = argv[++i];
    if (a == "--config" && i + 1 < argc) o.config = std::atoi(argv[++i]);
  }
  Gpu gpu;
  cudaDeviceProp properties;
  CHECK_CUDA(cudaGetDeviceProperties(&properties, 0));
  std::snprintf(gpu.name, sizeof gpu.name, "%s", properties.name);
  gpu.major = properties.major, gpu.minor = properties.minor, gpu.multiprocessors = properties.multiProcessorCount;
  gpu.shared_per_block = properties.sharedMemPerBlockOptin;
  gpu.shared_per_multiprocessor = properties.sharedMemPerMultiprocessor, gpu.l2_bytes = properties.l2CacheSize;
  gpu.memory_bytes = properties.totalGlobalMem;
  std::fprintf(stderr, "%s, %d multiprocessors, %zu KB shared a block\n", gpu.name, gpu.multiprocessors,
               gpu.shared_per_block / 1024);
  cudaStream_t stream;
  CHECK_CUDA(cudaStreamCreate(&stream));
  std::printf("case,kernel,config,shape,wrong,us,tops,chosen\n");
  int bad = 0;
  for (const Shape& s : all_shapes()) {
    if (!o.match.empty() && s.name.find(o.match) == std::string::npos) continue;
    bad += !run_case(s, o, gpu, stream);
  }
  std::fprintf(stderr, "%d cases with errors\n", bad);
  return bad == 0 ? 0 : 1;
}
