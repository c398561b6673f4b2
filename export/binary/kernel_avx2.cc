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

constexpr int kBlock = 8;
constexpr int kCountsBeforeOverflow = 31;  // each adds up to 8 to a byte

uint32_t negative8(const float* x, __m256 limit) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x), limit, _CMP_NGE_UQ)));
}

void pack_float(const float* x, const float* threshold, int32_t pixels, int32_t channels, uint32_t* out) {
  const __m256 zero = _mm256_setzero_ps();
  const int32_t whole = channels / 32;
  for (int32_t p = 0; p < pixels; ++p, x += channels) {
    for (int32_t word = 0; word < whole; ++word) {
      const float* from = x + word * 32;
      uint32_t bits = 0;
      for (int i = 0; i < 4; ++i) {
        const __m256 limit = threshold ? _mm256_loadu_ps(threshold + word * 32 + i * 8) : zero;
        bits |= negative8(from + i * 8, limit) << (8 * i);
      }
      *out++ = bits;
    }
    if (whole * 32 < channels) {
      uint32_t bits = 0;
      for (int32_t c = whole * 32; c < channels; ++c) {
        bits |= static_cast<uint32_t>(!(x[c] >= (threshold ? threshold[c] : 0.0f))) << (c - whole * 32);
      }
      *out++ = bits;
    }
  }
}

void pack_int8(const int8_t* x, int8_t zero_point, int32_t pixels, int32_t channels, uint32_t* out) {
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
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2,
                                         3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15);
  const __m256i halves = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
  return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(v, low)),
                         _mm256_shuffle_epi8(table, halves));
}

KC_INLINE __m256i weighted_sum(__m256i bytes, int8_t weight) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, _mm256_set1_epi8(weight)), _mm256_set1_epi16(1));
}

// What finishes the products of eight filters, in registers for all rows of a block.
struct Finish {
  __m256 scale, bias, low, high, threshold;
};

KC_INLINE Finish finish_of(const Product& p, int32_t filter) {
  return {_mm256_loadu_ps(p.scale + filter), _mm256_loadu_ps(p.bias + filter), _mm256_set1_ps(p.low),
          _mm256_set1_ps(p.high), _mm256_loadu_ps(p.threshold + filter)};
}

template <Result kResult>
KC_INLINE void store(const Finish& f, char* out, int32_t filter, __m256i dots) {
  if (kResult == Result::kCounts) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + filter * 4), dots);
    return;
  }
  __m256 value = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(dots), f.scale), f.bias);
  value = _mm256_min_ps(_mm256_max_ps(value, f.low), f.high);
  if (kResult == Result::kFloat) {
    _mm256_storeu_ps(reinterpret_cast<float*>(out) + filter, value);
  } else if (kResult == Result::kInt8) {
    const __m256i rounded = _mm256_cvtps_epi32(value);
    const __m128i narrow =
        _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + filter), _mm_packs_epi16(narrow, narrow));
  } else {
    out[filter / 8] = static_cast<char>(_mm256_movemask_ps(_mm256_cmp_ps(value, f.threshold, _CMP_NGE_UQ)));
  }
}

struct Pairs {
  __m256i first, both;
};

KC_INLINE Pairs differing(const uint32_t* w, const uint32_t* a) {
  const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
  const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + kBlock));
  return {_mm256_xor_si256(first, _mm256_set1_epi32(static_cast<int32_t>(a[0]))),
          _mm256_xor_si256(both, _mm256_set1_epi32(static_cast<int32_t>(a[1])))};
}

// Adds the bits x and y, of which `both` is the exclusive or, to those kept; returns what carries.
KC_INLINE __m256i carry(__m256i x, __m256i both, __m256i* kept) {
  const __m256i carried = _mm256_or_si256(_mm256_and_si256(both, *kept), _mm256_andnot_si256(both, x));
  *kept = _mm256_xor_si256(*kept, both);
  return carried;
}

// A pair (a, b) of both sides' words, differing in x and y: their sum with the bits carried along
// is one bit kept and one carried. The carried ones of two pairs are added in the same way, and
// only what they carry, a quarter as many, is counted.
template <int kRows>
KC_INLINE void count_differing(const uint32_t* w, const uint32_t* const* a, const int32_t* pair_at,
                               int32_t pairs, __m256i* twice) {
  __m256i ones[kRows], twos[kRows], bytes[kRows], totals[kRows];
  for (int i = 0; i < kRows; ++i) ones[i] = twos[i] = totals[i] = _mm256_setzero_si256();
  int32_t left = pairs / 2;
  do {
    const int32_t now = left < kCountsBeforeOverflow ? left : kCountsBeforeOverflow;
    left -= now;
    for (int i = 0; i < kRows; ++i) bytes[i] = _mm256_setzero_si256();
    for (int32_t k = 0; k < now; ++k, w += 4 * kBlock, pair_at += 2) {
      const int32_t at = pair_at[0], then_at = pair_at[1];
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const Pairs p = differing(w, a[i] + at);
        const Pairs q = differing(w + 2 * kBlock, a[i] + then_at);
        const __m256i x = carry(p.first, p.both, &ones[i]);
        const __m256i y = carry(q.first, q.both, &ones[i]);
        bytes[i] = _mm256_add_epi8(bytes[i], count_bytes(carry(x, _mm256_xor_si256(x, y), &twos[i])));
      }
    }
    if (left > 0) {
      for (int i = 0; i < kRows; ++i) {
        totals[i] = _mm256_add_epi32(totals[i], weighted_sum(bytes[i], 8));
      }
    }
  } while (left > 0);
  const bool odd = pairs & 1;
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
    __m256i more = _mm256_setzero_si256();
    if (odd) {
      const Pairs p = differing(w, a[i] + *pair_at);
      more = count_bytes(carry(p.first, p.both, &ones[i]));
    }
    // Twice the count: 2 for a bit among the ones, 4 for one that was carried, 8 for a second time.
    __m256i sums = _mm256_maddubs_epi16(count_bytes(ones[i]), _mm256_set1_epi8(2));
    if (pairs > 1) {
      more = _mm256_add_epi8(more, count_bytes(twos[i]));
      sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(bytes[i], _mm256_set1_epi8(8)));
    }
    sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(more, _mm256_set1_epi8(4)));
    twice[i] = _mm256_add_epi32(totals[i], _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
  }
}

template <Result kResult, int kRows>
KC_INLINE void tile(const Product& p, const Finish& f, const uint32_t* w, int32_t row, int32_t filter) {
  const uint32_t* a[kRows];
  for (int i = 0; i < kRows; ++i) a[i] = p.image + p.rows[row + i].at;
  __m256i twice[kRows];
  count_differing<kRows>(w, a, p.pair_at, p.pairs, twice);
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
    const int32_t* base = p.base + p.rows[row + i].base_at + filter;
    const __m256i dots =
        _mm256_sub_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(base)), twice[i]);
    if (kResult != Result::kBits && p.filter_count - filter < kBlock) {
      alignas(32) int32_t each[kBlock];
      _mm256_store_si256(reinterpret_cast<__m256i*>(each), dots);
      store_row<kBlock>(p, row + i, filter, each);
    } else {
      char* out = static_cast<char*>(p.out) + (row + i) * p.out_stride;
      store<kResult>(f, out, filter, dots);
    }
  }
}

// Rows of one pair or two, as 1x1 filters have over few channels: nothing is won by carrying, and
// all that eight filters need stays in registers while the rows go by.
template <Result kResult, int kPairs>
KC_INLINE void short_rows(const Product& p, int32_t filter) {
  const uint32_t* w = p.filters + static_cast<size_t>(filter) * kPairs * 2;
  const Finish f = finish_of(p, filter);
  const __m256i base = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p.base + filter));
  const uint32_t* pair[kPairs];
  for (int k = 0; k < kPairs; ++k) pair[k] = p.image + p.pair_at[k];
  const Row* rows = p.rows;
  const Row* const end = rows + p.row_count;
  char* out = static_cast<char*>(p.out);
  for (; rows != end; ++rows, out += p.out_stride) {
    __m256i bytes = _mm256_setzero_si256();
#pragma GCC unroll 2
    for (int k = 0; k < kPairs; ++k) {
      const Pairs d = differing(w + 2 * k * kBlock, pair[k] + rows->at);
      const __m256i counts =
          _mm256_add_epi8(count_bytes(d.first), count_bytes(_mm256_xor_si256(d.first, d.both)));
      bytes = k == 0 ? counts : _mm256_add_epi8(bytes, counts);
    }
    store<kResult>(f, out, filter, _mm256_sub_epi32(base, weighted_sum(bytes, 2)));
  }
}

template <Result kResult>
KC_INLINE void long_rows(const Product& p, int32_t filter) {
  const uint32_t* w = p.filters + static_cast<size_t>(filter) * p.pairs * 2;
  const Finish f = finish_of(p, filter);
  int32_t row = 0;
  for (; row + 4 <= p.row_count; row += 4) tile<kResult, 4>(p, f, w, row, filter);
  if (p.row_count - row == 3) tile<kResult, 3>(p, f, w, row, filter);
  if (p.row_count - row == 2) tile<kResult, 2>(p, f, w, row, filter);
  if (p.row_count - row == 1) tile<kResult, 1>(p, f, w, row, filter);
}

template <Result kResult>
void multiply_to(const Product& product) {
  const Product p = product;  // a copy that no store can change, so that it stays in registers
  int32_t filter = 0;
  if (p.same_base && p.pairs <= 2) {
    for (; filter + kBlock <= p.filter_count; filter += kBlock) {
      if (p.pairs == 1) short_rows<kResult, 1>(p, filter);
      if (p.pairs == 2) short_rows<kResult, 2>(p, filter);
    }
  }
  for (; filter < p.filter_count; filter += kBlock) long_rows<kResult>(p, filter);
}

void multiply(const Product& p) {
  switch (p.result) {
    case Result::kCounts: return multiply_to<Result::kCounts>(p);
    case Result::kFloat: return multiply_to<Result::kFloat>(p);
    case Result::kInt8: return multiply_to<Result::kInt8>(p);
    case Result::kBits: return multiply_to<Result::kBits>(p);
  }
}

}  // namespace

const Kernels kAvx2Kernels = {"avx2", kBlock, true, pack_float, pack_int8, multiply};

}  // namespace binary
}  // namespace kc

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
