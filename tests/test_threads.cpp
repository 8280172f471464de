// ThreadPool: every tile exactly once, whatever the number of threads, callers and tiles. Also what a thread sanitizer
// is run on.
#include <doctest/doctest.h>

#include <algorithm>

#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "runtime/error.h"
#include "runtime/thread_pool.h"

using namespace octet;

namespace {

struct Job {
  explicit Job(std::int64_t tiles) : done(static_cast<std::size_t>(tiles)) {}
  std::vector<std::atomic<int>> done;
  std::atomic<int> bad_worker{0};
  int workers = 0;
  ThreadPool* nested = nullptr;  // run on it from inside a tile
};

void visit(void* context, std::int64_t first, std::int64_t last, int worker) {
  Job& job = *static_cast<Job*>(context);
  if (worker < 0 || worker >= job.workers || first >= last) ++job.bad_worker;
  for (std::int64_t tile = first; tile < last; ++tile) ++job.done[static_cast<std::size_t>(tile)];
  if (job.nested == nullptr) return;
  Job inner(5);
  inner.workers = job.nested->threads();
  job.nested->run(5, visit, &inner);
  for (const auto& count : inner.done) job.bad_worker += count != 1;
}

bool covered(const Job& job) {
  for (const auto& count : job.done) {
    if (count != 1) return false;
  }
  return job.bad_worker == 0;
}

}  // namespace

TEST_CASE("every tile is run exactly once") {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (const std::int64_t tiles : {0, 1, 2, 3, 7, 31, 32, 33, 1000, 12345}) {
      Job job(tiles);
      job.workers = threads;
      pool.run(tiles, visit, &job);
      CHECK(covered(job));
    }
    std::mt19937 random(1);
    bool all = true;
    for (int i = 0; i < 3000; ++i) {  // short jobs right behind each other: a late worker must not see the next one
      const auto tiles = static_cast<std::int64_t>(random() % 40);
      Job job(tiles);
      job.workers = threads;
      pool.run(tiles, visit, &job);
      all = all && covered(job);
    }
    CHECK(all);
  }
}

TEST_CASE("a pool that is asked from several threads, or from inside itself, still does everything") {
  ThreadPool pool(3);
  std::atomic<int> wrong{0};
  std::vector<std::thread> users;
  for (int user = 0; user < 4; ++user) {
    users.emplace_back([&, user] {
      for (int i = 0; i < 500; ++i) {
        Job job(1 + (i * 7 + user) % 50);
        job.workers = pool.threads();
        if (i % 10 == 0) job.nested = &pool;
        pool.run(static_cast<std::int64_t>(job.done.size()), visit, &job);
        if (!covered(job)) ++wrong;
      }
    });
  }
  for (std::thread& user : users) user.join();
  CHECK(wrong == 0);
}

TEST_CASE("pools come and go, used or not, busy or asleep") {
  for (int i = 0; i < 60; ++i) {
    auto pool = std::make_unique<ThreadPool>(1 + i % 5);
    if (i % 3 == 0) continue;
    if (i % 7 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the workers have gone to sleep
    Job job(100);
    job.workers = pool->threads();
    pool->run(100, visit, &job);
    CHECK(covered(job));
  }
  CHECK(available_threads() >= 1);
}

TEST_CASE("what one run writes, the caller and the next run see") {
  ThreadPool pool(4);
  std::vector<int> values(997, 0);  // plain: only the pool's own synchronisation orders these
  const auto add_one = [](void* context, std::int64_t first, std::int64_t last, int) {
    auto& all = *static_cast<std::vector<int>*>(context);
    for (std::int64_t i = first; i < last; ++i) ++all[static_cast<std::size_t>(i)];
  };
  for (int i = 0; i < 500; ++i) pool.run(997, add_one, &values);
  CHECK(std::ranges::count(values, 500) == 997);
}

// A worker that is taken away in the middle of a chunk, as a busy neighbour would: the caller waits once, then rests.
TEST_CASE("after a stall the caller works alone for a while, and then shares again") {
  struct Visits {
    std::atomic<int> by_worker{0};
    std::atomic<int> stall_ms{0};
  };
  const auto task = [](void* context, std::int64_t first, std::int64_t last, int worker) {
    auto& visits = *static_cast<Visits*>(context);
    if (worker == 0) {  // leave the worker the time to come
      std::this_thread::sleep_for(std::chrono::microseconds(500));
      return;
    }
    visits.by_worker += static_cast<int>(last - first);
    std::this_thread::sleep_for(std::chrono::milliseconds(visits.stall_ms.exchange(0)));
  };
  ThreadPool pool(2);
  Visits visits;
  while (visits.by_worker == 0) pool.run(8, task, &visits);  // (the first thread of a machine in use may take its time)
  const std::int64_t before = pool.stalls();
  visits.stall_ms = 200;
  while (visits.stall_ms != 0) pool.run(8, task, &visits);
  CHECK(pool.stalls() > before);
  visits.by_worker = 0;
  pool.run(8, task, &visits);
  CHECK(visits.by_worker == 0);  // resting
  const auto start = std::chrono::steady_clock::now();
  while (visits.by_worker == 0 && std::chrono::steady_clock::now() - start < std::chrono::seconds(20)) {
    pool.run(8, task, &visits);
  }
  CHECK(visits.by_worker > 0);
}
