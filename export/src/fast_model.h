// Fast model of one symbol a weight: the same decisions as the symbol model's, each predicted by the
// mean of two counters instead of by a mix of many. A fifteenth of the time for a hundredth of size.
//
// The extent's halves are coded in turns, each with a coder of its own.
#ifndef KC_FAST_MODEL_H_
#define KC_FAST_MODEL_H_

#include "bit_io.h"
#include "range_coder.h"
#include "symbol_model.h"

namespace kc {

// What chooses the second counter of a magnitude's bits. Numbers of the format.
enum FastContext : uint8_t {
  kFastAlone = 0,    // nothing: there is one counter only
  kFastScale = 1,    // how large the magnitudes around are
  kFastMeans = 2,    // the mean magnitudes lately, and of the column
  kFastUp = 3,       // the symbol one row before
  kFastLag = 4,      // the symbol `last` before
  kFastLagLeft = 5,  // that, and the symbol before
  kFastUpLeft = 6,
  kFastContexts = 7,
};

// The context byte of an extent: a FastContext, how many low bits of a magnitude are noise, and
// whether the side is.
constexpr int kFastNoiseShift = 3;
constexpr int kMaxFastNoise = 3;
constexpr uint8_t kFastPlainSide = 32;

inline bool is_fast_context(uint8_t byte) { return byte < 64 && (byte & 7) < kFastContexts; }

// SymbolModel::coarse of what fast models meet.
struct CoarseTable {
  uint8_t of[2048];
};
constexpr CoarseTable make_coarse() {
  CoarseTable t{};
  for (uint32_t x = 0; x < 2048; ++x) t.of[x] = static_cast<uint8_t>(SymbolModel::coarse(x, 255));
  return t;
}
constexpr CoarseTable kCoarse = make_coarse();

KC_INLINE size_t coarse_of(uint32_t x) {
  return kForSize ? static_cast<size_t>(SymbolModel::coarse(x, 255)) : kCoarse.of[x];
}

class FastModel {
 public:
  bool init() {
    if (!base_.reset(kNodes) || !near_.reset(256) || !density_.reset(256) || !column_kept_.reset(kColumns) ||
        !column_mean_.reset(kColumns) || !list_.reset(kLanes * kBlock)) {
      return false;
    }
    fill_fresh(&base_), fill_fresh(&near_), fill_fresh(&density_);
    return true;
  }

  template <typename Lane, typename Noise>
  bool run(Lane* lanes, Noise* noise, uint8_t* symbols, const SymbolLayout& layout, uint8_t context) {
    if (!begin(layout, context)) return false;
    symbols_ = symbols;
    for (size_t first = 0; first < start_[1]; first += kBlock) {
      if (stopped()) return false;
      const size_t end = first + kBlock < start_[1] ? first + kBlock : start_[1];
      layout.centre_flag ? code_kept(lanes, first, end) : list_all(first, end);
      // Without a table of its own the second counter is the first, which learns from what it was: but
      // for the time it takes this is the same.
      context_ == kFastAlone && !kForSize ? code_listed<!kForSize>(lanes, noise, first)
                                          : code_listed<false>(lanes, noise, first);
    }
    return true;
  }

 private:
  static constexpr size_t kNodes = 512;  // of a magnitude's bits, for either side
  static constexpr size_t kContexts = 64;
  static constexpr size_t kColumns = 4096;
  static constexpr size_t kBlock = 4096;
  static constexpr uint32_t kLimit = 1000;
  static constexpr int kUpperBits = 4;  // of a magnitude, that have a second counter

  struct Place {
    uint16_t at;  // from the block's start
    uint16_t column;
  };

  static void weaken(Array<uint32_t>* table, uint32_t max) {
    for (uint32_t *c = table->data(), *end = c + table->size(); c != end; ++c) *c = weakened_counter(*c, max);
  }

  bool begin(const SymbolLayout& l, uint8_t context) {
    layout_ = l;
    context_ = context & 7;
    bits_ = SymbolModel::magnitude_bits(l);
    const int noise = context >> kFastNoiseShift & kMaxFastNoise;
    noise_bits_ = noise < bits_ ? noise : bits_;
    plain_side_ = (context & kFastPlainSide) != 0;
    start_[0] = 0;
    start_[1] = (l.count + 1) / 2;
    start_[2] = l.count;
    // A tensor starts from what the tensors before looked like, and soon knows better.
    weaken(&base_, 30), weaken(&near_, 120), weaken(&density_, 120);
    fill_fresh(&column_kept_);
    for (size_t i = 0; i < kColumns; ++i) column_mean_[i] = 0;
    for (int s = 0; s < kLanes; ++s) mean_[s] = 0, row_kept_[s] = kFreshCounter;
    one_sided_ = l.highest == l.centre || l.lowest == l.centre;
    Array<uint32_t>& table = tables_[context_];
    if (context_ == kFastAlone || table.ok()) return true;
    if (!table.reset(kContexts * kNodes)) return false;
    fill_fresh(&table);
    return true;
  }

  // Is the element so far back in the same half, and not at the centre?
  uint32_t kept(size_t i, size_t back, size_t start) const {
    return i >= start + back && symbols_[i - back] != layout_.centre ? 1 : 0;
  }
  // Its difference from the centre; 0 where there is none.
  int before(size_t i, size_t back, size_t start) const {
    return i >= start + back ? symbols_[i - back] - layout_.centre : 0;
  }

  // The place in the row, and that of the element after `i`. Of longer rows columns share statistics.
  size_t column_of(size_t i) const { return i % layout_.row % kColumns; }
  size_t next_column(size_t column, size_t i) const {
    return (layout_.row <= kColumns ? column + 1 == layout_.row : (i + 1) % layout_.row == 0)
               ? 0
               : (column + 1) % kColumns;
  }

  static size_t share(uint32_t counter) {
    const size_t c = coarse_of(counter >> 23);
    return c < 15 ? c : 15;
  }

  // Which elements of a block are not at the centre: decoded, they hold another symbol for now.
  template <typename Lane>
  void code_kept(Lane* lanes, size_t first, size_t end) {
    const size_t lag = layout_.last < layout_.row ? layout_.last : layout_.count;
    const uint8_t centre = static_cast<uint8_t>(layout_.centre);
    Lane lane[kLanes] = {lanes[0], lanes[1]};  // in registers: no table can be the same memory
    size_t column[kLanes];
    for (int s = 0; s < kLanes; ++s) {
      listed_[s] = 0;
      column[s] = column_of(start_[s] + first);
    }
    for (size_t k = first; k < end; ++k) {
      for (int s = 0; s < kLanes; ++s) {
        const size_t i = start_[s] + k, start = start_[s];
        if (i >= start_[s + 1]) break;  // the second half may lack an element
        uint32_t* of_column = &column_kept_[column[s]];
        const size_t around = kept(i, 1, start) | kept(i, 2, start) << 1 | kept(i, layout_.row, start) << 2 |
                              kept(i, lag, start) << 3;
        const size_t columns = share(*of_column);
        uint32_t* near = &near_[around * 16 + columns];
        uint32_t* density = &density_[share(row_kept_[s]) * 16 + columns];
        const int bit = lane[s].code(symbols_[i] != centre, chance(*near, *density));
        update_counter(near, bit, kLimit);
        update_counter(density, bit, kLimit);
        update_counter(&row_kept_[s], bit, 24);
        update_counter(of_column, bit, 60);
        if (Lane::kDecodes) symbols_[i] = static_cast<uint8_t>(centre ^ bit);
        listed(s)[listed_[s]] = {static_cast<uint16_t>(k - first), static_cast<uint16_t>(column[s])};
        listed_[s] += static_cast<size_t>(bit);
        column[s] = next_column(column[s], i);
      }
    }
    for (int s = 0; s < kLanes; ++s) lanes[s] = lane[s];
  }

  Place* listed(int s) { return list_.data() + static_cast<size_t>(s) * kBlock; }

  // All elements of a block.
  void list_all(size_t first, size_t end) {
    for (int s = 0; s < kLanes; ++s) {
      size_t column = column_of(start_[s] + first);
      listed_[s] = 0;
      for (size_t k = first; k < end && start_[s] + k < start_[s + 1]; ++k) {
        listed(s)[listed_[s]++] = {static_cast<uint16_t>(k - first), static_cast<uint16_t>(column)};
        column = next_column(column, start_[s] + k);
      }
    }
  }

  // The values of what is listed in the block from `first` on.
  template <bool kAlone, typename Lane, typename Noise>
  void code_listed(Lane* lanes, Noise* noise, size_t first) {
    Cursor<Lane> one, two;
    one.lane = lanes[0], two.lane = lanes[1];
    one.start = first, two.start = start_[1] + first;
    const Place *of_one = listed(0), *of_two = listed(1);
    const size_t both = listed_[0] < listed_[1] ? listed_[0] : listed_[1];
    for (size_t k = 0; k < both; ++k) {
      one.move_to(of_one[k]);
      two.move_to(of_two[k]);
      code_two<kAlone>(&one, &two, noise);
    }
    for (size_t k = both; k < listed_[0]; ++k) one.move_to(of_one[k]), code_one<kAlone>(&one, noise, 0);
    for (size_t k = both; k < listed_[1]; ++k) two.move_to(of_two[k]), code_one<kAlone>(&two, noise, 1);
    lanes[0] = one.lane, lanes[1] = two.lane;
  }

  // The mean of both counters' probabilities.
  static uint32_t chance(uint32_t a, uint32_t b) {
    return static_cast<uint32_t>((static_cast<uint64_t>(a) + b) >> 17) | 1;
  }

  // Sign and size in eight classes.
  static size_t class_of(int difference) {
    const size_t c = coarse_of(static_cast<uint32_t>(difference < 0 ? -difference : difference)) / 2;
    return (c < 3 ? c : 3) + (difference < 0 ? 4 : 0);
  }
  static size_t mean_class(int32_t mean) {
    const size_t c = coarse_of(static_cast<uint32_t>(mean) >> 7) / 2;
    return c < 2 ? 0 : (c < 9 ? c - 2 : 7);
  }

  KC_INLINE size_t context_at(size_t i, size_t start, int32_t mean, int32_t column_mean) const {
    const auto size = [](int v) { return static_cast<uint32_t>(v < 0 ? -v : v); };
    const int up = before(i, layout_.row, start);
    const int lag = layout_.last < layout_.row ? before(i, layout_.last, start) : 0;
    switch (context_) {
      case kFastScale: {
        const uint32_t near =
            size(before(i, 1, start)) * 2 + size(before(i, 2, start)) + size(up) * 2 + size(lag) * 2;
        const uint32_t scale = static_cast<uint32_t>(mean * 3 + column_mean * 3) + near * 256;
        return static_cast<size_t>(SymbolModel::level(scale >> 9, 63));
      }
      case kFastMeans: return mean_class(mean) * 8 + mean_class(column_mean);
      case kFastUp: return SymbolModel::signed_class(up);
      case kFastLag: return SymbolModel::signed_class(lag);
      case kFastLagLeft: return class_of(lag) * 8 + class_of(before(i, 1, start));
      case kFastUpLeft: return class_of(up) * 8 + class_of(before(i, 1, start));
      default: return 0;
    }
  }

  // A lane, and one symbol on its way through its decisions.
  template <typename Lane>
  struct Cursor {
    void move_to(const Place& place) {
      at = start + place.at;
      column = place.column;
    }

    Lane lane;  // in registers: no table can be the same memory
    size_t start;
    size_t at;
    size_t column;
    uint32_t* base;
    uint32_t* table;
    size_t prefix;
    int above;
    int magnitude;
  };

  template <bool kAlone, typename Lane, typename Noise>
  KC_INLINE void code_two(Cursor<Lane>* one, Cursor<Lane>* two, Noise* noise) {
    begin_symbol<kAlone>(one, 0);
    begin_symbol<kAlone>(two, 1);
    code_side<kAlone>(one, noise);
    code_side<kAlone>(two, noise);
    int b = bits_ - 1;
    for (; b >= noise_bits_ && b >= bits_ - kUpperBits; --b) {
      code_bit<kAlone>(one, b);
      code_bit<kAlone>(two, b);
    }
    for (; b >= noise_bits_; --b) {
      code_bit<true>(one, b);
      code_bit<true>(two, b);
    }
    end_symbol(*one, noise, 0);
    end_symbol(*two, noise, 1);
  }

  template <bool kAlone, typename Lane, typename Noise>
  KC_INLINE void code_one(Cursor<Lane>* c, Noise* noise, int s) {
    begin_symbol<kAlone>(c, s);
    code_side<kAlone>(c, noise);
    int b = bits_ - 1;
    for (; b >= noise_bits_ && b >= bits_ - kUpperBits; --b) code_bit<kAlone>(c, b);
    for (; b >= noise_bits_; --b) code_bit<true>(c, b);
    end_symbol(*c, noise, s);
  }

  template <bool kAlone, typename Lane>
  KC_INLINE void begin_symbol(Cursor<Lane>* c, int s) {
    c->base = c->table = base_.data();
    if (kAlone || context_ == kFastAlone) return;
    c->table =
        tables_[context_].data() + kNodes * context_at(c->at, start_[s], mean_[s], column_mean_[c->column]);
  }

  template <bool kAlone, typename Lane, typename Noise>
  KC_INLINE void code_side(Cursor<Lane>* c, Noise* noise) {
    const SymbolLayout& l = layout_;
    if (!one_sided_ && plain_side_) {
      c->above = static_cast<int>(code_noise(noise, symbols_[c->at] > l.centre ? 1 : 0, 1));
    } else if (!one_sided_) {
      c->above = decide<kAlone>(&c->lane, symbols_[c->at] > l.centre ? 1 : 0, c->base, c->table);
    } else {
      c->above = l.highest == l.centre ? 0 : 1;
    }
    const int away = c->above != 0 ? symbols_[c->at] - l.centre : l.centre - symbols_[c->at];
    c->magnitude = away - offset(c->above);
    c->prefix = static_cast<size_t>(1) << (8 - bits_);
    const size_t side = static_cast<size_t>(c->above) * (kNodes / 2);
    c->base += side;
    c->table += side;
  }

  template <bool kAlone, typename Lane>
  KC_INLINE void code_bit(Cursor<Lane>* c, int b) {
    const int bit =
        decide<kAlone>(&c->lane, c->magnitude >> b & 1, c->base + c->prefix, c->table + c->prefix);
    c->prefix = c->prefix * 2 + static_cast<size_t>(bit);
  }

  template <typename Lane, typename Noise>
  KC_INLINE void end_symbol(const Cursor<Lane>& c, Noise* noise, int s) {
    uint32_t magnitude = static_cast<uint32_t>(c.prefix) << noise_bits_;
    if (noise_bits_ != 0) magnitude |= code_noise(noise, static_cast<uint32_t>(c.magnitude), noise_bits_);
    const int away = static_cast<int>(magnitude) - 256 + offset(c.above);
    const int symbol = c.above != 0 ? layout_.centre + away : layout_.centre - away;
    symbols_[c.at] = static_cast<uint8_t>(symbol < 0 ? 0 : (symbol > 255 ? 255 : symbol));
    mean_[s] += ((away << 10) - mean_[s]) >> 4;
    int32_t& column_mean = column_mean_[c.column];
    column_mean += ((away << 10) - column_mean) >> 3;
  }

  // Below the centre the centre itself is included unless it has its flag.
  int offset(int above) const { return layout_.centre_flag || (above != 0 && !one_sided_) ? 1 : 0; }

  template <bool kAlone, typename Lane>
  KC_INLINE static int decide(Lane* lane, int bit, uint32_t* counter, uint32_t* second) {
    const uint32_t a = *counter, b = kAlone ? a : *second;
    bit = lane->code(bit, chance(a, b));
    *counter = moved_counter(a, bit, kLimit);
    if (!kAlone) *second = moved_counter(b, bit, kLimit);
    return bit;
  }

  Array<uint32_t> base_, near_, density_, column_kept_;
  Array<uint32_t> tables_[kFastContexts];  // made when first used
  Array<int32_t> column_mean_;
  Array<Place> list_;  // in a block, of elements whose values are to be coded, lane by lane
  size_t listed_[kLanes];
  size_t start_[kLanes + 1];
  uint8_t* symbols_ = nullptr;
  SymbolLayout layout_;
  int32_t mean_[kLanes];
  uint32_t row_kept_[kLanes];
  int bits_ = 0;
  int noise_bits_ = 0;
  uint8_t context_ = kFastAlone;
  bool one_sided_ = false;
  bool plain_side_ = false;
};

}  // namespace kc

#endif  // KC_FAST_MODEL_H_
