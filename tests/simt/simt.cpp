#include "simt.h"

#include <elf.h>
#include <link.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <cstring>
#include <deque>
#include <fstream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define SIMT_UNCHECKED __attribute__((no_sanitize_address))
#else
#define SIMT_UNCHECKED
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt {

// --- where a fiber stands, and going on elsewhere
// ------------------------------------------------------------------------------------------------------

#if defined(__x86_64__)
// swapcontext() asks the system for its signals twice, a hundred times what this takes: the registers that a call
// preserves go onto the stack, the stack is changed, and they come back from the other one.
extern "C" void simt_switch(void** save, void* resume);
asm(R"(
  .text
  .type simt_switch, @function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size simt_switch, .-simt_switch
)");

struct Place {
  void* stack_pointer = nullptr;
  void start(std::uint8_t* stack, std::size_t size, void (*entry)()) {
    auto* top = reinterpret_cast<void**>((reinterpret_cast<std::uintptr_t>(stack) + size) / 16 * 16);
    *--top = nullptr;  // where a caller's address would be
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    stack_pointer = top;
  }
};
static void go(Place& from, Place& to) { simt_switch(&from.stack_pointer, to.stack_pointer); }
#else
struct Place {
  ucontext_t context;
  void start(std::uint8_t* stack, std::size_t size, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack, context.uc_stack.ss_size = size, context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }
};
static void go(Place& from, Place& to) { swapcontext(&from.context, &to.context); }
#endif

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStack = 256 << 10;
#else
constexpr std::size_t kStack = 64 << 10;
#endif
constexpr int kMostThreads = 1024, kBarriers = 16;

struct Copy {
  void* to;
  std::vector<std::uint8_t> bytes;  // as they were when the copy was started
};

struct Fiber {
  Place place;
  std::unique_ptr<std::uint8_t[]> stack;
  uint3 thread;
  int number = 0, round = 0;
  bool done = false;
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> groups;
};

struct Warp {
  Slot slots[2][kLanes];
  int arrived[2] = {0, 0};
  const char* what[2] = {nullptr, nullptr};
  int lanes = 0;
};

struct Barrier {
  int arrived = 0, wanted = 0;
  std::vector<int> waiting;
};

class Machine {
 public:
  void launch(dim3 grid, dim3 block, std::size_t dynamic, const std::function<void()>& body);
  Fiber& self() { return *fibers_[static_cast<std::size_t>(running_)]; }
  void meet_block(int barrier, int threads);
  const Slot* meet_warp(const char* what, const Slot& own);
  [[noreturn]] void fail(const char* what, const char* a = "", const char* b = "", const char* c = "");
  std::uint8_t* dynamic() { return dynamic_.data(); }

 private:
  void run_block(const std::function<void()>& body);
  void resume(int number);
  void yield();
  void release(std::vector<int>& waiting);
  void ended();
  static void enter();

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Warp> warps_;
  Barrier barriers_[kBarriers];
  std::vector<int> runnable_;
  std::vector<std::vector<int>> waiting_[2];  // by warp
  std::vector<std::uint8_t> dynamic_;
  Place scheduler_;
  const std::function<void()>* body_ = nullptr;
  std::string error_;
  int running_ = 0, threads_ = 0, alive_ = 0;
  std::mt19937 random_{20261123};
#if defined(__SANITIZE_ADDRESS__)
  const void* scheduler_stack_ = nullptr;
  std::size_t scheduler_size_ = 0;
#endif
};

Machine& machine() {
  static Machine one;
  return one;
}

// --- shared memory: the variables that kernels declare __shared__ lie in sections of their own
// ------------------------------------------------------------------------------------------------------

struct Piece {
  std::uint8_t* start;
  std::size_t size;
};

int take_base(dl_phdr_info* info, std::size_t, void* base) {  // the first is this program
  *static_cast<std::uintptr_t*>(base) = info->dlpi_addr;
  return 1;
}

std::vector<Piece> find_shared() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  ElfW(Ehdr) header;
  std::memcpy(&header, bytes.data(), sizeof header);
  std::vector<ElfW(Shdr)> sections(header.e_shnum);
  std::memcpy(sections.data(), bytes.data() + header.e_shoff, sections.size() * sizeof sections[0]);
  std::uintptr_t base = 0;
  dl_iterate_phdr(take_base, &base);
  std::vector<Piece> found;
  for (const auto& section : sections) {
    const char* name = bytes.data() + sections[header.e_shstrndx].sh_offset + section.sh_name;
    if (std::string(name).rfind("simt_shared_", 0) != 0) continue;
    found.push_back({reinterpret_cast<std::uint8_t*>(base + section.sh_addr), section.sh_size});
  }
  return found;
}

// (AddressSanitizer's red zones lie between the variables; they may be written, but it must not look)
SIMT_UNCHECKED void spoil_shared(std::mt19937& random) {
  static const std::vector<Piece> pieces = find_shared();
  for (const Piece& piece : pieces) {
    const std::uint32_t garbage = random();
    const std::size_t words = piece.size / sizeof garbage;  // (variables of less than a word stay as they are)
    for (std::size_t i = 0; i < words; ++i) reinterpret_cast<volatile std::uint32_t*>(piece.start)[i] = garbage;
  }
}

// --- fibers
// ------------------------------------------------------------------------------------------------------

void Machine::resume(int number) {
  running_ = number;
  Fiber& fiber = self();
  threadIdx = fiber.thread;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, fiber.stack.get(), kStack);
  go(scheduler_, fiber.place);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
  go(scheduler_, fiber.place);
#endif
}

void Machine::yield() {
  Fiber& fiber = self();
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, scheduler_stack_, scheduler_size_);
  go(fiber.place, scheduler_);
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack_, &scheduler_size_);
#else
  go(fiber.place, scheduler_);
#endif
}

// A fiber runs one thread after another for ever.
void Machine::enter() {
  Machine& m = machine();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &m.scheduler_stack_, &m.scheduler_size_);
#endif
  while (true) {
    (*m.body_)();
    m.ended();
    m.yield();
  }
}

void Machine::ended() {
  self().done = true;
  --alive_;
  for (Barrier& b : barriers_) {
    if (b.wanted == 0 && b.arrived > 0 && b.arrived == alive_) release(b.waiting), b.arrived = 0;
  }
}

void Machine::release(std::vector<int>& waiting) {
  runnable_.insert(runnable_.end(), waiting.begin(), waiting.end());
  waiting.clear();
}

void Machine::meet_block(int barrier, int threads) {
  Barrier& b = barriers_[barrier];
  if (b.arrived > 0 && b.wanted != threads) fail("threads meet at one barrier with different numbers");
  b.wanted = threads;
  if (++b.arrived == (threads == 0 ? alive_ : threads)) {
    b.arrived = 0;
    release(b.waiting);
    runnable_.push_back(running_);
  } else {
    b.waiting.push_back(running_);
  }
  yield();
}

const Slot* Machine::meet_warp(const char* what, const Slot& own) {
  Fiber& fiber = self();
  const auto number = static_cast<std::size_t>(fiber.number / kLanes);
  Warp& warp = warps_[number];
  const int round = fiber.round++ % 2;
  if (warp.arrived[round] > 0 && std::strcmp(warp.what[round], what) != 0)
    fail("lanes of a warp meet at ", what, " and at ", warp.what[round]);
  warp.what[round] = what;
  warp.slots[round][fiber.number % kLanes] = own;
  std::vector<int>& waiting = waiting_[round][number];
  if (++warp.arrived[round] == warp.lanes) {
    warp.arrived[round] = 0;
    release(waiting);
    runnable_.push_back(running_);
  } else {
    waiting.push_back(running_);
  }
  yield();
  return warp.slots[round];
}

// Back to the scheduler, which gives the block up; its fibers are not resumed any more, so nothing may be held here.
void Machine::fail(const char* what, const char* a, const char* b, const char* c) {
  for (const char* part : {what, a, b, c}) error_ += part;
  yield();
  __builtin_unreachable();
}

void Machine::run_block(const std::function<void()>& body) {
  body_ = &body;
  for (Barrier& b : barriers_) b = {};
  runnable_.clear();
  for (int i = 0; i < threads_; ++i) runnable_.push_back(i);
  alive_ = threads_;
  spoil_shared(random_);
  for (std::uint8_t& byte : dynamic_) byte = static_cast<std::uint8_t>(random_());
  while (!runnable_.empty() && error_.empty()) {
    std::swap(runnable_[random_() % runnable_.size()], runnable_.back());
    const int next = runnable_.back();
    runnable_.pop_back();
    resume(next);
  }
  if (error_.empty() && alive_ > 0) {
    error_ = std::to_string(alive_) + " threads of a block wait for others that do not come";
    for (const Warp& warp : warps_) {
      for (int round = 0; round < 2; ++round)
        if (warp.arrived[round] > 0) error_ += std::string("; at ") + warp.what[round];
    }
    for (const Barrier& b : barriers_)
      if (b.arrived > 0) error_ += "; at a barrier of the block";
  }
  for (int i = 0; i < threads_ && error_.empty(); ++i) {
    const Fiber& fiber = *fibers_[static_cast<std::size_t>(i)];
    if (!fiber.open.empty() || !fiber.groups.empty()) {
      for (const auto& group : fiber.groups)
        if (!group.empty()) error_ = "a thread ended before the copies that it had started arrived";
    }
  }
}

void Machine::launch(dim3 grid, dim3 block, std::size_t dynamic, const std::function<void()>& body) {
  threads_ = static_cast<int>(block.x * block.y * block.z);
  if (threads_ < 1 || threads_ > kMostThreads) throw std::runtime_error("a block of that many threads");
  while (static_cast<int>(fibers_.size()) < threads_) {
    auto& fiber = fibers_.emplace_back(std::make_unique<Fiber>());
    fiber->number = static_cast<int>(fibers_.size()) - 1;
    fiber->stack = std::make_unique<std::uint8_t[]>(kStack);
    fiber->place.start(fiber->stack.get(), kStack, enter);
  }
  dynamic_.assign(dynamic, 0);
  const auto warps = static_cast<std::size_t>((threads_ + kLanes - 1) / kLanes);
  std::vector<unsigned> order(std::size_t{grid.x} * grid.y * grid.z);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<unsigned>(i);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_() % i]);
  for (const unsigned number : order) {
    warps_.assign(warps, {});
    for (auto& waiting : waiting_) waiting.assign(warps, {});
    for (int i = 0; i < threads_; ++i) {
      Fiber& fiber = *fibers_[static_cast<std::size_t>(i)];
      const auto t = static_cast<unsigned>(i);
      fiber.thread = {t % block.x, t / block.x % block.y, t / block.x / block.y};
      fiber.round = 0, fiber.done = false;
      fiber.open.clear(), fiber.groups.clear();
      ++warps_[static_cast<std::size_t>(i / kLanes)].lanes;
    }
    gridDim = grid, blockDim = block;
    blockIdx = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
    run_block(body);
    if (error_.empty()) continue;
    fibers_.clear();  // they stand in the middle of things
    const std::string error = "emulated device: " + std::exchange(error_, {});
    throw std::runtime_error(error);
  }
}

}  // namespace

void launch(dim3 grid, dim3 block, std::size_t dynamic_shared, const std::function<void()>& body) {
  machine().launch(grid, block, dynamic_shared, body);
}

int lane() { return machine().self().number % kLanes; }
std::uint8_t* dynamic_shared() { return machine().dynamic(); }
void meet_block(int barrier, int threads) { machine().meet_block(barrier, threads); }
const Slot* meet_warp(const char* what, const Slot& own) { return machine().meet_warp(what, own); }
void fail(const char* what) { machine().fail(what); }

// Relative to this, so that 32 bits do.
static std::uint8_t anchor;
std::uint32_t address_of(const void* shared) {
  return static_cast<std::uint32_t>(static_cast<const std::uint8_t*>(shared) - &anchor);
}
void* pointer_of(std::uint32_t address) { return &anchor + static_cast<std::int32_t>(address); }

void copy_later(void* to, const void* from, std::size_t size, bool valid) {
  Copy& copy = machine().self().open.emplace_back(Copy{to, std::vector<std::uint8_t>(size)});
  if (valid) std::memcpy(copy.bytes.data(), from, size);
}

void close_group() {
  Fiber& fiber = machine().self();
  fiber.groups.push_back(std::move(fiber.open));
  fiber.open.clear();
}

void wait_for_groups(int pending) {
  auto& groups = machine().self().groups;
  while (static_cast<int>(groups.size()) > pending) {
    for (const Copy& copy : groups.front()) std::memcpy(copy.to, copy.bytes.data(), copy.bytes.size());
    groups.pop_front();
  }
}

}  // namespace simt
