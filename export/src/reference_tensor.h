// Tensors of a patch beside the tensors of the file that it is made for.
#ifndef KC_REFERENCE_TENSOR_H_
#define KC_REFERENCE_TENSOR_H_

#include "bundle.h"
#include "plan.h"

namespace kc {

// What the reference model is told of each element: of integers the upper bits of the reference, of
// elements with a codebook the entry nearest to the reference.
bool references_of(const Plan& plan, const Extent& extent, uint8_t* references);

// Between the symbols of an extent and what the reference model codes: of integers the difference to
// the reference, small ones of either sign first.
void to_differences(const Plan& plan, const Extent& extent, uint8_t* symbols);
void from_differences(const Plan& plan, const Extent& extent, uint8_t* values);

// Bits of what the reference model codes.
int reference_bits(const Extent& extent);

// The tensor of `walker`'s file that most likely was this one; null if there is none.
const kc_tensor* find_reference(const BundleWalker& walker, const uint8_t* base, const kc_tensor& tensor,
                                size_t index, const uint8_t* file);

}  // namespace kc

#endif  // KC_REFERENCE_TENSOR_H_
