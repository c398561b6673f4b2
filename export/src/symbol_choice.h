// Looks at elements that are symbols as they are, or few values, and says so in an extent.
#ifndef KC_SYMBOL_CHOICE_H_
#define KC_SYMBOL_CHOICE_H_

#include "distinct.h"
#include "keras_compress.h"
#include "plan.h"

namespace kc {

// Of TFLite's schema.
enum TensorType {
  kFloat32 = 0,
  kFloat16 = 1,
  kInt32 = 2,
  kUint8 = 3,
  kInt16 = 7,
  kInt8 = 9,
  kFloat64 = 10,
  kInt64 = 4,
  kUint64 = 12,
  kUint16 = 16,
  kInt4 = 17,
  kBfloat16 = 18,
  kInt2 = 19,
  kUint4 = 20
};

// Rows, by the tensor's shape.
void shape_of(const kc_tensor& tensor, uint64_t count, Extent* e);

// By how often each symbol comes; `zero` is that of the number 0, or none.
void choose_centre(const uint32_t* counts, size_t kinds, uint64_t total, size_t zero, Extent* e);

// Bytes that are the symbols.
void choose_bytes_as_symbols(const uint8_t* data, size_t count, bool is_signed, Extent* e);

// Elements of less than a byte, of which the last byte may have one too many.
void choose_packed(const kc_tensor& tensor, const uint8_t* data, size_t size, Extent* e);

// The multiples of one step that the values are, with few others between; counted in `counts`.
bool choose_grid(const Distinct& distinct, int bytes, size_t count, Plan* plan, Extent* e);

// All the values there are.
void choose_codebook(const Distinct& distinct, int bytes, size_t count, Plan* plan, Extent* e);

}  // namespace kc

#endif  // KC_SYMBOL_CHOICE_H_
