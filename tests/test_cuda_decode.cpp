// Decoding on a GPU against boxes_of() on the CPU: the same boxes in the same order, to the last bit, and the same
// counts. Skipped, visibly, where there is no device.
#include <doctest/doctest.h>

#include <chrono>

#include "models/centerpoint/cuda_decoder.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/memory.h"
#include "runtime/error.h"
#include "tests/random_graph.h"

using namespace octet;
using namespace octet::models;
using namespace octet::test;

namespace {

bool have_gpu() {
  const cuda::Status& status = cuda::status();
  if (!status.usable) MESSAGE("skipped: ", status.why);
  return status.usable;
}

#ifdef OCTET_SIMT  // every thread is a fiber there
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif

struct Frame {
  CenterPointConfig config;
  std::vector<float> maps;
};

// Maps as a network makes them: offsets about half a cell, sizes about a metre, and a heat map of which `share` of the
// cells is above the threshold. Scores are rounded to few values, so that many are equal; some numbers are none.
Frame random_frame(const CenterPointConfig& config, Random& random, double share) {
  const HeadMaps heads = head_maps(config);
  const auto cells = static_cast<std::size_t>(config.map_width() * config.map_height());
  Frame frame{config, std::vector<float>(static_cast<std::size_t>(heads.channels) * cells)};
  const auto fill = [&](int channel, auto value) {
    for (std::size_t i = 0; i < cells; ++i) frame.maps[static_cast<std::size_t>(channel) * cells + i] = value();
  };
  for (const TaskMaps& t : heads.tasks) {
    for (const int c : {t.reg, t.reg + 1}) fill(c, [&] { return static_cast<float>(random.unit()); });
    fill(t.height, [&] { return random.chance(0.02) ? 50.0f : random.real(2); });
    for (int c = t.dim; c < t.dim + 3; ++c) fill(c, [&] { return random.chance(0.01) ? 200.0f : random.real(1); });
    for (const int c : {t.rot, t.rot + 1, t.vel, t.vel + 1}) fill(c, [&] { return random.real(1); });
    for (int c = t.hm; c < t.hm + t.classes; ++c) {
      fill(c, [&] {
        if (random.chance(0.01)) return std::numeric_limits<float>::quiet_NaN();
        if (!random.chance(share)) return -6.0f;
        return random.chance(0.5) ? std::nearbyint(random.real(2)) : random.real(3);
      });
    }
  }
  return frame;
}

std::string difference_of(const std::vector<Box>& wanted, const std::vector<Box>& made) {
  if (wanted.size() != made.size()) return fmt::format("{} boxes instead of {}", made.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (std::memcmp(&wanted[i], &made[i], sizeof(Box)) == 0) continue;
    const Box &a = wanted[i], &b = made[i];
    return fmt::format("[{}] is {} {} at {} {} {}, {} {} at {} {} {} was expected", i, b.label, b.score, b.x, b.y,
                       b.yaw, a.label, a.score, a.x, a.y, a.yaw);
  }
  return "";
}

void examine(const Frame& frame) {
  DecodeCounts wanted, made;
  const std::vector<Box> boxes = boxes_of(frame.maps, frame.config, wanted);
  CudaDecoder decoder(frame.config);
  const cuda::Stream stream;
  const std::size_t bytes = frame.maps.size() * sizeof(float);
  const cuda::DeviceMemory maps = cuda::allocate_device(bytes, "a test");
  cuda::check(cudaMemcpy(maps.data(), frame.maps.data(), bytes, cudaMemcpyHostToDevice), "a test");
  for (int repeat = 0; repeat < (kEmulated ? 1 : 3); ++repeat) {
    decoder.start(reinterpret_cast<const float*>(maps.data()), stream.get());
    stream.synchronise("decoding");
    made = {};
    const std::string off = difference_of(boxes, decoder.boxes(made));
    CHECK_MESSAGE(off.empty(), off);
    CHECK(made.candidates == wanted.candidates);
    CHECK(made.out_of_range == wanted.out_of_range);
    CHECK(made.dropped_candidates == wanted.dropped_candidates);
    CHECK(made.dropped_boxes == wanted.dropped_boxes);
  }
  MESSAGE(boxes.size(), " boxes of ", wanted.candidates, " candidates, ", wanted.out_of_range, " out of range, ",
          wanted.dropped_candidates, " and ", wanted.dropped_boxes, " dropped");
}

}  // namespace

TEST_CASE("CUDA decoding: the CPU's boxes, from no candidate to every cell, both kinds of suppression, any limits") {
  if (!have_gpu()) return;
  Random random(41);
  const char* const small = kEmulated ? R"("range": [-9.6, -6.4, -5, 9.6, 6.4, 3], "voxel": [0.1, 0.1, 0.2])"
                                      : R"("range": [-19.2, -12.8, -5, 19.2, 12.8, 3], "voxel": [0.1, 0.1, 0.2])";
  for (const char* rest : {R"("nms": "rotated")", R"("nms": "circle")", R"("nms": "rotated", "most_boxes": 5)",
                           R"("nms": "circle", "most_candidates": 65, "most_boxes": 64)",
                           R"("nms": "rotated", "most_candidates": 1, "score_threshold": 0)",
                           R"("nms": "rotated", "most_candidates": 100000, "most_boxes": 2000)",
                           R"("tasks": [["a", "b", "c"]], "squared_radius": [2])"}) {
    for (const double share : {0.0, 0.005, 0.05, 0.6, 1.0}) {
      CAPTURE(rest);
      CAPTURE(share);
      examine(random_frame(centerpoint_config(fmt::format("{{{}, {}}}", small, rest), "test"), random, share));
    }
  }
}

TEST_CASE("CUDA decoding: frames of the official size") {
  if (kEmulated || !have_gpu()) return;
  Random random(43);
  for (const double share : {0.003, 0.01, 0.2}) examine(random_frame(CenterPointConfig{}, random, share));
}

TEST_CASE("CUDA decoding: how long it takes") {
  if (kEmulated || !have_gpu()) return;
  Random random(45);
  const Frame frame = random_frame(CenterPointConfig{}, random, 0.01);
  CudaDecoder decoder(frame.config);
  const cuda::Stream stream;
  const std::size_t bytes = frame.maps.size() * sizeof(float);
  const cuda::DeviceMemory maps = cuda::allocate_device(bytes, "a test");
  cuda::check(cudaMemcpy(maps.data(), frame.maps.data(), bytes, cudaMemcpyHostToDevice), "a test");
  const auto start = [&] { decoder.start(reinterpret_cast<const float*>(maps.data()), stream.get()); };
  const cuda::LaunchGraph graph(stream, start);
  std::vector<double> us;
  for (int i = 0; i < 220; ++i) {
    const auto before = std::chrono::steady_clock::now();
    graph.launch(stream);
    stream.synchronise("decoding");
    us.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - before).count());
  }
  std::sort(us.begin() + 20, us.end());
  DecodeCounts counts;
  const std::size_t boxes = decoder.boxes(counts).size();
  MESSAGE("maps to boxes in host memory, one graph: median ", us[120], " us, p99 ", us[217], " us; ", boxes,
          " boxes of ", counts.candidates, " candidates");
  CHECK(boxes > 0);
}

TEST_CASE("decoding on a GPU refuses what it has no room for, in words") {
  CenterPointConfig config;
  CHECK(CudaDecoder::refuse(config).empty());
  config.most_candidates = 1 << 20;
  CHECK(CudaDecoder::refuse(config).find("most_candidates") != std::string::npos);
  config = {};
  config.tasks.assign(17, {"a"}), config.squared_radius.assign(17, 1.0f);
  CHECK(CudaDecoder::refuse(config).find("17 tasks") != std::string::npos);
}
