// Model of floating-point weights beside those of an older tensor: how far each has moved.
#ifndef KC_REFERENCE_FLOAT_MODEL_H_
#define KC_REFERENCE_FLOAT_MODEL_H_

#include "bit_io.h"
#include "float_model.h"
#include "reference_model.h"

namespace kc {

class ReferenceFloatModel {
 public:
  bool init() {
    if (!lengths_.init() || !upper_.reset(33 * 4)) return false;
    fill_fresh(&upper_);
    return true;
  }

  // `data` is read or written, elements of `bytes` bytes; `base` holds as many of the older tensor.
  template <typename Coder, typename Noise>
  bool run(Coder* coder, Noise* noise, uint8_t* data, const uint8_t* base, size_t count, size_t row,
           size_t last, int bytes) {
    const size_t width = static_cast<size_t>(bytes);
    Array<uint8_t> lengths(count), hints(count);
    if (!lengths.ok() || !hints.ok()) return false;
    for (size_t i = 0; i < count; ++i) {
      if (stopped_at(i)) return false;
      const uint32_t old = load_element(base + i * width, bytes);
      hints[i] = static_cast<uint8_t>(old >> (8 * bytes - 9));  // of float32 the exponent
      if (Coder::kDecodes) continue;
      int64_t moved = rank(load_element(data + i * width, bytes), bytes) - rank(old, bytes);
      if (moved < 0) moved = -moved;
      while ((moved >> lengths[i]) != 0) ++lengths[i];
    }
    if (!lengths_.run(coder, lengths.data(), hints.data(), count, row, last, kLengthBits)) return false;
    for (size_t i = 0; i < count; ++i) {
      if (stopped_at(i)) return false;
      const int length = lengths[i] > kMaxLength ? kMaxLength : lengths[i];
      const int64_t from = rank(load_element(base + i * width, bytes), bytes);
      int64_t moved = Coder::kDecodes ? 0 : rank(load_element(data + i * width, bytes), bytes) - from;
      if (length != 0) moved = code_move(coder, noise, moved, length);
      if (Coder::kDecodes) store_element(data + i * width, unrank(from + moved, bytes), bytes);
    }
    return true;
  }

 private:
  static constexpr int kLengthBits = 6;
  static constexpr int kMaxLength = 32;

  // Numbers in the order of their values, -0 just below +0.
  static int64_t rank(uint32_t bits, int bytes) {
    const uint32_t sign = 1u << (8 * bytes - 1), all = sign | (sign - 1);
    return (bits & sign) != 0 ? ~bits & all : bits | sign;
  }
  static uint32_t unrank(int64_t rank, int bytes) {
    const uint32_t sign = 1u << (8 * bytes - 1), all = sign | (sign - 1);
    const uint32_t key = static_cast<uint32_t>(static_cast<uint64_t>(rank)) & all;
    return (key & sign) != 0 ? key & ~sign : ~key & all;
  }

  // A move other than none: its sign, two bits below its highest, and the rest.
  template <typename Coder, typename Noise>
  int64_t code_move(Coder* coder, Noise* noise, int64_t moved, int length) {
    const uint32_t down = code_noise(noise, moved < 0 ? 1 : 0, 1) & 1;
    const uint64_t size = static_cast<uint64_t>(moved < 0 ? -moved : moved);
    uint64_t found = 1;
    size_t node = 1;
    int left = length - 1;
    for (; left > 0 && node < 4; --left) {
      const int bit = code_by_counter(coder, &upper_[static_cast<size_t>(length) * 4 + node],
                                      static_cast<int>(size >> (left - 1) & 1), 1000);
      found = found << 1 | static_cast<uint64_t>(bit);
      node = node * 2 + static_cast<size_t>(bit);
    }
    if (left > 0) {
      const uint64_t mask = (1ull << left) - 1;
      found = found << left | (code_noise(noise, static_cast<uint32_t>(size & mask), left) & mask);
    }
    return down != 0 ? -static_cast<int64_t>(found) : static_cast<int64_t>(found);
  }

  ReferenceModel lengths_;
  Array<uint32_t> upper_;
};

}  // namespace kc

#endif  // KC_REFERENCE_FLOAT_MODEL_H_
