#include "block_search.h"

#include "block_samples.h"
#include "entropy.h"
#include "level_search.h"
#include "stop.h"

namespace kc {
namespace {

constexpr uint64_t kMinElements = 256;

struct Sampled {
  int max = 0;        // the largest integer
  uint64_t cost = 0;  // bits of 256 elements, about
};

// The block that takes least among those that all samples are made of, in `order`. False: there is none.
bool sampled_length(const FloatTensor& tensor, bool with_offset, Scratch* scratch, BlockOrder* order,
                    Sampled* best) {
  uint64_t places[kSamples], told[kSamples];
  const size_t samples = sample_places(tensor, *order, places);
  size_t telling = 0;
  int max = 0;
  // Of less exact numbers more have to agree until they tell something.
  const uint64_t shortest = tensor.format == 2 ? kShortestBlock : 2 * kShortestBlock;
  const size_t min_nonzero = tensor.format == 2 ? 3 : 6;
  uint64_t bits = 0;  // of samples' elements, and of their scales
  const auto fits = [&](uint64_t place, uint64_t length, bool* tells) {
    const uint64_t rest = order->axis == tensor.count ? order->axis - place : order->axis;
    const size_t n = static_cast<size_t>(length < rest ? length : rest);
    float* values = scratch->of(n);
    Block block;
    Fit fit;
    *tells = false;
    if (values == nullptr) return false;
    tensor.gather(place, order->stride, n, values);
    if (!block.look(values, n, tensor.format)) return false;
    *tells = block.nonzero >= min_nonzero && block.smallest != block.largest;
    if (!*tells) return true;
    if (!fit_block(block, with_offset, max, true, &fit)) return false;
    const int size = -fit.lowest > fit.highest ? -fit.lowest : fit.highest;
    max = size > max ? size : max;
    const int exact = 28 - __builtin_ctz(bits_of(fit.scale) | 1u << 23);
    bits += 256ull * static_cast<uint64_t>(with_offset ? 2 * exact : exact) / length;
    return true;
  };
  for (size_t k = 0; k < samples; ++k) {
    bool tells = false;
    if (!fits(places[k], shortest, &tells)) return false;
    if (tells) told[telling++] = places[k];
  }
  if (telling == 0 || (telling == 1 && samples > 1)) return false;
  order->block = 0;
  uint64_t block = 0;
  for (uint64_t length = shortest; length <= order->axis && length <= kLongestBlockTried; ++length) {
    if (!may_be_block(*order, length)) continue;
    bits = 0;
    bool all = true;
    for (size_t k = 0; k < telling && all; ++k) {
      bool tells = false;
      all = fits(told[k], length, &tells);
    }
    if (!all) break;
    const uint64_t cost = bits / telling + log2_256(with_offset ? static_cast<uint64_t>(max) + 1
                                                                : 2 * static_cast<uint64_t>(max) + 1);
    if (block != 0 && cost >= best->cost) continue;
    block = length;
    best->cost = cost;
    best->max = max;
  }
  order->block = block;
  return block != 0;
}

// Fits every block. Scales are above zero; that of blocks which tell nothing is another's.
class Fitter {
 public:
  Fitter(const FloatTensor& tensor, FoundBlocks* found) : tensor_(tensor), found_(found) {}

  bool run(int max) {
    const BlockOrder& o = found_->order;
    Array<float> values(static_cast<size_t>(o.block));
    if (!values.ok() || !zeros_.reset(static_cast<size_t>(o.blocks(tensor_.count)))) return false;
    found_->scales.clear(), found_->offsets.clear();
    const bool all = o.each(tensor_.count, [&](size_t number, size_t first, size_t n) {
      if (stopped_at(number)) return false;
      tensor_.gather(first, o.stride, n, values.data());
      Block block;
      return block.look(values.data(), n, tensor_.format) && add(number, block, max);
    });
    if (!all || before_ == 0) return false;
    if (!found_->has_offsets) settle_signs();
    const int symbols = highest_ - lowest_ + 1;
    if (symbols < 2 || symbols > 256 || found_->scales.failed() || found_->offsets.failed()) return false;
    found_->first = lowest_;
    found_->symbols = static_cast<size_t>(symbols);
    for (int k = 0; k < symbols; ++k) found_->levels[k] = static_cast<float>(lowest_ + k);
    return true;
  }

 private:
  static constexpr uint8_t kPlain = 1, kNegative = 2, kTold = 4;

  bool add(size_t number, const Block& block, int max) {
    Fit fit;
    zeros_[number] =
        static_cast<uint8_t>((block.plain_zero ? kPlain : 0) | (block.negative_zero ? kNegative : 0));
    mixed_ = mixed_ || (block.plain_zero && block.negative_zero);
    if (block.smallest == block.largest && (found_->has_offsets || block.nonzero == 0)) {
      if (found_->has_offsets && block.negative_zero) return false;
      fit.scale = before_;
      fit.offset = block.smallest;
    } else {
      if (!fit_block(block, found_->has_offsets, max, false, &fit)) return false;
      zeros_[number] |= kTold;
    }
    if (before_ == 0 && fit.scale != 0) {  // those before it told nothing
      for (size_t k = 0; k < number; ++k) store32(found_->scales.data() + 4 * k, bits_of(fit.scale));
    }
    before_ = fit.scale;
    note(number, fit.lowest, fit.highest);
    found_->scales.u32(bits_of(fit.scale));
    if (found_->has_offsets) found_->offsets.u32(bits_of(fit.offset));
    return true;
  }

  void note(size_t number, int lowest, int highest) {
    // Of those without a zero the sign is open for now.
    const int side =
        (zeros_[number] & (kPlain | kNegative)) != 0 ? ((zeros_[number] & kNegative) != 0 ? 1 : 0) : 0;
    int& low = side != 0 ? turned_lowest_ : lowest_;
    int& high = side != 0 ? turned_highest_ : highest_;
    low = lowest < low ? lowest : low;
    high = highest > high ? highest : high;
  }

  // A scale below zero makes -0 of zeros.
  void settle_signs() {
    found_->signed_zeros = mixed_;
    if (mixed_) {
      lowest_ = turned_lowest_ < lowest_ ? turned_lowest_ : lowest_;
      highest_ = turned_highest_ > highest_ ? turned_highest_ : highest_;
      return;
    }
    lowest_ = -turned_highest_ < lowest_ ? -turned_highest_ : lowest_;
    highest_ = -turned_lowest_ > highest_ ? -turned_lowest_ : highest_;
    for (size_t k = 0; k < zeros_.size(); ++k) {
      if ((zeros_[k] & kNegative) != 0) found_->scales.data()[4 * k + 3] |= 128;
    }
  }

  const FloatTensor& tensor_;
  FoundBlocks* found_;
  Array<uint8_t> zeros_;
  float before_ = 0;
  bool mixed_ = false;
  int lowest_ = 0, highest_ = 0, turned_lowest_ = 0, turned_highest_ = 0;
};

bool gives_back(const FloatTensor& tensor, const FoundBlocks& found) {
  Array<uint8_t> symbols(static_cast<size_t>(tensor.count));
  return symbols.ok() && find_block_symbols(found.parts(tensor.format), tensor.data,
                                            static_cast<size_t>(tensor.count), symbols.data());
}

bool find_integers(const FloatTensor& tensor, const BlockOrder* orders, int count, bool with_offset,
                   FoundBlocks* found) {
  Scratch scratch;
  BlockOrder possible[kMaxOrders];
  Sampled sampled[kMaxOrders];
  int left = 0;
  for (int k = 0; k < count; ++k) {
    possible[left] = orders[k];
    if (sampled_length(tensor, with_offset, &scratch, &possible[left], &sampled[left])) ++left;
  }
  found->has_offsets = with_offset;
  while (left != 0) {
    int best = 0;
    for (int k = 1; k < left; ++k) best = sampled[k].cost < sampled[best].cost ? k : best;
    found->order = possible[best];
    if (Fitter(tensor, found).run(sampled[best].max) && gives_back(tensor, *found)) return true;
    possible[best] = possible[--left];
    sampled[best] = sampled[left];
  }
  return false;
}

}  // namespace

Blockwise FoundBlocks::parts(int format) const {
  Blockwise all;
  all.order = order;
  all.format = format;
  all.levels = levels;
  all.symbols = symbols;
  all.scales = scales.data();
  all.offsets = has_offsets ? offsets.data() : nullptr;
  all.zero = signed_zeros ? zero_of(levels, symbols) : -1;
  return all;
}

bool find_block_symbols(const Blockwise& from, const uint8_t* data, size_t count, uint8_t* symbols) {
  const BlockOrder& o = from.order;
  return o.each(count, [&](size_t number, size_t first, size_t n) {
    if (stopped_at(number)) return false;
    const float scale = float_of(load32(from.scales + 4 * number));
    const float offset = from.offsets != nullptr ? float_of(load32(from.offsets + 4 * number)) : 0;
    const float* added = from.offsets != nullptr ? &offset : nullptr;
    for (size_t i = 0; i < n; ++i) {
      const size_t at = static_cast<size_t>(first + i * o.stride);
      const float value = block_value(data, at, from.format);
      const double level = (static_cast<double>(value) - offset) / scale;
      size_t low = 0, high = from.symbols - 1;  // of the nearest level
      while (low < high) {
        const size_t middle = (low + high) / 2;
        const bool above = level > (static_cast<double>(from.levels[middle]) + from.levels[middle + 1]) / 2;
        (above ? low : high) = above ? middle + 1 : middle;
      }
      const uint32_t element = nearest_element(value, from.format);
      const auto is = [&](size_t k) {
        return k < from.symbols && block_element(from.levels[k], scale, added, from.format) == element;
      };
      const bool zero = value == 0 && static_cast<int>(low) == from.zero;
      // Next to it, where a product rounds to nothing.
      if (!zero && !is(low)) low = is(low + 1) ? low + 1 : low - 1;
      if (!zero && !is(low)) return false;
      symbols[at] = static_cast<uint8_t>(low);
    }
    return true;
  });
}

// In the order of the elements, which that of the blocks need not be.
void find_zero_signs(const Blockwise& from, const uint8_t* data, size_t count, const uint8_t* symbols,
                     uint8_t* signs) {
  size_t zeros = 0;
  for (size_t i = 0; i < count; ++i) {
    if (symbols[i] != from.zero) continue;
    const bool turned = is_negative(float_of(load32(from.scales + 4 * from.order.block_of(i))));
    if (is_negative(block_value(data, i, from.format)) != turned) {
      signs[zeros / 8] = static_cast<uint8_t>(signs[zeros / 8] | 1 << (zeros % 8));
    }
    ++zeros;
  }
}

bool find_blocks(const kc_tensor& shape, const uint8_t* data, size_t count, int format, FoundBlocks* found) {
  if (count < kMinElements) return false;
  const FloatTensor tensor = {data, count, format};
  BlockOrder orders[kMaxOrders];
  const int possible = possible_orders(shape, count, orders);
  return find_integers(tensor, orders, possible, false, found) ||
         find_integers(tensor, orders, possible, true, found) ||
         (find_levels(tensor, orders, possible, found) && gives_back(tensor, *found));
}

}  // namespace kc
