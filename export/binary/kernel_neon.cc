// Kernels for 64-bit ARM: four rows and sixteen filters of 32 bits a step.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "epilogue.h"
#include "kernels.h"

namespace kc {
namespace binary {

namespace {

#define KC_INLINE inline __attribute__((always_inline))

constexpr int kBlock = 16;
constexpr int kVectors = kBlock / 4;
constexpr int kPairsBeforeOverflow = 15;  // each adds up to 16 to a byte

alignas(16) const uint32_t kBits4[4] = {1, 2, 4, 8};

// One bit for each lane that is not at least the limit.
KC_INLINE uint32_t negative4(float32x4_t value, float32x4_t limit) {
  const uint32x4_t negative = vmvnq_u32(vcgeq_f32(value, limit));
  return vaddvq_u32(vandq_u32(negative, vld1q_u32(kBits4)));
}

void pack_float(const float* x, const float* threshold, int32_t pixels, int32_t channels, uint32_t* out) {
  static const uint8_t kPlaces[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t places = vld1q_u8(kPlaces);
  const float32x4_t zero = vdupq_n_f32(0.0f);
  const int32_t whole = channels / 32;
  for (int32_t p = 0; p < pixels; ++p, x += channels) {
    for (int32_t word = 0; word < whole; ++word) {
      uint16x8_t not_negative[4];
      for (int i = 0; i < 4; ++i) {
        const int32_t c = word * 32 + i * 8;
        const float32x4_t first = threshold ? vld1q_f32(threshold + c) : zero;
        const float32x4_t second = threshold ? vld1q_f32(threshold + c + 4) : zero;
        not_negative[i] = vcombine_u16(vmovn_u32(vcgeq_f32(vld1q_f32(x + c), first)),
                                       vmovn_u32(vcgeq_f32(vld1q_f32(x + c + 4), second)));
      }
      const uint8x16_t low = vcombine_u8(vmovn_u16(not_negative[0]), vmovn_u16(not_negative[1]));
      const uint8x16_t high = vcombine_u8(vmovn_u16(not_negative[2]), vmovn_u16(not_negative[3]));
      uint8x16_t sum = vpaddq_u8(vbicq_u8(places, low), vbicq_u8(places, high));
      sum = vpaddq_u8(sum, sum);
      sum = vpaddq_u8(sum, sum);
      *out++ = vgetq_lane_u32(vreinterpretq_u32_u8(sum), 0);
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
  static const uint8_t kPlaces[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t places = vld1q_u8(kPlaces);
  const int8x16_t limit = vdupq_n_s8(zero_point);
  const int32_t whole = channels / 32;
  for (int32_t p = 0; p < pixels; ++p, x += channels) {
    for (int32_t word = 0; word < whole; ++word) {
      const uint8x16_t low = vcltq_s8(vld1q_s8(x + word * 32), limit);
      const uint8x16_t high = vcltq_s8(vld1q_s8(x + word * 32 + 16), limit);
      uint8x16_t sum = vpaddq_u8(vandq_u8(places, low), vandq_u8(places, high));
      sum = vpaddq_u8(sum, sum);
      sum = vpaddq_u8(sum, sum);
      *out++ = vgetq_lane_u32(vreinterpretq_u32_u8(sum), 0);
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

KC_INLINE float32x4_t value_of(const Product& p, int32_t filter, int32x4_t dots) {
  // Multiplied, then added: fused, the last bit would differ from the other processors'.
  float32x4_t value =
      vaddq_f32(vmulq_f32(vcvtq_f32_s32(dots), vld1q_f32(p.scale + filter)), vld1q_f32(p.bias + filter));
  const float32x4_t low = vdupq_n_f32(p.low), high = vdupq_n_f32(p.high);
  value = vbslq_f32(vcgtq_f32(value, low), value, low);
  return vbslq_f32(vcltq_f32(value, high), value, high);
}

KC_INLINE void store(const Product& p, int32_t row, int32_t filter, const int32x4_t* dots) {
  if (p.filter_count - filter < kBlock && p.result != Result::kBits) {
    alignas(16) int32_t each[kBlock];
    for (int q = 0; q < kVectors; ++q) vst1q_s32(each + 4 * q, dots[q]);
    store_row<kBlock>(p, row, filter, each);
    return;
  }
  char* out = static_cast<char*>(p.out) + row * p.out_stride;
  switch (p.result) {
    case Result::kCounts:
      for (int q = 0; q < kVectors; ++q) {
        vst1q_s32(reinterpret_cast<int32_t*>(out) + filter + 4 * q, dots[q]);
      }
      break;
    case Result::kFloat:
      for (int q = 0; q < kVectors; ++q) {
        vst1q_f32(reinterpret_cast<float*>(out) + filter + 4 * q, value_of(p, filter + 4 * q, dots[q]));
      }
      break;
    case Result::kInt8: {
      int16x4_t narrow[kVectors];
      for (int q = 0; q < kVectors; ++q) {
        narrow[q] = vqmovn_s32(vcvtnq_s32_f32(value_of(p, filter + 4 * q, dots[q])));
      }
      vst1q_s8(reinterpret_cast<int8_t*>(out) + filter,
               vcombine_s8(vqmovn_s16(vcombine_s16(narrow[0], narrow[1])),
                           vqmovn_s16(vcombine_s16(narrow[2], narrow[3]))));
      break;
    }
    case Result::kBits: {
      uint32_t bits = 0;
      for (int q = 0; q < kVectors; ++q) {
        const int32_t f = filter + 4 * q;
        bits |= negative4(value_of(p, f, dots[q]), vld1q_f32(p.threshold + f)) << (4 * q);
      }
      const uint16_t narrow = static_cast<uint16_t>(bits);
      memcpy(out + filter / 8, &narrow, 2);
      break;
    }
  }
}

template <int kRows>
KC_INLINE void tile(const Product& p, int32_t row, int32_t filter) {
  const uint32_t* w = p.filters + static_cast<size_t>(filter) * p.pairs * 2;
  const uint32_t* a[kRows];
  for (int i = 0; i < kRows; ++i) a[i] = p.image + p.rows[row + i].at;
  const int32_t* pair_at = p.pair_at;
  uint8x16_t bytes[kRows][kVectors];
  uint32x4_t totals[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int q = 0; q < kVectors; ++q) totals[i][q] = vdupq_n_u32(0);
  }
  for (int32_t left = p.pairs; left > 0;) {
    const int32_t now = left < kPairsBeforeOverflow ? left : kPairsBeforeOverflow;
    left -= now;
    for (int i = 0; i < kRows; ++i) {
      for (int q = 0; q < kVectors; ++q) bytes[i][q] = vdupq_n_u8(0);
    }
    for (int32_t k = 0; k < now; ++k, w += 2 * kBlock) {
      const int32_t at = *pair_at++;
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        uint8x16_t filters[kVectors];
        for (int q = 0; q < kVectors; ++q) {
          filters[q] = vreinterpretq_u8_u32(vld1q_u32(w + half * kBlock + 4 * q));
        }
#pragma GCC unroll 4
        for (int i = 0; i < kRows; ++i) {
          const uint8x16_t bits = vreinterpretq_u8_u32(vld1q_dup_u32(a[i] + at + half));
          for (int q = 0; q < kVectors; ++q) {
            bytes[i][q] = vaddq_u8(bytes[i][q], vcntq_u8(veorq_u8(filters[q], bits)));
          }
        }
      }
    }
    for (int i = 0; i < kRows; ++i) {
      for (int q = 0; q < kVectors; ++q) {
        totals[i][q] = vpadalq_u16(totals[i][q], vpaddlq_u8(bytes[i][q]));
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    const int32_t* base = p.base + p.rows[row + i].base_at + filter;
    int32x4_t dots[kVectors];
    for (int q = 0; q < kVectors; ++q) {
      dots[q] = vsubq_s32(vld1q_s32(base + 4 * q), vreinterpretq_s32_u32(vshlq_n_u32(totals[i][q], 1)));
    }
    store(p, row + i, filter, dots);
  }
}

void multiply(const Product& p) {
  for (int32_t filter = 0; filter < p.filter_count; filter += kBlock) {
    int32_t row = 0;
    for (; row + 4 <= p.row_count; row += 4) tile<4>(p, row, filter);
    for (; row < p.row_count; ++row) tile<1>(p, row, filter);
  }
}

}  // namespace

const Kernels kNeonKernels = {"neon", kBlock, false, pack_float, pack_int8, multiply};

}  // namespace binary
}  // namespace kc

#endif  // __aarch64__
