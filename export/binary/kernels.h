// What a processor's kernels are asked to do, and which of them this processor has.
//
// The work is a matrix product of signs. Rows are the pixels of the result: for every tap and input
// channel one bit, 1 for a negative number. Columns are filters, laid out likewise. A row and a
// column that differ in p of k bits have the product k - 2p.
//
// Bits come in pairs of 32-bit words. A kernel that adds with carries wants a pair (a, b) as
// (a, a xor b): with the filters' words laid out the same way, one xor more gives the xor of both
// differences, which is the sum's low bit, and spares one operation in six.
#ifndef KC_BINARY_KERNELS_H_
#define KC_BINARY_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

namespace kc {
namespace binary {

enum class Result { kCounts, kFloat, kInt8, kBits };

// Where a row's words begin in the image, and its products in the base.
struct Row {
  int32_t at;
  int32_t base_at;
};

struct Product {
  // Pair k of row r begins at image[rows[r].at + pair_at[k]]: rows of neighbouring pixels share
  // most of their bits, and are read where those lie.
  const uint32_t* image;
  const Row* rows;
  const int32_t* pair_at;
  int32_t row_count;
  int32_t pairs;            // at least one
  const uint32_t* filters;  // as `arrange_filters` left them
  int32_t filter_count;     // of this group, or of a share of it that begins with a whole block
  // value = dot * scale + bias, in float and in this order, then held between low and high.
  // The product of a row that differs nowhere: base[rows[r].base_at + filter], by which of its taps
  // lie in the padding.
  const int32_t* base;
  bool same_base;      // for every row
  const float* scale;  // the arrays below are padded to whole blocks
  const float* bias;
  const float* threshold;  // kBits: the bit is 1 unless value >= threshold
  float low, high;
  bool limited;  // else no value is beyond low and high, or NaN, or far beyond int8
  Result result;
  void* out;          // first row, first filter
  size_t out_stride;  // bytes from row to row
};

struct Kernels {
  const char* name;
  int32_t block;  // filters of a block: lanes
  bool carries;   // wants (a, a xor b)
  // Packs `pixels` times `channels` numbers, each pixel into `words_of(channels)` words: 1 unless
  // x >= threshold of its channel (null: zero).
  void (*pack_float)(const float* x, const float* threshold, int32_t pixels, int32_t channels, uint32_t* out);
  void (*pack_int8)(const int8_t* x, int8_t zero_point, int32_t pixels, int32_t channels, uint32_t* out);
  void (*multiply)(const Product& product);
};

// The fastest kernels that this processor runs; found anew by each call, which is cheap.
const Kernels* best_kernels();
// By name ("avx512", "avx2", "neon", "portable"); null if unknown or not run by this processor.
const Kernels* kernels_named(const char* name);

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;
#endif

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_KERNELS_H_
