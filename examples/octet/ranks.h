// Several processes that share one job: `mpirun -n K octet calibrate ...`. Each takes every K-th batch of the data;
// what they have seen or counted comes together in rank 0, which alone prints and writes.
//
// MPI is a library of its own (mpi_ranks.cpp), loaded only under mpirun, so that octet runs where there is none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace octet::cli {

class Ranks {
 public:
  virtual ~Ranks() = default;
  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  // Every rank calls these; they end when all have.
  virtual std::string broadcast(std::string text) { return text; }  // what rank 0 gave
  // What all gave, by rank, on rank 0; nothing on others.
  virtual std::vector<std::string> gather(std::string text) { return {std::move(text)}; }
  // Ends all ranks at once. Without other ranks it only returns.
  virtual void abort(int) {}
};

// The ranks of this process. Throws Error when it was started by mpirun but octet was built without MPI.
Ranks& ranks();
// Whether mpirun started several processes (asks the environment only).
bool has_many_ranks();
// This process's number, from the environment; 0 without mpirun.
int rank_in_environment();

// Batch `index` belongs to this rank.
inline bool mine(std::int64_t index) { return index % ranks().size() == ranks().rank(); }

}  // namespace octet::cli
