// Programs under Open MPI's mpirun, where there is one.
#pragma once

#include <cstdlib>

#include "tests/program.h"

namespace octet::testing {

inline bool have_mpi() {
  const bool there = fs::exists(program_path("octet_mpi.so")) &&
                     std::system("mpirun --version >/dev/null 2>&1") == 0;  // NOLINT(cert-env33-c): a fixed command
  if (!there) MESSAGE("skipped: no mpirun, or octet was built without MPI");
  return there;
}

// The sanitiser would report what Open MPI itself leaves behind.
inline RunOptions quiet_options() {
  return {.environment = {{"ASAN_OPTIONS", "detect_leaks=0"}, {"OMPI_MCA_btl_base_warn_component_unused", "0"}}};
}

inline Result mpirun(int count, Arguments arguments) {
  Arguments command = {"mpirun", "-n", std::to_string(count), "--allow-run-as-root", "--oversubscribe"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_program(command, quiet_options());
}

}  // namespace octet::testing
