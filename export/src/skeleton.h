// The first section of a modelled file: the plan and all bytes outside the extents.
#ifndef KC_SKELETON_H_
#define KC_SKELETON_H_

#include "arithmetic.h"
#include "byte_model.h"
#include "dictionary.h"
#include "plan.h"

namespace kc {

// How plan and skeleton are coded; numbers of the format.
enum SkeletonForm : uint8_t {
  kSkeletonPlain = 0,
  kSkeletonModel = 1,
  kSkeletonRepeats = 2,  // lz.h, with the dictionary before it
};

// The end of the dictionary goes through all counters; what stands before is there for repeats.
constexpr size_t kPrimedBytes = 6000;

class SkeletonCoder {
 public:
  bool init(size_t plan_size, size_t skeleton_size) {
    if (!model_.init(kDictionarySize + plan_size + skeleton_size, 4)) return false;
    for (size_t i = 0; i < kDictionarySize; ++i) {
      if (i + kPrimedBytes < kDictionarySize) {
        model_.remember(history_);
      } else {
        model_.prime_byte(kDictionary[i], history_, i);
      }
      history_.push(kDictionary[i]);
    }
    return !history_.failed();
  }

  // Codes `size` bytes; decoded ones are appended to the history only.
  template <typename Coder>
  void run(Coder* coder, const uint8_t* bytes, size_t size, size_t first_position) {
    for (size_t i = 0; i < size; ++i) {
      int byte = Coder::kDecodes ? 0 : bytes[i];
      byte = model_.code_byte(coder, byte, history_, first_position + i);
      history_.push(static_cast<uint8_t>(byte));
    }
  }

  const uint8_t* coded(size_t back) const { return history_.data() + history_.size() - back; }
  bool failed() const { return history_.failed(); }

 private:
  ByteModel model_;
  Bytes history_;
};

}  // namespace kc

#endif  // KC_SKELETON_H_
