// What an extent of blocks has beside its symbols: a scale a block, perhaps an offset, and signs of zeros.
#ifndef KC_BLOCK_SIDE_H_
#define KC_BLOCK_SIDE_H_

#include "bit_io.h"
#include "plan.h"

namespace kc {

// Appends the integers from `first` on as levels. False: they are too large.
bool append_integers(int64_t first, size_t symbols, Bytes* codebooks);

// In memory while the extent is coded.
class BlockSide {
 public:
  // Encoding, scales and offsets are those that the packer has found.
  bool init(const Plan& plan, const Extent& e, bool decodes);

  // Calls `code(floats, values)` for the scales and for the offsets, if there are any; `floats` is what an
  // extent of them would be.
  template <typename Code>
  Decoded each(Code code) {
    Decoded result = code(floats_[0], scales_.data());
    if (result == Decoded::kDone && has_offsets_) result = code(floats_[1], offsets_.data());
    return result;
  }

  // The signs of zeros, which are bits as they are, behind the symbols.
  template <bool kDecodes, typename Noise>
  bool code_signs(const Extent& e, Noise* noise, const uint8_t* symbols, const uint8_t* data) {
    if (!e.signed_zeros) return true;
    if (!count_zeros(e, symbols)) return false;
    if (!kDecodes) find_signs(e, symbols, data);
    for (size_t i = 0; i < zeros_; i += 8) {
      const int bits = static_cast<int>(zeros_ - i < 8 ? zeros_ - i : 8);
      signs_[i / 8] = static_cast<uint8_t>(code_noise(noise, signs_[i / 8], bits));
    }
    return true;
  }

  // Of symbols too large, scales that are no numbers to multiply by: false.
  bool restore(const Extent& e, const uint8_t* symbols, uint8_t* data) const;

  // The packer's way back.
  bool symbols_of(const Extent& e, const uint8_t* data, uint8_t* symbols) const;

 private:
  Blockwise parts(const Extent& e) const;
  bool count_zeros(const Extent& e, const uint8_t* symbols);
  void find_signs(const Extent& e, const uint8_t* symbols, const uint8_t* data);

  Extent floats_[2];
  Array<uint8_t> scales_, offsets_, signs_;
  float levels_[256];
  size_t zeros_ = 0;
  bool has_offsets_ = false;
};

}  // namespace kc

#endif  // KC_BLOCK_SIDE_H_
