// Fast model of floating-point weights: the exponents by the fast model of symbols, sign and upper
// mantissa bits by one counter each, and the rest of the mantissa, which is noise, as it is.
#ifndef KC_FAST_FLOATS_H_
#define KC_FAST_FLOATS_H_

#include "fast_model.h"
#include "float_model.h"

namespace kc {

class FastFloatParts {
 public:
  bool init() {
    return upper_.reset(32 * kTree) && fill_fresh(&upper_) && signs_.reset(27) && fill_fresh(&signs_) &&
           zero_signs_.reset(3) && fill_fresh(&zero_signs_);
  }

  // `noise` is a BitWriter or BitReader; `data` is read or written.
  template <typename Lane, typename Noise>
  bool run(FastModel* exponents, Lane* lanes, Noise* noise, uint8_t* data, const FloatLayout& l,
           uint8_t context) {
    layout_ = l;
    data_ = data;
    Array<uint8_t> depths(l.count);
    if (!depths.ok()) return false;
    depths_ = depths.data();
    if (!Lane::kDecodes) FloatModel::find_depths(data, l, depths_);
    if (!exponents->run(lanes, noise, depths_, FloatModel::depth_layout(l), context)) return false;
    const size_t half = (l.count + 1) / 2;
    int zero_sign[kLanes] = {2, 2};  // of the zero before in the half
    for (size_t k = 0; k < half; ++k) {
      if (stopped_at(k)) return false;
      code_element(&lanes[0], noise, k, 0, &zero_sign[0]);
      if (half + k < l.count) code_element(&lanes[1], noise, half + k, half, &zero_sign[1]);
    }
    return true;
  }

 private:
  static constexpr size_t kTree = 1u << FloatModel::kMaxModelled;

  // 1 positive, 2 negative, 0 if there is none so far back in the half, or a zero.
  size_t sign_before(size_t i, size_t back, size_t start) const {
    if (i < start + back || (layout_.sparse && depths_[i - back] == 0)) return 0;
    const size_t bytes = static_cast<size_t>(layout_.format.bytes);
    return (data_[(i - back) * bytes + bytes - 1] >> 7) != 0 ? 2 : 1;
  }

  template <typename Lane, typename Noise>
  void code_element(Lane* lane, Noise* noise, size_t i, size_t start, int* zero_sign) {
    const FloatLayout& l = layout_;
    const int bytes = l.format.bytes, mantissa_bits = l.format.mantissa_bits;
    const uint32_t sign_bit = 1u << (8 * bytes - 1);
    uint8_t* at = data_ + i * static_cast<size_t>(bytes);
    uint32_t value = Lane::kDecodes ? 0 : load_element(at, bytes);
    if (l.sparse && depths_[i] == 0) {
      if (l.signed_zeros) {
        *zero_sign = code_by_counter(lane, &zero_signs_[static_cast<size_t>(*zero_sign)],
                                     (value & sign_bit) != 0, 250);
      }
      if (Lane::kDecodes) store_element(at, l.signed_zeros && *zero_sign != 0 ? sign_bit : 0, bytes);
      return;
    }
    const size_t around = sign_before(i, 1, start) * 9 +
                          (l.last < l.row ? sign_before(i, l.last, start) * 3 : 0) +
                          sign_before(i, l.row, start);
    const int sign = code_by_counter(lane, &signs_[around], (value & sign_bit) != 0, 1000);
    const int depth = depths_[i] - (l.sparse ? 1 : 0);
    uint32_t* tree = upper_.data() + static_cast<size_t>(depth < 31 ? depth : 31) * kTree;
    uint32_t mantissa = value & ((1u << mantissa_bits) - 1), prefix = 1;
    const uint32_t upper = mantissa >> (mantissa_bits - l.modelled);
    for (int b = l.modelled - 1; b >= 0; --b) {
      prefix = prefix * 2 + static_cast<uint32_t>(code_by_counter(lane, &tree[prefix], upper >> b & 1, 1000));
    }
    const int plain = mantissa_bits - l.modelled - l.zeros;
    mantissa = (prefix - (1u << l.modelled)) << (mantissa_bits - l.modelled) |
               code_noise(noise, mantissa >> l.zeros, plain) << l.zeros;
    const uint32_t exponent = static_cast<uint32_t>(l.highest - depth) & ((1u << l.format.exponent_bits) - 1);
    if (Lane::kDecodes) {
      store_element(at, (sign != 0 ? sign_bit : 0) | exponent << mantissa_bits | mantissa, bytes);
    }
  }

  Array<uint32_t> upper_, signs_, zero_signs_;
  FloatLayout layout_;
  uint8_t* data_ = nullptr;
  uint8_t* depths_ = nullptr;
};

}  // namespace kc

#endif  // KC_FAST_FLOATS_H_
