// Tensors of a patch beside the tensors of the file that it is made for.
#ifndef KC_PARTNER_H_
#define KC_PARTNER_H_

#include "bundle.h"
#include "plan.h"

namespace kc {

// What the partner model is told of each element: of integers the upper bits of the partner, of
// elements with a codebook the entry nearest to the partner.
bool find_partners(const Plan& plan, const Extent& extent, uint8_t* partners);

// Between the symbols of an extent and what the partner model codes: of integers the difference to
// the partner, small ones of either sign first.
void to_differences(const Plan& plan, const Extent& extent, uint8_t* symbols);
void from_differences(const Plan& plan, const Extent& extent, uint8_t* values);

// Bits of what the partner model codes.
int partner_bits(const Extent& extent);

// The tensor of `walker`'s file that most likely was this one; null if there is none.
const kc_tensor* find_partner(const BundleWalker& walker, const uint8_t* base, const kc_tensor& tensor,
                              size_t index, const uint8_t* file);

}  // namespace kc

#endif  // KC_PARTNER_H_
