// Stretches of bytes outside of tensors that no model shortens, such as what is compressed already:
// they are stored as they are, and take no time, no bits and no room in any model's tables.
#ifndef KC_NOISE_H_
#define KC_NOISE_H_

#include "bundle.h"
#include "plan.h"

namespace kc {

// Raw extents by ascending offset, none of which meets a tensor. False: no memory, or stopped.
bool find_noise(const uint8_t* data, size_t size, const List<kc_tensor>& tensors, List<Extent>* noise);

}  // namespace kc

#endif  // KC_NOISE_H_
