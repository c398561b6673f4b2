// Tensors whose elements take less than a byte: two numbers of 4 bits or four of 2, the first in the low
// bits, as LiteRT's INT4, UINT4 and INT2 have them.
#ifndef KC_NIBBLES_H_
#define KC_NIBBLES_H_

#include "bytes.h"

namespace kc {

// A symbol each, with the bits of `flip` turned over, which brings signed numbers in order.
inline void split_bytes(const uint8_t* bytes, size_t size, int bits, uint8_t flip, uint8_t* symbols) {
  const uint8_t mask = static_cast<uint8_t>((1 << bits) - 1);
  for (size_t i = 0; i < size; ++i) {
    for (int shift = 0; shift < 8; shift += bits)
      *symbols++ = static_cast<uint8_t>((bytes[i] >> shift & mask) ^ flip);
  }
}

// False: a symbol has more bits.
inline bool join_bytes(const uint8_t* symbols, size_t size, int bits, uint8_t flip, uint8_t* bytes) {
  uint8_t all = 0;
  for (size_t i = 0; i < size; ++i) {
    int byte = 0;
    for (int shift = 0; shift < 8; shift += bits, ++symbols) {
      all |= *symbols;
      byte |= (*symbols ^ flip) << shift;
    }
    bytes[i] = static_cast<uint8_t>(byte);
  }
  return all >> bits == 0;
}

}  // namespace kc

#endif  // KC_NIBBLES_H_
