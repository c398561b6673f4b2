// The AVX-512 kernels with each instruction spelled out, so that their logic is tested on processors
// without it. What stays untested there is the compiler's choice of instructions.
#include <math.h>
#include <stdint.h>
#include <string.h>

namespace {

template <class T, int N>
struct Lanes {
  T at[N];
};
using __m512i = Lanes<uint32_t, 16>;
using __m512 = Lanes<float, 16>;
using __m256i = Lanes<int8_t, 32>;
using __m128i = Lanes<int8_t, 16>;
using __mmask16 = uint16_t;
using __mmask32 = uint32_t;
using __mmask64 = uint64_t;
enum { _CMP_NGE_UQ };

template <class V, class F>
V each(F f) {
  V v;
  for (int i = 0; i < static_cast<int>(sizeof(v.at) / sizeof(v.at[0])); ++i) v.at[i] = f(i);
  return v;
}
template <class V, class T>
V masked_load(uint32_t mask, const T* from) {
  return each<V>([&](int i) { return mask >> i & 1 ? from[i] : T{}; });
}
template <class T, class V>
void masked_store(void* to, uint32_t mask, const V& v) {
  for (int i = 0; i < 16; ++i) {
    const T value = static_cast<T>(v.at[i]);
    if (mask >> i & 1) memcpy(static_cast<char*>(to) + i * sizeof(T), &value, sizeof(T));
  }
}

__m512 _mm512_setzero_ps() { return {}; }
__m512i _mm512_setzero_si512() { return {}; }
__m512 _mm512_set1_ps(float x) {
  return each<__m512>([&](int) { return x; });
}
__m512i _mm512_set1_epi32(int32_t x) {
  return each<__m512i>([&](int) { return static_cast<uint32_t>(x); });
}
template <class... T>
__m512i _mm512_setr_epi32(T... x) {
  return {{static_cast<uint32_t>(x)...}};
}
__m512i _mm512_set1_epi8(int8_t x) {
  return each<__m512i>([&](int) { return 0x01010101u * static_cast<uint8_t>(x); });
}
__m256i _mm256_set1_epi8(int8_t x) {
  return each<__m256i>([&](int) { return x; });
}
__m512 _mm512_loadu_ps(const float* p) { return masked_load<__m512>(0xffff, p); }
__m512 _mm512_maskz_loadu_ps(__mmask16 m, const float* p) { return masked_load<__m512>(m, p); }
__m512i _mm512_loadu_si512(const void* p) {
  return masked_load<__m512i>(0xffff, static_cast<const uint32_t*>(p));
}
__m256i _mm256_maskz_loadu_epi8(__mmask32 m, const int8_t* p) { return masked_load<__m256i>(m, p); }
__mmask32 _mm256_mask_cmplt_epi8_mask(__mmask32 m, __m256i a, __m256i b) {
  uint32_t result = 0;
  for (int i = 0; i < 32; ++i) result |= static_cast<uint32_t>(a.at[i] < b.at[i]) << i;
  return result & m;
}
__mmask64 _mm512_cmplt_epi8_mask(__m512i a, __m512i b) {
  uint64_t result = 0;
  for (int i = 0; i < 64; ++i) {
    const auto byte = [i](const __m512i& v) { return static_cast<int8_t>(v.at[i / 4] >> 8 * (i % 4)); };
    result |= static_cast<uint64_t>(byte(a) < byte(b)) << i;
  }
  return result;
}
__mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int) {
  uint32_t result = 0;
  for (int i = 0; i < 16; ++i) result |= static_cast<uint32_t>(!(a.at[i] >= b.at[i])) << i;
  return static_cast<__mmask16>(result);
}
__mmask16 _mm512_mask_cmp_ps_mask(__mmask16 m, __m512 a, __m512 b, int rule) {
  return m & _mm512_cmp_ps_mask(a, b, rule);
}
__m512i _mm512_xor_si512(__m512i a, __m512i b) {
  return each<__m512i>([&](int i) { return a.at[i] ^ b.at[i]; });
}
__m512i _mm512_add_epi32(__m512i a, __m512i b) {
  return each<__m512i>([&](int i) { return a.at[i] + b.at[i]; });
}
__m512i _mm512_sub_epi32(__m512i a, __m512i b) {
  return each<__m512i>([&](int i) { return a.at[i] - b.at[i]; });
}
__m512i _mm512_popcnt_epi32(__m512i a) {
  return each<__m512i>([&](int i) { return static_cast<uint32_t>(__builtin_popcount(a.at[i])); });
}
__m512i _mm512_ternarylogic_epi32(__m512i a, __m512i b, __m512i c, int table) {
  return each<__m512i>([&](int i) {
    uint32_t result = 0;
    for (int bit = 0; bit < 32; ++bit) {
      const uint32_t index = (a.at[i] >> bit & 1) << 2 | (b.at[i] >> bit & 1) << 1 | (c.at[i] >> bit & 1);
      result |= static_cast<uint32_t>(table >> index & 1) << bit;
    }
    return result;
  });
}
__m512i _mm512_andnot_si512(__m512i a, __m512i b) {
  return each<__m512i>([&](int i) { return ~a.at[i] & b.at[i]; });
}
__m512i _mm512_permutexvar_epi32(__m512i places, __m512i a) {
  return each<__m512i>([&](int i) { return a.at[places.at[i] & 15]; });
}
template <class T>
T clipped(int32_t x) {
  const int32_t max = (1 << (8 * sizeof(T) - 1)) - 1;
  return static_cast<T>(x < -max - 1 ? -max - 1 : x > max ? max : x);
}
// Narrowed by quarters of a vector: each of the result's holds a's quarter, then b's.
template <class From, class To>
__m512i packed(const __m512i& a, const __m512i& b) {
  const int count = 16 / static_cast<int>(sizeof(To));  // of the result's quarter
  __m512i result;
  for (int i = 0; i < 4 * count; ++i) {
    const __m512i& from = i % count < count / 2 ? a : b;
    From x;
    memcpy(
        &x,
        reinterpret_cast<const char*>(from.at) + (i / count * (count / 2) + i % (count / 2)) * sizeof(From),
        sizeof(From));
    const To narrow = clipped<To>(x);
    memcpy(reinterpret_cast<char*>(result.at) + i * sizeof(To), &narrow, sizeof(To));
  }
  return result;
}
__m512i _mm512_packs_epi32(__m512i a, __m512i b) { return packed<int32_t, int16_t>(a, b); }
__m512i _mm512_packs_epi16(__m512i a, __m512i b) { return packed<int16_t, int8_t>(a, b); }
__m512 _mm512_cvtepi32_ps(__m512i a) {
  return each<__m512>([&](int i) { return static_cast<float>(static_cast<int32_t>(a.at[i])); });
}
__m512 _mm512_add_ps(__m512 a, __m512 b) {
  return each<__m512>([&](int i) { return a.at[i] + b.at[i]; });
}
__m512 _mm512_mul_ps(__m512 a, __m512 b) {
  return each<__m512>([&](int i) { return a.at[i] * b.at[i]; });
}
__m512 _mm512_fnmadd_ps(__m512 a, __m512 b, __m512 c) {
  return each<__m512>([&](int i) { return fmaf(-a.at[i], b.at[i], c.at[i]); });
}
__m512 _mm512_max_ps(__m512 a, __m512 b) {
  return each<__m512>([&](int i) { return a.at[i] > b.at[i] ? a.at[i] : b.at[i]; });
}
__m512 _mm512_min_ps(__m512 a, __m512 b) {
  return each<__m512>([&](int i) { return a.at[i] < b.at[i] ? a.at[i] : b.at[i]; });
}
__m512i _mm512_cvtps_epi32(__m512 a) {
  return each<__m512i>([&](int i) { return static_cast<uint32_t>(lrintf(a.at[i])); });
}
void _mm512_mask_storeu_epi32(void* to, __mmask16 m, __m512i v) { masked_store<uint32_t>(to, m, v); }
void _mm512_mask_storeu_ps(void* to, __mmask16 m, __m512 v) { masked_store<float>(to, m, v); }
void _mm512_storeu_si512(void* to, __m512i v) { memcpy(to, v.at, sizeof(v.at)); }
__m128i _mm512_cvtsepi32_epi8(__m512i v) {
  return each<__m128i>([&](int i) { return clipped<int8_t>(static_cast<int32_t>(v.at[i])); });
}
void _mm_mask_storeu_epi8(void* to, __mmask16 m, __m128i v) { masked_store<int8_t>(to, m, v); }

}  // namespace

#include "../binary/kernel_avx512.cc"
