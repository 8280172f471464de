// ThreadPool: splits the tiles of one step over a few threads. Tiles are output tiles, never parts of one sum, so the
// result does not depend on who ran what. Every thread starts at its own share of the tiles, the same part of every
// step, so that it mostly reads what it wrote itself a step ago and its cache still holds. Tiles are taken one chunk at
// a time, and whoever is done helps the others: a thread that the system took away for other work costs one chunk, not
// a share, and one that has not begun when the others are done is not waited for.
//
// A thread that is taken away in the middle of a chunk has to be waited for, some milliseconds long, while a neighbour
// uses its processor. That is a stall. After one the caller works alone for a while (20 ms, four times as long after
// each further stall, up to 1.3 s): a busy neighbour then costs the speed-up of the second thread, not its time slices.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace octet {

class ThreadPool {
 public:
  // `threads` counts the calling thread too: 1 makes no thread. Throws Error for fewer than 1 or more than 1024.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  // How often a worker was taken away in the middle of its work since construction.
  std::int64_t stalls() const { return stalls_.load(std::memory_order_relaxed); }

  // Runs task(context, first, last, worker) until [0, tiles) is covered; `worker` < threads() names the caller's
  // scratch. Returns when all is done. Allocates nothing and takes no lock. When another thread is using this pool
  // right now, the caller does all the work itself as worker 0 of its own context.
  using Task = void (*)(void* context, std::int64_t first, std::int64_t last, int worker);
  void run(std::int64_t tiles, Task task, void* context);

 private:
  using Clock = std::chrono::steady_clock;

  void stop();
  void work(int worker);
  bool join(std::uint32_t generation);
  void take_chunks(int worker);
  void run_shared(std::int64_t tiles, Task task, void* context);
  void wait_for_workers(Clock::time_point start);
  bool resting();

  struct alignas(64) Share {  // of one thread: the tiles that nobody has taken yet
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
  };

  // The job that all are working on. Written by run() while the gate is closed and nobody is inside; read by those who
  // have joined.
  Task task_ = nullptr;
  void* context_ = nullptr;
  std::int64_t chunk_ = 1;
  std::vector<Share> shares_;
  // The gate to the job: its generation in the upper half, kClosed, and how many workers are inside. A worker joins by
  // raising the count of an open gate of the generation that it saw; the caller closes it when no chunk is left.
  static constexpr std::uint64_t kClosed = std::uint64_t{1} << 31;
  std::atomic<std::uint64_t> gate_{kClosed};
  std::atomic<std::uint32_t> generation_{0};  // what workers sleep on
  std::atomic<bool> busy_{false};             // whoever sets it may use what follows

  Clock::time_point rest_until_{}, last_rest_end_{};
  Clock::duration rest_{};
  std::atomic<std::int64_t> stalls_{0};

  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

// The number of threads that `--threads 0` (all) means: the processors this process may run on.
int available_threads();

}  // namespace octet
