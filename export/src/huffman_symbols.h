// Symbols of one byte with one Huffman code.
#ifndef KC_HUFFMAN_SYMBOLS_H_
#define KC_HUFFMAN_SYMBOLS_H_

#include "plan.h"

namespace kc {

bool encode_symbols(const uint8_t* symbols, size_t count, Bytes* out);
Decoded decode_symbols(Reader* in, uint8_t* symbols, size_t count);

}  // namespace kc

#endif  // KC_HUFFMAN_SYMBOLS_H_
