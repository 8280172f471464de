#include "examples/octet/ranks.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "runtime/error.h"

namespace octet::cli {
namespace {

namespace fs = std::filesystem;

// What Open MPI and MPICH tell the processes that they start.
int environment_number(std::initializer_list<const char*> names, int otherwise) {
  for (const char* name : names) {
    if (const char* value = std::getenv(name)) return std::atoi(value);
  }
  return otherwise;
}

// Beside the program in the build tree, in ../lib/octet when it is installed.
std::unique_ptr<Ranks> load_mpi() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  for (const fs::path& file :
       {program.parent_path() / "octet_mpi.so", program.parent_path().parent_path() / "lib/octet/octet_mpi.so"}) {
    if (!fs::exists(file, error)) continue;
    void* library =
        dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL);  // global: Open MPI's own plug-ins look for its symbols
    require(library != nullptr, "{}: {}", file.string(), dlerror());
    using Make = Ranks* (*)();
    const auto make = reinterpret_cast<Make>(dlsym(library, "octet_make_mpi_ranks"));
    require(make != nullptr, "{}: {}", file.string(), dlerror());
    return std::unique_ptr<Ranks>(make());
  }
  fail(
      "started by mpirun, but octet was built without MPI: octet_mpi.so is not beside it (Debian's libopenmpi-dev "
      "makes it)");
}

}  // namespace

bool has_many_ranks() { return environment_number({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}, 1) > 1; }
int rank_in_environment() { return environment_number({"OMPI_COMM_WORLD_RANK", "PMI_RANK"}, 0); }

Ranks& ranks() {
  static const std::unique_ptr<Ranks> all = has_many_ranks() ? load_mpi() : std::make_unique<Ranks>();
  return *all;
}

}  // namespace octet::cli
