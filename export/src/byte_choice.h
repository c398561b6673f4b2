// What general compressors do, as a candidate for any constant buffer: text, code and tables repeat.
#ifndef KC_BYTE_CHOICE_H_
#define KC_BYTE_CHOICE_H_

#include "budget.h"
#include "plan.h"

namespace kc {

// Codes the extent by repeats or a model of bytes where that takes less than what was chosen. `modelled`
// is whether it may take a slow model; of the time that is left, what it needs more is taken off.
void try_bytes(const Plan& plan, const uint8_t* file, const kc_tensor& tensor, int32_t codec, bool modelled,
               uint64_t* left, Extent* e);

}  // namespace kc

#endif  // KC_BYTE_CHOICE_H_
