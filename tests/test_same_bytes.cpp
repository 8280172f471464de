// Same bytes everywhere: --hash-layers and logits agree between instruction sets, thread counts, batch sizes and an
// exported .octet file; and what runs without weights or on a processor that lacks them says so.
#include "tests/photos.h"
#include "tests/program.h"

using namespace octet::testing;

namespace {

const RunOptions kNoData{.environment = {{"OCTET_DATA", "/nonexistent"}}};

json hashes(const Arguments& inputs, const RunOptions& options = {}, const Arguments& flags = {}) {
  Arguments arguments = {"run"};
  arguments.insert(arguments.end(), inputs.begin(), inputs.end());
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  arguments.push_back("--hash-layers");
  const json run = octet_json(arguments, options);
  CHECK(run["layers"].size() >= 12);
  json result = {{"layers", run["layers"]}, {"logits", json::array()}};
  for (const json& image : run["images"]) result["logits"].push_back(image["logits"]);
  return result;
}

}  // namespace

TEST_CASE("every instruction set gives the same bytes, and so does the exported program by itself") {
  const TempFolder temp;
  write_photo(temp / "a.bmp", 1);
  write_photo(temp / "b.bmp", 2);
  const Arguments photos = kSanitised ? Arguments{temp / "a.bmp"} : Arguments{temp / "a.bmp", temp / "b.bmp"};
  const auto of = [&](const std::string& model) {
    Arguments inputs = {model};
    inputs.insert(inputs.end(), photos.begin(), photos.end());
    return inputs;
  };
  const json expected = hashes(of("catdog"));
  const json kernels = octet_json({"kernels"});
  for (const json& isa : kernels["available"]) {
    CAPTURE(isa);
    const RunOptions forced{.environment = {{"OCTET_ISA", isa}}};
    CHECK(octet_json({"plan", "catdog"}, forced)["kernel_isa"] == isa);
    CHECK(hashes(of("catdog"), forced) == expected);
  }
  const std::string file = temp / "catdog.octet";
  REQUIRE(run_octet({"export", "catdog", "--out", file}).status == 0);
  CHECK(fs::file_size(file) < 600'000);
  CHECK(hashes(of(file), kNoData) == expected);
  CHECK(octet_json({"run", file, photos[0]}, kNoData)["seeded"] == false);
  // The file does not depend on the machine that wrote it, nor on when.
  const std::string again = temp / "again.octet";
  REQUIRE(run_octet({"export", "catdog", "--out", again}, {.environment = {{"OCTET_ISA", "reference"}}}).status == 0);
  CHECK(read_text(again) == read_text(file));
}

TEST_CASE("threads and batch size change nothing") {
  const TempFolder temp;
  const std::string data = temp / "data";
  for (std::uint32_t i = 0; i < 5; ++i) write_photo(data + "/" + std::to_string(i) + ".bmp", i);
  const json expected = hashes({"catdog", data + "/0.bmp"}, {}, {"--threads", "1"});
  for (const char* threads : {"2", "3", "4"}) {
    CHECK(hashes({"catdog", data + "/0.bmp"}, {}, {"--threads", threads}) == expected);
  }
  const auto evaluate = [&](const char* batch, const char* threads) {
    const json j = octet_json({"evaluate", "catdog", "--data", data, "--batch-size", batch, "--threads", threads});
    return std::pair(j["correct"].get<int>(), j["count"].get<int>());
  };
  const auto scored = evaluate("1", "1");
  CHECK(scored.second == 5);
  CHECK(evaluate("2", "2") == scored);
  CHECK(evaluate("8", "3") == scored);
  const auto edges = [&](const char* batch, const char* threads) {
    return octet_json({"calibrate", "catdog", "--data", data, "--out", temp / "r.json", "--batch-size", batch,
                       "--threads", threads})["edges"];
  };
  const json ranges = edges("4", "1");
  CHECK(edges("4", "2") == ranges);
  CHECK(edges("4", "4") == ranges);
  // Another batch size sums floats in another order: the last bits of a range may differ.
  const json other = edges("1", "1");
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    CHECK(other[i]["amax"].get<double>() == doctest::Approx(ranges[i]["amax"].get<double>()).epsilon(1e-6));
  }
}

TEST_CASE("an instruction set that is unknown or not here is refused, and the available ones are listed") {
  const auto refused = [](const char* isa, const std::vector<std::string>& words) {
    for (const Arguments& arguments :
         {Arguments{"plan", "catdog"}, Arguments{"bench", "catdog"}, Arguments{"kernels"}}) {
      octet_refuses(arguments, words, {.environment = {{"OCTET_ISA", isa}}});
    }
  };
  refused("nonsense", {"nonsense", "reference", "portable"});
#if defined(__x86_64__)
  refused("neon", {"neon", "reference", "portable"});
#endif
}

TEST_CASE("without weights: seeded, and it says so; never from the current directory") {
  const TempFolder temp;
  write_photo(temp / "p.bmp", 1);
  const fs::path shipped = fs::path(OCTET_SOURCE_DIR) / "models" / "catdog";
  for (const char* folder : {"catdog", "share/octet/catdog", "models/catdog", "."}) {  // decoys
    fs::create_directories(temp / folder);
    for (const char* file : {"catdog.safetensors", "ranges.json"}) {
      fs::copy_file(shipped / file, temp.path() / folder / file, fs::copy_options::overwrite_existing);
    }
  }
  RunOptions nowhere = kNoData;
  nowhere.folder = temp.path();
  const Result run = run_octet({"run", "catdog", "p.bmp", "--json"}, nowhere);
  REQUIRE(run.status == 0);
  const json result = json::parse(run.out);
  CHECK(result["seeded"] == true);
  CHECK(result["precision"] == "int8");
  REQUIRE(run.err_lines().size() == 1);
  CHECK(run.err.starts_with("note: "));
  CHECK(run.err.find("seeded") != std::string::npos);
  CHECK(json::parse(run_octet({"bench", "catdog", "--runs", "1", "--json"}, nowhere).out)["seeded"] == true);
  CHECK(json::parse(run_octet({"run", "catdog", "p.bmp", "--json"}, nowhere).out) == result);
  CHECK(json::parse(run_octet({"run", "catdog", "p.bmp", "--json", "--seed", "2"}, nowhere).out) != result);
  octet_refuses({"evaluate", "catdog", "--data", "."}, {"seeded", "--weights"}, nowhere);
  octet_refuses({"calibrate", "catdog", "--data", ".", "--out", "r.json"}, {"seeded", "--weights", "--seed"}, nowhere);
  // A seeded program stays marked when it is exported.
  REQUIRE(run_octet({"export", "catdog", "--out", "s.octet"}, nowhere).status == 0);
  CHECK(octet_json({"inspect", temp / "s.octet", "--quiet"})["seeded"] == true);
  octet_refuses({"evaluate", temp / "s.octet", "--data", temp.path().string()}, {"seeded"});

  nowhere.environment = {{"OCTET_DATA", temp.path().string()}};  // the decoys count once they are asked for
  CHECK(octet_json({"run", "catdog", "p.bmp"}, nowhere)["seeded"] == false);
}
