// Which repeats of earlier bytes are taken: those that cost least, by a model's prices.
#ifndef KC_LZ_PARSER_H_
#define KC_LZ_PARSER_H_

#include "lz_finder.h"
#include "lz_step.h"

namespace kc {

constexpr size_t kLzBlock = 4096;    // bytes that are parsed at a time
constexpr uint32_t kLzNice = 192;    // matches that are taken without a look at what else there is
constexpr uint32_t kLzPriced = 256;  // lengths of which prices are kept

// The cheapest way to a byte of the block.
struct LzNode {
  uint32_t price;
  LzState state;
  LzStep step;
};

template <typename Model>
class LzParser {
 public:
  LzParser(const uint8_t* data, size_t size, Model* model) : data_(data), size_(size), model_(model) {}

  bool init(size_t start, int depth) {
    if (!finder_.init(data_, size_, depth) || !nodes_.reset(kLzBlock + 1)) return false;
    for (size_t i = 0; i < start; ++i) finder_.insert(i);
    return true;
  }

  // The steps from byte `at` on; returns how many bytes they cover.
  size_t block(size_t at, const LzState& state, List<LzStep>* steps) {
    take_prices();
    const size_t count = size_ - at < kLzBlock ? size_ - at : kLzBlock;
    for (size_t i = 1; i <= count; ++i) nodes_[i].price = UINT32_MAX;
    nodes_[0].price = 0;
    nodes_[0].state = state;
    size_t end = count;
    LzStep last;  // one that goes on past the block
    for (size_t i = 0; i < count; ++i) {
      if (i != 0) arrive(i);
      LzFinder::Match matches[LzFinder::kMax];
      const size_t found = finder_.find(at + i, matches);
      if (long_step(at, i, matches, found, &last)) {
        end = i;
        break;
      }
      leave(at, i, count, matches, found);
    }
    if (end == count) arrive(count), last.length = 0;
    steps->clear();
    size_t total = 0;
    for (size_t i = end; i != 0; i -= nodes_[i].step.length) ++total;
    for (size_t k = 0; k < total; ++k) steps->push(LzStep());
    for (size_t i = end; i != 0; i -= nodes_[i].step.length) (*steps)[--total] = nodes_[i].step;
    if (last.length == 0) return end;
    if (!steps->push(last)) return 0;
    for (size_t k = 1; k < last.length; ++k) finder_.insert(at + end + k);
    return end + last.length;
  }

 private:
  void take_prices() {
    for (size_t set = 0; set < kLzLengthSets; ++set) {
      for (uint32_t n = 0; n < kLzPriced; ++n) lengths_[set][n] = model_->length_price(set, n);
    }
    for (uint32_t set = 0; set < 4; ++set) {
      for (uint32_t n = 0; n < 64; ++n) distances_[set][n] = model_->distance_class_price(set, n);
    }
  }

  // What the way to byte `i` leaves behind.
  void arrive(size_t i) {
    LzNode& node = nodes_[i];
    node.state = nodes_[i - node.step.length].state;
    if (node.step.rep >= 0) {
      node.state.rep(node.step.rep);
    } else if (node.step.distance != 0) {
      node.state.match(node.step.distance);
    } else {
      node.state.literal();
    }
  }

  // A match so long that it is taken at once.
  bool long_step(size_t at, size_t i, const LzFinder::Match* matches, size_t found, LzStep* last) const {
    const LzState& s = nodes_[i].state;
    *last = LzStep();
    const size_t here = at + i;
    for (int r = 0; r < kLzReps; ++r) {
      if (s.reps[r] > here) continue;
      const size_t n = finder_.match(here, here - s.reps[r],
                                     size_ - here < LzFinder::kLongest ? size_ - here : LzFinder::kLongest);
      if (n < kLzNice || n <= last->length) continue;
      last->length = static_cast<uint32_t>(n), last->distance = s.reps[r], last->rep = r;
    }
    if (last->rep >= 0) return true;
    if (found == 0 || matches[found - 1].length < kLzNice) return false;
    last->length = matches[found - 1].length, last->distance = matches[found - 1].distance;
    return true;
  }

  void offer(size_t i, uint32_t price, uint32_t length, uint32_t distance, int rep) {
    LzNode& node = nodes_[i];
    if (price >= node.price) return;
    node.price = price;
    node.step.length = length, node.step.distance = distance, node.step.rep = rep;
  }

  void leave(size_t at, size_t i, size_t count, const LzFinder::Match* matches, size_t found) {
    const LzNode& node = nodes_[i];
    const LzState& s = node.state;
    const size_t here = at + i, left = count - i;
    const uint32_t literal = node.price + model_->kind_price(s, 0) +
                             model_->literal_price(s, here, data_ + here, here, data_[here]);
    offer(i + 1, literal, 1, 0, -1);
    const uint32_t match = node.price + model_->kind_price(s, 1);
    for (int r = 0; r < kLzReps; ++r) {
      if (s.reps[r] > here) continue;
      if (r == 0 && data_[here] == data_[here - s.reps[0]]) {
        offer(i + 1, match + model_->rep_price(s, 0, true), 1, s.reps[0], 0);
      }
      const size_t n = finder_.match(here, here - s.reps[r], left);
      if (n < kShortestLz) continue;
      const uint32_t begun = match + model_->rep_price(s, r, false);
      for (uint32_t length = kShortestLz; length <= n; ++length) {
        offer(i + length, begun + lengths_[r == 0 ? 1 : 2][length - kShortestLz], length, s.reps[r], r);
      }
    }
    const uint32_t begun = match + model_->match_price(s);
    uint32_t length = kShortestLz;
    for (size_t k = 0; k < found; ++k) {
      const uint32_t distance = matches[k].distance;
      const uint32_t number = Model::distance_class(distance), bits = model_->distance_bits_price(distance);
      for (; length <= matches[k].length && length <= left; ++length) {
        const uint32_t set = length - kShortestLz < 3 ? length - kShortestLz : 3;
        offer(i + length, begun + lengths_[0][length - kShortestLz] + distances_[set][number] + bits, length,
              distance, -1);
      }
    }
  }

  const uint8_t* data_;
  size_t size_;
  Model* model_;
  LzFinder finder_;
  Array<LzNode> nodes_;
  uint32_t lengths_[kLzLengthSets][kLzPriced];
  uint32_t distances_[4][64];
};

}  // namespace kc

#endif  // KC_LZ_PARSER_H_
