// Which instruction set is used: the best of this processor, visibly, or the one that OCTET_ISA names. tests/neon.sh
// runs this under several processor models and says what it expects of each in OCTET_EXPECT_ISA.
#include <doctest/doctest.h>

#include <bit>
#include <cstdlib>
#include <fstream>

#include "kernels/registry.h"
#include "models/classifier.h"
#include "models/tensor_hash.h"
#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::test;
using kernels::Isa;
using kernels::Kernel;

namespace {

// OCTET_ISA for the lifetime of the object.
class Forced {
 public:
  explicit Forced(const char* isa) {
    if (const char* was = std::getenv("OCTET_ISA")) before_ = was;
    setenv("OCTET_ISA", isa, 1);
  }
  ~Forced() { before_.empty() ? unsetenv("OCTET_ISA") : setenv("OCTET_ISA", before_.c_str(), 1); }
  Forced(const Forced&) = delete;

 private:
  std::string before_;
};

std::vector<Isa> all_isas() {
  std::vector<Isa> all;
  for (int i = 0; i <= static_cast<int>(Isa::neon_i8mm); ++i) all.push_back(static_cast<Isa>(i));
  return all;
}

bool available(Isa isa) {
  const std::vector<Isa> here = kernels::available_isas();
  return std::ranges::find(here, isa) != here.end();
}

// A line for each quantised tensor of the cat/dog network on a picture of noise, and the logits' bits.
std::string catdog_hashes(const models::LoadedModel& model) {
  ThreadPool pool(1);
  models::Classifier classifier(model, pool, 1, true);
  Random random(20261122);
  for (std::uint8_t& p : classifier.input(0)) p = static_cast<std::uint8_t>(random.bits());
  models::LayerHashes hashes(classifier.program().graph);
  const Context::Hook hook = [&](EdgeId edge, const View& view) { hashes.add(edge, view); };
  std::string text;
  const auto logits = classifier.run_inputs(1, &hook);
  for (const auto& [name, hash] : hashes.list()) text += fmt::format("{} {}\n", name, hash);
  for (const float logit : logits) text += fmt::format("logit {:08x}\n", std::bit_cast<std::uint32_t>(logit));
  return text;
}

}  // namespace

TEST_CASE("the best instruction set of this processor is chosen") {
  const Forced nothing("");
  const Isa chosen = kernels::chosen_isa();
  std::string list;
  for (const Isa isa : kernels::available_isas()) list += std::string(" ") + kernels::name_of(isa);
  MESSAGE("chosen: ", std::string(kernels::name_of(chosen)), " of", list);
  CHECK(chosen == kernels::available_isas().back());
  CHECK((available(Isa::reference) && available(Isa::portable)));
#if defined(__aarch64__)
  CHECK(available(Isa::neon));
#endif
  if (const char* expected = std::getenv("OCTET_EXPECT_ISA")) CHECK(kernels::name_of(chosen) == std::string(expected));
}

TEST_CASE("an instruction set that is not here is refused, and those that are here are listed") {
  for (const Isa isa : all_isas()) {
    CAPTURE(kernels::name_of(isa));
    const Forced forced(kernels::name_of(isa));
    if (available(isa)) {
      CHECK(kernels::chosen_isa() == isa);
      continue;
    }
    std::string message;
    try {
      kernels::chosen_isa();
    } catch (const Error& e) {
      message = e.what();
    }
    REQUIRE(message.find(kernels::name_of(isa)) != std::string::npos);
    const std::string list = message.substr(message.find("have "));
    std::string wanted;
    for (const Isa other : kernels::available_isas()) {
      wanted += fmt::format("{}{}", wanted.empty() ? "have " : ", ", kernels::name_of(other));
    }
    CHECK(list == wanted);
  }
}

// On every level: no kernel from another level; and where the level has its own convolution, that one runs.
TEST_CASE("a program uses the kernels of its level") {
  const models::LoadedModel model = models::load_model("catdog", {});  // deep enough for every kernel to be worth it
  const auto all = kernels::all_kernels();
  for (const Isa level : kernels::available_isas()) {
    CAPTURE(kernels::name_of(level));
    const auto program = kernels::plan(model.network, {.isa = level});
    CHECK(program->isa == kernels::name_of(level));
    int own = 0;
    for (const Step& step : program->steps) {
      const auto kernel =
          std::ranges::find_if(all, [&](const Kernel* k) { return kernels::name_of(*k) == step.variant; });
      REQUIRE(kernel != all.end());
      CHECK((step.run == (*kernel)->run));
      CHECK(kernels::includes(level, kernels::isa_of(**kernel)));
      own += kernels::isa_of(**kernel) == level;
    }
    const bool has_integers = std::ranges::any_of(
        all, [&](const Kernel* k) { return kernels::isa_of(*k) == level && std::string_view(k->op) == "conv2d_s8"; });
    if (has_integers) CHECK(own > 0);
  }
}

// OCTET_HASH_FILE=F: writes the hashes there, so that builds for other processors can be held against each other.
TEST_CASE("cat/dog has the same bytes on every level") {
  const models::LoadedModel model = models::load_model("catdog", {});
  REQUIRE((!model.seeded && model.precision == Precision::int8));
  std::string wanted;
  for (const Isa isa : kernels::available_isas()) {
    if (isa == Isa::reference) continue;  // test_same_bytes does; here it would take a minute under an emulator
    const Forced forced(kernels::name_of(isa));
    const std::string made = catdog_hashes(model);
    if (wanted.empty()) wanted = made;
    CHECK_MESSAGE(made == wanted, kernels::name_of(isa));
  }
  CHECK(std::ranges::count(wanted, '\n') >= 8);
  if (const char* file = std::getenv("OCTET_HASH_FILE")) CHECK((std::ofstream(file) << wanted).good());
}
