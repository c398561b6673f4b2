// 32-bit integers such as the biases of quantized models: the length of each size in bits with the
// symbol model, sign and upper bits with counters, and the rest, which is noise, as it is.
#ifndef KC_INTEGER_MODEL_H_
#define KC_INTEGER_MODEL_H_

#include "bit_io.h"
#include "symbol_model.h"

namespace kc {

class IntegerModel {
 public:
  // The lengths of what will be run take at most `bits` bits.
  bool init(int bits) {
    return lengths_.init(bits) && signs_.reset(3) && fill(&signs_) &&
           upper_.reset((kLongest + 1) << kUpperBits) && fill(&upper_);
  }

  static constexpr int kLongest = 32;

  static int length_of(uint32_t size) { return size == 0 ? 0 : 32 - __builtin_clz(size); }

  // Of the depths: how many bits each is shorter than the longest.
  static SymbolLayout depth_layout(size_t count, int longest) {
    SymbolLayout layout;
    layout.count = layout.row = layout.last = count;
    layout.highest = longest;
    return layout;
  }

  template <typename Coder, typename Noise>
  bool run(Coder* coder, Noise* noise, uint8_t* data, size_t count, int longest) {
    Array<uint8_t> depths(count);
    if (!depths.ok()) return false;
    for (size_t i = 0; !Coder::kDecodes && i < count; ++i) {
      depths[i] = static_cast<uint8_t>(longest - length_of(size_of(load32(data + 4 * i))));
    }
    if (!lengths_.run(coder, depths.data(), depth_layout(count, longest))) return false;
    size_t before = 0;  // sign of the element before
    for (size_t i = 0; i < count; ++i) {
      const int length = depths[i] < longest ? longest - depths[i] : 0;
      const uint32_t value = Coder::kDecodes ? 0 : load32(data + 4 * i);
      if (length == 0) {
        before = 0;
        if (Coder::kDecodes) store32(data + 4 * i, 0);
        continue;
      }
      const uint32_t size = size_of(value);
      const int negative = code(coder, &signs_[before], value >> 31);
      uint32_t found = 1;
      size_t node = 1;
      int left = length - 1;
      for (; left > 0 && node < (1u << kUpperBits); --left) {
        const size_t at = (static_cast<size_t>(length) << kUpperBits) + node;
        const uint32_t bit = static_cast<uint32_t>(code(coder, &upper_[at], size >> (left - 1) & 1));
        found = found << 1 | bit;
        node = node * 2 + bit;
      }
      if (left > 0) found = found << left | code_noise(noise, size, left);
      before = negative != 0 ? 2 : 1;
      if (Coder::kDecodes) store32(data + 4 * i, negative != 0 ? 0u - found : found);
    }
    return true;
  }

 private:
  static constexpr int kUpperBits = 3;

  static uint32_t size_of(uint32_t value) { return (value >> 31) != 0 ? 0u - value : value; }

  static bool fill(Array<uint32_t>* table) {
    for (size_t i = 0; i < table->size(); ++i) (*table)[i] = kFreshCounter;
    return true;
  }

  template <typename Coder>
  static int code(Coder* coder, uint32_t* counter, uint32_t bit) {
    const int coded = coder->code(static_cast<int>(bit), clamp_p16(counter_p16(*counter)));
    update_counter(counter, coded, 255);
    return coded;
  }

  static uint32_t code_noise(BitWriter* noise, uint32_t value, int bits) {
    const uint32_t low = value & ((1u << bits) - 1);
    noise->put(low, bits);
    return low;
  }
  static uint32_t code_noise(BitReader* noise, uint32_t, int bits) { return noise->take(bits); }

  SymbolModel lengths_;
  Array<uint32_t> signs_, upper_;
};

}  // namespace kc

#endif  // KC_INTEGER_MODEL_H_
