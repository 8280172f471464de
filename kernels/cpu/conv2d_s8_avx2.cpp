// conv2d_s8_avx2: direct convolution in two ways.
//
// vpmaddubsw + vpmaddwd add four products of unsigned inputs and signed weights to each 32-bit sum. vpmaddubsw
// saturates at 16 bits, so only steps qualify for which rule 5 proves that it cannot: inputs within [0, 127] and
// weights within
// [-127, 127] make pairs of at most 32,258. Post-ReLU activations and reduce_range are of that kind.
//
// All others: inputs are widened to 16 bits once, and vpmaddwd alone adds two products at a time. (Making the inputs
// positive with vpsignb instead costs a third multiplication-port instruction for each four products; this costs less.)
#include "kernels/cpu/avx2.h"
#include "kernels/cpu/direct_conv.h"

namespace octet::kernels {
namespace {

struct Common {
  using Sum = __m256i;
  using WeightVector = __m256i;
  using Epilogue = avx2::Constants;
  static constexpr int kLanes = 8, kGroupMultiple = 1, kMaxBlocks = 2;

  static std::int64_t compensation_bytes(std::int64_t) { return 0; }
  static void set_compensation(void*, std::int64_t, std::int64_t) {}
  static Epilogue prepare(const StepArgs& args) { return avx2::constants_of(args); }
  static std::int64_t output_size(const Epilogue& e) { return e.form == kernels::Epilogue::Form::real ? 4 : 1; }
  static Sum start(const Epilogue& e, std::int64_t channel) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(e.bias + channel));
  }
  static WeightVector load_weights(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
  static __m256i broadcast(const std::byte* from) {  // four bytes, or two 16-bit numbers
    std::int32_t four;
    std::memcpy(&four, from, 4);
    return _mm256_set1_epi32(four);
  }
  static Sum max(Sum a, Sum b) { return _mm256_max_epi32(a, b); }
  template <int B, class Get>
  static void store_all(const Epilogue& e, Get get, std::byte* const* out, std::int64_t count, std::int64_t channel,
                        std::int64_t channels) {
    avx2::store_pixels<B>(e, get, out, count, channel, channels);
  }
};

// Weights of two groups of four inputs, and the inputs themselves.
struct Two {
  __m256i a, b;
};

// Groups that are added by themselves, because 16 bits cannot hold some lane's sum with its neighbour.
struct Extras {
  std::int32_t count = 0;                 // -1: the layer has too many, and no groups are added in 16 bits
  const std::int32_t* offsets = nullptr;  // [count]: bytes from a pixel's first input
  const std::int8_t* weights = nullptr;   // [count][8 lanes][4]
};

// Where they lie: behind all weights, for each block of channels [count][room offsets][room weights].
struct ExtrasRoom {
  std::int64_t room = 0;

  explicit ExtrasRoom(const direct::Geometry& g) : room((g.run_rows * g.run_taps * g.groups / 16 + 8) / 8 * 8) {}
  std::int64_t bytes() const { return 32 + 36 * room; }
  template <class Byte>
  Byte* offsets(Byte* block) const {
    return block + 32;
  }
  template <class Byte>
  Byte* weights(Byte* block) const {
    return block + 32 + 4 * room;
  }
};

struct BytesEpilogue : avx2::Constants {
  const std::byte* extras = nullptr;  // of the first block
  ExtrasRoom room{{}};
};

struct Bytes : Common {
  using Input = std::uint8_t;
  using Weight = std::int8_t;
  using WeightVector = Two;
  using Epilogue = BytesEpilogue;
  static constexpr int kGroup = 4, kGroupMultiple = 2, kGroupsTogether = 2, kMaxBlocks = 1;
  // Shallow sums are soon to be stored, for which two blocks at a time are better.
  static constexpr std::int64_t kWideBlocks = 2, kFirstCache = 4 << 10;

  static Epilogue prepare(const StepArgs& args) {
    Epilogue e;
    static_cast<avx2::Constants&>(e) = avx2::constants_of(args);
    const direct::Geometry g = direct::geometry_of<Bytes>(args);
    e.extras = static_cast<const std::byte*>(static_cast<const ConvParams*>(args.params)->weights) +
               direct::packed_bytes<Bytes>(args);
    e.room = ExtrasRoom(g);
    return e;
  }
  static Two load_weights(const void* from) {
    const auto* vectors = static_cast<const __m256i*>(from);
    return {_mm256_loadu_si256(vectors), _mm256_loadu_si256(vectors + 1)};
  }
  static Two broadcast(const std::byte* from) { return {Common::broadcast(from), Common::broadcast(from + 4)}; }
  static void multiply_add(Sum& sum, Two x, Two w) {
    const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(x.a, w.a), _mm256_maddubs_epi16(x.b, w.b));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static Extras extras(const Epilogue& e, std::int64_t channel) {
    const std::byte* block = e.extras + channel / kLanes * e.room.bytes();
    return {*reinterpret_cast<const std::int32_t*>(block), reinterpret_cast<const std::int32_t*>(e.room.offsets(block)),
            reinterpret_cast<const std::int8_t*>(e.room.weights(block))};
  }
  static __m256i load_extra(const Extras& e, std::int32_t i) { return Common::load_weights(e.weights + 32 * i); }
  static void multiply_add_extra(Sum& sum, const std::byte* from, __m256i w) {
    const __m256i pairs = _mm256_maddubs_epi16(Common::broadcast(from), w);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  template <class Call>
  static void dispatch(std::int64_t blocks, std::int64_t length, bool pooled, Call call) {
    if (blocks == 2) return call(direct::Number<4>(), direct::Number<2>());
    if (direct::best_pixels<8, 7>(length, pooled) == 7) return call(direct::Number<7>(), direct::Number<1>());
    return call(direct::Number<8>(), direct::Number<1>());
  }
};

// The same packing without sums in 16 bits.
struct BytesApart : Bytes {
  static void multiply_add(Sum& sum, Two x, Two w) {
    const __m256i ones = _mm256_set1_epi16(1);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x.a, w.a), ones));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x.b, w.b), ones));
  }
};

// Whether a lane's weights of two groups fit: each 16-bit sum is of two products of either, whose inputs are 0 to 127.
bool sums_fit(const std::int8_t* a, const std::int8_t* b) {
  for (int half = 0; half < 4; half += 2) {
    int positive = 0, negative = 0;
    const std::int8_t four[] = {a[half], a[half + 1], b[half], b[half + 1]};
    for (const std::int8_t w : four) (w > 0 ? positive : negative) += w;
    if (127 * positive > 32767 || 127 * negative < -32768) return false;
  }
  return true;
}

// Moves what does not fit from a block's weights to its extras; false where there is no room for all of it.
bool move_extras(const direct::Geometry& g, std::int8_t* weights, std::byte* block) {
  const ExtrasRoom room(g);
  std::int32_t count = 0;
  auto* offsets = reinterpret_cast<std::int32_t*>(room.offsets(block));
  auto* extras = reinterpret_cast<std::int8_t*>(room.weights(block));
  for (std::int64_t run = 0; run < g.run_rows * g.run_taps; ++run) {
    const std::int64_t start = run / g.run_taps * g.row_step + run % g.run_taps * g.tap_step;
    for (std::int64_t group = 0; group < g.groups; group += 2, weights += 64) {
      bool moved = false;
      for (int lane = 0; lane < Bytes::kLanes; ++lane) {
        std::int8_t *a = weights + 4 * lane, *b = a + 32;
        if (sums_fit(a, b)) continue;
        if (!moved && count == room.room) return false;
        if (!moved) offsets[count++] = static_cast<std::int32_t>(start + 4 * (group + 1));
        moved = true;
        std::memcpy(extras + 32 * (count - 1) + 4 * lane, b, 4);
        std::memset(b, 0, 4);
      }
    }
  }
  std::memcpy(block, &count, 4);
  return true;
}

std::size_t bytes_packed(const StepArgs& args) {
  const auto extras = direct::blocks<Bytes>(args) * ExtrasRoom(direct::geometry_of<Bytes>(args)).bytes();
  return direct::packed_bytes<Bytes>(args) + static_cast<std::size_t>(extras);
}

void pack_bytes_of(const StepArgs& args, const void* source, void* packed) {
  const direct::Geometry g = direct::geometry_of<Bytes>(args);
  const std::size_t before = direct::packed_bytes<Bytes>(args);
  auto* extras = static_cast<std::byte*>(packed) + before;
  direct::pack<Bytes>(args, source, packed);
  std::memset(extras, 0, bytes_packed(args) - before);
  for (std::int64_t block = 0; block < direct::blocks<Bytes>(args); ++block) {
    auto* weights = static_cast<std::int8_t*>(packed) + block * direct::block_size<Bytes>(g);
    if (move_extras(g, weights, extras + block * ExtrasRoom(g).bytes())) continue;
    direct::pack<Bytes>(args, source, packed);  // as they were
    const std::int32_t none = -1;
    std::memcpy(extras, &none, 4);
    return;
  }
}

void run_bytes(const StepArgs& args, std::int64_t first, std::int64_t last) {
  const bool apart = Bytes::extras(Bytes::prepare(args), 0).count < 0;
  (apart ? direct::run<BytesApart> : direct::run<Bytes>)(args, first, last, nullptr);
}

struct Wide : Common {
  using Input = std::int16_t;
  using Weight = std::int16_t;
  using Source = std::int8_t;
  static constexpr int kGroup = 2;
  static void multiply_add(Sum& sum, __m256i x, WeightVector w) {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
  }
  // At most 12 sums; 2 weights, an input and a product fill the 16 registers.
  template <class Call>
  static void dispatch(std::int64_t blocks, std::int64_t length, bool pooled, Call call) {
    if (blocks == 1) return call(direct::Number<8>(), direct::Number<1>());
    switch (direct::best_pixels<6, 5, 4>(length, pooled)) {
      case 6:
        return call(direct::Number<6>(), direct::Number<2>());
      case 5:
        return call(direct::Number<5>(), direct::Number<2>());
      default:
        return call(direct::Number<4>(), direct::Number<2>());
    }
  }
};

bool fits_bytes(const StepArgs& args) { return static_cast<const ConvParams*>(args.params)->seven_bits; }

std::int64_t tiles(const StepArgs& args) {
  return (fits_bytes(args) ? direct::tiles<Bytes> : direct::tiles<Wide>)(args);
}
Tile tile(const StepArgs& args) { return (fits_bytes(args) ? direct::tile<Bytes> : direct::tile<Wide>)(args); }
std::size_t packed_bytes(const StepArgs& args) {
  return (fits_bytes(args) ? bytes_packed : direct::packed_bytes<Wide>)(args);
}
void pack(const StepArgs& args, const void* weights, void* packed) {
  (fits_bytes(args) ? pack_bytes_of : direct::pack<Wide>)(args, weights, packed);
}
std::size_t scratch_bytes(const StepArgs& args) {
  if (fits_bytes(args)) return 0;
  return static_cast<std::size_t>(2 * direct::input_span(args).count + 2 * View::kReadableBeyond);
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  if (fits_bytes(args)) return run_bytes(args, first, last);
  const View& input = args.inputs[0];
  const direct::Span span = direct::input_span(args);
  auto* to = static_cast<std::int16_t*>(scratch);
  const bool is_unsigned = input.type == DType::u8;
  for (std::int64_t i = 0; i < span.count; i += 16) {  // up to 15 bytes past the end are readable
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(input.data + span.first + i));
    const __m256i words = is_unsigned ? _mm256_cvtepu8_epi16(bytes) : _mm256_cvtepi8_epi16(bytes);
    _mm256_store_si256(reinterpret_cast<__m256i*>(to + i), words);
  }
  const direct::Redirected wide(args, reinterpret_cast<std::byte*>(to - span.first));
  direct::run<Wide>(wide.args, first, last, nullptr);
}

}  // namespace

extern const Kernel conv2d_s8_avx2;
const Kernel conv2d_s8_avx2 = {
    .op = "conv2d_s8",
    .isa = "avx2",
    .refuse = direct::refuse,
    .tiles = tiles,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .reads_halo = true,
    .fuses_max_pool = true,
    .fuses_add = true,
    .tile = tile,
};

}  // namespace octet::kernels
