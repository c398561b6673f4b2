// Repeats and Huffman codes: the fast coder of plan and skeleton, and of what is no model.
#ifndef KC_LZ_H_
#define KC_LZ_H_

#include "bytes.h"

namespace kc {

// Codes `history` from byte `start` on; matches may reach into what lies before (priming graphs).
bool lz_encode(const Bytes& history, size_t start, Bytes* out);

// Appends `size` bytes to `history`. False: malformed, or no memory (then `history->failed()`).
bool lz_decode(const uint8_t* data, size_t length, size_t size, Bytes* history);

}  // namespace kc

#endif  // KC_LZ_H_
