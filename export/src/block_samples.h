// A tensor of floats, and where in it blocks may begin.
#ifndef KC_BLOCK_SAMPLES_H_
#define KC_BLOCK_SAMPLES_H_

#include "block_fit.h"
#include "keras_compress.h"

namespace kc {

constexpr uint64_t kShortestBlock = 8;  // elements
constexpr uint64_t kLongestBlockTried = 1u << 16;
constexpr size_t kSamples = 10;
constexpr int kMaxOrders = 5;

struct FloatTensor {
  const uint8_t* data;
  uint64_t count;
  int format;

  void gather(uint64_t first, uint64_t stride, size_t n, float* values) const {
    for (size_t k = 0; k < n; ++k)
      values[k] = block_value(data, static_cast<size_t>(first + k * stride), format);
  }
};

// Room for the values of a block, got when the first of its size is looked at: of most tensors a few values
// tell that they are of no blocks.
class Scratch {
 public:
  float* of(size_t n) {
    if (n <= kFew) return few_;
    if (many_.size() < n && !many_.reset(n)) return nullptr;
    return many_.data();
  }

 private:
  static constexpr size_t kFew = 160;
  float few_[kFew];
  Array<float> many_;
};

// The axes along which blocks may lie: the last, the first, all but the first, all but the last, all.
int possible_orders(const kc_tensor& tensor, uint64_t count, BlockOrder* orders);

// Where blocks begin, whatever their length is: ends of axes; of one long axis, multiples of powers of two.
size_t sample_places(const FloatTensor& tensor, const BlockOrder& order, uint64_t* places);

// Of the axis a whole part, or a power of two.
inline bool may_be_block(const BlockOrder& o, uint64_t block) {
  return o.axis % block == 0 || (block & (block - 1)) == 0;
}

}  // namespace kc

#endif  // KC_BLOCK_SAMPLES_H_
