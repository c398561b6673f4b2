// Numbers that are a level times a scale, with one scale a block: what comes of weights of a few bits
// when they are dequantized ahead of time (GGUF's Q4_0, Q8_0 and Q4_1, NF4, blockwise int4 of LiteRT).
#ifndef KC_BLOCKWISE_H_
#define KC_BLOCKWISE_H_

#include "bytes.h"

namespace kc {

// Where blocks lie: along an axis of `axis` elements that are `stride` apart, `block` of them each, the
// last one of the axis perhaps shorter. Before the axis comes any number of like parts.
struct BlockOrder {
  uint64_t block = 0;
  uint64_t stride = 1;
  uint64_t axis = 0;

  bool fits(uint64_t count) const {
    return block != 0 && stride != 0 && block <= axis && axis <= count / stride &&
           count % (axis * stride) == 0;
  }
  uint64_t blocks(uint64_t count) const { return count / axis * ((axis + block - 1) / block); }

  // Of the element.
  size_t block_of(uint64_t i) const {
    const uint64_t part = i / (axis * stride), at = i / stride % axis;
    return static_cast<size_t>((part * ((axis + block - 1) / block) + at / block) * stride + i % stride);
  }

  // Calls `work(block, first element, elements)` for each block, in the order of their scales, and
  // stops at the first false. Blocks that lie between each other come one after another.
  template <typename Work>
  bool each(uint64_t count, Work work) const {
    size_t number = 0;
    for (uint64_t part = 0; part < count; part += axis * stride) {
      for (uint64_t at = 0; at < axis; at += block) {
        const size_t long_ = static_cast<size_t>(axis - at < block ? axis - at : block);
        for (uint64_t r = 0; r < stride; ++r) {
          if (!work(number++, static_cast<size_t>(part + at * stride + r), long_)) return false;
        }
      }
    }
    return true;
  }
};

inline float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
inline uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

// Neither zero, subnormal, infinite nor not a number: what every machine multiplies alike.
inline bool is_normal(uint32_t bits) { return (bits >> 23 & 255) - 1 < 254; }

// Products of float32; of what machines treat differently there is one form only.
inline float settled(float value) {
  const uint32_t bits = bits_of(value), exponent = bits >> 23 & 255;
  return exponent == 0 ? float_of(bits & 0x80000000u) : (exponent == 255 ? float_of(0x7F800000u) : value);
}

// The nearest element of format 0 (float16), 1 (bfloat16) or 2 (float32), ties to even.
uint32_t nearest_element(float value, int format);

// level * scale, or level * scale + offset, each rounded to float32; then to the element.
inline uint32_t block_element(float level, float scale, const float* offset, int format) {
  float value = settled(level * scale);
  if (offset != nullptr) value = settled(value + *offset);
  return nearest_element(value, format);
}

// What the elements of one tensor are made of. Scales and offsets are float32, one a block.
struct Blockwise {
  BlockOrder order;
  int format = 2;
  const float* levels = nullptr;  // one a symbol
  size_t symbols = 0;
  const uint8_t* scales = nullptr;
  const uint8_t* offsets = nullptr;  // or none
  // With signed zeros: the symbol whose level is 0, and for each element that has it a bit, 1 for the
  // other sign than its scale gives it.
  int zero = -1;
  const uint8_t* zero_signs = nullptr;
};

constexpr int kMaxLevel = 256;  // of integers, either way

// The symbol of level 0, or -1.
inline int zero_of(const float* levels, size_t symbols) {
  for (size_t k = 0; k < symbols; ++k) {
    if (levels[k] == 0) return static_cast<int>(k);
  }
  return -1;
}

// Writes the elements of `symbols`, which may stand at the end of `data`. False: malformed.
bool restore_blocks(const Blockwise& from, const uint8_t* symbols, size_t count, uint8_t* data);

}  // namespace kc

#endif  // KC_BLOCKWISE_H_
