// The distinct values of a buffer that has few of them.
#ifndef KC_DISTINCT_H_
#define KC_DISTINCT_H_

#include "float_model.h"

namespace kc {

// Up to 256 distinct elements with their counts, in the order of their numbers.
class Distinct {
 public:
  // False as soon as there are more than 256.
  bool count(const uint8_t* data, size_t n, int bytes) {
    memset(slots_, 0, sizeof slots_);
    for (size_t i = 0; i < n; ++i) {
      uint32_t value = load_element(data + i * static_cast<size_t>(bytes), bytes);
      uint32_t slot = (value * 0x9E3779B1u) >> 22;
      while (slots_[slot] != 0 && values_[slots_[slot] - 1] != value) slot = (slot + 1) & 1023;
      if (slots_[slot] == 0) {
        if (size_ == 256) return false;
        values_[size_] = value;
        counts_[size_] = 0;
        slots_[slot] = static_cast<uint16_t>(++size_);
      }
      ++counts_[slots_[slot] - 1];
    }
    return true;
  }

  // Negative numbers first, as floats and as two's complement alike order themselves.
  void sort(int bytes, bool is_float) {
    uint32_t sign = 1u << (8 * bytes - 1), all = sign | (sign - 1);
    auto key = [&](uint32_t v) { return (v & sign) == 0 ? v | sign : (is_float ? ~v & all : v & ~sign); };
    for (size_t i = 1; i < size_; ++i) {
      uint32_t value = values_[i], n = counts_[i];
      size_t k = i;
      for (; k > 0 && key(values_[k - 1]) > key(value); --k) {
        values_[k] = values_[k - 1];
        counts_[k] = counts_[k - 1];
      }
      values_[k] = value;
      counts_[k] = n;
    }
  }

  size_t size() const { return size_; }
  uint32_t value(size_t i) const { return values_[i]; }
  const uint32_t* counts() const { return counts_; }

 private:
  uint32_t values_[256];
  uint32_t counts_[256];
  uint16_t slots_[1024];
  size_t size_ = 0;
};

}  // namespace kc

#endif  // KC_DISTINCT_H_
