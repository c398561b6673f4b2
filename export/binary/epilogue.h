// From a count of differing bits to what is stored, for kernels without a vector form of it.
#ifndef KC_BINARY_EPILOGUE_H_
#define KC_BINARY_EPILOGUE_H_

#include <math.h>
#include <string.h>

#include "kernels.h"

namespace kc {
namespace binary {

// To the nearest integer, halves to even, as the vector instructions round. NaN becomes -128 there.
inline int8_t to_int8(float value) {
  if (!(value > -128.0f)) return -128;
  if (value >= 127.0f) return 127;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it leaves no bits below the point
  volatile float shifted = value + magic;
  return static_cast<int8_t>(static_cast<int32_t>(shifted - magic));
}

inline float finish(const Product& p, int32_t dot, int32_t filter) {
  const float value = static_cast<float>(dot) * p.scale[filter] + p.bias[filter];
  const float raised = value > p.low ? value : p.low;
  return raised < p.high ? raised : p.high;
}

// Stores `count` neighbouring filters' results of one row, from their products. With kBits `filter`
// is a multiple of 8 and whole bytes are stored; filters that don't exist have a threshold of -inf.
template <int kCount>
inline void store_row(const Product& p, int32_t row, int32_t filter, const int32_t* dots) {
  char* out = static_cast<char*>(p.out) + row * p.out_stride;
  const int32_t left = p.filter_count - filter;
  const int32_t count = left < kCount ? left : kCount;
  switch (p.result) {
    case Result::kCounts: memcpy(out + filter * 4, dots, count * 4); break;
    case Result::kFloat:
      for (int i = 0; i < count; ++i) {
        const float value = finish(p, dots[i], filter + i);
        memcpy(out + (filter + i) * 4, &value, 4);
      }
      break;
    case Result::kInt8:
      for (int i = 0; i < count; ++i) {
        out[filter + i] = static_cast<char>(to_int8(finish(p, dots[i], filter + i)));
      }
      break;
    case Result::kBits: {
      for (int first = 0; first < count; first += 8) {
        uint32_t bits = 0;
        for (int i = 0; i < 8; ++i) {
          const int32_t f = filter + first + i;
          bits |= static_cast<uint32_t>(!(finish(p, dots[first + i], f) >= p.threshold[f])) << i;
        }
        out[(filter + first) / 8] = static_cast<char>(bits);
      }
      break;
    }
  }
}

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_EPILOGUE_H_
