#include "blockwise.h"

namespace kc {
namespace {

uint32_t nearest_half(uint32_t bits) {
  const uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7FFFFFFF;
  if (size >= 0x477FF000) return sign | 0x7C00;
  if (size >= 0x38800000) return sign | ((size - 0x38000000 + 0xFFF + (size >> 13 & 1)) >> 13);
  // Below 2^-14 halves are multiples of 2^-24.
  const int shift = 126 - static_cast<int>(size >> 23);
  if (shift > 24) return sign;
  const uint32_t mantissa = (size & 0x7FFFFF) | 0x800000, whole = mantissa >> shift;
  const uint32_t rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
  return sign | (whole + (rest > half || (rest == half && (whole & 1) != 0) ? 1 : 0));
}

}  // namespace

uint32_t nearest_element(float value, int format) {
  const uint32_t bits = bits_of(value);
  if (format == 2) return bits;
  return format == 0 ? nearest_half(bits) : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

bool restore_blocks(const Blockwise& from, const uint8_t* symbols, size_t count, uint8_t* data) {
  const BlockOrder& o = from.order;
  if (!o.fits(count)) return false;
  const bool wide = from.format == 2, added = from.offsets != nullptr;
  const uint32_t sign = wide ? 1u << 31 : 1u << 15;
  float scale = 0, offset = 0;
  size_t i = 0, zeros = 0;
  // In the order of the elements, so that none is written over a symbol that is still to be read.
  for (uint64_t first = 0; i < count;) {
    for (uint64_t at = 0; at < o.axis; ++at) {
      const bool begins = at % o.block == 0;
      if (begins && at != 0) first += o.stride;
      for (uint64_t r = 0; r < o.stride; ++r, ++i) {
        if (begins || o.stride != 1) {
          const size_t number = static_cast<size_t>(4 * (first + r));
          const uint32_t bits = load32(from.scales + number),
                         more = added ? load32(from.offsets + number) : 0;
          if (!is_normal(bits) || (more << 1 != 0 && !is_normal(more))) return false;
          scale = float_of(bits), offset = float_of(more);
        }
        if (symbols[i] >= from.symbols) return false;
        uint32_t value =
            block_element(from.levels[symbols[i]], scale, added ? &offset : nullptr, from.format);
        if (symbols[i] == from.zero) {
          if ((from.zero_signs[zeros / 8] >> (zeros % 8) & 1) != 0) value ^= sign;
          ++zeros;
        }
        data[0] = static_cast<uint8_t>(value), data[1] = static_cast<uint8_t>(value >> 8);
        data += 2;
        if (!wide) continue;
        data[0] = static_cast<uint8_t>(value >> 16), data[1] = static_cast<uint8_t>(value >> 24);
        data += 2;
      }
    }
    first += o.stride;
  }
  return true;
}

}  // namespace kc
