// What of a file the slow models may have, so that restoring it takes no longer than it should.
#ifndef KC_BUDGET_H_
#define KC_BUDGET_H_

#include "bytes.h"
#include "decode_costs.h"
#include "keras_compress.h"
#include "skeleton_coding.h"

namespace kc {

struct Modelled {
  uint64_t largest_tensor = 0;                // in bytes; larger ones get fast models
  GraphCoding graph = GraphCoding::kRepeats;  // of all bytes outside of tensors
  uint64_t left = 0;                          // nanoseconds of the budget that no part takes
};

// Nanoseconds that it takes to restore bytes by the byte model, or by lz into which they were coded, and
// a tensor by the models of its type.
constexpr uint64_t kByteModelTime = kByteModelCost;
constexpr uint64_t lz_time(uint64_t size, uint64_t coded) { return 20 * size + 200 * coded; }
uint64_t tensor_time(const kc_tensor& tensor);

// The dearest parts are left out, until what is left keeps the budget of the `auto` codec.
Modelled within_budget(const List<kc_tensor>& tensors, uint64_t file_size);

}  // namespace kc

#endif  // KC_BUDGET_H_
