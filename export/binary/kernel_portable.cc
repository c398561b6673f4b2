// Kernels in plain C++, for processors that have none of their own, and to compare others with.
#include "epilogue.h"
#include "kernels.h"

namespace kc {
namespace binary {

namespace {

// Without a popcount instruction compilers call a runtime that isn't linked.
inline uint32_t count_bits(uint64_t x) {
  x -= x >> 1 & 0x5555555555555555u;
  x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  return static_cast<uint32_t>(x * 0x0101010101010101u >> 56);
}

inline uint64_t join(uint32_t first, uint32_t second) { return static_cast<uint64_t>(second) << 32 | first; }

void pack_float(const float* x, const float* threshold, int32_t pixels, int32_t channels, uint32_t* out) {
  for (int32_t p = 0; p < pixels; ++p, x += channels) {
    for (int32_t first = 0; first < channels; first += 32) {
      const int32_t count = channels - first < 32 ? channels - first : 32;
      uint32_t word = 0;
      for (int32_t i = 0; i < count; ++i) {
        const float limit = threshold ? threshold[first + i] : 0.0f;
        word |= static_cast<uint32_t>(!(x[first + i] >= limit)) << i;
      }
      *out++ = word;
    }
  }
}

void pack_int8(const int8_t* x, int8_t zero_point, int32_t pixels, int32_t channels, uint32_t* out) {
  for (int32_t p = 0; p < pixels; ++p, x += channels) {
    for (int32_t first = 0; first < channels; first += 32) {
      const int32_t count = channels - first < 32 ? channels - first : 32;
      uint32_t word = 0;
      for (int32_t i = 0; i < count; ++i) {
        word |= static_cast<uint32_t>(x[first + i] < zero_point) << i;
      }
      *out++ = word;
    }
  }
}

constexpr int kBlock = 8;

void multiply(const Product& p) {
  for (int32_t filter = 0; filter < p.filter_count; filter += kBlock) {
    const uint32_t* w = p.filters + static_cast<size_t>(filter) * p.pairs * 2;
    for (int32_t row = 0; row < p.row_count; ++row) {
      const uint32_t* a = p.image + p.rows[row].at;
      uint32_t counts[kBlock] = {};
      const uint32_t* pair = w;
      for (int32_t k = 0; k < p.pairs; ++k, pair += 2 * kBlock) {
        const uint64_t row_bits = join(a[p.pair_at[k]], a[p.pair_at[k] + 1]);
        for (int i = 0; i < kBlock; ++i) {
          counts[i] += count_bits(row_bits ^ join(pair[i], pair[kBlock + i]));
        }
      }
      const int32_t* base = p.base + p.rows[row].base_at + filter;
      int32_t dots[kBlock];
      for (int i = 0; i < kBlock; ++i) dots[i] = base[i] - 2 * static_cast<int32_t>(counts[i]);
      store_row<kBlock>(p, row, filter, dots);
    }
  }
}

}  // namespace

const Kernels kPortableKernels = {"portable", kBlock, false, pack_float, pack_int8, multiply};

}  // namespace binary
}  // namespace kc
