// Kernels for AVX-512 with VPOPCNTDQ: four rows and 32 filters of 32 bits a step.
#if defined(__x86_64__) || defined(KC_EMULATE_AVX512)

#if !defined(KC_EMULATE_AVX512)
#include <immintrin.h>
#endif

#include "epilogue.h"
#include "kernels.h"

#if defined(KC_EMULATE_AVX512)
#elif defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq"))), \
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

constexpr int kLanes = 16;
constexpr int kBlock = 2 * kLanes;

KC_INLINE __mmask16 first_lanes(int32_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1);
}

KC_INLINE uint32_t negative16(const float* x, const float* threshold, __mmask16 lanes) {
  const __m512 limit = threshold ? _mm512_maskz_loadu_ps(lanes, threshold) : _mm512_setzero_ps();
  return _mm512_mask_cmp_ps_mask(lanes, _mm512_maskz_loadu_ps(lanes, x), limit, _CMP_NGE_UQ);
}

void pack_float(const float* x, const float* threshold, int32_t pixels, int32_t channels, uint32_t* out) {
  if (channels % 32 == 0 && threshold == nullptr) {
    const __m512 zero = _mm512_setzero_ps();
    const size_t count = static_cast<size_t>(pixels) * channels / 32;
    for (size_t i = 0; i < count; ++i, x += 32) {
      const uint32_t low = _mm512_cmp_ps_mask(_mm512_loadu_ps(x), zero, _CMP_NGE_UQ);
      const uint32_t high = _mm512_cmp_ps_mask(_mm512_loadu_ps(x + 16), zero, _CMP_NGE_UQ);
      *out++ = high << 16 | low;
    }
    return;
  }
  for (int32_t p = 0; p < pixels; ++p, x += channels) {
    for (int32_t c = 0; c < channels; c += 32) {
      const float* limits = threshold ? threshold + c : nullptr;
      uint32_t bits = negative16(x + c, limits, first_lanes(channels - c));
      if (channels - c > 16) {
        bits |= negative16(x + c + 16, limits ? limits + 16 : nullptr, first_lanes(channels - c - 16)) << 16;
      }
      *out++ = bits;
    }
  }
}

void pack_int8(const int8_t* x, int8_t zero_point, int32_t pixels, int32_t channels, uint32_t* out) {
  if (channels % 64 == 0) {
    const __m512i limit = _mm512_set1_epi8(zero_point);
    const size_t count = static_cast<size_t>(pixels) * channels / 64;
    for (size_t i = 0; i < count; ++i, x += 64, out += 2) {
      const uint64_t bits = _mm512_cmplt_epi8_mask(_mm512_loadu_si512(x), limit);
      memcpy(out, &bits, 8);
    }
    return;
  }
  const __m256i limit = _mm256_set1_epi8(zero_point);
  for (int32_t p = 0; p < pixels; ++p, x += channels) {
    for (int32_t c = 0; c < channels; c += 32) {
      const int32_t left = channels - c;
      const __mmask32 lanes = left >= 32 ? 0xffffffffu : (1u << left) - 1;
      *out++ = _mm256_mask_cmplt_epi8_mask(lanes, _mm256_maskz_loadu_epi8(lanes, x + c), limit);
    }
  }
}

// What finishes the products of sixteen filters, in registers for all rows of a tile.
struct Finish {
  __m512 scale, bias;
};

template <bool kLimits>
KC_INLINE __m512 finished(const Product& p, const Finish& f, __m512 dots) {
  const __m512 value = _mm512_add_ps(_mm512_mul_ps(dots, f.scale), f.bias);
  if (!kLimits) return value;
  return _mm512_min_ps(_mm512_max_ps(value, _mm512_set1_ps(p.low)), _mm512_set1_ps(p.high));
}

template <Result kResult, int kVectors>
KC_INLINE void store(const Product& p, char* out, int32_t filter, __mmask16 lanes, const __m512* values) {
  if (kResult == Result::kInt8 && kVectors == 4) {
    const __m512i low =
        _mm512_packs_epi32(_mm512_cvtps_epi32(values[0]), _mm512_cvtps_epi32(values[1 % kVectors]));
    const __m512i high = _mm512_packs_epi32(_mm512_cvtps_epi32(values[2 % kVectors]),
                                            _mm512_cvtps_epi32(values[3 % kVectors]));
    // Packing goes by quarters of a vector: each has four of every vector's numbers.
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(out + filter, _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high)));
    return;
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v, filter += kLanes) {
    if (kResult == Result::kFloat) {
      _mm512_mask_storeu_ps(out + filter * 4, lanes, values[v]);
    } else if (kResult == Result::kInt8) {
      // By way of a register: narrowed on the way to memory it takes several times as long.
      _mm_mask_storeu_epi8(out + filter, lanes, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(values[v])));
    } else {
      const __m512 limit = _mm512_loadu_ps(p.threshold + filter);
      const uint16_t bits = static_cast<uint16_t>(_mm512_cmp_ps_mask(values[v], limit, _CMP_NGE_UQ));
      memcpy(out + filter / 8, &bits, 2);
    }
  }
}

// Keeps the compiler from giving a sum a register anew each step, and copying it back and forth.
#if defined(KC_EMULATE_AVX512)
#define KC_IN_PLACE(a, b)
#else
#define KC_IN_PLACE(a, b) __asm__("" : "+v"(a), "+v"(b))
#endif

// As in the AVX2 kernels bits are added with a carry: `kept` has weight one, `counts` counts those
// of weight two. The first pair of words, which differ in x and in `kept` ^ x:
KC_INLINE void begin(__m512i w_first, __m512i w_both, __m512i first, __m512i both, __m512i* kept,
                     __m512i* counts) {
  const __m512i x = _mm512_xor_si512(w_first, first);
  *kept = _mm512_xor_si512(w_both, both);
  *counts = _mm512_popcnt_epi32(_mm512_andnot_si512(*kept, x));
}

// One more pair, with three-operand logic: 0x96 is a ^ b ^ c, and 0xD4, of one word's differences,
// the bits kept before and those kept after, is what is carried: the majority.
template <int kRows, int kVectors>
KC_INLINE void add_pair(const uint32_t* const* a, int32_t at, const uint32_t* w,
                        const __m512i (&before)[kRows][kVectors], __m512i (&after)[kRows][kVectors],
                        __m512i (&counts)[kRows][kVectors]) {
  __m512i w_first[kVectors], w_both[kVectors];
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    w_first[v] = _mm512_loadu_si512(w + v * kLanes);
    w_both[v] = _mm512_loadu_si512(w + kBlock + v * kLanes);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
    const __m512i first = _mm512_set1_epi32(static_cast<int32_t>(a[i][at]));
    const __m512i both = _mm512_set1_epi32(static_cast<int32_t>(a[i][at + 1]));
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const __m512i x = _mm512_xor_si512(w_first[v], first);
      const __m512i sum = _mm512_ternarylogic_epi32(before[i][v], w_both[v], both, 0x96);
      const __m512i carried = _mm512_ternarylogic_epi32(x, before[i][v], sum, 0xD4);
      after[i][v] = sum;
      counts[i][v] = _mm512_add_epi32(counts[i][v], _mm512_popcnt_epi32(carried));
    }
  }
}

template <int kVectors>
KC_INLINE void finish_of(const Product& p, int32_t filter, Finish* f) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v, filter += kLanes) {
    f[v] = {_mm512_loadu_ps(p.scale + filter), _mm512_loadu_ps(p.bias + filter)};
  }
}

// Where the filters of a vector begin: a block holds two, and of each pair first both vectors'
// first words, then their others.
KC_INLINE const uint32_t* filters_of(const Product& p, int32_t filter) {
  return p.filters + static_cast<size_t>(filter / kBlock) * kBlock * p.pairs * 2 + filter % kBlock;
}

// Four rows and two vectors of filters have sums in half of the registers and leave enough for the
// rest.
template <Result kResult, bool kLimits, int kRows, int kVectors>
KC_INLINE void tile(const Product& p, const uint32_t* w, const Row* rows, int32_t filter, __mmask16 lanes,
                    char* out) {
  const uint32_t* a[kRows];
  __m512i kept[kRows][kVectors], counts[kRows][kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) a[i] = p.image + rows[i].at;
  const int32_t* pair_at = p.pair_at;
  const int32_t* const end = pair_at + p.pairs;
  // The first pair: nothing has been kept yet.
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
    const __m512i first = _mm512_set1_epi32(static_cast<int32_t>(a[i][*pair_at]));
    const __m512i both = _mm512_set1_epi32(static_cast<int32_t>(a[i][*pair_at + 1]));
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      begin(_mm512_loadu_si512(w + v * kLanes), _mm512_loadu_si512(w + kBlock + v * kLanes), first, both,
            &kept[i][v], &counts[i][v]);
    }
  }
  // By twos, to and fro: copying what is kept would take one instruction in nine.
  for (++pair_at; end - pair_at >= 2; pair_at += 2, w += 4 * kBlock) {
    __m512i other[kRows][kVectors];
    add_pair(a, pair_at[0], w + 2 * kBlock, kept, other, counts);
    add_pair(a, pair_at[1], w + 4 * kBlock, other, kept, counts);
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) KC_IN_PLACE(kept[i][v], counts[i][v]);
    }
  }
  if (pair_at != end) add_pair(a, pair_at[0], w + 2 * kBlock, kept, kept, counts);
  Finish f[kVectors];
  finish_of<kVectors>(p, filter, f);
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i, out += p.out_stride) {
    const int32_t* base = p.base + rows[i].base_at + filter;
    __m512 values[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const __m512i differ =
          _mm512_add_epi32(_mm512_add_epi32(counts[i][v], counts[i][v]), _mm512_popcnt_epi32(kept[i][v]));
      const __m512i dots =
          _mm512_sub_epi32(_mm512_loadu_si512(base + v * kLanes), _mm512_add_epi32(differ, differ));
      if (kResult == Result::kCounts) {
        _mm512_mask_storeu_epi32(out + (filter + v * kLanes) * 4, lanes, dots);
      }
      values[v] = finished<kLimits>(p, f[v], _mm512_cvtepi32_ps(dots));
    }
    if (kResult != Result::kCounts) store<kResult, kVectors>(p, out, filter, lanes, values);
  }
}

template <Result kResult, bool kLimits, int kVectors>
KC_INLINE void long_rows(const Product& p, int32_t filter) {
  const __mmask16 lanes = kVectors == 1 ? first_lanes(p.filter_count - filter) : 0xffff;
  const uint32_t* w = filters_of(p, filter);
  const Row* rows = p.rows;
  const Row* const end = rows + p.row_count;
  char* out = static_cast<char*>(p.out);
  for (; rows + 4 <= end; rows += 4, out += 4 * p.out_stride) {
    tile<kResult, kLimits, 4, kVectors>(p, w, rows, filter, lanes, out);
  }
  // What is left is little: small code counts for more.
  for (; rows != end; ++rows, out += p.out_stride) {
    for (int v = 0; v < kVectors; ++v) {
      tile<kResult, kLimits, 1, 1>(p, w + v * kLanes, rows, filter + v * kLanes, lanes, out);
    }
  }
}

// Rows of one pair or two, as 1x1 filters have over few channels: finishing a product takes longer
// than forming it, so all that filters need stays in registers while the rows go by, and nothing
// is won by carrying.
template <Result kResult, bool kLimits, int kPairs, int kVectors>
KC_INLINE void short_rows(const Product& p, int32_t filter) {
  const __mmask16 lanes = kVectors == 1 ? first_lanes(p.filter_count - filter) : 0xffff;
  const __m512 two = _mm512_set1_ps(2.0f);
  __m512i w_first[kVectors][kPairs], w_both[kVectors][kPairs];
  __m512 base[kVectors];
  Finish f[kVectors];
  finish_of<kVectors>(p, filter, f);
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const uint32_t* w = filters_of(p, filter + v * kLanes);
#pragma GCC unroll 2
    for (int k = 0; k < kPairs; ++k, w += 2 * kBlock) {
      w_first[v][k] = _mm512_loadu_si512(w);
      w_both[v][k] = _mm512_loadu_si512(w + kBlock);
    }
    base[v] = _mm512_cvtepi32_ps(_mm512_loadu_si512(p.base + filter + v * kLanes));
  }
  const uint32_t* pair[kPairs];
#pragma GCC unroll 2
  for (int k = 0; k < kPairs; ++k) pair[k] = p.image + p.pair_at[k];
  const Row* rows = p.rows;
  const Row* const end = rows + p.row_count;
  char* out = static_cast<char*>(p.out);
  for (; rows != end; ++rows, out += p.out_stride) {
    __m512i first[kPairs], both[kPairs];
#pragma GCC unroll 2
    for (int k = 0; k < kPairs; ++k) {
      first[k] = _mm512_set1_epi32(static_cast<int32_t>(pair[k][rows->at]));
      both[k] = _mm512_set1_epi32(static_cast<int32_t>(pair[k][rows->at + 1]));
    }
    __m512 values[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      __m512i differ = _mm512_setzero_si512();
#pragma GCC unroll 2
      for (int k = 0; k < kPairs; ++k) {
        const __m512i x = _mm512_xor_si512(w_first[v][k], first[k]);
        const __m512i y = _mm512_ternarylogic_epi32(x, w_both[v][k], both[k], 0x96);
        const __m512i count = _mm512_add_epi32(_mm512_popcnt_epi32(x), _mm512_popcnt_epi32(y));
        differ = k == 0 ? count : _mm512_add_epi32(differ, count);
      }
      // Exact: these integers are small.
      const __m512 dots = _mm512_fnmadd_ps(two, _mm512_cvtepi32_ps(differ), base[v]);
      values[v] = finished<kLimits>(p, f[v], dots);
      // At once, so that the compiler leaves each vector's work together.
      if (kResult != Result::kInt8) {
        store<kResult, 1>(p, out, filter + v * kLanes, lanes, values + v);
      }
    }
    if (kResult == Result::kInt8) store<kResult, kVectors>(p, out, filter, lanes, values);
  }
}

template <Result kResult, bool kLimits, int kPairs>
KC_INLINE void multiply_short(const Product& p) {
  constexpr int kMax = kPairs == 1 ? 4 : 2;  // vectors that registers hold
  int32_t filter = 0;
  for (; filter + kMax * kLanes <= p.filter_count; filter += kMax * kLanes) {
    short_rows<kResult, kLimits, kPairs, kMax>(p, filter);
  }
  for (; filter < p.filter_count; filter += kLanes) {
    short_rows<kResult, kLimits, kPairs, 1>(p, filter);
  }
}

template <Result kResult, bool kLimits>
void multiply_to(const Product& product) {
  const Product p = product;  // a copy that no store can change, so that it stays in registers
  if (kResult != Result::kCounts && p.same_base) {
    if (p.pairs == 1) return multiply_short<kResult, kLimits, 1>(p);
    if (p.pairs == 2) return multiply_short<kResult, kLimits, 2>(p);
  }
  int32_t filter = 0;
  for (; filter + 2 * kLanes <= p.filter_count; filter += 2 * kLanes) {
    long_rows<kResult, kLimits, 2>(p, filter);
  }
  for (; filter < p.filter_count; filter += kLanes) long_rows<kResult, kLimits, 1>(p, filter);
}

template <Result kResult>
void multiply_limited(const Product& p) {
  return p.limited ? multiply_to<kResult, true>(p) : multiply_to<kResult, false>(p);
}

void multiply(const Product& p) {
  switch (p.result) {
    case Result::kCounts: return multiply_to<Result::kCounts, false>(p);
    case Result::kFloat: return multiply_limited<Result::kFloat>(p);
    case Result::kInt8: return multiply_limited<Result::kInt8>(p);
    case Result::kBits: return multiply_limited<Result::kBits>(p);
  }
}

}  // namespace

const Kernels kAvx512Kernels = {"avx512", kBlock, true, pack_float, pack_int8, multiply};

}  // namespace binary
}  // namespace kc

#if defined(KC_EMULATE_AVX512)
#elif defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__ || KC_EMULATE_AVX512
