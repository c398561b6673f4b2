// float64 beside elements of 4 (float32), 2 (float16) and 1 byte (int8), by integers alone.
#ifndef KC_NUMBER_FORMATS_H_
#define KC_NUMBER_FORMATS_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace kc {

inline uint64_t bits_of(double x) {
  uint64_t bits;
  memcpy(&bits, &x, 8);
  return bits;
}
inline double from_bits(uint64_t bits) {
  double x;
  memcpy(&x, &bits, 8);
  return x;
}
inline double size_of(double x) { return x < 0 ? -x : x; }

// The nearest float64 of which only the upper `bytes` bytes are not zero.
inline double shorten(double x, size_t bytes) {
  const int dropped = 64 - 8 * static_cast<int>(bytes);
  uint64_t bits = bits_of(x) + (1ull << (dropped - 1));
  return from_bits(bits >> dropped << dropped);
}

inline int mantissa_bits(int element) { return element == 4 ? 23 : 10; }
inline int exponent_bias(int element) { return element == 4 ? 127 : 15; }

// To the nearest float32 or float16, ties to even, by integers alone: no machine's modes matter.
// 0 for what would not be a normal number.
inline uint32_t round_float(double x, int element) {
  const int kept = mantissa_bits(element), bias = exponent_bias(element);
  const uint64_t bits = bits_of(x);
  const uint32_t sign = static_cast<uint32_t>(bits >> 63) << (8 * element - 1);
  if (bits << 1 == 0) return sign;
  const int64_t exponent = static_cast<int64_t>(bits >> 52 & 2047) - 1023 + bias;
  if (exponent <= 0 || exponent > 2 * bias) return 0;
  const uint64_t mantissa = bits & ((1ull << 52) - 1), half = 1ull << (51 - kept);
  uint64_t rounded = mantissa >> (52 - kept);
  const uint64_t rest = mantissa & (2 * half - 1);
  if (rest > half || (rest == half && (rounded & 1) != 0)) ++rounded;
  return sign | static_cast<uint32_t>((static_cast<uint64_t>(exponent) << kept) + rounded);
}

// Numbers in the order of their values, negative ones first.
inline uint32_t to_order(uint32_t bits, int element) {
  const uint32_t sign = 1u << (8 * element - 1), all = sign | (sign - 1);
  if (element == 1) return bits ^ sign;
  return (bits & sign) != 0 ? ~bits & all : bits | sign;
}
inline uint32_t from_order(uint32_t key, int element) {
  const uint32_t sign = 1u << (8 * element - 1), all = sign | (sign - 1);
  if (element == 1) return key ^ sign;
  return (key & sign) != 0 ? key & ~sign : ~key & all;
}

inline uint32_t predicted(double shared, double scale, int element) {
  const double product = shared * scale;
  if (element != 1) return round_float(product, element);
  if (!(product > -1000.0 && product < 1000.0)) return 0;
  int value = static_cast<int>(product < 0 ? product - 0.5 : product + 0.5);
  value = value < -128 ? -128 : (value > 127 ? 127 : value);
  return static_cast<uint32_t>(value) & 255;
}

inline double to_double(uint32_t bits, int element) {
  if (element == 1) return static_cast<int8_t>(bits);
  const int kept = mantissa_bits(element), bias = exponent_bias(element);
  const uint64_t sign = static_cast<uint64_t>(bits >> (8 * element - 1)) << 63;
  const uint32_t exponent = bits >> kept & static_cast<uint32_t>(2 * bias + 1);
  const uint64_t mantissa = bits & ((1u << kept) - 1);
  if (exponent == 0 && mantissa == 0) return from_bits(sign);
  if (exponent == 0) {  // subnormal
    double x = from_bits(sign | static_cast<uint64_t>(1024 - bias - kept) << 52);
    return x * static_cast<double>(mantissa);
  }
  const uint64_t wide = static_cast<uint64_t>(exponent) + 1023 - static_cast<uint64_t>(bias);
  return from_bits(sign | wide << 52 | mantissa << (52 - kept));
}

}  // namespace kc

#endif  // KC_NUMBER_FORMATS_H_
