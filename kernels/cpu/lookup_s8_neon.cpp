// lookup_s8_neon: 16 bytes of a photo at a time through a table of 256 entries. tbl and tbx look up 64 entries in four
// registers; tbl gives 0 where the index is 64 or more and tbx leaves what is there, so the table is four such quarters
// with the index moved down by 64 from one to the next.
//
// All channels must share one table (no mean or standard deviation of their own). Where the output's pixels are not
// dense (a slice of a concatenation) bytes go one by one.
#include "kernels/cpu/neon.h"

namespace octet::kernels {
namespace {

struct Table {
  uint8x16x4_t quarters[4];
};

inline uint8x16_t lookup(const Table& table, uint8x16_t index) {
  const uint8x16_t next = vdupq_n_u8(64);
  uint8x16_t result = vqtbl4q_u8(table.quarters[0], index);
  for (int quarter = 1; quarter < 4; ++quarter) {
    index = vsubq_u8(index, next);
    result = vqtbx4q_u8(result, table.quarters[quarter], index);
  }
  return result;
}

void look_up_run(const Table& table, const std::uint8_t* bytes, const std::uint8_t* from, std::uint8_t* to,
                 std::int64_t count) {
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16) vst1q_u8(to + i, lookup(table, vld1q_u8(from + i)));
  for (; i < count; ++i) to[i] = bytes[from[i]];
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto* bytes = static_cast<const std::uint8_t*>(static_cast<const LookupParams*>(args.params)->table);
  Table table;
  for (int quarter = 0; quarter < 4; ++quarter) table.quarters[quarter] = vld1q_u8_x4(bytes + 64 * quarter);
  const bool dense = in.stride_w == out.c && out.stride_w == out.c;
  const std::int64_t count = dense ? std::int64_t{out.w} * out.c : out.c;
  const std::int64_t runs = dense ? 1 : out.w;
  for (std::int64_t row = first; row < last; ++row) {
    for (std::int64_t x = 0; x < runs; ++x) {
      look_up_run(table, bytes, in.at<std::uint8_t>(row / out.h, row % out.h, x),
                  out.at<std::uint8_t>(row / out.h, row % out.h, x), count);
    }
  }
}

const char* refuse(const StepArgs& args) {
  const auto* table = static_cast<const std::uint8_t*>(static_cast<const LookupParams*>(args.params)->table);
  for (int c = 1; c < args.output.c; ++c) {
    if (std::memcmp(table, table + 256 * c, 256) != 0) return "the channels have different tables";
  }
  return nullptr;
}

}  // namespace

extern const Kernel lookup_s8_neon;
const Kernel lookup_s8_neon = {.op = "lookup_s8", .isa = "neon", .refuse = refuse, .tiles = neon::rows, .run = run};

}  // namespace octet::kernels
