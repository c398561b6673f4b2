// How many binary multiply-adds a second this processor makes with the kernels' own
// instructions, operands in registers and the first-level cache.
#include <immintrin.h>
#include <stdio.h>
#include <time.h>

namespace {

double seconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

#if defined(__AVX512VPOPCNTDQ__)
using Vector = __m512i;
constexpr int kWords = 2;  // of each side, taken up by a step
constexpr int kChains = 8;
struct State {
  Vector kept = {}, counts = {};
};
// What the AVX-512 kernels do with a pair of words: 5 operations and a copy. Spelled out, as the
// compiler would make more copies of it.
inline void step(State* s, const Vector* a, const Vector* b) {
  Vector x, before;
  __asm__("vpxord %[b0], %[a0], %[x]\n\t"
          "vmovdqa64 %[kept], %[before]\n\t"
          "vpternlogd $0x96, %[b1], %[a1], %[kept]\n\t"
          "vpternlogd $0xd4, %[kept], %[before], %[x]\n\t"
          "vpopcntd %[x], %[x]\n\t"
          "vpaddd %[x], %[counts], %[counts]"
          : [kept] "+v"(s->kept), [counts] "+v"(s->counts), [x] "=&v"(x), [before] "=&v"(before)
          : [a0] "v"(a[0]), [a1] "v"(a[1]), [b0] "m"(b[0]), [b1] "m"(b[1]));
}
inline void use(const State& s) { __asm__ volatile("" : : "v"(s.kept), "v"(s.counts)); }
#else
using Vector = __m256i;
constexpr int kWords = 4;
constexpr int kChains = 2;
struct State {
  Vector ones = {}, twos = {}, bytes = {};
};
Vector carry(Vector x, Vector both, Vector* kept) {
  const Vector carried = _mm256_or_si256(_mm256_and_si256(both, *kept), _mm256_andnot_si256(both, x));
  *kept = _mm256_xor_si256(*kept, both);
  return carried;
}
// What the AVX2 kernels do with two pairs of words: 24 operations.
inline void step(State* s, const Vector* a, const Vector* b) {
  const Vector table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2,
                                        3, 1, 2, 2, 3, 2, 3, 3, 4);
  const Vector low = _mm256_set1_epi8(15);
  const Vector x = carry(_mm256_xor_si256(a[0], b[0]), _mm256_xor_si256(a[1], b[1]), &s->ones);
  const Vector y = carry(_mm256_xor_si256(a[2], b[2]), _mm256_xor_si256(a[3], b[3]), &s->ones);
  const Vector v = carry(x, _mm256_xor_si256(x, y), &s->twos);
  const Vector halves = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
  const Vector counts = _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(v, low)),
                                        _mm256_shuffle_epi8(table, halves));
  s->bytes = _mm256_add_epi8(s->bytes, counts);
}
inline void use(const State& s) { __asm__ volatile("" : : "x"(s.ones), "x"(s.twos), "x"(s.bytes)); }
#endif

}  // namespace

int main() {
  State states[kChains];
  Vector a[kWords] = {}, b[kWords] = {};
  double best = 1e9;
  const long rounds = 400000;
  for (int attempt = 0; attempt < 100; ++attempt) {
    const double start = seconds();
    for (long i = 0; i < rounds; ++i) {
      // Unrolled, so that the sums stay in registers.
#pragma GCC unroll 8
      for (int chain = 0; chain < kChains; ++chain) {
        // The compiler must not know the operands, or it would take the work out of the loop.
        for (Vector& v : a) __asm__ volatile("" : "+v"(v));
        for (Vector& v : b) __asm__ volatile("" : "+m"(v));
        step(&states[chain], a, b);
      }
    }
    const double taken = seconds() - start;
    if (taken < best) best = taken;
  }
#pragma GCC unroll 8
  for (int chain = 0; chain < kChains; ++chain) use(states[chain]);
  printf("%.1f\n", static_cast<double>(rounds) * kChains * kWords * sizeof(Vector) * 8 / best / 1e9);
  return 0;
}
