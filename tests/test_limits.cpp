// The machine's limits: every instruction set that it has is measured, and tables say how far from them each layer is.
#include "kernels/limits/limits.h"
#include "kernels/limits/peaks.h"

#include <fmt/format.h>
#include <algorithm>

#include "tests/program.h"

using namespace octet;
using namespace octet::testing;

TEST_CASE("--limits: a peak for every instruction set here, bandwidths that fall with the level") {
  const json limits = octet_json({"bench", "--limits"}).at("limits");
  std::vector<std::string> isas;
  for (const json& peak : limits.at("multiply")) {
    CAPTURE(peak);
    CHECK(peak.at("gops").get<double>() > 0.1);
    CHECK(peak.at("gops").get<double>() < 1e6);
    CHECK((peak.at("type") == "f32" || peak.at("type") == "s8"));
    isas.push_back(peak.at("isa"));
  }
  using kernels::Isa;
  for (const Isa isa : {Isa::avx2, Isa::avxvnni, Isa::avx512, Isa::avx512vnni, Isa::amx, Isa::neon, Isa::neon_dotprod,
                        Isa::neon_i8mm}) {
    CAPTURE(kernels::name_of(isa));
    CHECK((std::ranges::find(isas, kernels::name_of(isa)) != isas.end()) == kernels::supported(isa));
  }
  const json& read = limits.at("read");
  REQUIRE(read.size() == 4);
  CHECK(read[0]["level"] == "L1");
  CHECK(read[3]["level"] == "memory");
  for (const json& level : read) CHECK(level["gb_per_second"].get<double>() > 0.01);
  for (std::size_t i = 1; i < 4; ++i) CHECK(read[i]["capacity"] >= read[i - 1]["capacity"]);
}

TEST_CASE("every row of limits.def has its file, and every file its row") {
  const fs::path folder = fs::path(OCTET_SOURCE_DIR) / "kernels" / "limits";
  std::vector<std::string> rows, files;
  std::istringstream table(read_text(folder / "limits.def"));
  for (std::string line; std::getline(table, line);) {
    char isa[64];
    if (std::sscanf(line.c_str(), "OCTET_PEAKS(%63[a-z0-9_])", isa) == 1)
      rows.push_back(fmt::format("peaks_{}.cpp", isa));
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("peaks_")) files.push_back(name);
  }
  std::ranges::sort(rows), std::ranges::sort(files);
  CHECK(rows.size() >= 9);
  CHECK(rows == files);
}

TEST_CASE("a peak is that of the level or of one below it; a buffer belongs to the smallest level that holds it") {
  kernels::Limits limits;
  using kernels::Isa;
  limits.multiply = {{Isa::avx2, DType::f32, "", 1},
                     {Isa::avx2, DType::s8, "", 2},
                     {Isa::avxvnni, DType::s8, "", 3},
                     {Isa::avx512, DType::f32, "", 4},
                     {Isa::amx, DType::s8, "", 5}};
  limits.read = {{"L1", 10, 5, 4e9}, {"L2", 100, 50, 3e9}, {"memory", 1000, 500, 1e9}};
  const auto peak = [&](Isa isa, DType type) {
    const auto* found = limits.multiply_peak(isa, type);
    return found == nullptr ? 0.0 : found->ops_per_second;
  };
  CHECK(peak(Isa::portable, DType::s8) == 0);
  CHECK(peak(Isa::avx2, DType::s8) == 2);
  CHECK(peak(Isa::avxvnni, DType::s8) == 3);
  CHECK(peak(Isa::avx512vnni, DType::s8) == 2);  // avxvnni is not below it
  CHECK(peak(Isa::amx, DType::s8) == 5);
  CHECK(peak(Isa::amx, DType::f32) == 4);
  CHECK(limits.read_peak(10).level == "L1");
  CHECK(limits.read_peak(11).level == "L2");
  CHECK(limits.read_peak(5000).level == "memory");
}

TEST_CASE("--per-layer: work, peak and roof of every step; shares are shares") {
  const json bench = octet_json({"bench", "catdog", "--threads", "1", "--runs", "3", "--per-layer", "--limits"});
  CHECK(bench.contains("limits"));
  bool multiplied = false;
  for (const json& layer : bench.at("layers")) {
    CAPTURE(layer);
    for (const char* key : {"ms", "macs", "gops", "bytes", "roof_ms", "share_of_roof"})
      CHECK(layer.at(key).is_number());
    CHECK(layer["bytes"].get<double>() > 0);
    CHECK(layer["roof_ms"].get<double>() > 0);
    CHECK(layer["limit"].is_string());
    if (layer["macs"] == 0) {
      CHECK(layer["share_of_peak"].is_null());
    } else if (!layer["share_of_peak"].is_null()) {
      multiplied = true;
      CHECK(layer["share_of_peak"].get<double>() > 0);
      CHECK(layer["share_of_peak"].get<double>() < 1.5);  // above 1 only when the clock changed in between
    }
  }
#if defined(__x86_64__)
  CHECK((multiplied || !kernels::supported(kernels::Isa::avx2)));
#endif
  CHECK(run_octet({"bench"}).status == 2);
  CHECK(run_octet({"bench", "--per-layer"}).status == 2);
}
