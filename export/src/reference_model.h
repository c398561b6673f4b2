// Model of a tensor's symbols beside those of an older tensor of the same shape, its reference: weights
// trained on, or clustered anew, mostly keep their place among the values.
#ifndef KC_REFERENCE_MODEL_H_
#define KC_REFERENCE_MODEL_H_

#include "mixing.h"

namespace kc {

class ReferenceModel {
 public:
  bool init() {
    if (!by_reference_.reset(256 * 256) || !by_left_.reset(256 * 256) || !alone_.reset(256) ||
        !expected_.reset(kStates * 4 * 8) || !mixer_.reset(kStates * 8, kFirstWeight)) {
      return false;
    }
    fill_fresh(&by_reference_), fill_fresh(&by_left_), fill_fresh(&alone_), fill_fresh(&expected_);
    return true;
  }

  // `values` are read or written, each of `bits` bits; `references` say what stands beside them. The
  // element `last` before and the one `row` before are neighbours.
  template <typename Coder>
  bool run(Coder* coder, uint8_t* values, const uint8_t* references, size_t count, size_t row, size_t last,
           int bits) {
    Array<uint8_t> strays(count);  // elements that were not what was expected of them
    if (!strays.ok()) return false;
    uint8_t likely[256];  // by reference: the value it had when last seen
    for (size_t k = 0; k < 256; ++k) likely[k] = 0;
    for (size_t i = 0; i < count; ++i) {
      if (stopped_at(i)) return false;
      const size_t reference = references[i];
      const size_t state = (i >= 1 && strays[i - 1] != 0 ? 1u : 0u) |
                           (i >= last && strays[i - last] != 0 ? 2u : 0u) |
                           (i >= row && strays[i - row] != 0 ? 4u : 0u);
      const size_t left = i >= 1 ? values[i - 1] : 0;
      values[i] =
          static_cast<uint8_t>(code_value(coder, values[i], reference, left, likely[reference], state, bits));
      strays[i] = values[i] != likely[reference] ? 1 : 0;
      likely[reference] = values[i];
    }
    return true;
  }

 private:
  static constexpr size_t kStates = 8;
  static constexpr int kInputs = 8;
  static constexpr int32_t kFirstWeight = 65536 * 40 / 100;
  static constexpr int kRate = 12;

  template <typename Coder>
  int code_value(Coder* coder, int value, size_t reference, size_t left, int likely, size_t state, int bits) {
    size_t node = 1;
    for (int b = bits - 1; b >= 0; --b) {
      const bool agrees = node == static_cast<size_t>((likely | 1 << bits) >> (b + 1));
      const size_t hint = agrees ? 2 + (static_cast<size_t>(likely) >> b & 1) : 0;
      uint32_t* counters[4] = {&by_reference_[reference * 256 + node], &by_left_[left * 256 + node],
                               &alone_[node], &expected_[(state * 4 + hint) * 8 + static_cast<size_t>(b)]};
      int16_t inputs[kInputs] = {};
      for (int k = 0; k < 4; ++k) inputs[k] = static_cast<int16_t>(counter_input(*counters[k]));
      inputs[4] = 256;
      const size_t set = state * 8 + static_cast<size_t>(b);
      const int bit = coder->code(value >> b & 1, clamp_p16(squash(mixer_.dot(inputs, set))));
      mixer_.learn(inputs, bit, kRate);
      for (auto* counter : counters) update_counter(counter, bit, 255);
      node = node * 2 + static_cast<size_t>(bit);
    }
    return static_cast<int>(node - (static_cast<size_t>(1) << bits));
  }

  Array<uint32_t> by_reference_, by_left_, alone_, expected_;
  MixerSet<kInputs> mixer_;
};

}  // namespace kc

#endif  // KC_REFERENCE_MODEL_H_
