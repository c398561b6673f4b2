// Kernels for AVX-512 with VPOPCNTDQ: a row and sixteen filters of 32 bits a step.
#if defined(__x86_64__) || defined(KC_EMULATE_AVX512)

#if !defined(KC_EMULATE_AVX512)
#include <immintrin.h>
#endif

#include "epilogue.h"
#include "kernels.h"

#if defined(KC_EMULATE_AVX512)
#elif defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq"))), \
    apply_to = function)
#else
// GCC 12 takes the header's own undefined vectors for a mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")
#endif

namespace kc {
namespace binary {

namespace {

#define KC_INLINE inline __attribute__((always_inline))

// Twelve rows keep 24 of the 32 registers for sums and leave enough for what is being added.
constexpr int kPanel = 12;
constexpr int kBlock = 16;

KC_INLINE __mmask16 first_lanes(int32_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1);
}

KC_INLINE uint32_t negative16(const float* x, const float* threshold, __mmask16 lanes) {
  const __m512 limit =
      threshold ? _mm512_maskz_loadu_ps(lanes, threshold) : _mm512_setzero_ps();
  return _mm512_mask_cmp_ps_mask(lanes, _mm512_maskz_loadu_ps(lanes, x), limit, _CMP_NGE_UQ);
}

void pack_float(const float* x, const float* threshold, int32_t pixels, int32_t channels,
                uint32_t* out) {
  for (int32_t p = 0; p < pixels; ++p, x += channels) {
    for (int32_t c = 0; c < channels; c += 32) {
      const float* limits = threshold ? threshold + c : nullptr;
      uint32_t bits = negative16(x + c, limits, first_lanes(channels - c));
      if (channels - c > 16) {
        bits |= negative16(x + c + 16, limits ? limits + 16 : nullptr,
                           first_lanes(channels - c - 16))
                << 16;
      }
      *out++ = bits;
    }
  }
}

void pack_int8(const int8_t* x, int8_t zero_point, int32_t pixels, int32_t channels,
               uint32_t* out) {
  const __m256i limit = _mm256_set1_epi8(zero_point);
  for (int32_t p = 0; p < pixels; ++p, x += channels) {
    for (int32_t c = 0; c < channels; c += 32) {
      const int32_t left = channels - c;
      const __mmask32 lanes = left >= 32 ? 0xffffffffu : (1u << left) - 1;
      *out++ = _mm256_mask_cmplt_epi8_mask(lanes, _mm256_maskz_loadu_epi8(lanes, x + c), limit);
    }
  }
}

KC_INLINE void store(const Product& p, int32_t row, int32_t filter, __m512i dots) {
  const __mmask16 lanes = first_lanes(p.filter_count - filter);
  char* out = static_cast<char*>(p.out) + row * p.out_stride;
  if (p.result == Result::kCounts) {
    _mm512_mask_storeu_epi32(out + filter * 4, lanes, dots);
    return;
  }
  __m512 value = _mm512_add_ps(
      _mm512_mul_ps(_mm512_cvtepi32_ps(dots), _mm512_loadu_ps(p.scale + filter)),
      _mm512_loadu_ps(p.bias + filter));
  value = _mm512_min_ps(_mm512_max_ps(value, _mm512_set1_ps(p.low)), _mm512_set1_ps(p.high));
  if (p.result == Result::kFloat) {
    _mm512_mask_storeu_ps(out + filter * 4, lanes, value);
  } else if (p.result == Result::kInt8) {
    _mm512_mask_cvtsepi32_storeu_epi8(out + filter, lanes, _mm512_cvtps_epi32(value));
  } else {
    const __m512 limit = _mm512_loadu_ps(p.threshold + filter);
    const uint16_t bits =
        static_cast<uint16_t>(_mm512_cmp_ps_mask(value, limit, _CMP_NGE_UQ));
    memcpy(out + filter / 8, &bits, 2);
  }
}

// As in the AVX2 kernels, with three-operand logic: 0x96 is a ^ b ^ c, and 0xD4, of the bits kept
// before, one word's differences and the bits kept after, is what is carried: the majority.
template <int kRows>
KC_INLINE void tile(const Product& p, const uint64_t* panel, int32_t row, int32_t filter) {
  const uint32_t* w = p.filters + static_cast<size_t>(filter) * p.pairs * 2;
  const uint32_t* a = reinterpret_cast<const uint32_t*>(panel);
  __m512i kept[kRows], counts[kRows];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) kept[i] = counts[i] = _mm512_setzero_si512();
  for (int32_t k = 0; k < p.pairs; ++k, w += 2 * kBlock, a += 2 * kPanel) {
    const __m512i w_first = _mm512_loadu_si512(w);
    const __m512i w_both = _mm512_loadu_si512(w + kBlock);
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const __m512i x =
          _mm512_xor_si512(w_first, _mm512_set1_epi32(static_cast<int32_t>(a[2 * i])));
      const __m512i after = _mm512_ternarylogic_epi32(
          kept[i], w_both, _mm512_set1_epi32(static_cast<int32_t>(a[2 * i + 1])), 0x96);
      const __m512i carried = _mm512_ternarylogic_epi32(kept[i], x, after, 0xD4);
      kept[i] = after;
      counts[i] = _mm512_add_epi32(counts[i], _mm512_popcnt_epi32(carried));
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
    const int32_t* base =
        p.base + static_cast<size_t>(p.classes[row + i]) * p.base_stride + filter;
    const __m512i differ =
        _mm512_add_epi32(_mm512_add_epi32(counts[i], counts[i]), _mm512_popcnt_epi32(kept[i]));
    store(p, row + i, filter,
          _mm512_sub_epi32(_mm512_loadu_si512(base), _mm512_add_epi32(differ, differ)));
  }
}

// Not inlined into one another, so that each has its registers to itself.
template <int kRows>
__attribute__((noinline)) void rows_tile(const Product& p, const uint64_t* panel, int32_t row,
                                         int32_t filter) {
  tile<kRows>(p, panel, row, filter);
}

void multiply(const Product& p) {
  const size_t panel_size = static_cast<size_t>(p.pairs) * kPanel;
  for (int32_t filter = 0; filter < p.filter_count; filter += kBlock) {
    const uint64_t* panel = p.rows;
    int32_t row = 0;
    for (; row + kPanel <= p.row_count; row += kPanel, panel += panel_size) {
      rows_tile<kPanel>(p, panel, row, filter);
    }
    // A panel's rows lie 64 bits apart, so a smaller tile may begin at any of them.
    for (; row + 4 <= p.row_count; row += 4, panel += 4) rows_tile<4>(p, panel, row, filter);
    for (; row < p.row_count; ++row, ++panel) rows_tile<1>(p, panel, row, filter);
  }
}

}  // namespace

const Kernels kAvx512Kernels = {"avx512", kPanel, kBlock, true, pack_float, pack_int8, multiply};

}  // namespace binary
}  // namespace kc

#if defined(KC_EMULATE_AVX512)
#elif defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__ || KC_EMULATE_AVX512
