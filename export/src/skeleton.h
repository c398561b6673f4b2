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

  // Of a patch: takes the base's bytes outside of what the plan takes from it.
  void learn_base(const Plan& plan) {
    Array<uint8_t> taken((plan.base_size >> kBaseBlock) + 1);
    if (!taken.ok()) return;
    for (size_t i = 0; i < plan.extents.size(); ++i) {
      const Extent& e = plan.extents[i];
      if (!uses_base(e.method) || !e.size_known || e.base > plan.base_size || e.size > plan.base_size - e.base) continue;
      // Blocks that lie in it as a whole.
      const uint64_t first = (e.base + (1u << kBaseBlock) - 1) >> kBaseBlock;
      for (uint64_t b = first; (b + 1) << kBaseBlock <= e.base + e.size; ++b) taken[static_cast<size_t>(b)] = 1;
    }
    for (size_t i = 0; i < plan.base_size; ++i) {
      if (taken[i >> kBaseBlock] != 0) continue;
      if (primed_++ < kMostPrimed) {
        model_.prime_byte(plan.base[i], history_, i);
      } else {
        model_.remember(history_);
      }
      history_.push(plan.base[i]);
    }
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
  static constexpr int kBaseBlock = 6;
  static constexpr size_t kMostPrimed = 1u << 18;

  size_t primed_ = 0;
  ByteModel model_;
  Bytes history_;
};

}  // namespace kc

#endif  // KC_SKELETON_H_
