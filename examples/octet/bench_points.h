// octet bench for a network that takes points: whole frames, from points in memory to boxes.
#pragma once

#include "examples/octet/cli.h"
#include "examples/octet/points.h"

namespace octet::cli {

struct BenchPoints {
  PointFlags format;
  std::string frame;  // --frame; empty: a made-up one
};
void add_bench_points_flags(CLI::App& app, BenchPoints& flags);

// runs 0: for some seconds, at least 5.
int bench_points(const Common& common, const models::LoadedModel& model, const BenchPoints& flags, int runs,
                 bool per_layer);

std::int64_t peak_bytes();  // the process's high-water mark, as the kernel counts it

}  // namespace octet::cli
