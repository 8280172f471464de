// Bad input: exit status 1 and one line that says what, where and what was expected; nothing half-written is left.
#include <cstring>

#include "tests/photos.h"
#include "tests/program.h"

using namespace octet::testing;

namespace {

const std::string kModels = std::string(OCTET_SOURCE_DIR) + "/models/catdog/";
const std::string kWeights = kModels + "catdog.safetensors";

// The shipped weights with the header edited: `from` becomes `to`, which is as long.
std::string edited_weights(const std::string& from, const std::string& to) {
  std::string file = read_text(kWeights);
  REQUIRE(from.size() == to.size());
  const std::size_t at = file.find(from);
  REQUIRE(at != std::string::npos);
  return file.replace(at, from.size(), to);
}

// The shipped weights with one value of `tensor` replaced.
std::string poisoned_weights(const std::string& tensor, float value) {
  std::string file = read_text(kWeights);
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof header);
  const json table = json::parse(file.substr(8, header));
  const std::uint64_t start = 8 + header + table.at(tensor).at("data_offsets").at(0).get<std::uint64_t>();
  std::memcpy(file.data() + start + 4, &value, sizeof value);
  return file;
}

}  // namespace

TEST_CASE("inputs that are no photos") {
  const TempFolder temp;
  fs::create_directories(temp / "empty");
  write_text(temp / "text.jpg", "This is not a photo.");
  write_text(temp / "nothing.png", "");
  write_photo(temp / "whole.bmp", 1);
  write_text(temp / "short.bmp", read_text(temp / "whole.bmp").substr(0, 5000));
  octet_refuses({"run", "catdog", temp / "none.jpg"}, {"none.jpg", "no such file"});
  octet_refuses({"run", "catdog", temp / "empty"}, {"empty", "no photos", ".jpg"});
  octet_refuses({"evaluate", "catdog", "--data", temp / "empty"}, {"empty", "no photos"});
  octet_refuses({"evaluate", "catdog", "--data", temp / "none"}, {"none", "no such folder"});
  octet_refuses({"evaluate", "catdog", "--data", temp / "whole.bmp"}, {"whole.bmp", "folder"});
  octet_refuses({"calibrate", "catdog", "--data", temp / "empty", "--out", temp / "r.json"}, {"empty", "no photos"});
  octet_refuses({"run", "catdog", temp / "text.jpg"}, {"text.jpg", "JPEG, PNG or BMP", "This is"});
  octet_refuses({"run", "catdog", temp / "nothing.png"}, {"nothing.png", "empty"});
  octet_refuses({"run", "catdog", temp / "short.bmp"}, {"short.bmp"});
  check_refused(run_program({program_path("catdog"), temp / "text.jpg"}), "catdog", {"text.jpg"});
  check_refused(run_program({program_path("catdog"), temp / "none.jpg"}), "catdog", {"none.jpg"});
  check_refused(run_program({program_path("catdog"), "--notebook", "--data", temp / "none"}), "catdog", {"none"});
}

TEST_CASE("photos of 1 x 1 and of 10,000 x 10,000 are classified, larger ones refused") {
  const TempFolder temp;
  write_bmp(temp / "dot.bmp", 1, 1, [](int, int) { return Colour{200, 100, 50}; });
  CHECK(octet_json({"run", "catdog", temp / "dot.bmp"})["images"].size() == 1);
  write_black_png(temp / "line.png", 3000, 1);
  CHECK(octet_json({"run", "catdog", temp / "line.png"})["images"].size() == 1);
  if (!kSanitised) {
    write_black_png(temp / "huge.png", 10000, 10000);
    write_black_png(temp / "small.png", 100, 100);
    const json images = octet_json({"run", "catdog", temp / "huge.png", temp / "small.png"})["images"];
    CHECK(images[0]["logits"] == images[1]["logits"]);  // both are black
  }
  write_black_png(temp / "vast.png", 16000, 10000);
  octet_refuses({"run", "catdog", temp / "vast.png"}, {"vast.png", "16000", "10000"});
}

TEST_CASE("weights that are not this network's") {
  const TempFolder temp;
  write_photo(temp / "p.bmp", 1);
  const std::string bad = temp / "bad.safetensors";
  const Arguments run = {"run", "catdog", temp / "p.bmp", "--weights", bad};
  write_text(bad, edited_weights("cnn3.weight", "cnn9.weight"));
  octet_refuses(run, {"cnn3.weight"});
  write_text(bad, edited_weights("[16,32,3,3]", "[32,16,3,3]"));
  octet_refuses(run, {"cnn3.weight", "32x16x3x3", "16x32x3x3"});
  for (const char* tensor : {"cnn2.weight", "bn1.running_var", "fc1.bias"}) {
    write_text(bad, poisoned_weights(tensor, std::nanf("")));
    octet_refuses(run, {tensor});
    write_text(bad, poisoned_weights(tensor, HUGE_VALF));
    octet_refuses(run, {tensor});
  }
  write_text(bad, poisoned_weights("bn2.running_var", -1.0f));
  octet_refuses(run, {"bn2"});
  write_text(bad, read_text(kWeights).substr(0, 100'000));
  octet_refuses(run, {bad});
  octet_refuses({"run", "catdog", temp / "p.bmp", "--weights", kModels + "ranges.json"},
                {"ranges.json", "safetensors"});
  octet_refuses({"run", "catdog", temp / "p.bmp", "--weights", temp / "none.pth"}, {"none.pth", "no such file"});
  // A user's weights without ranges: FP32 works, INT8 says what is missing.
  CHECK(octet_json({"run", "catdog", temp / "p.bmp", "--weights", kWeights})["precision"] == "fp32");
  octet_refuses({"run", "catdog", temp / "p.bmp", "--weights", kWeights, "--precision", "int8"},
                {"--ranges", "octet calibrate"});
}

TEST_CASE("an extra key is reported, not refused") {
  const TempFolder temp;
  std::string file = read_text(kWeights);
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof header);
  json table = json::parse(file.substr(8, header));
  table["surplus"] = {{"dtype", "F32"}, {"shape", {0}}, {"data_offsets", {0, 0}}};
  std::string text = table.dump();
  text.append(8 - text.size() % 8, ' ');
  const std::uint64_t size = text.size();
  write_text(temp / "more.safetensors",
             std::string(reinterpret_cast<const char*>(&size), 8) + text + file.substr(8 + header));
  write_photo(temp / "p.bmp", 1);
  const Result result = run_octet({"run", "catdog", temp / "p.bmp", "--weights", temp / "more.safetensors"});
  CHECK(result.status == 0);
  REQUIRE(result.err_lines().size() == 1);
  CHECK(result.err.find("surplus") != std::string::npos);
}

TEST_CASE("ranges that do not fit") {
  const TempFolder temp;
  write_photo(temp / "p.bmp", 1);
  const std::string bad = temp / "bad.json";
  const Arguments run = {"run", "catdog", temp / "p.bmp", "--ranges", bad};
  const json good = json::parse(read_text(kModels + "ranges.json"));
  const auto with = [&](auto edit) {
    json changed = good;
    edit(changed);
    write_text(bad, changed.dump());
  };
  with([](json& j) { j["model"] = "resnet50"; });
  octet_refuses(run, {"resnet50", "catdog"});
  with([](json& j) { j["edges"].erase(3); });
  octet_refuses(run, {"cv3"});
  with([](json& j) { j["edges"][3]["name"] = "cv9"; });
  octet_refuses(run, {"cv"});
  with([](json& j) { j["edges"][2]["step"] = 0; });
  octet_refuses(run, {bad, "cv2", "step"});
  with([](json& j) { j["edges"][2]["zero"] = 300; });
  octet_refuses(run, {bad, "cv2"});
  with([](json& j) { j.erase("edges"); });
  octet_refuses(run, {bad, "edges"});
  with([](json& j) { j["octet_ranges"] = 99; });
  octet_refuses(run, {bad, "99"});
  write_text(bad, read_text(kModels + "ranges.json").substr(0, 300));
  octet_refuses(run, {bad});
  octet_refuses({"run", "catdog", temp / "p.bmp", "--ranges", kWeights}, {"catdog.safetensors", "ranges"});
  octet_refuses({"run", "catdog", temp / "p.bmp", "--ranges", temp / "none.json"}, {"none.json", "no such file"});
}

TEST_CASE("names and combinations that do not exist") {
  const TempFolder temp;
  write_photo(temp / "p.bmp", 1);
  octet_refuses({"run", "resnet51", temp / "p.bmp"}, {"resnet51", "catdog", ".octet"});
  octet_refuses({"inspect", "resnet51"}, {"resnet51"});
  octet_refuses({"run", "catdog", temp / "p.bmp", "--crop", "100"}, {"224", "100"});
  octet_refuses({"run", "catdog", temp / "p.bmp", "--mean", "1,2"}, {"--mean", "1,2", "three numbers"});
  octet_refuses({"run", "catdog", temp / "p.bmp", "--std", "0,1,1"}, {"--std"});
  octet_refuses({"run", "catdog", temp / "p.bmp", "--label-offset", "2"}, {"--label-offset", "2"});
  octet_refuses({"calibrate", "catdog", "--data", temp.path().string(), "--out", temp / "r.json", "--preset",
                 "notebook", "--scheme", "affine"},
                {"notebook", "affine"});
  octet_refuses({"calibrate", "catdog", "--data", temp.path().string(), "--out", temp / "r.json", "--reduce-range"},
                {"--reduce-range", "affine"});
  octet_refuses({"calibrate", "catdog", "--data", temp.path().string(), "--out", temp / "no/folder/r.json"},
                {"no/folder"});
  octet_refuses({"export", "catdog", "--out", temp / "no/folder/m.octet"}, {"no/folder"});
  octet_refuses({"export", "catdog", "--out", temp / "m.bin"}, {"m.bin", ".octet"});
  octet_refuses({"run", "catdog", temp / "p.bmp", "--device", "cuda"}, {"cuda", "cpu"},
                {.environment = {{"CUDA_VISIBLE_DEVICES", ""}}});
}

TEST_CASE("broken .octet files") {
  const TempFolder temp;
  write_photo(temp / "p.bmp", 1);
  const std::string whole = temp / "m.octet", bad = temp / "bad.octet";
  REQUIRE(run_octet({"export", "catdog", "--out", whole}).status == 0);
  const std::string bytes = read_text(whole);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    write_text(bad, bytes.substr(0, size));
    octet_refuses({"run", bad, temp / "p.bmp"}, {bad});
  }
  write_text(bad, "not a program");
  octet_refuses({"run", bad, temp / "p.bmp"}, {bad});
  octet_refuses({"inspect", bad}, {bad});
  octet_refuses({"run", temp / "none.octet", temp / "p.bmp"}, {"none.octet", "no such file"});
  octet_refuses({"run", whole, temp / "p.bmp", "--weights", kWeights}, {"m.octet", "--weights"});
  octet_refuses({"run", whole, temp / "p.bmp", "--precision", "fp32"}, {"m.octet", "int8", "fp32"});
  octet_refuses({"calibrate", whole, "--data", temp.path().string(), "--out", temp / "r.json"}, {"m.octet", "float"});
  octet_refuses({"export", whole, "--out", temp / "n.octet", "--ignore", "cnn1"}, {"m.octet", "--ignore"});
}

TEST_CASE("an export that fails leaves the old file as it was, and no other file beside it") {
  const TempFolder temp;
  const std::string out = temp / "out/m.octet";
  write_text(out, "precious");
  octet_refuses({"export", "catdog", "--out", out, "--ignore", "cnn9"}, {"cnn9"});
  // A disk that is full after 50 kB, as far as the program can tell.
  const Result full = run_program({"sh", "-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\"", program_path("octet"),
                                   "export", "catdog", "--out", out});
  check_refused(full, "octet", {"m.octet"});
  CHECK(read_text(out) == "precious");
  CHECK(std::distance(fs::directory_iterator(temp / "out"), fs::directory_iterator()) == 1);
}
