// Fast model of 32-bit integers: the lengths by the fast model of symbols, the rest as in the other
// model of integers.
#ifndef KC_FAST_INTEGERS_H_
#define KC_FAST_INTEGERS_H_

#include "fast_model.h"
#include "integer_model.h"

namespace kc {

template <typename Lane, typename Noise>
bool run_fast_integers(FastModel* lengths, IntegerParts* parts, Lane* lanes, Noise* noise, uint8_t* data,
                       size_t count, int longest, uint8_t context) {
  Array<uint8_t> depths(count);
  if (!depths.ok()) return false;
  if (!Lane::kDecodes) IntegerParts::find_depths(data, count, longest, depths.data());
  const SymbolLayout layout = IntegerParts::depth_layout(count, longest);
  if (!lengths->run(lanes, noise, depths.data(), layout, context)) return false;
  const size_t half = (count + 1) / 2;
  size_t before[kLanes] = {};
  for (size_t k = 0; k < half; ++k) {
    if (stopped_at(k)) return false;
    for (size_t s = 0, i = k; s < kLanes && i < count; ++s, i += half) {
      const int length = depths[i] < longest ? longest - depths[i] : 0;
      parts->code_number(&lanes[s], noise, data + 4 * i, length, &before[s]);
    }
  }
  return true;
}

}  // namespace kc

#endif  // KC_FAST_INTEGERS_H_
