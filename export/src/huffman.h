// Canonical Huffman codes of at most 12 bits, decoded by one table look-up a symbol.
#ifndef KC_HUFFMAN_H_
#define KC_HUFFMAN_H_

#include "bit_io.h"

namespace kc {

constexpr int kHuffmanBits = 12;
constexpr size_t kHuffmanAlphabet = 2048;  // most symbols of one code

class HuffmanCode {
 public:
  // Lengths from counts; symbols that do not occur get none. One symbol alone gets length 1.
  void build(const uint32_t* counts, size_t symbols);

  // The lengths, by themselves, as bytes of a small arithmetic coder: varint size, then bytes.
  void write_lengths(Bytes* out) const;
  // False if the lengths are no complete code, or out of `symbols`.
  bool read_lengths(Reader* in, size_t max);

  void put(BitWriter* out, size_t symbol) const { out->put(codes_[symbol], lengths_[symbol]); }
  uint64_t cost(const uint32_t* counts) const;  // bits

  // Entry of the next 12 bits: symbol << 4 | length. 0 is no entry: the code is always full.
  const uint16_t* table() const { return table_; }

 private:
  bool assign();

  size_t symbols_ = 0;
  uint8_t lengths_[kHuffmanAlphabet];
  uint16_t codes_[kHuffmanAlphabet];  // bits in the order they are written, first lowest
  uint16_t table_[1 << kHuffmanBits];
};

// Reads codes from a stream that may be hostile: past its end it yields zeros.
class HuffmanStream {
 public:
  HuffmanStream() = default;
  HuffmanStream(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

  size_t next(const uint16_t* table) {
    uint32_t entry = table[bits_ & ((1u << kHuffmanBits) - 1)];
    bits_ >>= entry & 15;
    filled_ -= static_cast<int>(entry & 15);
    return entry >> 4;
  }

  uint32_t take(int bits) {  // at most 31, after a refill
    uint32_t value = static_cast<uint32_t>(bits_ & ((1ull << bits) - 1));
    bits_ >>= bits;
    filled_ -= bits;
    return value;
  }

  // More bits were used than there are.
  bool overrun() const { return filled_ < missing_; }

  // Afterwards 56 bits, four codes, are there.
  void refill() {
    if (end_ - at_ >= 8) {
      uint64_t word;
      memcpy(&word, at_, 8);
      bits_ |= to_little(word) << filled_;
      at_ += (63 - filled_) >> 3;
      filled_ |= 56;
      return;
    }
    while (filled_ <= 56) {
      if (at_ == end_) {
        missing_ += 8;
      } else {
        bits_ |= static_cast<uint64_t>(*at_++) << filled_;
      }
      filled_ += 8;
    }
  }

  // All bytes were used and no more; the padding of the last one is zero.
  bool exact() const {
    int left = filled_ - missing_;
    return at_ == end_ && left >= 0 && left < 8 && (bits_ & ((1u << left) - 1)) == 0;
  }

 private:
  static uint64_t to_little(uint64_t word) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(word);
#else
    return word;
#endif
  }

  friend class FourStreams;

  const uint8_t* at_ = nullptr;
  const uint8_t* end_ = nullptr;
  uint64_t bits_ = 0;
  int filled_ = 0;
  int missing_ = 0;  // of the filled bits, how many lie past the end
};

// The four streams of a section side by side, far from their ends: what is left of a word stands
// below a bit that marks its end, so that a stream is two registers.
class FourStreams {
 public:
  static constexpr int kStreams = 4;
  static constexpr size_t kCodes = 4;  // that are there after a reload

  explicit FourStreams(const HuffmanStream* streams) {
    for (int s = 0; s < kStreams; ++s) {
      at[s] = streams[s].at_;
      end_[s] = streams[s].end_;
      bits[s] = kMark;
    }
  }

  // How often all streams may be reloaded before one of them comes near its end.
  size_t reloads() const {
    size_t least = SIZE_MAX;
    for (int s = 0; s < kStreams; ++s) {
      const size_t left = static_cast<size_t>(end_[s] - at[s]);
      const size_t times = left < 16 ? 0 : (left - 8) / 8;
      least = times < least ? times : least;
    }
    return least;
  }

  void reload(int s) {
    const int used = __builtin_clzll(bits[s]);
    at[s] += used >> 3;
    uint64_t word;
    memcpy(&word, at[s], 8);
    bits[s] = (HuffmanStream::to_little(word) | kMark) >> (used & 7);
  }

  // The stream from where it stands.
  HuffmanStream rest(int s) const {
    const int used = __builtin_clzll(bits[s]);
    const uint8_t* here = at[s] + (used >> 3);
    HuffmanStream stream(here, static_cast<size_t>(end_[s] - here));
    stream.refill();
    stream.take(used & 7);
    return stream;
  }

  const uint8_t* at[kStreams];
  uint64_t bits[kStreams];

 private:
  static constexpr uint64_t kMark = 1ull << 63;
  const uint8_t* end_[kStreams];
};

}  // namespace kc

#endif  // KC_HUFFMAN_H_
