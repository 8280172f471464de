// Files of points: formats by name and by flag, sizes, lasers against time lags, hostile input.
#include <doctest/doctest.h>

#include <cstring>

#include "runtime/error.h"
#include "runtime/io/points.h"
#include "tests/program.h"
#include "tests/random_graph.h"

using namespace octet;
using octet::testing::TempFolder;
using octet::testing::write_text;

namespace {

std::string bytes_of(const std::vector<float>& values, bool half) {
  std::string bytes;
  for (const float v : values) {
    const std::uint16_t h = float_to_half(v);
    bytes.append(half ? reinterpret_cast<const char*>(&h) : reinterpret_cast<const char*>(&v), half ? 2 : 4);
  }
  return bytes;
}

std::vector<float> values_of(const PointCloud& cloud) {
  const auto values = cloud.points.span<float>();
  return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("the name of a file of points says what a point is") {
  const auto of = [](const char* name) {
    const auto format = point_format_of_name(name);
    return format ? format->str() : "-";
  };
  CHECK(of("a/frame.f32x5.bin") == "f32x5");
  CHECK(of("frame.fp32x4.bin") == "f32x4");
  CHECK(of("n015.pcd.bin") == "f32x5");
  CHECK(of("frame_1.2.fp16x5.bin") == "fp16x5");
  CHECK(of("frame.f16x4.bin") == "fp16x4");
  for (const char* name : {"frame.bin", "frame.f32x6.bin", "frame.f32x5", "f32x5.bin", "frame.f32x5.bin.gz", ""}) {
    CHECK(of(name) == "-");
  }
  CHECK_THROWS_WITH_AS(point_format("f32x9", "--points"), doctest::Contains("--points: unknown point format 'f32x9'"),
                       Error);
}

TEST_CASE("points of each format become five floats") {
  const TempFolder folder;
  const std::vector<float> five = {1.5f, -2.25f, 0.5f, 200, 0.25f, 4, 5, 6, 7, 0}, four = {1, 2, 3, 4, 5, 6, 7, 8};
  write_text(folder / "a.f32x5.bin", bytes_of(five, false));
  write_text(folder / "a.fp16x5.bin", bytes_of(five, true));
  write_text(folder / "b.f32x4.bin", bytes_of(four, false));
  write_text(folder / "b.fp16x4.bin", bytes_of(four, true));
  CHECK(values_of(read_points(folder / "a.f32x5.bin")) == five);
  CHECK(values_of(read_points(folder / "a.fp16x5.bin")) == five);
  const std::vector<float> filled = {1, 2, 3, 4, 0, 5, 6, 7, 8, 0};
  CHECK(values_of(read_points(folder / "b.f32x4.bin")) == filled);
  CHECK(values_of(read_points(folder / "b.fp16x4.bin")) == filled);
  // A format that is given wins over the name: 20 floats of 4 are 4 points, 5 are not a whole number.
  CHECK(read_points(folder / "b.f32x4.bin", PointFormat{.type = DType::f16, .columns = 4}).count() == 4);
  write_text(folder / "none.f32x5.bin", "");
  CHECK(read_points(folder / "none.f32x5.bin").count() == 0);

  const auto files = list_point_files(folder.path(), false);
  REQUIRE(files.size() == 5);
  CHECK(files[0].filename() == "a.f32x5.bin");
  write_text(folder / "plain.bin", "");
  CHECK(list_point_files(folder.path(), false).size() == 5);
  CHECK(list_point_files(folder.path(), true).size() == 6);
}

TEST_CASE("a fifth column of laser indices is no time lag") {
  const TempFolder folder;
  const std::string path = folder / "raw.f32x5.bin";
  write_text(path, bytes_of({1, 2, 3, 4, 31, 1, 2, 3, 4, 0}, false));
  const PointCloud guessed = read_points(path);
  CHECK(guessed.fifth_was_laser);
  CHECK(values_of(guessed) == std::vector<float>{1, 2, 3, 4, 0, 1, 2, 3, 4, 0});
  const PointCloud told = read_points(path, PointFormat{.fifth = PointFormat::Fifth::time_lag});
  CHECK_FALSE(told.fifth_was_laser);
  CHECK(values_of(told)[4] == 31);
  write_text(path, bytes_of({1, 2, 3, 4, 0, 1, 2, 3, 4, 1}, false));  // lags of 0 and 1 s are lags
  CHECK(values_of(read_points(path))[9] == 1);
  CHECK(values_of(read_points(path, PointFormat{.fifth = PointFormat::Fifth::laser}))[9] == 0);
}

TEST_CASE("files that are no points say what is wrong") {
  const TempFolder folder;
  const auto refuses = [&](const std::string& name, const char* words) {
    CHECK_THROWS_WITH_AS(read_points(folder / name), doctest::Contains(words), Error);
  };
  write_text(folder / "a.f32x5.bin", std::string(21, 'x'));
  write_text(folder / "a.bin", std::string(20, 'x'));
  refuses("a.f32x5.bin", "21 bytes are no whole number of points of 20 bytes (f32x5)");
  refuses("a.bin", "its name does not say what a point is");
  refuses("missing.f32x5.bin", "missing.f32x5.bin");
  std::filesystem::create_directory(folder / "b.f32x5.bin");
  refuses("b.f32x5.bin", "b.f32x5.bin");
  CHECK_THROWS_WITH_AS(list_point_files(folder / "nothing", false), doctest::Contains("no such folder"), Error);
}

TEST_CASE("any bytes are points: NaN and infinities are kept for who skips them") {
  const TempFolder folder;
  test::Random random(9);
  for (int i = 0; i < 50; ++i) {
    std::string bytes(static_cast<std::size_t>(random.between(0, 30)) * 10, '\0');
    for (char& b : bytes) b = static_cast<char>(random.bits());
    for (const char* kind : {"f32x5", "fp16x5", "f32x4", "fp16x4"}) {
      const std::string path = folder / (std::string("a.") + kind + ".bin");
      write_text(path, bytes);
      const auto record = static_cast<std::size_t>(point_format(kind, "").record_bytes());
      if (bytes.size() % record != 0) {
        CHECK_THROWS_AS(read_points(path), Error);
      } else {
        CHECK(read_points(path).count() == static_cast<std::int64_t>(bytes.size() / record));
      }
    }
  }
}
