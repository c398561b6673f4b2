// 32-bit integers such as the biases of quantized models: the length of each size in bits with the
// symbol model, sign and upper bits with counters, and the rest, which is noise, as it is.
#ifndef KC_INTEGER_MODEL_H_
#define KC_INTEGER_MODEL_H_

#include "bit_io.h"
#include "symbol_model.h"

namespace kc {

// What follows the length of a number: its sign, and the bits below the highest one.
class IntegerParts {
 public:
  static constexpr int kLongest = 32;

  bool init() {
    return signs_.reset(3) && fill_fresh(&signs_) && upper_.reset((kLongest + 1) << kUpperBits) &&
           fill_fresh(&upper_);
  }

  static int length_of(uint32_t size) { return size == 0 ? 0 : 32 - __builtin_clz(size); }

  // How many bits each number is shorter than the longest.
  static void find_depths(const uint8_t* data, size_t count, int longest, uint8_t* depths) {
    for (size_t i = 0; i < count; ++i) {
      depths[i] = static_cast<uint8_t>(longest - length_of(size_of(load32(data + 4 * i))));
    }
  }

  static SymbolLayout depth_layout(size_t count, int longest) {
    SymbolLayout layout;
    layout.count = layout.row = layout.last = count;
    layout.highest = longest;
    return layout;
  }

  // The number at `at`, which is written where the coder decodes. `before` is the sign of the one before.
  template <typename Coder, typename Noise>
  void code_number(Coder* coder, Noise* noise, uint8_t* at, int length, size_t* before) {
    const uint32_t value = Coder::kDecodes ? 0 : load32(at);
    if (length == 0) {
      *before = 0;
      if (Coder::kDecodes) store32(at, 0);
      return;
    }
    const uint32_t size = size_of(value);
    const int negative = code_by_counter(coder, &signs_[*before], static_cast<int>(value >> 31), kLimit);
    uint32_t found = 1;
    size_t node = 1;
    int left = length - 1;
    for (; left > 0 && node < (1u << kUpperBits); --left) {
      const size_t counter = (static_cast<size_t>(length) << kUpperBits) + node;
      const int wanted = static_cast<int>(size >> (left - 1) & 1);
      const uint32_t bit = static_cast<uint32_t>(code_by_counter(coder, &upper_[counter], wanted, kLimit));
      found = found << 1 | bit;
      node = node * 2 + bit;
    }
    if (left > 0) found = found << left | code_noise(noise, size, left);
    *before = negative != 0 ? 2 : 1;
    if (Coder::kDecodes) store32(at, negative != 0 ? 0u - found : found);
  }

 private:
  static constexpr int kUpperBits = 3;
  static constexpr uint32_t kLimit = 255;

  static uint32_t size_of(uint32_t value) { return (value >> 31) != 0 ? 0u - value : value; }

  Array<uint32_t> signs_, upper_;
};

class IntegerModel {
 public:
  // The lengths of what will be run take at most `bits` bits.
  bool init(int bits) { return lengths_.init(bits) && parts_.init(); }

  template <typename Coder, typename Noise>
  bool run(Coder* coder, Noise* noise, uint8_t* data, size_t count, int longest) {
    Array<uint8_t> depths(count);
    if (!depths.ok()) return false;
    if (!Coder::kDecodes) IntegerParts::find_depths(data, count, longest, depths.data());
    if (!lengths_.run(coder, depths.data(), IntegerParts::depth_layout(count, longest))) return false;
    size_t before = 0;
    for (size_t i = 0; i < count; ++i) {
      if (stopped_at(i)) return false;
      const int length = depths[i] < longest ? longest - depths[i] : 0;
      parts_.code_number(coder, noise, data + 4 * i, length, &before);
    }
    return true;
  }

 private:
  SymbolModel lengths_;
  IntegerParts parts_;
};

}  // namespace kc

#endif  // KC_INTEGER_MODEL_H_
