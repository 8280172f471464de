// mpirun -n K octet calibrate | evaluate: the ranges and counts of a single process, and no half a result when a rank
// fails. Needs Open MPI's mpirun and octet_mpi.so; skipped, visibly, without them.
#include <algorithm>

#include "tests/mpirun.h"
#include "tests/photos.h"
#include "tests/program.h"

using namespace octet;
using namespace octet::testing;

namespace {

Arguments octet_alone(Arguments arguments) {
  arguments.insert(arguments.begin(), program_path("octet"));
  arguments.insert(arguments.end(), {"--threads", "1", "--quiet"});
  return arguments;
}

void write_photos(const fs::path& folder, int count) {
  for (int i = 0; i < count; ++i) {
    write_photo(folder / (i % 2 == 0 ? "cat" : "dog") / (std::to_string(i) + ".bmp"), static_cast<std::uint32_t>(i));
  }
}

Arguments calibrate(const TempFolder& folder, const std::string& out, const Arguments& flags) {
  Arguments a = {"calibrate", "catdog", "--data", folder / "photos", "--out", folder / out, "--batch-size", "1"};
  a.insert(a.end(), flags.begin(), flags.end());
  return octet_alone(a);
}

}  // namespace

TEST_CASE("ranks calibrate like one process: the same file, byte for byte") {
  if (!have_mpi()) return;
  const TempFolder folder;
  write_photos(folder.path() / "photos", 5);
  // The first photo is black: the input's histogram has no width yet when the others begin, and several ranks find one.
  write_bmp(folder.path() / "photos" / "cat" / "0.bmp", 180, 150, [](int, int) { return Colour{0, 0, 0}; });
  const std::vector<Arguments> methods = {{}, {"--method", "mse", "--bias-correct"}, {"--preset", "x86"}};
  for (const Arguments& flags : methods) {
    CAPTURE(joined(flags));
    REQUIRE(run_program(calibrate(folder, "one.json", flags)).status == 0);
    for (const int count : kSanitised ? std::vector{3} : std::vector{1, 2, 3}) {
      CAPTURE(count);
      const Result result = mpirun(count, calibrate(folder, "many.json", flags));
      INFO(result.err);
      REQUIRE(result.status == 0);
      CHECK(read_text(folder / "many.json") == read_text(folder / "one.json"));
      fs::remove(folder / "many.json");
    }
  }
}

TEST_CASE("ranks count like one process, more ranks than batches included") {
  if (!have_mpi()) return;
  const TempFolder folder;
  write_photos(folder.path() / "photos", 5);
  const Arguments evaluate =
      octet_alone({"evaluate", "catdog", "--data", folder / "photos", "--batch-size", "2", "--json"});
  const json one = json::parse(run_program(evaluate).out);
  for (const int count : kSanitised ? std::vector{2} : std::vector{1, 2, 3, 4}) {
    CAPTURE(count);
    const Result result = mpirun(count, evaluate);
    INFO(result.err);
    REQUIRE(result.status == 0);
    const json many = json::parse(result.out);
    for (const char* key : {"count", "correct", "top1", "top5", "model_bytes", "precision"}) {
      CHECK(many[key] == one[key]);
    }
  }
}

TEST_CASE("a rank that meets a bad file ends the run in its own name; nothing is written") {
  if (!have_mpi()) return;
  const TempFolder folder;
  write_photos(folder.path() / "photos", 6);
  write_text(folder.path() / "photos" / "cat" / "4.bmp",
             "no photo");  // third of the sorted files: batch 2, rank 2 of 3
  const Result result = mpirun(3, calibrate(folder, "ranges.json", {}));
  INFO(result.err);
  CHECK(result.status != 0);
  CHECK(result.err.find("octet: rank 2 of 3: ") != std::string::npos);
  CHECK(result.err.find("4.bmp") != std::string::npos);
  CHECK(!fs::exists(folder / "ranges.json"));
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);  // no temporary file
}

TEST_CASE("a rank that is killed ends the run; nothing is written") {
  if (!have_mpi()) return;
  const TempFolder folder;
  write_photos(folder.path() / "photos", 6);
  for (const std::string moment : {"0.0", "0.05", "0.3"}) {
    CAPTURE(moment);
    // Rank 1 stops at that moment, so that it has certainly not ended, and is killed a little later.
    const std::string script = "if [ \"$OMPI_COMM_WORLD_RANK\" = 1 ]; then (sleep " + moment +
                               "; kill -STOP $$; sleep 0.2; kill -KILL $$) & fi; exec \"$@\"";
    Arguments command = {"sh", "-c", script, "sh"};
    const Arguments rest = calibrate(folder, "ranges.json", {"--method", "mse", "--bins", "65536"});
    command.insert(command.end(), rest.begin(), rest.end());
    const Result result = mpirun(3, command);
    INFO(result.err);
    if (result.status == 0) {  // a fast machine: rank 1 had done its share before it was stopped
      MESSAGE("ended before rank 1 was killed at " << moment << " s");
      CHECK(moment != "0.0");
      fs::remove(folder / "ranges.json");
      continue;
    }
    CHECK(result.err.find("rank 1") != std::string::npos);
    CHECK(!fs::exists(folder / "ranges.json"));
  }
}

TEST_CASE("what is not for several processes says so") {
  if (!have_mpi()) return;
  const TempFolder folder;
  write_photos(folder.path() / "photos", 2);
  const Result average = mpirun(2, calibrate(folder, "ranges.json", {"--method", "moving_average"}));
  CHECK(average.status == 1);
  CHECK(average.err.find("depends on the order of the batches") != std::string::npos);
  const Result plan = mpirun(2, octet_alone({"plan", "catdog"}));
  CHECK(plan.status == 1);
  CHECK(plan.err.find("octet plan runs in one process") != std::string::npos);
}

TEST_CASE("started by mpirun but built without MPI: an error, not K results") {
  const TempFolder folder;
  fs::create_directories(folder.path() / "bin");
  fs::create_symlink(fs::path(OCTET_BINARY_DIR) / "share", folder.path() / "share");
  fs::copy(program_path("octet"), folder.path() / "bin/octet");  // without octet_mpi.so beside it
  const Result result = run_program({folder / "bin/octet", "evaluate", "catdog", "--data", folder / "photos"},
                                    {.environment = {{"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "0"}}});
  CHECK(result.status == 1);
  CHECK(result.err.find("built without MPI") != std::string::npos);
}
