// Binary range coder for the fast models: 64 bits of range, four bytes at a time, so that a bit
// takes few instructions and none of them is a branch that can't be foreseen.
#ifndef KC_RANGE_CODER_H_
#define KC_RANGE_CODER_H_

#include "bytes.h"

// Only what is inlined keeps a lane in registers; the app for phones is compiled for size instead.
#ifdef __OPTIMIZE_SIZE__
#define KC_INLINE inline
#else
#define KC_INLINE __attribute__((always_inline)) inline
#endif

namespace kc {

// Two of them run side by side, each over one half of an extent: while one waits for its
// multiplication the other goes on.
constexpr int kLanes = 2;

class RangeEncoder {
 public:
  static constexpr bool kDecodes = false;

  RangeEncoder() = default;
  explicit RangeEncoder(Bytes* out) : out_(out) {}

  // `p1` is the probability of a 1 in 1/65536, from 1 to 65535.
  KC_INLINE int code(int bit, uint32_t p1) {
    const uint64_t bound = (range_ >> 16) * p1;
    if (bit != 0) {
      range_ = bound;
    } else {
      low_ += bound;
      if (low_ < bound) carry();
      range_ -= bound;
    }
    if (range_ >> 32 == 0) {
      put(4);
      low_ <<= 32;
      range_ <<= 32;
    }
    return bit;
  }

  // The shortest end: the reader sees zeros after it.
  void finish() {
    int bytes = 0;
    uint64_t end = 0;
    for (; bytes <= 8; ++bytes) {
      const uint64_t mask = bytes == 8 ? 0 : ~0ull >> (8 * bytes);
      end = low_ + mask;
      const bool carried = end < low_;
      end &= ~mask;
      if (end - low_ >= range_) continue;
      if (carried) carry();
      break;
    }
    low_ = end;
    put(bytes);
  }

  uint64_t bits() const { return 8ull * out_->size(); }

 private:
  void put(int bytes) {
    for (int i = 0; i < bytes; ++i) out_->push(static_cast<uint8_t>(low_ >> (56 - 8 * i)));
  }

  // What was written is a number below 1, so that a carry always ends in it.
  void carry() {
    for (size_t i = out_->size(); i > 0; --i) {
      if (++out_->data()[i - 1] != 0) return;
    }
  }

  Bytes* out_ = nullptr;
  uint64_t low_ = 0;
  uint64_t range_ = ~0ull;
};

class RangeDecoder {
 public:
  static constexpr bool kDecodes = true;

  RangeDecoder() = default;
  RangeDecoder(const uint8_t* data, size_t size) : at_(data), end_(data + size), size_(size) {
    value_ = next();
    value_ = value_ << 32 | next();
  }

  KC_INLINE int code(int, uint32_t p1) {
    const uint64_t bound = (range_ >> 16) * p1;
    const int bit = value_ < bound ? 1 : 0;
    const uint64_t zero = static_cast<uint64_t>(bit) - 1;  // all ones for a 0
    value_ -= bound & zero;
    range_ = bound + ((range_ - 2 * bound) & zero);
    if (range_ >> 32 == 0) {
      range_ <<= 32;
      value_ = value_ << 32 | next();
    }
    return bit;
  }

  uint64_t bits() const { return 8ull * (size_ - static_cast<size_t>(end_ - at_)); }
  // More zeros were asked for than any end makes needed.
  bool dry() const { return overrun_ > 8; }
  // All bytes were used, and no more zeros asked for than the shortest end makes needed.
  bool exact() const { return at_ == end_ && overrun_ <= 8; }

 private:
  __attribute__((noinline)) uint32_t next() {
    if (!kForSize && end_ - at_ >= 4) {
      const uint8_t* p = at_;
      at_ += 4;
      return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 |
             static_cast<uint32_t>(p[2]) << 8 | p[3];
    }
    uint32_t word = 0;
    for (int i = 0; i < 4; ++i) {
      word = word << 8 | (at_ != end_ ? *at_ : 0u);
      if (at_ != end_) {
        ++at_;
      } else if (overrun_ <= 8) {
        ++overrun_;
      }
    }
    return word;
  }

  const uint8_t* at_ = nullptr;
  const uint8_t* end_ = nullptr;
  size_t size_ = 0;
  uint64_t value_ = 0;
  uint64_t range_ = ~0ull;
  int overrun_ = 0;
};

}  // namespace kc

#endif  // KC_RANGE_CODER_H_
