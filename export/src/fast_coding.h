// Coding with canonical Huffman codes, for the fastest decoding: one extent at a time.
#ifndef KC_FAST_CODING_H_
#define KC_FAST_CODING_H_

#include "plan.h"
#include "sections.h"

namespace kc {

// Between the bytes of an extent and its symbols (see Extent::identity and codebook).
void symbols_of(const Plan& plan, const Extent& extent, const uint8_t* data, uint8_t* symbols);
bool restore_symbols(const Plan& plan, const Extent& extent, const uint8_t* symbols, size_t count,
                     uint8_t* data);

bool encode_fast(const Plan& plan, const Extent& extent, const uint8_t* data, Bytes* out);
Decoded decode_fast(const Plan& plan, const Extent& extent, Reader* in, uint8_t* data);

}  // namespace kc

#endif  // KC_FAST_CODING_H_
