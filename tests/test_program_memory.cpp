// What a Program does with memory and with the machine: the arena's values never overlap while they live, run()
// allocates nothing, sums and concatenations are made in place, and a host's floating-point mode changes nothing.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <set>
#include <thread>

#include "kernels/params.h"
#include "runtime/float_environment.h"
#include "tests/program_graphs.h"

#if defined(__has_feature)
#define OCTET_HAS_FEATURE(x) __has_feature(x)
#else
#define OCTET_HAS_FEATURE(x) 0
#endif

namespace {
std::atomic<long> allocations{0};
}

// Every allocation of this binary is counted: operator new ends in malloc, and so do Eigen's own buffers.
#if defined(__SANITIZE_ADDRESS__) || OCTET_HAS_FEATURE(address_sanitizer)
// As <sanitizer/allocator_interface.h> declares it, which comes with clang only.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, std::size_t),
                                                         void (*)(const volatile void*));
namespace {
const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { ++allocations; }, [](const volatile void*) {});
constexpr bool kCounts = true;
}  // namespace
#elif defined(__GLIBC__) && !defined(__SANITIZE_THREAD__)
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t size) { return ++allocations, __libc_malloc(size); }
void* aligned_alloc(std::size_t alignment, std::size_t size) { return ++allocations, __libc_memalign(alignment, size); }
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  ++allocations;
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? 12 : 0;
}
}
namespace {
constexpr bool kCounts = true;
}
#else
namespace {
constexpr bool kCounts = false;
}
#endif

using namespace octet;
using namespace octet::test;

namespace {

std::vector<Quantised> networks() {
  std::vector<Quantised> all;
  for (const auto scheme : {calib::Scheme::symmetric, calib::Scheme::affine}) {
    for (const Graph& graph : {chain(), borders(), residuals(), concats()}) all.push_back(quantised(graph, scheme));
  }
  for (Graph graph : {chain(), borders(), residuals(), concats()}) {
    Random random(9);
    randomise_weights(graph, random);
    all.push_back({calib::as_float(graph), random.tensor(with_batch(3, graph.edges()[0].shape), 1.0)});
  }
  return all;
}

// The bytes of the arena that a view, widened by a border, occupies.
std::set<std::int64_t> bytes_of(const Slot& slot, const kernels::HaloParams& halo, int batch) {
  std::set<std::int64_t> bytes;
  const View& v = slot.view;
  for (std::int64_t n = 0; n < batch; ++n) {
    for (std::int64_t y = -halo.top; y < v.h + halo.bottom; ++y) {
      for (std::int64_t x = -halo.left; x < v.w + halo.right; ++x) {
        for (std::int64_t c = 0; c < v.c; ++c) {
          const std::int64_t e = n * v.stride_n + y * v.stride_h + x * v.stride_w + c * v.stride_c;
          for (int b = 0; b < size_of(v.type); ++b) bytes.insert(slot.offset + e * size_of(v.type) + b);
        }
      }
    }
  }
  return bytes;
}

struct Life {
  int first = -1, last = -1;  // steps that touch it
  std::set<std::int64_t> bytes;
};

// Returns when every thread of the pool has started: a thread's own first steps allocate.
void start_all(ThreadPool& pool) {
  struct Meeting {
    std::atomic<int> arrived{0};
    int wanted;
  } meeting;
  meeting.wanted = pool.threads();
  const auto arrive = [](void* context, std::int64_t first, std::int64_t last, int) {
    Meeting& m = *static_cast<Meeting*>(context);
    m.arrived += static_cast<int>(last - first);
    while (m.arrived < m.wanted) std::this_thread::yield();
  };
  pool.run(pool.threads(), arrive, &meeting);
}

bool is_halo(const Step& step) { return step.variant.starts_with("halo"); }

// Two values that live at the same time may share bytes only when one is a concatenation that holds the other, or when
// a sum overwrites an operand at the very step that reads it last.
std::string overlap(const Program& program) {
  std::vector<Life> lives(program.slots.size());
  std::vector<kernels::HaloParams> halos(program.slots.size());
  std::set<int> joint;  // slots that are outputs of a concatenation
  std::set<std::pair<int, int>> in_place;
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    const auto touch = [&](int slot) {
      Life& life = lives[static_cast<std::size_t>(slot)];
      if (life.first < 0) life.first = static_cast<int>(i);
      life.last = static_cast<int>(i);
    };
    for (const int input : step.inputs) touch(input);
    touch(step.output);
    if (is_halo(step)) {
      halos[static_cast<std::size_t>(step.output)] = *static_cast<const kernels::HaloParams*>(step.params.get());
    }
    for (const Completed& done : step.completes) {
      for (const QNode& node : program.graph.nodes) {
        if (node.output == done.edge && node.op == Op::concat) joint.insert(done.slot);
      }
    }
    if (step.op == Op::add && !is_halo(step)) {
      for (const int input : step.inputs) in_place.insert({input, step.output});
    }
  }
  for (std::size_t i = 0; i < lives.size(); ++i) {
    if (program.slots[i].place != Place::arena || lives[i].first < 0) continue;
    lives[i].bytes = bytes_of(program.slots[i], halos[i], program.batch);
    if (*lives[i].bytes.begin() < 0 || *lives[i].bytes.rbegin() >= static_cast<std::int64_t>(program.arena_bytes)) {
      return fmt::format("slot {} leaves the arena", i);
    }
  }
  for (std::size_t a = 0; a < lives.size(); ++a) {
    for (std::size_t b = 0; b < lives.size(); ++b) {
      if (a == b || lives[a].bytes.empty() || lives[b].bytes.empty()) continue;
      if (lives[a].last < lives[b].first || lives[b].last < lives[a].first) continue;
      const bool share = std::ranges::any_of(lives[a].bytes, [&](auto byte) { return lives[b].bytes.contains(byte); });
      const auto ia = static_cast<int>(a), ib = static_cast<int>(b);
      const bool sums = (in_place.contains({ia, ib}) && lives[a].last <= lives[b].first) ||
                        (in_place.contains({ib, ia}) && lives[b].last <= lives[a].first);
      const bool holds = (joint.contains(ia) && std::ranges::includes(lives[a].bytes, lives[b].bytes)) ||
                         (joint.contains(ib) && std::ranges::includes(lives[b].bytes, lives[a].bytes));
      if (share && !sums && !holds) {
        return fmt::format("slots {} (steps {}..{}) and {} (steps {}..{}) share memory", a, lives[a].first,
                           lives[a].last, b, lives[b].first, lives[b].last);
      }
    }
  }
  return "";
}

}  // namespace

TEST_CASE("values that live at the same time do not share memory") {
  for (const Quantised& q : networks()) {
    for (const kernels::Isa isa : kernels::available_isas()) {
      const auto program = kernels::plan(q.graph, {.batch = 2, .isa = isa});
      const std::string found = overlap(*program);
      CHECK_MESSAGE(found.empty(), q.graph.name << " " << kernels::name_of(isa) << ": " << found);
    }
  }
  // The checker itself can fail: two values of one network moved onto each other.
  const auto program = kernels::plan(networks()[0].graph, {.batch = 2});
  Program broken = *program;
  const Step& last = broken.steps.back();
  broken.slots[static_cast<std::size_t>(last.inputs[0])].offset = 0;
  broken.slots[static_cast<std::size_t>(broken.steps[broken.steps.size() - 2].inputs[0])].offset = 0;
  CHECK(!overlap(broken).empty());
}

TEST_CASE("running allocates nothing, in no thread") {
  if (!kCounts) {
    MESSAGE("skipped: this build cannot count allocations");
    return;
  }
  long before = allocations;
  const std::vector<int> some(100, allocations > 0);
  REQUIRE(allocations - before == some[0]);  // the counter counts
  std::vector<Quantised> all = networks();
  Graph wide("wide");  // float matrices beyond any small-size path of the GEMM
  const EdgeId x = wide.input("features", Shape{9000});
  wide.set_output(wide.linear("fc2", wide.linear("fc1", x, 300), 257));
  Random random(2);
  randomise_weights(wide, random);
  all.push_back({calib::as_float(wide), random.tensor(Shape{3, 9000}, 1.0)});
  Graph deep("deep");
  const EdgeId image = deep.input("image", Shape{512, 5, 33});
  deep.set_output(deep.conv2d("conv", image, 600, conv(3, 1, 1)));
  randomise_weights(deep, random);
  all.push_back({calib::as_float(deep), random.tensor(Shape{3, 512, 5, 33}, 1.0)});
  for (const Quantised& q : all) {
    for (const kernels::Isa isa : kernels::available_isas()) {
      if (isa == kernels::Isa::reference && q.graph.name == "deep") continue;  // slow, and it has no buffers
      ThreadPool pool(2);
      const auto program = kernels::plan(q.graph, {.batch = 3, .isa = isa});
      Context context(program, pool);
      Tensor output = output_for(*program, 3), output_one = output_for(*program, 1);
      const Tensor one(DType::f32, with_batch(1, program->input_like.shape()));  // products with one row
      start_all(pool);
      before = allocations;
      context.run(q.input, output);
      context.run(one, output_one);
      context.run(q.input, output);
      const long made = allocations - before;
      CHECK_MESSAGE(made == 0, q.graph.name << " " << kernels::name_of(isa) << " made " << made << " allocations");
    }
  }
}

TEST_CASE("sums overwrite an operand that nobody needs any more, and only then") {
  for (const auto scheme : {calib::Scheme::symmetric, calib::Scheme::affine}) {
    const Quantised q = quantised(residuals(), scheme);
    const auto program = kernels::plan(q.graph, {.batch = 2});
    int in_place = 0, apart = 0;
    for (const Step& step : program->steps) {
      if (step.op != Op::add || is_halo(step)) continue;
      const auto offset = [&](int slot) { return program->slots[static_cast<std::size_t>(slot)].offset; };
      const bool shares = std::ranges::any_of(step.inputs, [&](int i) { return offset(i) == offset(step.output); });
      ++(shares ? in_place : apart);
      if (step.name == "sum3") CHECK_FALSE(shares);  // the same edge twice
    }
    MESSAGE(std::string(name_of(scheme)), ": ", in_place, " sums in place, ", apart, " apart");
    // In place needs equal zero points (the halo's content), which an affine edge seldom has.
    CHECK(in_place >= (scheme == calib::Scheme::symmetric ? 1 : 0));
  }
}

TEST_CASE("concatenations are written in place where step and zero point allow it") {
  enum class Edges { equal, other_steps, other_zeros };
  for (const Edges kind : {Edges::equal, Edges::other_steps, Edges::other_zeros}) {
    Quantised q = quantised(concats(), calib::Scheme::symmetric);
    // Any parameters make a valid graph, as long as the max-pool keeps its input's.
    QuantParams params{.step = 0.05f, .zero = 100, .lo = 0, .hi = 255};
    for (QNode& node : q.graph.nodes) {
      QEdge& edge = q.graph.edges[static_cast<std::size_t>(node.output)];
      if (kind == Edges::other_steps) params.step *= 1.01f;
      if (kind == Edges::other_zeros) ++params.zero;
      edge.quant = node.op == Op::max_pool ? q.graph.edges[static_cast<std::size_t>(node.inputs[0])].quant : params;
    }
    const auto program = kernels::plan(q.graph, {.batch = 3});
    int copies = 0;
    for (const Step& step : program->steps) copies += step.op == Op::concat && !is_halo(step);
    // In place: a into ab, b into ab, c, d and pool into all. Copied: a twice more, and the nested ab.
    CHECK(copies == (kind == Edges::equal ? 3 : 8));
    ThreadPool pool(2);
    const Run run = run_once(q.graph, {.batch = 3}, q.input, pool);
    const Verdict verdict = compare(q.graph, reals_of(q.input), run, 3);
    CHECK_MESSAGE(verdict.error.empty(), verdict.error);
    CHECK(verdict.integer_edges >= 10);
  }
}

TEST_CASE("padded layers of the fast kernels read a halo that holds the zero point") {
  const Quantised q = quantised(borders(), calib::Scheme::affine);
  for (const kernels::Isa isa : kernels::available_isas()) {
    const auto program = kernels::plan(q.graph, {.batch = 3, .isa = isa});
    int halos = 0;
    for (const Step& step : program->steps) {
      if (!is_halo(step)) continue;
      ++halos;
      const auto& p = *static_cast<const kernels::HaloParams*>(step.params.get());
      CHECK(p.top + p.left + p.bottom + p.right > 0);
      const auto follows = std::ranges::find_if(program->graph.edges,
                                                [&](const QEdge& e) { return e.quantised && e.quant.zero == p.fill; });
      CHECK(follows != program->graph.edges.end());
    }
    if (isa == kernels::Isa::reference) CHECK(halos == 0);
    if (isa == kernels::Isa::portable) CHECK(halos == 4);
  }
}

#if defined(__x86_64__)
TEST_CASE("the host's floating-point mode changes no result and comes back") {
  Graph graph = chain();
  Random random(4);
  randomise_weights(graph, random, 0);
  observe_all(graph);
  const Tensor input = random.tensor(Shape{3, 3, 17, 13}, 2.0);
  const calib::Ranges ranges = ranges_for(graph, input, calib::Scheme::affine);
  const auto run = [&](int threads, unsigned& mode_afterwards) {
    ThreadPool pool(threads);  // its threads inherit the mode that the host has now
    const auto program = kernels::plan(calib::quantise(graph, ranges), {.batch = 3});
    Context context(program, pool);
    Tensor output = output_for(*program, 3);
    context.run(input, output);
    mode_afterwards = _mm_getcsr();
    return output;
  };
  const unsigned original = _mm_getcsr();
  unsigned afterwards = 0;
  const Tensor wanted = run(1, afterwards);
  // flush-to-zero with denormals-are-zero; rounding down, up, towards zero; all at once
  for (const unsigned mode : {0x8040u, 0x2000u, 0x4000u, 0x6000u, 0xE040u}) {
    for (const int threads : {1, 3}) {
      _mm_setcsr(original | mode);
      const Tensor output = run(threads, afterwards);
      _mm_setcsr(original);
      CHECK((afterwards & 0xFFC0u) == ((original | mode) & 0xFFC0u));
      CHECK(std::memcmp(wanted.raw(), output.raw(), wanted.bytes()) == 0);
    }
  }
  // An error on the way leaves the host's mode alone too.
  _mm_setcsr(original | 0x6000u);
  ThreadPool pool(1);
  const auto program = kernels::plan(calib::quantise(graph, ranges), {.batch = 3});
  Context context(program, pool);
  Tensor broken = input.clone(), output = output_for(*program, 3);
  broken.span<float>()[5] = std::nanf("");
  CHECK_THROWS_AS(context.run(broken, output), Error);
  afterwards = _mm_getcsr();
  _mm_setcsr(original);
  CHECK((afterwards & 0x6000u) == 0x6000u);
}
#endif
