// Context-mixing model of bytes: the FlatBuffer skeleton, and buffers with no better model.
//
// Beside the usual orders 1 to 6, the text of names for names and a match model, it looks at what a
// FlatBuffer is made of: words at a stride, offsets that grow by a constant, tables alike.
#ifndef KC_BYTE_MODEL_H_
#define KC_BYTE_MODEL_H_

#include "mixing.h"

namespace kc {

// It also knows how words of a graph move: tables that share a vtable say how far it is, and where a
// graph repeats an earlier one with a piece more or less, all offsets over that piece differ by its
// size. With `kWithReference` an anchor goes along in what came before, from where it is put, whether its
// bytes come or not; a sure match moves it.
template <bool kWithReference>
class BasicByteModel {
 public:
  // `expected` bytes will be coded (the tables' size depends on it), of words of `stride` bytes.
  // With `max_bits` below 16 the tables stay smaller; `match_bits` sets the match table's size.
  bool init(size_t expected, size_t stride, int max_bits = 16, int match_bits = 0) {
    stride_ = stride < 1 ? 1 : stride;
    int bits = 12;
    while (bits < max_bits && (static_cast<size_t>(1) << bits) < expected * 8) ++bits;
    group_mask_ = (static_cast<uint32_t>(1) << bits) - 1;
    if (match_bits == 0) match_bits = bits < 16 ? bits + 1 : 18;
    if (kWithReference && !anchor_counters_.reset(256 * 4 * 2)) return false;
    if (kWithReference && !fill_fresh(&anchor_counters_)) return false;
    match_mask_ = (static_cast<uint32_t>(1) << match_bits) - 1;
    if (!guess_counters_.reset(4 * 4 * 4 * 8) || !fill_fresh(&guess_counters_)) return false;
    if (!groups_.reset((static_cast<size_t>(1) << bits) * 16 + 15)) return false;
    first_group_ = groups_.data() + (0 - reinterpret_cast<uintptr_t>(groups_.data()) / 4) % 16;
    return match_table_.reset(static_cast<size_t>(match_mask_) + 1) && order0_.reset(8 * 256) &&
           fill_fresh(&order0_) && match_counters_.reset(64 * 2) && fill_fresh(&match_counters_) &&
           state_mixer_.reset(kStates * 8, kFirstWeight) && prefix_mixer_.reset(256, kFirstWeight) &&
           before_mixer_.reset(256 * 8, kFirstWeight) && apm_.reset(256 * 8) && apm2_.reset(2048);
  }

  // `history` is everything coded so far, ending where the next byte goes; `position` is the
  // place the byte has in its file, for its alignment.
  template <typename Coder>
  int code_byte(Coder* coder, int byte, const Bytes& history, size_t position) {
    set_contexts(history, position);
    int prefix = 1;
    for (int i = 7; i >= 0; --i) {
      if (i == 3) {
        for (uint32_t k = 0; k < kHashed; ++k) fetch_group(k, static_cast<uint32_t>(prefix));
        find_groups();
      }
      const int bit = code_bit(coder, byte >> i & 1, prefix, i);
      prefix = prefix * 2 + bit;
    }
    for (int k = 0; k < kGuesses && word_place_ == 0; ++k) {
      guess_came_[k] = (guess_came_[k] << 1 | (guessed_[k] == (prefix | 256) ? 1u : 0u)) & 7;
    }
    finish_word(history, prefix & 255, position);
    finish_byte(history, prefix & 255);
    return prefix & 255;
  }

  // The anchor goes on from byte `at` of the history; 0 for none. It stays before `base_end`.
  void put_anchor(size_t at) { anchor_at_ = at; }
  void end_base(size_t base_end) { base_end_ = base_end; }

  // Remembers where the bytes that end here stand, for the match model alone.
  void remember(const Bytes& history) {
    const size_t have = history.size();
    if (have >= kShortestMatch) match_table_[match_hash(history)] = static_cast<uint32_t>(have);
  }

 private:
  static size_t node_of(int prefix, int i) {
    return i >= 4 ? static_cast<size_t>(prefix)
                  : static_cast<size_t>((prefix & ((1 << (3 - i)) - 1)) | 1 << (3 - i));
  }

  static constexpr int kHashed = kWithReference ? 19 : 16;
  static constexpr uint32_t kOwn = 12;  // contexts that the match has no part in
  static constexpr size_t kStates = kWithReference ? 64 : 16;
  static constexpr int kGuesses = 4;
  static constexpr int kInputs = kWithReference ? 28 : 24;
  static constexpr int32_t kFirstWeight = 65536 * 15 / 100;
  static constexpr uint32_t kLimit = 250;
  static constexpr size_t kShortestMatch = 5;
  static constexpr size_t kSureMatch = 16;  // none better is looked for
  static constexpr size_t kAnchoring = 32;  // a match this long moves the anchor

  static uint32_t mix_hash(uint32_t a, uint32_t b) {
    uint32_t h = a * 0x9E3779B1u ^ (b + 0x7F4A7C15u) * 0x85EBCA6Bu;
    return (h ^ h >> 15) * 0xC2B2AE35u;
  }

  void set_contexts(const Bytes& history, size_t position) {
    const uint8_t* end = history.data() + history.size();
    size_t have = history.size();
    auto at = [&](size_t back) -> uint32_t { return back <= have ? end[-static_cast<ptrdiff_t>(back)] : 0u; };
    auto word = [&](size_t back) -> uint32_t {  // the 4 bytes that end `back` before here
      return at(back + 4) | at(back + 3) << 8 | at(back + 2) << 16 | at(back + 1) << 24;
    };
    size_t phase = position % stride_;
    size_t in_word = position & 3;
    if (phase > 7) phase = 7;
    uint32_t c4 = word(0);
    uint32_t inside = in_word == 0 ? 0 : c4 >> (8 * (4 - in_word));  // this word's bytes so far
    uint32_t w1 = word(in_word), w2 = word(in_word + 4);
    uint32_t guess = w1 + (w1 - w2);
    bool follows = inside == (in_word == 0 ? 0 : guess & ((1u << (8 * in_word)) - 1));
    uint32_t guess_byte = guess >> (8 * in_word) & 255;
    phase_ = phase;
    before_ = c4 >> 24;
    if (have >= kShortestMatch) __builtin_prefetch(match_table_.data() + match_hash(history));

    uint32_t n = 0;
    auto add = [&](uint32_t a, uint32_t b) { hashes_[n] = mix_hash(mix_hash(a, b), n + 1), ++n; };
    uint32_t tag = static_cast<uint32_t>(phase) << 8;
    add(before_, tag);
    add(c4 >> 16, 0);
    add(c4 >> 8, 0);
    add(c4, at(5) | at(6) << 8);
    add(at(stride_), tag | 1);
    add(at(stride_) | at(2 * stride_) << 8, tag | 2);
    add(mix_hash(w1, inside), static_cast<uint32_t>(in_word));
    add(mix_hash(mix_hash(w1, w2), inside), static_cast<uint32_t>(in_word));
    add(guess_byte | (follows ? 256u : 0u), tag | 3);
    add(at(8) | at(16) << 8 | before_ << 16, static_cast<uint32_t>(position & 7));
    add(text_hash_, before_);
    add(at(3) | at(2) << 8 | static_cast<uint32_t>(in_word) << 16, 5);
    for (uint32_t k = 0; k < n; ++k) fetch_group(k, 0);
    find_match(history);
    const uint32_t here = static_cast<uint32_t>(position - in_word);
    uint32_t matched = 0;
    if (match_at_ >= 4) matched = load_word(history, match_at_ - in_word);
    const uint32_t words[] = {here - vtables_[0], here - vtables_[1], matched + moves_[0],
                              matched + moves_[1]};
    for (int k = 0; k < 4; ++k) add_word(words[k], inside, in_word, 6 + k, &n);
    const uint32_t kind = match_at_ < 4 ? 0u : (matched >= 0xC0000000u ? 1u : (matched < 1u << 16 ? 2u : 3u));
    for (int k = 0; k < kGuesses; ++k) {
      const uint32_t word = k < 3 ? words[k] : guess;
      const bool agrees = inside == (in_word == 0 ? 0 : word & ((1u << (8 * in_word)) - 1));
      guessed_[k] = agrees ? static_cast<int>(word >> (8 * in_word) & 255) | 256 : 0;
      guess_sets_[k] =
          ((static_cast<uint32_t>(k) * 4 + static_cast<uint32_t>(in_word)) * 4 + kind) * 8 + guess_came_[k];
    }
    word_place_ = in_word;
    if (kWithReference) {
      anchored_ = anchor_at_ != 0 && anchor_at_ < base_end_ ? history.data()[anchor_at_] | 256 : 0;
      const uint32_t byte = static_cast<uint32_t>(anchored_);
      const uint32_t old = anchored_ != 0 ? history.data()[anchor_at_ - 1] : 0u;
      add(byte | agreed_ << 9, tag | 10);
      add(byte | (before_ - old) << 9, 11);
      add(byte | before_ << 9, tag | 12);
      in_word_ = in_word;
    }
    for (uint32_t k = kOwn; k < n; ++k) fetch_group(k, 0);
    find_groups();
    state_ = static_cast<size_t>(match_level() * 4 + static_cast<int>(in_word));
    if (kWithReference) state_ += (agreed_ & 3) * 16;
  }

  // The byte that follows if the word is `guess`, and whether it agrees so far.
  void add_word(uint32_t guess, uint32_t inside, size_t in_word, int number, uint32_t* n) {
    const bool agrees = inside == (in_word == 0 ? 0 : guess & ((1u << (8 * in_word)) - 1));
    const uint32_t byte = guess >> (8 * in_word) & 255;
    const uint32_t a = byte | (agrees ? 256u : 0u) | static_cast<uint32_t>(in_word) << 9;
    hashes_[*n] = mix_hash(mix_hash(a, static_cast<uint32_t>(number)), *n + 1);
    ++*n;
  }

  static uint32_t load_word(const Bytes& history, size_t at) {
    return at + 4 <= history.size() ? load32(history.data() + at) : 0;
  }

  // Once a word is whole: was it the way to a vtable, and how does it differ from the match's?
  void finish_word(const Bytes& history, int byte, size_t position) {
    if ((position & 3) != 3) return;
    const size_t have = history.size();
    if (have < 3) return;
    const uint8_t* end = history.data() + have;
    const uint32_t word = static_cast<uint32_t>(end[-3]) | static_cast<uint32_t>(end[-2]) << 8 |
                          static_cast<uint32_t>(end[-1]) << 16 | static_cast<uint32_t>(byte) << 24;
    if (word >= 0xC0000000u) to_front(vtables_, static_cast<uint32_t>(position - 3) - word);
    if (match_at_ < 4) return;
    const uint32_t move = word - load_word(history, match_at_ - 3);
    if (move != 0 && move + (1u << 16) < (1u << 17)) to_front(moves_, move);
  }

  static void to_front(uint32_t* two, uint32_t value) {
    if (two[0] != value) two[1] = two[0], two[0] = value;
  }

  // A group holds the counters of the 15 nodes of half a byte under one context. All are on their way
  // into the cache before the first is looked at: what it holds decides a branch that no one foresees.
  void fetch_group(uint32_t k, uint32_t prefix) {
    const uint32_t h = mix_hash(hashes_[k], prefix * 0x2545F491u);
    places_[k] = h;
    __builtin_prefetch(group_at(h >> 7), 1);
  }

  uint32_t* group_at(uint32_t number) const {
    return first_group_ + static_cast<size_t>(number & group_mask_) * 16;
  }

  void find_groups() {
    for (int i = 0; i < kHashed; ++i) {
      const uint32_t h = places_[i];
      uint32_t check = h | 1;
      uint32_t* first = group_at(h >> 7);
      uint32_t* second = group_at((h >> 7) ^ 1);
      uint32_t* chosen = first;
      if (first[0] != check) {
        if (second[0] == check) {
          chosen = second;
        } else {
          if (first[0] != 0 && (second[1] & 1023) < (first[1] & 1023)) chosen = second;
          chosen[0] = check;
          for (int k = 1; k < 16; ++k) chosen[k] = kFreshCounter;
        }
      }
      group_[i] = chosen;
    }
  }

  void find_match(const Bytes& history) {
    size_t have = history.size();
    if (match_length_ < kSureMatch && have >= kShortestMatch) {
      size_t candidate = match_table_[match_hash(history)];
      if (candidate != 0 && candidate != match_at_) {
        size_t length = 0;
        while (length < 400 && length < candidate &&
               history.data()[candidate - 1 - length] == history.data()[have - 1 - length]) {
          ++length;
        }
        if (length >= kShortestMatch && length > match_length_) {
          match_length_ = length;
          match_at_ = candidate;
        }
      }
    }
    if (have >= kShortestMatch) match_table_[match_hash(history)] = static_cast<uint32_t>(have);
    const bool speaks = match_length_ != 0 || match_at_ != 0;
    predicted_ = speaks && match_at_ < have ? history.data()[match_at_] | 256 : 0;
  }

  uint32_t match_hash(const Bytes& history) const {
    const uint8_t* end = history.data() + history.size();
    return (mix_hash(load32(end - 4), end[-5]) >> 5) & match_mask_;
  }

  int match_level() const {
    if (match_length_ == 0) return 0;
    if (match_length_ < 8) return 1;
    return match_length_ < 24 ? 2 : 3;
  }

  void finish_byte(const Bytes&, int byte) {
    if (kWithReference) {
      agreed_ = (agreed_ << 1 | (anchored_ == (byte | 256) ? 1u : 0u)) & 255;
      if (anchor_at_ != 0) ++anchor_at_;
    }
    if (match_at_ != 0) {  // it goes on after what was different
      const bool came = (predicted_ & 255) == byte && predicted_ != 0;
      ++match_at_;
      match_length_ = came ? (match_length_ < 65535 ? match_length_ + 1 : match_length_) : 0;
      const bool surer = match_length_ >= kAnchoring && agreed_ != 255 && match_at_ < base_end_;
      if (kWithReference && surer) anchor_at_ = match_at_;
    }
    bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte >= 128;
    text_hash_ = letter ? mix_hash(text_hash_, static_cast<uint32_t>(byte)) : 0;
  }

  template <typename Coder>
  int code_bit(Coder* coder, int bit, int prefix, int i) {
    int16_t inputs[kInputs] = {};
    uint32_t* counters[kHashed];
    const size_t by_phase = phase_ * 256 + static_cast<size_t>(prefix);
    const size_t by_before = before_ * 8 + static_cast<size_t>(i);
    apm_.fetch(by_phase);
    apm2_.fetch(by_before);
    const size_t node = node_of(prefix, i);
    for (int k = 0; k < kHashed; ++k) {
      counters[k] = group_[k] + node;
      inputs[k] = static_cast<int16_t>(counter_input(*counters[k]));
    }
    uint32_t* zero = order0_.data() + by_phase;
    inputs[kHashed] = static_cast<int16_t>(counter_input(*zero));
    // The match speaks only while it agreed with this byte's bits so far.
    bool speaks = predicted_ != 0 && ((predicted_ | 256) >> (i + 1)) == prefix;
    int expected = predicted_ >> i & 1;
    uint32_t* trust = nullptr;
    inputs[kHashed + 1] = inputs[kHashed + 2] = 0;
    if (speaks) {
      size_t length =
          match_length_ < 32 ? match_length_ : (match_length_ < 400 ? 32 + match_length_ / 16 : 58);
      trust = match_counters_.data() + length;
      int s = stretch(counter_p16(*trust));
      inputs[kHashed + 1] = static_cast<int16_t>(expected != 0 ? s : -s);
      int weak = s / 4 + (match_length_ > 15 ? 256 : 64);
      inputs[kHashed + 2] = static_cast<int16_t>(expected != 0 ? weak : -weak);
    }
    inputs[kHashed + 3] = 256;
    uint32_t* belief[kGuesses];
    for (int k = 0; k < kGuesses; ++k) {
      belief[k] = nullptr;
      if (guessed_[k] == 0 || guessed_[k] >> (i + 1) != prefix) continue;
      belief[k] = guess_counters_.data() + guess_sets_[k];
      const int s = stretch(counter_p16(*belief[k]));
      inputs[kHashed + 4 + k] = static_cast<int16_t>((guessed_[k] >> i & 1) != 0 ? s : -s);
    }

    const bool anchor_speaks = kWithReference && anchored_ != 0 && (anchored_ >> (i + 1)) == prefix;
    const int anchor_bit = anchored_ >> i & 1;
    uint32_t* faith = nullptr;
    if (anchor_speaks) {
      const size_t place = (agreed_ * 4 + in_word_) * 2 + static_cast<size_t>(anchor_bit);
      faith = anchor_counters_.data() + place;
      const int s = stretch(counter_p16(*faith));
      inputs[kInputs - 1] = static_cast<int16_t>(anchor_bit != 0 ? s : -s);
    }

    size_t by_state = state_ * 8 + static_cast<size_t>(i);
    if (!speaks) by_state = (state_ & (kWithReference ? 51 : 3)) * 8 + static_cast<size_t>(i);
    int a = state_mixer_.dot(inputs, by_state);
    int b = prefix_mixer_.dot(inputs, static_cast<size_t>(prefix));
    int c = before_mixer_.dot(inputs, by_before);
    int x = (a * 2 + b + c) / 4;
    uint32_t p = squash(x);
    uint32_t r1 = apm_.refine(x, by_phase);
    uint32_t r2 = apm2_.refine(x, by_before);
    p = clamp_p16((p * 2 + r1 + r2) >> 2);
    bit = coder->code(bit, p);

    state_mixer_.learn(inputs, bit, kRate);
    prefix_mixer_.learn(inputs, bit, kRate);
    before_mixer_.learn(inputs, bit, kRate);
    apm_.learn(bit, 6);
    apm2_.learn(bit, 6);
    for (int k = 0; k < kHashed; ++k) update_counter(counters[k], bit, kLimit);
    update_counter(zero, bit, 1000);
    if (trust != nullptr) update_counter(trust, bit == expected ? 1 : 0, 250);
    for (int k = 0; k < kGuesses; ++k) {
      if (belief[k] != nullptr) update_counter(belief[k], bit == (guessed_[k] >> i & 1) ? 1 : 0, 250);
    }
    if (faith != nullptr) update_counter(faith, bit == anchor_bit ? 1 : 0, 250);
    return bit;
  }

  static constexpr int kRate = 72;

  Array<uint32_t> groups_;
  Array<uint32_t> match_table_;
  Array<uint32_t> order0_;
  Array<uint32_t> match_counters_;
  Array<uint32_t> anchor_counters_;
  Array<uint32_t> guess_counters_;
  MixerSet<kInputs> state_mixer_, prefix_mixer_, before_mixer_;
  Apm apm_, apm2_;
  uint32_t* first_group_ = nullptr;  // where a line of the cache begins
  uint32_t hashes_[kHashed], places_[kHashed];
  uint32_t* group_[kHashed];
  uint32_t group_mask_ = 0;
  uint32_t match_mask_ = 0;
  uint32_t before_ = 0;
  uint32_t vtables_[2] = {}, moves_[2] = {};  // the last two, newest first
  int guessed_[kGuesses] = {};
  uint32_t guess_sets_[kGuesses] = {}, guess_came_[kGuesses] = {};
  size_t word_place_ = 0;
  uint32_t text_hash_ = 0;
  size_t stride_ = 4;
  size_t phase_ = 0;
  size_t state_ = 0;
  size_t match_length_ = 0;
  size_t match_at_ = 0;
  size_t anchor_at_ = 0, base_end_ = 0;
  size_t in_word_ = 0;
  uint32_t agreed_ = 0;  // which of the last eight bytes were the anchor's, newest lowest
  int anchored_ = 0;
  int predicted_ = 0;
};

using ByteModel = BasicByteModel<false>;
using ReferenceByteModel = BasicByteModel<true>;

// Of the match table beside `bytes` of a base.
inline int reference_match_bits(uint64_t bytes) {
  int bits = 16;
  while (bits < 22 && (static_cast<uint64_t>(1) << bits) < bytes) ++bits;
  return bits;
}

}  // namespace kc

#endif  // KC_BYTE_MODEL_H_
