// Estimates of what coding takes, in integers.
#ifndef KC_ENTROPY_H_
#define KC_ENTROPY_H_

#include "bytes.h"

namespace kc {

// log2 in 1/256 for 1 and above.
inline uint32_t log2_256(uint64_t x) {
  int top = 63 - __builtin_clzll(x);
  uint64_t rest = top >= 8 ? x >> (top - 8) : x << (8 - top);  // 256..511
  uint32_t f = static_cast<uint32_t>(rest & 255);
  return static_cast<uint32_t>(top) * 256 + f + (f * (256 - f) * 88 >> 16);
}

// Order-0 cost of a histogram, in bits.
inline uint64_t entropy_bits(const uint32_t* histogram, size_t kinds) {
  uint64_t total = 0, bits = 0;
  for (size_t i = 0; i < kinds; ++i) total += histogram[i];
  if (total == 0) return 0;
  uint32_t whole = log2_256(total);
  for (size_t i = 0; i < kinds; ++i) {
    if (histogram[i] != 0) bits += static_cast<uint64_t>(histogram[i]) * (whole - log2_256(histogram[i]));
  }
  return bits >> 8;
}

}  // namespace kc

#endif  // KC_ENTROPY_H_
