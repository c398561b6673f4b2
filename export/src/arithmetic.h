// Binary arithmetic coder (carryless range coder on 32 bits) with 16-bit probabilities.
//
// Model code is written once, as a template over the coder: `code(bit, p)` of the encoder takes a
// bit and returns it, `code(anything, p)` of the decoder returns the bit it read.
#ifndef KC_ARITHMETIC_H_
#define KC_ARITHMETIC_H_

#include "bytes.h"

namespace kc {

class ArithmeticEncoder {
 public:
  static constexpr bool kDecodes = false;
  explicit ArithmeticEncoder(Bytes* out) : out_(out) {}

  // `p1` is the probability of a 1 in 1/65536, from 1 to 65535.
  int code(int bit, uint32_t p1) {
    uint32_t middle = low_ + static_cast<uint32_t>((static_cast<uint64_t>(high_ - low_) * p1) >> 16);
    // Without a branch: half of the bits can't be foreseen.
    const uint32_t one = 0u - static_cast<uint32_t>(bit != 0);
    high_ = (middle & one) | (high_ & ~one);
    low_ = (low_ & one) | ((middle + 1) & ~one);
    while (((low_ ^ high_) & 0xFF000000u) == 0) {
      out_->push(static_cast<uint8_t>(high_ >> 24));
      low_ <<= 8;
      high_ = high_ << 8 | 0xFF;
    }
    return bit;
  }

  size_t bytes() const { return out_->size(); }
  size_t overrun() const { return 0; }

  // One byte is enough: the top bytes of low and high differ, and the reader sees zeros after it.
  void finish() {
    if (low_ != 0) out_->push(static_cast<uint8_t>((low_ >> 24) + 1));
  }

 private:
  Bytes* out_;
  uint32_t low_ = 0;
  uint32_t high_ = 0xFFFFFFFFu;
};

class ArithmeticDecoder {
 public:
  static constexpr bool kDecodes = true;
  ArithmeticDecoder(const uint8_t* data, size_t size) : data_(data), end_(data + size) {
    for (int i = 0; i < 4; ++i) value_ = value_ << 8 | next();
  }

  int code(int, uint32_t p1) {
    uint32_t middle = low_ + static_cast<uint32_t>((static_cast<uint64_t>(high_ - low_) * p1) >> 16);
    int bit = value_ <= middle ? 1 : 0;
    const uint32_t one = 0u - static_cast<uint32_t>(bit);
    high_ = (middle & one) | (high_ & ~one);
    low_ = (low_ & one) | ((middle + 1) & ~one);
    while (((low_ ^ high_) & 0xFF000000u) == 0) {
      low_ <<= 8;
      high_ = high_ << 8 | 0xFF;
      value_ = value_ << 8 | next();
    }
    return bit;
  }

  size_t bytes() const { return used_; }

  // Bytes past the end that were asked for; more than four means that the data was cut.
  size_t overrun() const { return overrun_; }

 private:
  uint32_t next() {
    ++used_;
    if (data_ == end_) return ++overrun_, 0u;
    return *data_++;
  }

  const uint8_t* data_;
  const uint8_t* end_;
  uint32_t low_ = 0;
  uint32_t high_ = 0xFFFFFFFFu;
  uint32_t value_ = 0;
  size_t overrun_ = 0;
  size_t used_ = 0;
};

}  // namespace kc

#endif  // KC_ARITHMETIC_H_
