// Coding of a data section by a mixing model: arithmetic code, then noise bits.
#ifndef KC_MODELLED_CODING_H_
#define KC_MODELLED_CODING_H_

#include "plan.h"

namespace kc {

// How the extents of one method run through its model, both ways.
struct SymbolRun;
struct FloatRun;
struct IntegerRun;
struct ByteRun;
struct ReferenceByteRun;
struct ReferenceSymbolRun;
struct ReferenceFloatRun;

template <typename Run>
bool encode_modelled(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out);
template <typename Run>
Decoded decode_modelled(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory);

}  // namespace kc

#endif  // KC_MODELLED_CODING_H_
