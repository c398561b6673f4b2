#include "block_samples.h"

namespace kc {

int possible_orders(const kc_tensor& tensor, uint64_t count, BlockOrder* orders) {
  uint64_t first = count, last = count, all = 1;
  for (uint32_t i = 0; i < tensor.rank && all <= count; ++i) {
    if (tensor.shape[i] <= 0) return 0;
    const uint64_t d = static_cast<uint64_t>(tensor.shape[i]);
    if (i == 0) first = d;
    last = d;
    all = d > count ? count + 1 : all * d;
  }
  if (all != count) first = last = count;
  const BlockOrder possible[kMaxOrders] = {
      {0, 1, last}, {0, count / first, first}, {0, 1, count / first}, {0, last, count / last}, {0, 1, count}};
  int found = 0;
  for (const BlockOrder& o : possible) {
    bool known = o.axis < kShortestBlock;
    for (int k = 0; k < found; ++k)
      known = known || (orders[k].stride == o.stride && orders[k].axis == o.axis);
    if (!known) orders[found++] = o;
  }
  return found;
}

size_t sample_places(const FloatTensor& tensor, const BlockOrder& o, uint64_t* places) {
  const uint64_t lines = tensor.count / o.axis;
  size_t found = 0;
  if (lines == 1) {
    const uint64_t step = o.axis / kSamples >> 8 << 8;
    for (uint64_t at = 0; found < kSamples && at < o.axis; at += step) {
      places[found++] = at;
      if (step == 0) break;
    }
    return found;
  }
  for (size_t k = 0; k < kSamples && k < lines; ++k) {
    const uint64_t line = lines <= kSamples ? k : (lines - 1) * k / (kSamples - 1);
    places[found++] = line / o.stride * (o.axis * o.stride) + line % o.stride;
  }
  return found;
}

}  // namespace kc
