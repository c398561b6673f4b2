// Kernels for AVX2: a row and eight filters of 32 bits a step, bits counted by halves of a byte.
#if defined(__x86_64__)

#include <immintrin.h>

#include "epilogue.h"
#include "kernels.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

namespace kc {
namespace binary {

namespace {

#define KC_INLINE inline __attribute__((always_inline))

constexpr int kPanel = 4;
constexpr int kBlock = 8;
constexpr int kPairsBeforeOverflow = 31;  // each adds up to 8 to a byte

uint32_t negative8(const float* x, __m256 limit) {
  return static_cast<uint32_t>(
      _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x), limit, _CMP_NGE_UQ)));
}

void pack_float(const float* x, const float* threshold, int32_t pixels, int32_t channels,
                uint32_t* out) {
  const __m256 zero = _mm256_setzero_ps();
  const int32_t whole = channels / 32;
  for (int32_t p = 0; p < pixels; ++p, x += channels) {
    for (int32_t word = 0; word < whole; ++word) {
      const float* from = x + word * 32;
      uint32_t bits = 0;
      for (int i = 0; i < 4; ++i) {
        const __m256 limit =
            threshold ? _mm256_loadu_ps(threshold + word * 32 + i * 8) : zero;
        bits |= negative8(from + i * 8, limit) << (8 * i);
      }
      *out++ = bits;
    }
    if (whole * 32 < channels) {
      uint32_t bits = 0;
      for (int32_t c = whole * 32; c < channels; ++c) {
        bits |= static_cast<uint32_t>(!(x[c] >= (threshold ? threshold[c] : 0.0f)))
                << (c - whole * 32);
      }
      *out++ = bits;
    }
  }
}

void pack_int8(const int8_t* x, int8_t zero_point, int32_t pixels, int32_t channels,
               uint32_t* out) {
  const __m256i limit = _mm256_set1_epi8(zero_point);
  const int32_t whole = channels / 32;
  for (int32_t p = 0; p < pixels; ++p, x += channels) {
    for (int32_t word = 0; word < whole; ++word) {
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + word * 32));
      *out++ = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpgt_epi8(limit, v)));
    }
    if (whole * 32 < channels) {
      uint32_t bits = 0;
      for (int32_t c = whole * 32; c < channels; ++c) {
        bits |= static_cast<uint32_t>(x[c] < zero_point) << (c - whole * 32);
      }
      *out++ = bits;
    }
  }
}

// Bits of every byte.
KC_INLINE __m256i count_bytes(__m256i v) {
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2,
                                         1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15);
  const __m256i halves = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
  return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(v, low)),
                         _mm256_shuffle_epi8(table, halves));
}

KC_INLINE __m256i sum_of_bytes(__m256i v) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(v, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
}

KC_INLINE void store(const Product& p, int32_t row, int32_t filter, __m256i dots) {
  if (p.filter_count - filter < kBlock && p.result != Result::kBits) {
    alignas(32) int32_t each[kBlock];
    _mm256_store_si256(reinterpret_cast<__m256i*>(each), dots);
    store_row<kBlock>(p, row, filter, each);
    return;
  }
  char* out = static_cast<char*>(p.out) + row * p.out_stride;
  if (p.result == Result::kCounts) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + filter * 4), dots);
    return;
  }
  __m256 value = _mm256_add_ps(
      _mm256_mul_ps(_mm256_cvtepi32_ps(dots), _mm256_loadu_ps(p.scale + filter)),
      _mm256_loadu_ps(p.bias + filter));
  value = _mm256_min_ps(_mm256_max_ps(value, _mm256_set1_ps(p.low)), _mm256_set1_ps(p.high));
  if (p.result == Result::kFloat) {
    _mm256_storeu_ps(reinterpret_cast<float*>(out) + filter, value);
  } else if (p.result == Result::kInt8) {
    const __m256i rounded = _mm256_cvtps_epi32(value);
    const __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(rounded),
                                           _mm256_extracti128_si256(rounded, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + filter), _mm_packs_epi16(narrow, narrow));
  } else {
    const __m256 limit = _mm256_loadu_ps(p.threshold + filter);
    out[filter / 8] =
        static_cast<char>(_mm256_movemask_ps(_mm256_cmp_ps(value, limit, _CMP_NGE_UQ)));
  }
}

// A pair (a, b) of both sides' words, differing in x and y: their sum with the bits carried along
// is one bit kept and one carried, and only the carried ones, half as many, are counted.
template <int kRows>
KC_INLINE void tile(const Product& p, const uint64_t* panel, int32_t row, int32_t filter) {
  const uint32_t* w = p.filters + static_cast<size_t>(filter) * p.pairs * 2;
  const uint32_t* a = reinterpret_cast<const uint32_t*>(panel);
  __m256i kept[kRows], bytes[kRows], totals[kRows];
  for (int i = 0; i < kRows; ++i) kept[i] = totals[i] = _mm256_setzero_si256();
  for (int32_t left = p.pairs; left > 0;) {
    const int32_t now = left < kPairsBeforeOverflow ? left : kPairsBeforeOverflow;
    left -= now;
    for (int i = 0; i < kRows; ++i) bytes[i] = _mm256_setzero_si256();
    for (int32_t k = 0; k < now; ++k, w += 2 * kBlock, a += 2 * kPanel) {
      const __m256i w_first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
      const __m256i w_both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + kBlock));
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const __m256i x =
            _mm256_xor_si256(w_first, _mm256_set1_epi32(static_cast<int32_t>(a[2 * i])));
        const __m256i both =
            _mm256_xor_si256(w_both, _mm256_set1_epi32(static_cast<int32_t>(a[2 * i + 1])));
        const __m256i carried = _mm256_or_si256(_mm256_and_si256(both, kept[i]),
                                                _mm256_andnot_si256(both, x));
        kept[i] = _mm256_xor_si256(kept[i], both);
        bytes[i] = _mm256_add_epi8(bytes[i], count_bytes(carried));
      }
    }
    for (int i = 0; i < kRows; ++i) {
      totals[i] = _mm256_add_epi32(totals[i], sum_of_bytes(bytes[i]));
    }
  }
  for (int i = 0; i < kRows; ++i) {
    const int32_t* base =
        p.base + static_cast<size_t>(p.classes[row + i]) * p.base_stride + filter;
    const __m256i once = sum_of_bytes(count_bytes(kept[i]));
    const __m256i differ = _mm256_add_epi32(_mm256_add_epi32(totals[i], totals[i]), once);
    store(p, row + i, filter,
          _mm256_sub_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(base)),
                           _mm256_add_epi32(differ, differ)));
  }
}

void multiply(const Product& p) {
  const size_t panel_size = static_cast<size_t>(p.pairs) * kPanel;
  for (int32_t filter = 0; filter < p.filter_count; filter += kBlock) {
    const uint64_t* panel = p.rows;
    int32_t row = 0;
    for (; row + kPanel <= p.row_count; row += kPanel, panel += panel_size) {
      tile<kPanel>(p, panel, row, filter);
    }
    if (p.row_count - row == 3) tile<3>(p, panel, row, filter);
    if (p.row_count - row == 2) tile<2>(p, panel, row, filter);
    if (p.row_count - row == 1) tile<1>(p, panel, row, filter);
  }
}

}  // namespace

const Kernels kAvx2Kernels = {"avx2", kPanel, kBlock, true, pack_float, pack_int8, multiply};

}  // namespace binary
}  // namespace kc

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
