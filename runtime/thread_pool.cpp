#include "runtime/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <system_error>

#include "runtime/error.h"
#include "runtime/float_environment.h"

namespace octet {
namespace {

// How long a worker spins for the next step before it sleeps: about as long as the gap between two steps of a network.
// Longer would take the core from a neighbour, shorter would pay a system call (some 5 us) per step.
constexpr int kSpins = 4000;

using namespace std::chrono_literals;
constexpr auto kLeastStall = 300us;  // shorter ones are not worth resting for
constexpr auto kFirstRest = 20ms, kLongestRest = 1280ms;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class Condition>
bool spin_until(Condition condition) {
  for (int i = 0; i < kSpins; ++i) {
    if (condition()) return true;
    pause();
  }
  return condition();
}

}  // namespace

int available_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

ThreadPool::ThreadPool(int threads) : shares_(static_cast<std::size_t>(std::clamp(threads, 1, 1024))) {
  require(threads >= 1 && threads <= 1024, "{} threads: a number from 1 to 1024 was expected", threads);
  try {
    for (int worker = 1; worker < threads; ++worker) workers_.emplace_back([this, worker] { work(worker); });
  } catch (const std::system_error& e) {
    const std::size_t started = workers_.size() + 1;
    stop();
    fail("{} threads: the system gave only {} ({})", threads, started, e.what());
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stop_ = true;
  generation_.fetch_add(1);
  generation_.notify_all();
  for (std::thread& thread : workers_) thread.join();
  workers_.clear();
}

void ThreadPool::take_chunks(int worker) {
  for (std::size_t i = 0; i < shares_.size(); ++i) {  // the own share first
    Share& share = shares_[(static_cast<std::size_t>(worker) + i) % shares_.size()];
    for (;;) {
      const std::int64_t first = share.next.fetch_add(chunk_, std::memory_order_relaxed);
      if (first >= share.end) break;
      task_(context_, first, std::min(first + chunk_, share.end), worker);
    }
  }
}

void ThreadPool::run(std::int64_t tiles, Task task, void* context) {
  if (tiles <= 0) return;
  if (workers_.empty() || tiles == 1 || busy_.exchange(true, std::memory_order_acquire)) {
    task(context, 0, tiles, 0);
    return;
  }
  if (resting()) {
    task(context, 0, tiles, 0);
  } else {
    run_shared(tiles, task, context);
  }
  busy_.store(false, std::memory_order_release);
}

void ThreadPool::run_shared(std::int64_t tiles, Task task, void* context) {
  const Clock::time_point start = Clock::now();
  task_ = task;
  context_ = context;
  chunk_ = std::max<std::int64_t>(1, tiles / (std::int64_t{threads()} * 4));
  const auto count = static_cast<std::int64_t>(shares_.size());
  for (std::int64_t i = 0; i < count; ++i) {
    Share& share = shares_[static_cast<std::size_t>(i)];
    share.next.store(tiles * i / count, std::memory_order_relaxed);
    share.end = tiles * (i + 1) / count;
  }
  const std::uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
  gate_.store(std::uint64_t{generation} << 32, std::memory_order_release);
  generation_.store(generation, std::memory_order_release);
  generation_.notify_all();
  take_chunks(0);
  // Whoever comes now stays outside, so the next job may overwrite this one as soon as those inside are done.
  if ((gate_.fetch_or(kClosed, std::memory_order_acq_rel) & (kClosed - 1)) != 0) wait_for_workers(start);
}

void ThreadPool::wait_for_workers(Clock::time_point start) {
  const auto done = [this] { return (gate_.load(std::memory_order_acquire) & (kClosed - 1)) == 0; };
  if (spin_until(done)) return;
  const Clock::time_point begin = Clock::now();
  while (!spin_until(done)) std::this_thread::yield();
  const Clock::time_point end = Clock::now();
  // A last chunk takes no longer than all chunks of the caller: beyond that, its worker was not running.
  if (end - begin <= begin - start + kLeastStall) return;
  stalls_.fetch_add(1, std::memory_order_relaxed);
  const bool again = rest_.count() != 0 && end - last_rest_end_ < rest_;
  rest_ = again ? std::min<Clock::duration>(4 * rest_, kLongestRest) : kFirstRest;
  rest_until_ = end + rest_;
}

// Whether the caller is still to work alone after a stall.
bool ThreadPool::resting() {
  if (rest_until_ == Clock::time_point{}) return false;
  const Clock::time_point now = Clock::now();
  if (now < rest_until_) return true;
  rest_until_ = {};
  last_rest_end_ = now;
  return false;
}

// Whether this worker came in time for the job.
bool ThreadPool::join(std::uint32_t generation) {
  std::uint64_t gate = gate_.load(std::memory_order_acquire);
  while ((gate & kClosed) == 0 && gate >> 32 == generation) {
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) return true;
  }
  return false;
}

void ThreadPool::work(int worker) {
  const FloatEnvironment environment;
  std::uint32_t seen = 0;
  for (;;) {
    if (!spin_until([&] { return generation_.load(std::memory_order_acquire) != seen; })) generation_.wait(seen);
    const std::uint32_t now = generation_.load(std::memory_order_acquire);
    if (now == seen) continue;
    seen = now;
    if (stop_) return;
    if (!join(now)) continue;
    take_chunks(worker);
    gate_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace octet
