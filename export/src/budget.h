// What of a file the slow models may have, so that restoring it takes no longer than it should.
#ifndef KC_BUDGET_H_
#define KC_BUDGET_H_

#include "bytes.h"
#include "keras_compress.h"

namespace kc {

struct Modelled {
  uint64_t largest_tensor = 0;  // in bytes; larger ones get light models
  bool graph = false;           // and all bytes outside of tensors?
};

// The dearest parts are left out, until what is left keeps the budget of the `auto` codec.
Modelled within_budget(const List<kc_tensor>& tensors, uint64_t file_size);

}  // namespace kc

#endif  // KC_BUDGET_H_
