#include "level_search.h"

#include "stop.h"

namespace kc {
namespace {

constexpr size_t kMaxListed = 64;

// Levels that are no integers, such as NF4's: shares of a block's largest element, which is one of them.
class LevelFinder {
 public:
  explicit LevelFinder(const FloatTensor& tensor) : tensor_(tensor) {}

  // Are there few different values at the start of a block that is long?
  bool has_few(const BlockOrder& o) const {
    float values[2 * kMaxListed];
    const size_t n = static_cast<size_t>(o.block < 2 * kMaxListed ? o.block : 2 * kMaxListed);
    tensor_.gather(0, o.stride, n, values);
    size_t different = 0;
    for (size_t i = 0; i < n; ++i) {
      size_t k = 0;
      while (k < different && values[k] != values[i]) ++k;
      if (k == different) values[different++] = values[i];
    }
    return different <= kMaxListed;
  }

  // The shares of some blocks' elements; false if there are too many different ones.
  bool sample(const BlockOrder& o, Scratch* scratch) {
    float* values = scratch->of(static_cast<size_t>(o.block));
    if (values == nullptr) return false;
    uint64_t places[kSamples];
    const size_t samples = sample_places(tensor_, o, places);
    found_ = 0;
    size_t seen = 0;
    for (size_t k = 0; k < samples; ++k) {
      const uint64_t rest = o.axis == tensor_.count ? o.axis - places[k] : o.axis;
      const size_t n = static_cast<size_t>(o.block < rest ? o.block : rest);
      tensor_.gather(places[k], o.stride, n, values);
      if (!add(values, n, n < kMaxSeen ? n : kMaxSeen)) return false;
      seen += n < kMaxSeen ? n : kMaxSeen;
    }
    return found_ >= 4 && seen >= 4 * found_;
  }

  size_t levels() const { return found_; }

  bool run(FoundBlocks* found) {
    const BlockOrder& o = found->order;
    Array<float> values(static_cast<size_t>(o.block));
    if (!values.ok()) return false;
    found->scales.clear(), found->offsets.clear();
    float before = 0;
    const bool all = o.each(tensor_.count, [&](size_t number, size_t first, size_t n) {
      if (stopped_at(number)) return false;
      tensor_.gather(first, o.stride, n, values.data());
      if (!add(values.data(), n, n)) return false;
      if (before == 0 && scale_ != 0) {
        for (size_t k = 0; k < number; ++k) store32(found->scales.data() + 4 * k, bits_of(scale_));
      }
      before = scale_ != 0 ? scale_ : before;
      found->scales.u32(bits_of(before));
      return true;
    });
    if (!all || before == 0 || found->scales.failed()) return false;
    o.each(tensor_.count, [&](size_t number, size_t first, size_t n) {
      tensor_.gather(first, o.stride, n, values.data());
      const double scale = float_of(load32(found->scales.data() + 4 * number));
      for (size_t i = 0; i < n; ++i) narrow(values[i], scale);
      return true;
    });
    found->symbols = 0;
    for (size_t k = 0; k < found_; ++k) {
      float level = 0;
      if (from_[k] != 0 || to_[k] != 0) {
        const bool below = from_[k] < 0;
        if (!simplest_between(below ? -to_[k] : from_[k], below ? -from_[k] : to_[k], &level)) return false;
        if (below) level = -level;
      }
      found->levels[found->symbols++] = level;
    }
    found->listed = true;
    found->has_offsets = false;
    found->signed_zeros = negative_zero_;
    return found->symbols >= 2;
  }

 private:
  static constexpr size_t kMaxSeen = 48;  // elements of a sampled block

  // Takes the shares of the first `taken` elements.
  bool add(const float* values, size_t n, size_t taken) {
    Block block;
    if (!block.look(values, n, tensor_.format)) return false;
    negative_zero_ = negative_zero_ || block.negative_zero;
    const double reach = block.reach();
    scale_ = static_cast<float>(reach);
    for (size_t i = 0; i < taken && reach != 0; ++i) {
      const double share = values[i] / reach;
      const size_t k = place_of(share);
      if (k < found_ && near(share, centre_[k])) continue;
      if (k > 0 && near(share, centre_[k - 1])) continue;
      if (found_ == kMaxListed) return false;
      for (size_t j = found_; j > k; --j)
        centre_[j] = centre_[j - 1], from_[j] = from_[j - 1], to_[j] = to_[j - 1];
      ++found_;
      centre_[k] = share;
      from_[k] = -2, to_[k] = 2;
    }
    return true;
  }

  // Of the first centre that is not below `share`.
  size_t place_of(double share) const {
    size_t low = 0, high = found_;
    while (low < high) {
      const size_t middle = (low + high) / 2;
      (centre_[middle] < share ? low : high) = centre_[middle] < share ? middle + 1 : middle;
    }
    return low;
  }

  bool near(double a, double b) const {
    const double unit = tensor_.format == 2 ? 0x1p-22 : (tensor_.format == 0 ? 0x1p-9 : 0x1p-6);
    return size_of(a - b) <= unit * size_of(b);
  }

  void narrow(float value, double scale) {
    const double share = value / scale;
    size_t k = place_of(share);
    if (k == found_ || !near(share, centre_[k])) --k;
    if (value == 0) {
      from_[k] = to_[k] = 0;
      return;
    }
    const double size = size_of(value);
    double from = lower_end(size, tensor_.format) / scale, to = upper_end(size, tensor_.format) / scale;
    if (value < 0) {
      const double turned = -from;
      from = -to, to = turned;
    }
    from_[k] = from > from_[k] ? from : from_[k];
    to_[k] = to < to_[k] ? to : to_[k];
  }

  const FloatTensor& tensor_;
  double centre_[kMaxListed], from_[kMaxListed], to_[kMaxListed];
  size_t found_ = 0;
  float scale_ = 0;
  bool negative_zero_ = false;
};

}  // namespace

bool find_levels(const FloatTensor& tensor, const BlockOrder* orders, int count, FoundBlocks* found) {
  if (tensor.count < 1024) return false;
  Scratch scratch;
  LevelFinder finder(tensor);
  // Other lengths than the block's, or a part of it, see more levels than there are.
  size_t min_levels = kMaxListed + 1;
  uint64_t longest = 0;
  for (int k = 0; k < count; ++k) {
    BlockOrder o = orders[k];
    for (uint64_t block = 2 * kShortestBlock; block <= o.axis && block <= kLongestBlockTried; ++block) {
      if (!may_be_block(o, block)) continue;
      o.block = block;
      if (block > kMaxListed && !finder.has_few(o)) break;
      if (!finder.sample(o, &scratch) || finder.levels() > min_levels) continue;
      if (finder.levels() == min_levels && block <= longest) continue;
      min_levels = finder.levels();
      longest = block;
      found->order = o;
    }
  }
  if (longest == 0) return false;
  LevelFinder all(tensor);
  return all.run(found);
}

}  // namespace kc
