// Ranks through MPI: the library octet_mpi.so, which ranks.cpp loads under mpirun.
#include <mpi.h>

#include <algorithm>

#include "examples/octet/ranks.h"

namespace octet::cli {
namespace {

// MPI counts in int: longer texts go in pieces.
constexpr std::uint64_t kPiece = 1u << 30;

// MPI's default error handler ends all ranks with a message, so return values need no look.
class MpiRanks final : public Ranks {
 public:
  MpiRanks() {
    MPI_Init(nullptr, nullptr);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
  }
  ~MpiRanks() override { MPI_Finalize(); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  std::string broadcast(std::string text) override {
    std::uint64_t length = text.size();
    MPI_Bcast(&length, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    text.resize(length);
    for_pieces(text, [](char* data, int count) { MPI_Bcast(data, count, MPI_CHAR, 0, MPI_COMM_WORLD); });
    return text;
  }

  std::vector<std::string> gather(std::string text) override {
    if (rank_ != 0) {
      const std::uint64_t length = text.size();
      MPI_Send(&length, 1, MPI_UINT64_T, 0, 0, MPI_COMM_WORLD);
      for_pieces(text, [](char* data, int count) { MPI_Send(data, count, MPI_CHAR, 0, 1, MPI_COMM_WORLD); });
      return {};
    }
    std::vector<std::string> all(static_cast<std::size_t>(size_));
    all[0] = std::move(text);
    for (int from = 1; from < size_; ++from) {
      std::uint64_t length = 0;
      MPI_Recv(&length, 1, MPI_UINT64_T, from, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      std::string& theirs = all[static_cast<std::size_t>(from)];
      theirs.resize(length);
      for_pieces(theirs, [from](char* data, int count) {
        MPI_Recv(data, count, MPI_CHAR, from, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      });
    }
    return all;
  }

  void abort(int status) override { MPI_Abort(MPI_COMM_WORLD, status); }

 private:
  template <class Work>
  static void for_pieces(std::string& text, const Work& work) {
    for (std::uint64_t at = 0; at < text.size(); at += kPiece) {
      work(text.data() + at, static_cast<int>(std::min<std::uint64_t>(kPiece, text.size() - at)));
    }
  }

  int rank_ = 0, size_ = 1;
};

}  // namespace
}  // namespace octet::cli

extern "C" octet::cli::Ranks* octet_make_mpi_ranks() { return new octet::cli::MpiRanks; }
