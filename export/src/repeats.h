// Finds at which distance the rows of a matrix repeat their pattern.
#ifndef KC_REPEATS_H_
#define KC_REPEATS_H_

#include "plan.h"

namespace kc {

// The weights of a dense layer behind a flattened image have lost its width and channels: what a
// row resembles lies 28 weights back, say. Sets `e->last`, by which the models find neighbours, to
// the divisor of the row that tells most, where coding shows that it saves bytes.
void try_repeats(const Plan& plan, const uint8_t* file, Extent* e);

}  // namespace kc

#endif  // KC_REPEATS_H_
