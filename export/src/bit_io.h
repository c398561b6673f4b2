// Bits packed into bytes, the first bit lowest.
#ifndef KC_BIT_IO_H_
#define KC_BIT_IO_H_

#include "bytes.h"

namespace kc {

class BitWriter {
 public:
  explicit BitWriter(Bytes* out) : out_(out) {}

  void put(uint32_t value, int bits) {  // at most 32
    pending_ |= static_cast<uint64_t>(value) << filled_;
    filled_ += bits;
    while (filled_ >= 8) {
      out_->push(static_cast<uint8_t>(pending_));
      pending_ >>= 8;
      filled_ -= 8;
    }
  }

  uint64_t bits() const { return 8ull * out_->size() + static_cast<uint64_t>(filled_); }

  // Pads the last byte with zeros.
  void finish() {
    if (filled_ > 0) out_->push(static_cast<uint8_t>(pending_));
    pending_ = 0;
    filled_ = 0;
  }

 private:
  Bytes* out_;
  uint64_t pending_ = 0;
  int filled_ = 0;
};

class BitReader {
 public:
  BitReader(const uint8_t* data, size_t size) : data_(data), end_(data + size) {}

  uint64_t bits() const { return taken_; }

  uint32_t take(int bits) {  // at most 32; zeros past the end
    taken_ += static_cast<uint64_t>(bits);
    if (!kForSize && filled_ < bits && end_ - data_ >= 4) {
      pending_ |= static_cast<uint64_t>(load32(data_)) << filled_;
      data_ += 4;
      filled_ += 32;
    }
    while (filled_ < bits) {
      uint64_t next = 0;
      if (data_ != end_) {
        next = *data_++;
      } else {
        overrun_ = true;
      }
      pending_ |= next << filled_;
      filled_ += 8;
    }
    uint32_t value = static_cast<uint32_t>(pending_ & ((1ull << bits) - 1));
    pending_ >>= bits;
    filled_ -= bits;
    return value;
  }

  // Everything was used, nothing more was asked for, and the padding is zero.
  bool exact() const { return !overrun_ && data_ == end_ && filled_ < 8 && pending_ == 0; }

 private:
  const uint8_t* data_;
  const uint8_t* end_;
  uint64_t pending_ = 0;
  int filled_ = 0;
  uint64_t taken_ = 0;
  bool overrun_ = false;
};

// Bits as they are, either way, as models call it: returns the lowest `bits` of what was coded.
inline uint32_t code_noise(BitWriter* noise, uint32_t value, int bits) {
  const uint32_t low = value & ((1u << bits) - 1);
  noise->put(low, bits);
  return low;
}
inline uint32_t code_noise(BitReader* noise, uint32_t, int bits) { return noise->take(bits); }

}  // namespace kc

#endif  // KC_BIT_IO_H_
