// EfficientNet-Lite0 with its real weights, where models/efficientnet_lite0/fetch.sh has put them (tests/run.sh tries);
// skipped, visibly, elsewhere.
#include <fmt/format.h>
#include <cmath>

#include "calib/calibrate.h"
#include "calib/fold.h"
#include "models/loaded_model.h"
#include "runtime/arithmetic.h"
#include "tests/photos.h"
#include "tests/program.h"

using namespace octet;
using namespace octet::testing;

namespace {

const fs::path kSource = OCTET_SOURCE_DIR;
const fs::path kShare = kSource / "build" / "share" / "octet";
const fs::path kWeights = kShare / "efficientnet_lite0" / "efficientnet_lite0.pth";
const fs::path kPhotos = kSource / ".." / "shared" / "data" / "imagenet500";
const RunOptions kFetched{.environment = {{"OCTET_DATA", kShare.string()}}};

bool have_weights() {
  const bool have = fs::exists(kWeights);
  if (!have) MESSAGE("SKIPPED: no weights (models/efficientnet_lite0/fetch.sh fetches them)");
  return have;
}

bool have_photos() {
  const bool have = fs::exists(kPhotos / "labels.csv");
  if (!have) MESSAGE("SKIPPED: no ../shared/data/imagenet500");
  return have;
}

// Ranges from one made-up picture: enough for arithmetic, not for accuracy.
calib::Ranges ranges_of_scene(const models::LoadedModel& model) {
  calib::CalibrationOptions options;
  options.batch = 1;
  options.photo = model.preprocess.photo();
  ThreadPool pool(1);
  calib::Calibrator calibrator(*model.graph, options, pool);
  Tensor input(DType::u8, Shape{1, 224, 224, 3});
  const auto paint = scene(3);
  for (int i = 0; i < 224 * 224; ++i) {
    const Colour colour = paint(i % 224, i / 224);
    std::ranges::copy(colour, input.span<std::uint8_t>().begin() + 3 * i);
  }
  calibrator.observe(input);
  return calibrator.ranges();
}

float amax_of(std::span<const float> values) {
  float amax = 0;
  for (const float v : values) amax = std::max(amax, std::fabs(v));
  return amax;
}

json evaluate(const Arguments& flags) {
  Arguments arguments = {"evaluate", "efficientnet_lite0",   "--data", kPhotos.string(),
                         "--labels", kPhotos / "labels.csv", "--skip", "100"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return octet_json(arguments, kFetched);
}

}  // namespace

TEST_CASE("the published checkpoint loads: every key is there, none is left over") {
  if (!have_weights()) return;
  const models::LoadedModel model = models::load_float_model("efficientnet_lite0", {.weights = kWeights});
  CHECK_FALSE(model.seeded);
  for (const std::string& note : model.notes) FAIL_CHECK(note);
}

TEST_CASE("rule 3: where the folded bias would not fit, the weights' step widens and no bias is clipped") {
  if (!have_weights()) return;
  const models::LoadedModel model = models::load_float_model("efficientnet_lite0", {.weights = kWeights});
  const Graph folded = calib::fold_batch_norm(*model.graph);
  const QGraph network = calib::quantise(*model.graph, ranges_of_scene(model));
  int too_large = 0, widened = 0;
  for (const QNode& node : network.nodes) {
    if (node.op != Op::conv2d) continue;
    CAPTURE(node.name);
    REQUIRE(node.precision == Precision::int8);
    const auto source = std::ranges::find(folded.nodes(), node.name, &Node::name);
    const auto weight = source->parameter("weight").span<float>(), bias = source->parameter("bias").span<float>();
    const double step_in = network.edges[static_cast<std::size_t>(node.inputs[0])].quant.step;
    const std::size_t per_channel = weight.size() / bias.size();
    for (std::size_t c = 0; c < bias.size(); ++c) {
      const double plain = static_cast<double>(amax_of(weight.subspan(c * per_channel, per_channel))) / 127;
      const double step = node.weight_step[c], unit = step_in * step, b = static_cast<double>(bias[c]);
      const bool fits = std::fabs(b) <= step_in * plain * 0x1p31;
      too_large += !fits, widened += step > plain * (1 + 1e-6);
      CHECK((fits || step > plain));
      // 2^29 by rule 3, but for the step's own rounding to float (one part in 2^24) and that of the bias.
      CHECK(std::abs(std::int64_t{node.bias_q[c]}) <= (std::int64_t{1} << 29) + (std::int64_t{1} << 5) + 1);
      CHECK(std::fabs(unit * node.bias_q[c] - b) <= 0.5001 * unit);  // rounded, never clipped
    }
  }
  MESSAGE(widened, " channels are widened; in ", too_large, " the bias would not fit int32 at amax / 127");
  // Ranges of real photos: 103 and 76. Those of another picture move some across the line.
  CHECK(widened >= 60);
  CHECK(too_large >= 40);
}

TEST_CASE("the ranges that come with the network fit it") {
  const auto ranges = calib::load_ranges(kSource / "models" / "efficientnet_lite0" / "ranges.json");
  CHECK(ranges.images == 100);
  CHECK(ranges.scheme == calib::Scheme::affine);
  CHECK_NOTHROW(ranges.check(models::build(models::find_model("efficientnet_lite0"), {})));
}

TEST_CASE("real weights: the same bytes from every instruction set") {
  if (kSanitised || !have_weights())
    return;  // minutes under the sanitisers; test_models.cpp runs smaller networks there
  const TempFolder temp;
  const std::string photo = temp / "photo.bmp", ranges = temp / "ranges.json";
  write_bmp(photo, 256, 256, scene(1));
  REQUIRE(run_octet({"calibrate", "efficientnet_lite0", "--data", temp.path(), "--out", ranges}, kFetched).status == 0);
  json expected;
  const json kernels = octet_json({"kernels"});
  for (const json& isa : kernels["available"]) {
    if (isa == "reference") continue;  // seconds; test_models.cpp holds the others against it on smaller inputs
    CAPTURE(isa);
    RunOptions forced = kFetched;
    forced.environment.emplace_back("OCTET_ISA", isa);
    const json run =
        octet_json({"run", "efficientnet_lite0", photo, "--ranges", ranges, "--hash-layers", "--threads", "1"}, forced);
    const json seen = {run["layers"], run["images"][0]["logits"]};
    if (expected.is_null()) expected = seen;
    CHECK(seen == expected);
  }
  CHECK(expected[0].size() >= 60);
}

TEST_CASE("accuracy: INT8 follows FP32, and per-tensor weights cost more") {
  if (kSanitised || !have_weights() || !have_photos()) return;
  const TempFolder temp;
  const std::string ranges = temp / "ranges.json";
  REQUIRE(run_octet({"calibrate", "efficientnet_lite0", "--data", kPhotos, "--limit", "8", "--scheme", "affine",
                     "--out", ranges},
                    kFetched)
              .status == 0);
  const json fp32 = evaluate({"--limit", "30", "--precision", "fp32"});
  const json int8 = evaluate({"--limit", "30", "--ranges", ranges});
  const json tensor = evaluate({"--limit", "30", "--ranges", ranges, "--weights-granularity", "tensor"});
  CHECK(fp32["count"] == 30);
  CHECK(fp32["correct"].get<int>() >= 24);
  CHECK(std::abs(int8["correct"].get<int>() - fp32["correct"].get<int>()) <= 2);
  CHECK(tensor["correct"].get<int>() <= int8["correct"].get<int>() + 1);
  CHECK(fp32["top5"].get<double>() >= fp32["top1"].get<double>());
}

TEST_CASE("the example program: five classes with names, in FP32 and in INT8") {
  if (!have_weights()) return;
  const TempFolder temp;
  for (std::uint32_t i = 0; i < 2; ++i) write_photo(temp / fmt::format("{}.bmp", i), i);
  const Result result = run_program({program_path("imagenet"), temp.path(), "--threads", "1"}, kFetched);
  CHECK(result.status == 0);
  CHECK(result.err.empty());
  CHECK(result.out.find("0.bmp") != std::string::npos);
  for (char digit = '0'; digit <= '9'; ++digit) {  // every class has its name
    CHECK(result.out.find(std::string("class ") + digit) == std::string::npos);
  }
  CHECK(result.out.find("of 2 photos") != std::string::npos);
  CHECK(std::ranges::count(result.out, '\n') == 2 + 2 * 5 + 4);
  check_refused(run_program({program_path("imagenet"), temp / "none.jpg"}, kFetched), "imagenet", {"none.jpg"});
}

TEST_CASE("the example program without weights says how to get them") {
  const TempFolder temp;
  write_photo(temp / "p.bmp", 1);
  const RunOptions nothing{.environment = {{"OCTET_DATA", temp.path()}}};
  check_refused(run_program({program_path("imagenet"), temp / "p.bmp"}, nothing), "imagenet", {"fetch.sh"});
}
