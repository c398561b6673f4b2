#include "kernels.h"

#include <string.h>

#if defined(__x86_64__) && !defined(KC_PORTABLE_ALONE)
#define KC_X86_KERNELS
#include <cpuid.h>
#endif

namespace kc {
namespace binary {

namespace {

#if defined(KC_X86_KERNELS)
// Asked of the processor itself: the compilers' own check lives in a runtime that isn't linked.
struct Processor {
  bool avx2 = false;
  bool avx512 = false;
};

uint64_t enabled_state() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

Processor processor() {
  Processor found;
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX)) return found;
  const uint64_t state = enabled_state();
  if ((state & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  found.avx2 = b & (1u << 5);
  const uint32_t needed = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  found.avx512 = found.avx2 && (b & needed) == needed && (c & (1u << 14)) && (state & 0xE6) == 0xE6;
  return found;
}
#endif

}  // namespace

const Kernels* best_kernels() {
#if defined(KC_X86_KERNELS)
  const Processor has = processor();
  if (has.avx512) return &kAvx512Kernels;
  if (has.avx2) return &kAvx2Kernels;
#elif defined(__aarch64__)
  return &kNeonKernels;
#endif
  return &kPortableKernels;
}

const Kernels* kernels_named(const char* name) {
#if defined(KC_X86_KERNELS)
  const Processor has = processor();
  if (has.avx512 && !strcmp(name, kAvx512Kernels.name)) return &kAvx512Kernels;
  if (has.avx2 && !strcmp(name, kAvx2Kernels.name)) return &kAvx2Kernels;
#elif defined(__aarch64__)
  if (!strcmp(name, kNeonKernels.name)) return &kNeonKernels;
#endif
  return strcmp(name, kPortableKernels.name) ? nullptr : &kPortableKernels;
}

}  // namespace binary
}  // namespace kc
