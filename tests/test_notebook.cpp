// The cat/dog notebook's integer arithmetic, bit for bit: tests/goldens/notebook.json holds hashes of every integer
// tensor that a literal PyTorch transcription (notebook.py) makes of seeded weights and two seeded photos. A float pass
// is not reproducible to the last bit between programs, so the golden also gives each edge's amax; everything behind
// that (scales, folding, integer weights, 16-bit biases, two-step requantisation) must be the same bits.
#include <doctest/doctest.h>

#include <bit>
#include <map>
#include <nlohmann/json.hpp>

#include "calib/calibrate.h"
#include "models/catdog/catdog.h"
#include "runtime/hash.h"
#include "runtime/io/file.h"
#include "runtime/state_dict.h"
#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::test;

namespace {

// The generator of notebook.py.
class Stream {
 public:
  double next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state_ >> 40) / 0x1p24;
  }

 private:
  std::uint64_t state_ = 20261122;
};

Tensor values_of(const std::string& key, const Shape& shape, Stream& stream) {
  Tensor tensor(DType::f32, shape);
  const bool norm = key.starts_with("bn");
  double fan_in = 1;
  for (int axis = 1; axis < shape.rank(); ++axis) fan_in *= static_cast<double>(shape[axis]);
  for (float& value : tensor.span<float>()) {
    const double u = stream.next();
    double x = 0;
    if (norm) {
      x = key.ends_with(".bias") || key.ends_with(".running_mean") ? u - 0.5 : 0.5 + u;
    } else {
      x = key.ends_with(".bias") ? (2 * u - 1) * 0.1 : (2 * u - 1) * std::sqrt(3 / fan_in) * 1.4;
    }
    value = static_cast<float>(x);
  }
  return tensor;
}

struct Notebook {
  nlohmann::json golden;
  Graph graph = models::catdog();
  Tensor photos{DType::u8, Shape{2, 224, 224, 3}};
  Tensor reals{DType::f32, Shape{2, 3, 224, 224}};

  Notebook() {
    golden = nlohmann::json::parse(read_text_file(OCTET_SOURCE_DIR "/tests/goldens/notebook.json", 1 << 20));
    Stream stream;
    StateDict weights;
    const auto& nodes = graph.nodes();
    for (const char* name : {"cnn1", "bn1", "cnn2", "bn2", "cnn3", "bn3", "cnn4", "bn4", "fc1", "fc2"}) {
      const auto node = std::ranges::find(nodes, name, &Node::name);
      for (const Parameter& p : node->parameters) {
        const std::string key = node->name + "." + p.key;
        weights.insert(key, values_of(key, p.shape, stream));
      }
    }
    Tensor beta = weights.at("bn1.bias");
    beta.span<float>()[3] = golden["bn1_bias_3"].get<float>();  // shares the memory: so large that 16 bits clip it
    graph.load(weights);
    for (std::size_t i = 0; i < reals.span<float>().size(); ++i) {
      const double pixel = std::floor(stream.next() * 256);
      const std::size_t n = i / (3 * 224 * 224), c = i / (224 * 224) % 3, at = i % (224 * 224);
      reals.span<float>()[i] = static_cast<float>(pixel);
      photos.span<std::uint8_t>()[(n * 224 * 224 + at) * 3 + c] = static_cast<std::uint8_t>(pixel);
    }
  }

  static std::string observer(const std::string& edge) {
    return edge.starts_with("cnn") ? "cv" + edge.substr(3) : edge;
  }

  // The golden's ranges: amax to the bit.
  calib::Ranges ranges(calib::Preset preset) const {
    calib::Ranges r;
    r.model = "catdog";
    r.preset = preset;
    r.weights = calib::Granularity::tensor;
    for (const auto& [name, edge] : golden["edges"].items()) {
      const auto bits = static_cast<std::uint32_t>(std::stoul(edge["amax_bits"].get<std::string>(), nullptr, 16));
      const auto amax = std::bit_cast<float>(bits);
      r.edges.push_back(
          {observer(name), amax, -amax, amax, calib::quant_params(calib::Scheme::symmetric, false, amax, -amax, amax)});
    }
    return r;
  }
};

std::string bits(float x) { return fmt::format("{:08x}", std::bit_cast<std::uint32_t>(x)); }

template <class Range>
std::string hash(const Range& integers) {
  Fnv1a fnv;
  for (const auto q : integers) fnv.add(static_cast<std::uint8_t>(q));
  return hex(fnv.value());
}

}  // namespace

TEST_CASE("the notebook's integers, bit for bit") {
  const Notebook notebook;
  const auto& golden = notebook.golden["edges"];
  REQUIRE(golden.size() == 7);
  REQUIRE(notebook.golden["bites"] == true);  // some bias is clipped: the 16-bit limit is seen
  const QGraph q = calib::quantise(notebook.graph, notebook.ranges(calib::Preset::notebook));
  CHECK(q.requantisation == Requantisation::notebook);
  for (const QNode& node : q.nodes) {
    if (node.weight.empty()) continue;
    const auto& layer = golden[node.name];
    CHECK(bits(node.notebook_weight_scale) == layer["s_w_bits"].get<std::string>());
    CHECK(hash(node.weight.span<std::int8_t>()) == layer["weight_hash"].get<std::string>());
    const auto clipped = std::ranges::count_if(node.bias_q, [](std::int32_t b) { return std::abs(b) == 32767; });
    CHECK(clipped == layer["clipped_biases"].get<int>());
    const QEdge& out = q.edges[static_cast<std::size_t>(node.output)];
    CHECK(bits(out.notebook_scale) == layer["s_bits"].get<std::string>());
  }
  for (const bool as_photos : {false, true}) {
    kernels::PlanOptions options{.batch = 2, .keep_edges = true};
    if (as_photos) options.photo = kernels::PlanOptions::Photo{};
    ThreadPool pool(2);
    const Run run = run_once(q, options, as_photos ? notebook.photos : notebook.reals, pool);
    int compared = 0;
    for (const auto& [name, edge] : golden.items()) {
      const std::string wanted_edge = name == "input"           ? "image"
                                      : name.starts_with("cnn") ? "relu" + name.substr(3)
                                                                : name;
      for (const auto& [id, values] : run.edges) {
        const QEdge& made = q.edges[static_cast<std::size_t>(id)];
        if (!made.quantised || made.name != wanted_edge) continue;
        CHECK_MESSAGE(hash(values.q) == edge["hash"].get<std::string>(), name);
        ++compared;
      }
    }
    CHECK(compared == 7);
    const auto logits = golden["fc2"]["values"].get<std::vector<std::vector<int>>>();
    const float step = q.edges[static_cast<std::size_t>(q.nodes.back().inputs[0])].quant.step;
    for (std::size_t i = 0; i < 4; ++i) {
      CHECK(run.output.span<float>()[i] == step * static_cast<float>(logits[i / 2][i % 2]));
    }
  }
}

TEST_CASE("Octet's own float pass finds the notebook's ranges, but for the order of its sums") {
  const Notebook notebook;
  ThreadPool pool(2);
  calib::CalibrationOptions options{.preset = calib::Preset::notebook, .batch = 2};
  options.photo = kernels::PlanOptions::Photo{};
  calib::Calibrator calibrator(notebook.graph, options, pool);
  calibrator.observe(notebook.photos);
  const calib::Ranges mine = calibrator.ranges();
  CHECK(mine.weights == calib::Granularity::tensor);
  for (const calib::EdgeRange& theirs : notebook.ranges(calib::Preset::notebook).edges) {
    const float amax = mine.find(theirs.observer)->amax;
    CHECK_MESSAGE(std::fabs(amax - theirs.amax) <= 1e-4f * theirs.amax, theirs.observer << ": " << amax);
  }
  CHECK(mine.find("input")->amax == 255.0f);
}

TEST_CASE("how often the one-multiply form differs from the notebook's two steps") {
  const Notebook notebook;
  const QGraph two_steps = calib::quantise(notebook.graph, notebook.ranges(calib::Preset::notebook));
  QGraph one = two_steps;
  one.requantisation = Requantisation::one_multiply;
  ThreadPool pool(2);
  const Run a = run_once(two_steps, {.batch = 2, .keep_edges = true}, notebook.reals, pool);
  const Run b = run_once(one, {.batch = 2, .keep_edges = true}, notebook.reals, pool);
  std::int64_t differs = 0, count = 0;
  std::int32_t furthest = 0;
  for (const auto& [edge, values] : a.edges) {
    const Values& other = b.edges.at(edge);
    for (std::size_t i = 0; i < values.q.size(); ++i) {
      differs += values.q[i] != other.q[i], ++count;
      furthest = std::max(furthest, std::abs(values.q[i] - other.q[i]));
    }
  }
  MESSAGE(differs, " of ", count, " integers differ, by at most ", furthest);
  CHECK(count > 1'000'000);
  CHECK(differs < count / 1000);
}
