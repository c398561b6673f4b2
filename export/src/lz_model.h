// Adaptive model of repeats and literals: what LZ finds, as binary decisions with a counter each.
//
// As in LZMA a decision is known by what came before, literals or matches; distances are those of the
// last four matches, or new. For literals four predictions are mixed; where words grow by constants, as the
// addresses of a list of commands do, a literal is one decision.
#ifndef KC_LZ_MODEL_H_
#define KC_LZ_MODEL_H_

#include "lz_step.h"
#include "mixing.h"
#include "range_coder.h"

namespace kc {

class LzModel {
 public:
  static constexpr int kAligned = 4;              // lowest bits of a distance that are modelled
  static constexpr uint32_t kFullyModelled = 14;  // distance classes below: all their bits are

  bool init() {
    struct Table {
      Array<uint32_t>* counters;
      size_t count;
    };
    const Table tables[] = {{&matches_, 8},
                            {&reps_, 8 * 4},
                            {&bytes_, 8},
                            {&lengths_, kLzLengthSets * 64},
                            {&length_bits_, kLzLengthSets * 64 * 16},
                            {&distances_, 4 * 64},
                            {&distance_bits_, kFullyModelled * 64},
                            {&aligned_, 1u << kAligned},
                            {&by_place_, kLzPlaces * 256},
                            {&by_one_, 256 * 256},
                            {&by_two_, 1u << kTwoBits},
                            {&by_match_, 256 * 256 + 8},
                            {&guesses_, 8 * kLzPlaces}};
    for (const Table& table : tables) {
      if (!table.counters->reset(table.count)) return false;
      fill_fresh(table.counters);
    }
    return mixer_.reset(3 * kLzPlaces * 8, kFirstWeight);
  }

  template <typename Coder>
  KC_INLINE int code_kind(Coder* coder, const LzState& s, int is_match) {
    return bit(coder, &matches_[s.kinds], is_match);
  }

  template <typename Coder>
  uint8_t code_literal(Coder* coder, const LzState& s, size_t place, const uint8_t* end, size_t have,
                       int byte) {
    const int guess = guessed_byte(s, place, end, have);
    if (guess >= 0 && sure() && bit(coder, guess_counter(place), byte == guess) != 0) {
      guess_came(true);
      return static_cast<uint8_t>(guess);
    }
    const Literal c = literal_context(s, place, end, have);
    uint32_t node = 1;
    for (int i = 7; i >= 0; --i) {
      uint32_t* counters[kLiteralInputs];
      int16_t inputs[kLiteralInputs];
      const uint32_t p = predict(c, node, i, counters, inputs);
      const int found = coder->code(byte >> i & 1, p);
      mixer_.learn(inputs, found, kRate);
      for (uint32_t* counter : counters) update_counter(counter, found, kLiteralLimit);
      node = node * 2 + static_cast<uint32_t>(found);
    }
    const uint8_t found = static_cast<uint8_t>(node);
    if (guess >= 0) guess_came(found == guess);
    return found;
  }

  // Behind a kind that is a match.
  template <typename Coder>
  bool code_match(Coder* coder, LzState* s, LzStep* step) {
    uint32_t* rep = &reps_[s->kinds * 4];
    if (bit(coder, rep, step->rep >= 0) == 0) {
      const uint32_t length = code_length(coder, 0, step->length - kShortestLz);
      if (length > kLongest) return false;
      const uint32_t distance = code_distance(coder, length, step->distance - 1);
      if (distance == UINT32_MAX) return false;
      step->length = length + kShortestLz, step->distance = distance + 1, step->rep = -1;
      s->match(step->distance);
      return true;
    }
    int number = 0;
    if (bit(coder, rep + 1, step->rep > 0) != 0) {
      number = 1;
      if (bit(coder, rep + 2, step->rep > 1) != 0) number = 2 + bit(coder, rep + 3, step->rep > 2);
    } else if (bit(coder, &bytes_[s->kinds], step->length == 1) != 0) {
      step->length = 1, step->rep = 0, step->distance = s->reps[0];
      s->rep(0);
      return true;
    }
    const uint32_t length = code_length(coder, number == 0 ? 1 : 2, step->length - kShortestLz);
    if (length > kLongest) return false;
    step->length = length + kShortestLz;
    step->rep = number, step->distance = s->reps[number];
    s->rep(number);
    return true;
  }

  // Prices in 1/256 bit, as the counters stand, for the parser.
  uint32_t kind_price(const LzState& s, int is_match) const { return price(matches_[s.kinds], is_match); }
  uint32_t literal_price(const LzState& s, size_t place, const uint8_t* end, size_t have, int byte);
  uint32_t match_price(const LzState& s) const { return price(reps_[s.kinds * 4], 0); }
  uint32_t rep_price(const LzState& s, int number, bool byte) const;
  uint32_t length_price(size_t set, uint32_t value) const;
  uint32_t distance_class_price(uint32_t length, uint32_t number) const;
  uint32_t distance_bits_price(uint32_t distance) const;
  static uint32_t distance_class(uint32_t distance) { return LzClass(distance - 1).number; }

 private:
  static constexpr uint32_t kLongest = 1u << 29;  // of a match; the writer's are shorter
  static constexpr int32_t kFirstWeight = 65536 * 40 / 100;
  static constexpr int kTwoBits = 18;
  static constexpr uint32_t kLimit = 60, kLiteralLimit = 250;

  // The byte if the word that it is in differs from the one at the newest distance as that does from the one
  // before it; -1: the word's bytes so far don't, or there are no such words.
  static int guessed_byte(const LzState& s, size_t place, const uint8_t* end, size_t have) {
    const size_t distance = s.reps[0], in_word = place & 3;
    if (distance < 4 || have < 2 * distance + 4) return -1;
    const uint8_t* word = end - in_word;
    const uint32_t guess = 2 * load32(word - distance) - load32(word - 2 * distance);
    for (size_t k = 0; k < in_word; ++k) {
      if (word[k] != (guess >> (8 * k) & 255)) return -1;
    }
    return static_cast<int>(guess >> (8 * in_word) & 255);
  }

  // Of the last three guesses two came.
  bool sure() const { return (came_ & (came_ - 1)) != 0; }
  void guess_came(bool came) { came_ = (came_ << 1 | (came ? 1u : 0u)) & 7; }
  uint32_t* guess_counter(size_t place) { return &guesses_[came_ * kLzPlaces + (place & 3)]; }

  // Counters of a literal: by its place in a word, by the byte before, by the two before, and by the byte
  // that would have gone on with the match.
  struct Literal {
    uint32_t* zero;
    uint32_t* one;
    uint32_t* two;
    uint32_t wanted;  // 0: there is none
    size_t set;
  };

  static constexpr int kLiteralInputs = 4;
  static constexpr int kRate = 50;

  Literal literal_context(const LzState& s, size_t place, const uint8_t* end, size_t have) {
    const uint32_t one = have > 0 ? end[-1] : 0, two = have > 1 ? end[-2] : 0;
    const uint32_t hash = (one | two << 8) * 0x9E3779B1u >> (40 - kTwoBits);
    const bool after_match = (s.kinds & 1) != 0 && s.reps[0] <= have;
    return {by_place_.data() + (place & 3) * 256, by_one_.data() + one * 256,
            by_two_.data() + (static_cast<size_t>(hash) << 8),
            after_match ? end[-static_cast<ptrdiff_t>(s.reps[0])] | 256u : 0, place & 3};
  }

  uint32_t predict(const Literal& c, uint32_t node, int i, uint32_t** counters, int16_t* inputs) {
    const bool agrees = c.wanted >> (i + 1) == node;
    counters[0] = c.zero + node;
    counters[1] = c.one + node;
    counters[2] = c.two + node;
    counters[3] =
        &by_match_[c.wanted != 0 ? (c.wanted & 255) << 8 | node : 256 * 256 + static_cast<uint32_t>(i)];
    for (int k = 0; k < kLiteralInputs; ++k) inputs[k] = static_cast<int16_t>(counter_input(*counters[k]));
    const size_t told = c.wanted == 0 ? 0 : (agrees ? 1 : 2);
    return clamped(squash(mixer_.dot(inputs, (told * kLzPlaces + c.set) * 8 + static_cast<size_t>(i))));
  }

  static uint32_t clamped(uint32_t p) { return p < 32 ? 32 : (p > 65536 - 32 ? 65536 - 32 : p); }

  template <typename Coder>
  static KC_INLINE int bit(Coder* coder, uint32_t* counter, int value) {
    const int b = coder->code(value, clamped(*counter >> 16));
    update_counter(counter, b, kLimit);
    return b;
  }

  template <typename Coder>
  static uint32_t code_tree(Coder* coder, uint32_t* counters, int bits, uint32_t value) {
    uint32_t node = 1;
    for (int i = bits - 1; i >= 0; --i) {
      node = node * 2 + static_cast<uint32_t>(bit(coder, counters + node, static_cast<int>(value >> i & 1)));
    }
    return node - (1u << bits);
  }

  template <typename Coder>
  uint32_t code_length(Coder* coder, size_t set, uint32_t value) {
    const LzClass c(value);
    const uint32_t number = code_tree(coder, &lengths_[set * 64], 6, c.number);
    const int extra = LzClass::extra_of(number);
    const uint32_t rest = value & ((1u << extra) - 1);
    const int modelled = extra < 4 ? extra : 4;
    uint32_t found =
        code_tree(coder, &length_bits_[(set * 64 + number) * 16], modelled, rest >> (extra - modelled));
    for (int i = extra - modelled - 1; i >= 0; --i) {
      found = found * 2 + static_cast<uint32_t>(coder->code(static_cast<int>(rest >> i & 1), 32768));
    }
    return LzClass::start_of(number) + found;
  }

  // Distance less 1; all ones: too far for any.
  template <typename Coder>
  uint32_t code_distance(Coder* coder, uint32_t length, uint32_t value) {
    const LzClass c(value);
    const uint32_t set = length < 3 ? length : 3;
    const uint32_t number = code_tree(coder, &distances_[set * 64], 6, c.number);
    const int extra = LzClass::extra_of(number);
    if (extra > 30) return UINT32_MAX;
    const uint32_t rest = value & ((1u << extra) - 1);
    uint32_t found = 0;
    if (number < kFullyModelled) {
      found = code_tree(coder, &distance_bits_[number * 64], extra, rest);
    } else {
      for (int i = extra - 1; i >= kAligned; --i) {
        found = found * 2 + static_cast<uint32_t>(coder->code(static_cast<int>(rest >> i & 1), 32768));
      }
      found = found << kAligned | code_reversed(coder, rest & ((1u << kAligned) - 1));
    }
    return LzClass::start_of(number) + found;
  }

  // The lowest bits first: words make them zero.
  template <typename Coder>
  uint32_t code_reversed(Coder* coder, uint32_t value) {
    uint32_t node = 1, found = 0;
    for (int i = 0; i < kAligned; ++i) {
      const uint32_t b = static_cast<uint32_t>(bit(coder, &aligned_[node], static_cast<int>(value >> i & 1)));
      node = node * 2 + b;
      found |= b << i;
    }
    return found;
  }

  static uint32_t price(uint32_t counter, int bit);
  static uint32_t price_p16(uint32_t p, int bit);
  static uint32_t tree_price(const uint32_t* counters, int bits, uint32_t value);

  Array<uint32_t> matches_, reps_, bytes_, lengths_, length_bits_, distances_, distance_bits_, aligned_;
  Array<uint32_t> by_place_, by_one_, by_two_, by_match_, guesses_;
  uint32_t came_ = 0;  // which of the last three guesses came, newest lowest
  MixerSet<kLiteralInputs> mixer_;
};

}  // namespace kc

#endif  // KC_LZ_MODEL_H_
