// Looks at the numbers of a constant buffer and chooses how to code it.
#ifndef KC_CHOOSE_H_
#define KC_CHOOSE_H_

#include "keras_compress.h"
#include "plan.h"

namespace kc {

// Fills in everything of `extent` but gap, section and sharing. False: better left in the
// skeleton. Codebooks are added to `plan`.
bool choose_extent(const kc_tensor& tensor, const uint8_t* file, Plan* plan, Extent* extent);

// Changes the extent's method to its counterpart that decodes fastest.
void use_plain_method(Extent* extent);

}  // namespace kc

#endif  // KC_CHOOSE_H_
