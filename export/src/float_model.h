// Floating-point weights in parts: the exponent with the symbol model, sign and upper mantissa
// bits with small models of their own, and the rest of the mantissa, which is noise, as it is.
#ifndef KC_FLOAT_MODEL_H_
#define KC_FLOAT_MODEL_H_

#include "bit_io.h"
#include "symbol_model.h"

namespace kc {

struct FloatFormat {
  int bytes;
  int exponent_bits;
  int mantissa_bits;
};

// 0 float16, 1 bfloat16, 2 float32.
constexpr FloatFormat kFloatFormats[3] = {{2, 5, 10}, {2, 8, 7}, {4, 8, 23}};

struct FloatLayout {
  size_t count = 0, row = 0, last = 0;
  FloatFormat format{};
  int lowest = 0, highest = 0;  // exponents
  int modelled = 0;             // upper mantissa bits that are modelled
  int zeros = 0;                // lowest mantissa bits that are always zero
  bool sparse = false;          // zeros have a symbol of their own among the exponents
  bool signed_zeros = false;    // and a sign
};

inline uint32_t load_element(const uint8_t* p, int bytes) {
  return bytes == 4 ? load32(p) : (bytes == 2 ? load16(p) : *p);
}
inline void store_element(uint8_t* p, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) p[i] = static_cast<uint8_t>(value >> (8 * i));
}

class FloatModel {
 public:
  static constexpr int kMaxModelled = 10;

  // The exponents of what will be run take at most `bits` bits.
  bool init(int bits) {
    return exponents_.init(bits) && by_exponent_.reset(32 * kTree) && by_rank_.reset(32 * kTree) &&
           alone_.reset(kTree) && sign_near_.reset(27) && sign_left_.reset(81) && fill_fresh(&by_exponent_) &&
           fill_fresh(&by_rank_) && fill_fresh(&alone_) && fill_fresh(&sign_near_) &&
           fill_fresh(&sign_left_) && zero_signs_.reset(3) && fill_fresh(&zero_signs_) &&
           mixer_.reset(16, kFirstWeight) && sign_mixer_.reset(1, kFirstWeight);
  }

  // Of the exponents' depths.
  static SymbolLayout depth_layout(const FloatLayout& l) {
    SymbolLayout layout;
    layout.count = l.count;
    layout.row = l.row;
    layout.last = l.last;
    layout.highest = l.highest - l.lowest + (l.sparse ? 1 : 0);
    layout.centre_flag = l.sparse;
    return layout;
  }

  // Depths below the largest exponent; with `sparse` one more, and 0 is a zero.
  static void find_depths(const uint8_t* data, const FloatLayout& l, uint8_t* depths) {
    const int bytes = l.format.bytes;
    const uint32_t exponent_mask = (1u << l.format.exponent_bits) - 1;
    const uint32_t sign_bit = 1u << (8 * bytes - 1);
    for (size_t i = 0; i < l.count && !stopped_at(i); ++i) {
      const uint32_t value = load_element(data + i * static_cast<size_t>(bytes), bytes);
      const int depth = l.highest - static_cast<int>(value >> l.format.mantissa_bits & exponent_mask);
      const bool zero = l.sparse && (value & ~sign_bit) == 0;
      depths[i] = static_cast<uint8_t>(zero ? 0 : depth + (l.sparse ? 1 : 0));
    }
  }

  // `bits` is the BitWriter or BitReader for the noise; `data` is read or written.
  template <typename Coder, typename Noise>
  bool run(Coder* coder, Noise* noise, uint8_t* data, const FloatLayout& l) {
    const int bytes = l.format.bytes, mantissa_bits = l.format.mantissa_bits;
    const uint32_t mantissa_mask = (1u << mantissa_bits) - 1;
    const int plain = mantissa_bits - l.modelled - l.zeros;
    const uint32_t exponent_mask = (1u << l.format.exponent_bits) - 1;
    const uint32_t sign_bit = 1u << (mantissa_bits + l.format.exponent_bits);
    Array<uint8_t> depths(l.count);
    if (!depths.ok() || plain < 0) return false;
    const int first = l.sparse ? 1 : 0;
    if (!Coder::kDecodes) find_depths(data, l, depths.data());
    const SymbolLayout layout = depth_layout(l);
    if (!exponents_.run(coder, depths.data(), layout)) return false;

    size_t in_row = 0;
    int near[3] = {0, 0, 0};
    int zero_sign = 0;  // of the zero before in this row
    auto sign_at = [&](size_t k) { return l.sparse && depths[k] == 0 ? 0 : sign_of(data, k, l); };
    for (size_t i = 0; i < l.count; ++i) {
      if (stopped_at(i)) return false;
      if (in_row == 0) zero_sign = 2;
      if (l.sparse && depths[i] == 0) {
        uint8_t* at = data + i * static_cast<size_t>(bytes);
        uint32_t value = Coder::kDecodes ? 0 : load_element(at, bytes);
        if (l.signed_zeros) {
          zero_sign = code_by_counter(coder, &zero_signs_[static_cast<size_t>(zero_sign)],
                                      (value & sign_bit) != 0, 250);
        }
        if (Coder::kDecodes) store_element(at, l.signed_zeros && zero_sign != 0 ? sign_bit : 0, bytes);
        if (++in_row == l.row) in_row = 0;
        continue;
      }
      uint8_t* at = data + i * static_cast<size_t>(bytes);
      uint32_t value = Coder::kDecodes ? 0 : load_element(at, bytes);
      near[0] = in_row >= 1 ? sign_at(i - 1) : 0;
      near[1] = in_row >= l.last && l.last > 1 ? sign_at(i - l.last) : 0;
      near[2] = i >= l.row ? sign_at(i - l.row) : 0;
      int up2 = i >= 2 * l.row ? sign_at(i - 2 * l.row) : 0;
      int depth = depths[i] - first;
      uint32_t sign = (value & sign_bit) != 0 ? 1 : 0;
      sign = static_cast<uint32_t>(code_sign(coder, static_cast<int>(sign), near, up2));
      int around = 0, seen = 0;
      if (in_row >= 1 && depths[i - 1] >= first) around += depths[i - 1] - first, ++seen;
      if (i >= l.row && depths[i - l.row] >= first) around += depths[i - l.row] - first, ++seen;
      int rank = seen == 0 ? 15 : depth - (around + seen / 2) / seen + 15;
      rank = rank < 0 ? 0 : (rank > 31 ? 31 : rank);
      uint32_t mantissa = value & mantissa_mask;
      uint32_t upper = code_upper(coder, mantissa >> (mantissa_bits - l.modelled), l.modelled,
                                  depth < 31 ? depth : 31, rank);
      mantissa = Coder::kDecodes ? upper << (mantissa_bits - l.modelled) : mantissa;
      mantissa |= code_noise(noise, mantissa >> l.zeros, plain) << l.zeros;
      uint32_t exponent = static_cast<uint32_t>(l.highest - depth) & exponent_mask;
      value = (sign != 0 ? sign_bit : 0) | exponent << mantissa_bits | mantissa;
      if (Coder::kDecodes) store_element(at, value, bytes);
      if (++in_row == l.row) in_row = 0;
    }
    return true;
  }

 private:
  static constexpr size_t kTree = 1u << kMaxModelled;
  static constexpr int32_t kFirstWeight = 65536 * 35 / 100;

  static int sign_of(const uint8_t* data, size_t i, const FloatLayout& l) {
    size_t bytes = static_cast<size_t>(l.format.bytes);
    return (data[i * bytes + bytes - 1] >> 7) != 0 ? 2 : 1;
  }

  template <typename Coder>
  int code_sign(Coder* coder, int bit, const int* near, int up2) {
    uint32_t* counters[2] = {
        &sign_near_[static_cast<size_t>(near[0] * 9 + near[1] * 3 + near[2])],
        &sign_left_[static_cast<size_t>(near[1] * 27 + near[2] * 9 + up2 * 3 + near[0])]};
    int16_t inputs[2] = {static_cast<int16_t>(counter_input(*counters[0])),
                         static_cast<int16_t>(counter_input(*counters[1]))};
    uint32_t p = clamp_p16(squash(sign_mixer_.dot(inputs, 0)));
    bit = coder->code(bit, p);
    sign_mixer_.learn(inputs, bit, 4);
    for (auto* counter : counters) update_counter(counter, bit, 1000);
    return bit;
  }

  template <typename Coder>
  uint32_t code_upper(Coder* coder, uint32_t upper, int bits, int depth, int rank) {
    uint32_t prefix = 1;
    for (int b = bits - 1; b >= 0; --b) {
      uint32_t* counters[3] = {&by_exponent_[static_cast<size_t>(depth) * kTree + prefix],
                               &by_rank_[static_cast<size_t>(rank) * kTree + prefix], &alone_[prefix]};
      int16_t inputs[4] = {};
      for (int k = 0; k < 3; ++k) inputs[k] = static_cast<int16_t>(counter_input(*counters[k]));
      size_t set = static_cast<size_t>(bits - 1 - b);
      int bit = coder->code(upper >> b & 1, clamp_p16(squash(mixer_.dot(inputs, set))));
      mixer_.learn(inputs, bit, 4);
      for (auto* counter : counters) update_counter(counter, bit, 1000);
      prefix = prefix * 2 + static_cast<uint32_t>(bit);
    }
    return prefix - (1u << bits);
  }

  SymbolModel exponents_;
  Array<uint32_t> by_exponent_, by_rank_, alone_, sign_near_, sign_left_, zero_signs_;
  MixerSet<4> mixer_;
  MixerSet<2> sign_mixer_;
};

}  // namespace kc

#endif  // KC_FLOAT_MODEL_H_
