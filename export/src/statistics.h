// Counts over the elements of a buffer, for reports.
#ifndef KC_STATISTICS_H_
#define KC_STATISTICS_H_

#include "keras_compress.h"

namespace kc {

// Elements of `width` bytes (1, 2, 4 or 8). Zeros of floats may be negative. False: no memory.
bool count_values(const uint8_t* data, size_t size, int width, bool is_float, kc_statistics* out);

}  // namespace kc

#endif  // KC_STATISTICS_H_
