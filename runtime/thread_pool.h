// ThreadPool: splits the tiles of one step over a few threads. Tiles are output tiles, never parts of one sum, so the
// result does not depend on who ran what. Every thread starts at its own share of the tiles, the same part of every
// step, so that it mostly reads what it wrote itself a step ago and its cache still holds. Tiles are taken one chunk at
// a time, and whoever is done helps the others: a thread that the system took away for other work costs one chunk, not
// a share.
#pragma once

#include <atomic>
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

  // Runs task(context, first, last, worker) until [0, tiles) is covered; `worker` < threads() names the caller's
  // scratch. Returns when all is done. Allocates nothing and takes no lock. When another thread is using this pool
  // right now, the caller does all the work itself as worker 0 of its own context.
  using Task = void (*)(void* context, std::int64_t first, std::int64_t last, int worker);
  void run(std::int64_t tiles, Task task, void* context);

 private:
  void stop();
  void work(int worker);
  void take_chunks(int worker);

  struct alignas(64) Share {  // of one thread: the tiles that nobody has taken yet
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
  };

  // The job that all are working on. Written by run() before `generation_` is raised, read by the workers after it.
  Task task_ = nullptr;
  void* context_ = nullptr;
  std::int64_t chunk_ = 1;
  std::vector<Share> shares_;
  std::atomic<int> working_{0};
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<bool> busy_{false};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

// The number of threads that `--threads 0` (all) means: the processors this process may run on.
int available_threads();

}  // namespace octet
