// Context-mixing model of one symbol a weight: codebook indices, int8 weights, float exponents.
//
// A symbol is coded as [is it the centre?] [above or below?] [magnitude, high bit first]. Each of
// these bits is predicted by several counters, chosen by what lies around the weight in the
// tensor: its row (filter), its column, the weight before, the same weight of the row before,
// the same channel of the kernel position before.
#ifndef KC_SYMBOL_MODEL_H_
#define KC_SYMBOL_MODEL_H_

#include "mixing.h"

namespace kc {

struct SymbolLayout {
  size_t count = 0;  // weights
  size_t row = 0;    // weights of one row (filter): product of all dimensions but the first
  size_t last = 0;   // weights of the last dimension
  int centre = 0;    // the symbol from which magnitudes count
  int lowest = 0;    // smallest and largest symbol
  int highest = 255;
  bool centre_flag = false;  // the centre is so frequent that it has a bit of its own
};

class SymbolModel {
 public:
  // Bits of the largest magnitude of `layout`.
  static int magnitude_bits(const SymbolLayout& layout) {
    int reach = layout.highest - layout.centre;
    if (layout.centre - layout.lowest > reach) reach = layout.centre - layout.lowest;
    if (layout.centre_flag) --reach;
    int bits = 0;
    while (bits < 8 && (reach >> bits) != 0) ++bits;
    return bits;
  }

  // Tables for magnitudes of at most `bits` bits: the fewer, the sooner they are set up, and the more
  // of them stay in the cache.
  bool init(int bits) {
    nodes_ = (static_cast<size_t>(1) << bits) + 2;
    if (nodes_ < kUpperNodes) nodes_ = kUpperNodes;
    const size_t all = 2 * nodes_;
    if (!local_.reset(all) || !row_.reset(all) || !scale_.reset(64 * nodes_) ||
        !both_.reset(24 * 24 * nodes_) || !left_.reset(64 * kUpper) || !up_.reset(64 * all) ||
        !lag_.reset(32 * 32 * kUpper) || !column_.reset(kColumns * kColumnNodes) ||
        !node_mixer_.reset(kUpper, kFirstWeight) || !scale_mixer_.reset(64 * 12, kFirstWeight) ||
        !low_mixer_.reset(all, kFirstLowWeight) || !apm_.reset(64 * 12)) {
      return false;
    }
    fill_fresh(&scale_), fill_fresh(&both_);
    fill_fresh(&left_), fill_fresh(&up_), fill_fresh(&lag_), fill_fresh(&local_);
    return true;
  }

  template <typename Coder>
  bool run(Coder* coder, uint8_t* symbols, const SymbolLayout& layout) {
    begin(layout);
    if (!column_average_.reset(layout.last + 1) || !column_.ok()) return false;
    for (size_t i = 0; i < layout.last; ++i) column_average_[i] = 0;
    // The tensor's own order 0 starts from what the tensors before looked like.
    for (size_t i = 0; i < 2 * nodes_; ++i) local_[i] = weakened_counter(local_[i], 6);
    fill_fresh(&column_);
    size_t column = 0, in_row = 0;
    for (size_t i = 0; i < layout.count; ++i) {
      if (stopped_at(i)) return false;
      if (in_row == 0) start_row(layout);
      set_contexts(symbols, i, in_row, column, layout);
      int symbol = code_symbol(coder, symbols[i], layout);
      symbols[i] = static_cast<uint8_t>(symbol);
      int magnitude = symbol > layout.centre ? symbol - layout.centre : layout.centre - symbol;
      row_average_ += ((magnitude << 10) - row_average_) / row_step_;
      if (row_step_ < 24) ++row_step_;
      int32_t& average = column_average_[column];
      average += ((magnitude << 10) - average) / column_step_;
      if (++column == layout.last) {
        column = 0;
        if (column_step_ < 20) ++column_step_;
      }
      if (++in_row == layout.row) in_row = 0;
    }
    return true;
  }

  // 4 steps an octave.
  static int level(uint32_t x, int max) {
    x += 4;
    int octave = 31 - __builtin_clz(x);
    int q = (octave - 2) * 4 + static_cast<int>(x >> (octave - 2) & 3);
    return q < max ? q : max;
  }
  // 2 steps an octave.
  static constexpr int coarse(uint32_t x, int max) {
    x += 2;
    int octave = 31 - __builtin_clz(x);
    int q = (octave - 1) * 2 + static_cast<int>(x >> (octave - 1) & 1);
    return q < max ? q : max;
  }

  // Sign and size in 32 classes.
  static uint32_t signed_class(int difference) {
    int c = coarse(static_cast<uint32_t>(difference < 0 ? -difference : difference), 15);
    return static_cast<uint32_t>(difference < 0 ? 16 + c : c);
  }

 private:
  // Nodes of a magnitude's tree: centre flag, sign, and from 2 on its bits. Of the upper bits, which
  // see all contexts, there are few.
  static constexpr size_t kUpperNodes = 5;
  static constexpr size_t kUpper = 2 * kUpperNodes;
  static constexpr int kInputs = 16;
  static constexpr int32_t kFirstWeight = 65536 * 8 / 100;
  static constexpr int32_t kFirstLowWeight = 65536 * 16 / 100;
  static constexpr int kFullBits = 2;  // upper bits of a magnitude that see all contexts
  static constexpr size_t kColumns = 4096;
  static constexpr size_t kColumnNodes = 8;
  static constexpr uint32_t kLimit = 1000;

  void begin(const SymbolLayout& layout) {
    bits_ = magnitude_bits(layout);
    row_average_ = 0;
    row_step_ = 1;
    column_step_ = 1;
  }

  void start_row(const SymbolLayout& layout) {
    if (layout.row >= 48) {
      for (size_t i = 0; i < 2 * nodes_; ++i) row_[i] = weakened_counter(local_[i], 12);
      row_step_ = 2;
    }
    whole_rows_ = layout.row >= 48;
  }

  void set_contexts(const uint8_t* symbols, size_t i, size_t in_row, size_t column, const SymbolLayout& l) {
    int left = in_row >= 1 ? symbols[i - 1] - l.centre : 0;
    int left2 = in_row >= 2 ? symbols[i - 2] - l.centre : 0;
    int lag = in_row >= l.last && l.last > 1 ? symbols[i - l.last] - l.centre : 0;
    int up = i >= l.row ? symbols[i - l.row] - l.centre : 0;
    int up2 = i >= 2 * l.row ? symbols[i - 2 * l.row] - l.centre : 0;
    auto size = [](int v) { return static_cast<uint32_t>(v < 0 ? -v : v); };
    uint32_t row_average = static_cast<uint32_t>(row_average_);
    uint32_t column_average = static_cast<uint32_t>(column_average_[column]);
    uint32_t near = size(left) * 2 + size(left2) + size(up) * 2 + size(up2) + size(lag) * 2;
    uint32_t scale = row_average * 3 + column_average * 3 + near * 256;  // 1024 * 8 a unit

    int s = level(scale >> 9, 63);
    scale_class_ = static_cast<size_t>(s);
    set_widths(scale >> 5, row_average >> 2);
    base_[0] = local_.data();
    base_[1] = whole_rows_ ? row_.data() : local_.data();
    base_[2] = scale_.data() + static_cast<size_t>(s) * nodes_;
    base_[3] =
        both_.data() +
        static_cast<size_t>(coarse(row_average >> 7, 23) * 24 + coarse(column_average >> 7, 23)) * nodes_;
    base_[4] = left_.data() + (signed_class(left) * 2 + (left2 < 0 ? 1 : 0)) * kUpper;
    base_[5] = up_.data() + (signed_class(up) * 2 + (up2 < 0 ? 1 : 0)) * 2 * nodes_;
    base_[6] = lag_.data() + (signed_class(lag) * 32 + signed_class(left)) * kUpper;
    column_base_ = column_.data() + (in_row % kColumns) * kColumnNodes;
  }

  // Mean magnitudes around here, in 1/256: what the two bell curves below are drawn from.
  void set_widths(uint32_t around, uint32_t row) {
    around = around < 96 ? 96 : around;
    row = row < 96 ? 96 : row;
    laplace_ = (65536u * 256u) / around;
    uint64_t square = static_cast<uint64_t>(around) * around;
    gauss_ = static_cast<uint32_t>(((1ull << 32) * 163 >> 8) / square);  // 2/pi of mean^2
    square = static_cast<uint64_t>(row) * row;
    row_gauss_ = static_cast<uint32_t>(((1ull << 32) * 163 >> 8) / square);
  }

  static int16_t limited(int64_t x) { return static_cast<int16_t>(x > 2047 ? -2047 : -x); }

  // How likely the upper half of [from, from + 2 * half) is under a Laplace and a normal curve.
  void set_curves(int16_t* inputs, uint32_t from, uint32_t half) const {
    inputs[0] = limited(static_cast<int64_t>(half) * laplace_ >> 8);
    uint64_t step = static_cast<uint64_t>(half) * (from + half);
    inputs[1] = limited(static_cast<int64_t>(step * gauss_ >> 8));
    inputs[2] = limited(static_cast<int64_t>(step * row_gauss_ >> 8));
  }

  template <typename Coder>
  int code_symbol(Coder* coder, int symbol, const SymbolLayout& l) {
    if (l.centre_flag) {
      if (code_bit(coder, symbol == l.centre, 0, 0, 0, 0, 0) != 0) return l.centre;
    }
    int above = l.centre == l.lowest && l.centre_flag ? 1 : 0;
    bool one_sided = false;
    if (l.highest == l.centre) {
      above = 0;
      one_sided = true;
    } else if (l.lowest == l.centre) {
      above = 1;
      one_sided = true;
    }
    if (!one_sided) above = code_bit(coder, symbol > l.centre, 1, 0, 1, 0, 0);
    int away = above != 0 ? symbol - l.centre : l.centre - symbol;
    // Below the centre the centre itself is included unless it has its flag.
    int offset = l.centre_flag || (above != 0 && !one_sided) ? 1 : 0;
    int magnitude = away - offset;
    int prefix = 1;
    for (int b = bits_ - 1; b >= 0; --b) {
      const size_t node = static_cast<size_t>(1 + prefix), side = static_cast<size_t>(above);
      const uint32_t from = static_cast<uint32_t>((prefix << (b + 1)) - (1 << bits_));
      int bit = magnitude >> b & 1;
      bit = b < bits_ - kFullBits ? code_low_bit(coder, bit, node, side, from, 1u << b)
                                  : code_bit(coder, bit, node, side, 10 - b, from, 1u << b);
      prefix = prefix * 2 + bit;
    }
    magnitude = prefix - (1 << bits_) + offset;
    int result = above != 0 ? l.centre + magnitude : l.centre - magnitude;
    return result < 0 ? 0 : (result > 255 ? 255 : result);
  }

  template <typename Coder>
  int code_bit(Coder* coder, int bit, size_t node, size_t sign, int kind, uint32_t from, uint32_t half) {
    const size_t signed_node = node + sign * nodes_, upper = node + sign * kUpperNodes;
    uint32_t* counters[8];
    int16_t inputs[kInputs];
    counters[0] = base_[0] + signed_node;
    counters[1] = base_[1] + signed_node;
    for (int i = 2; i < 4; ++i) counters[i] = base_[i] + node;
    counters[4] = base_[4] + upper;
    counters[5] = base_[5] + signed_node;
    counters[6] = base_[6] + upper;
    counters[7] = column_base_ + (node < kColumnNodes ? node : kColumnNodes - 1);
    for (int i = 0; i < 8; ++i) inputs[i] = static_cast<int16_t>(counter_input(*counters[i]));
    if (node >= kColumnNodes - 1) inputs[7] = 0;
    inputs[8] = 256;
    for (int i = 12; i < kInputs; ++i) inputs[i] = 0;
    if (half != 0) {
      set_curves(inputs + 9, from, half);
    } else {
      inputs[9] = inputs[10] = inputs[11] = 0;
    }
    size_t by_scale = scale_class_ * 12 + static_cast<size_t>(kind);
    int a = node_mixer_.dot(inputs, upper);
    int b = scale_mixer_.dot(inputs, by_scale);
    int x = (a + b) / 2;
    uint32_t p = squash(x);
    uint32_t refined = apm_.refine(x, by_scale);
    p = clamp_p16((p * 3 + refined) >> 2);
    bit = coder->code(bit, p);
    // Fast at first, slow once there is little left to learn.
    const int rate = next_rate();
    node_mixer_.learn(inputs, bit, rate);
    scale_mixer_.learn(inputs, bit, rate);
    apm_.learn(bit, 6);
    update_counter(counters[0], bit, kLimit);
    if (counters[1] != counters[0]) update_counter(counters[1], bit, 255);
    for (int i = 2; i < 7; ++i) update_counter(counters[i], bit, kLimit);
    if (node < kColumnNodes - 1) update_counter(counters[7], bit, 127);
    return bit;
  }

  // One bit of a magnitude whose upper bits are known: there is little left to learn from far away.
  template <typename Coder>
  int code_low_bit(Coder* coder, int bit, size_t node, size_t sign, uint32_t from, uint32_t half) {
    const size_t signed_node = node + sign * nodes_;
    uint32_t* counters[5] = {base_[0] + signed_node, base_[1] + signed_node, base_[2] + node, base_[3] + node,
                             base_[5] + signed_node};
    int16_t inputs[8];
    for (int i = 0; i < 5; ++i) inputs[i] = static_cast<int16_t>(counter_input(*counters[i]));
    set_curves(inputs + 5, from, half);
    const uint32_t p = clamp_p16(squash(low_mixer_.dot(inputs, signed_node)));
    bit = coder->code(bit, p);
    low_mixer_.learn(inputs, bit, next_rate());
    update_counter(counters[0], bit, kLimit);
    if (counters[1] != counters[0]) update_counter(counters[1], bit, 255);
    update_counter(counters[2], bit, kLimit);
    update_counter(counters[3], bit, kLimit);
    update_counter(counters[4], bit, kLimit);
    return bit;
  }

  // Fast at first, slow once there is little left to learn.
  int next_rate() {
    if ((bits_seen_ & 63) == 0) {
      rate_ = kRate + kFirstRate * kRateSteps / (kRateSteps + static_cast<int>(bits_seen_));
    }
    if (bits_seen_ < (1u << 24)) ++bits_seen_;
    return rate_;
  }

  static constexpr int kRate = 6;
  static constexpr int kFirstRate = 24;
  static constexpr int kRateSteps = 20000;

  Array<uint32_t> local_, row_, scale_, both_, left_, up_, lag_;
  Array<uint32_t> column_;
  Array<int32_t> column_average_;
  MixerSet<kInputs> node_mixer_;
  MixerSet<kInputs> scale_mixer_;
  MixerSet<8> low_mixer_;
  Apm apm_;
  uint32_t* base_[7];
  uint32_t* column_base_ = nullptr;
  size_t nodes_ = 0;
  size_t scale_class_ = 0;
  uint32_t bits_seen_ = 0;
  int rate_ = 0;
  uint32_t laplace_ = 0, gauss_ = 0, row_gauss_ = 0;
  int32_t row_average_ = 0;
  int row_step_ = 1;
  int column_step_ = 1;
  int bits_ = 8;
  bool whole_rows_ = false;
};

}  // namespace kc

#endif  // KC_SYMBOL_MODEL_H_
