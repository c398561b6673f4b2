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
  kSkeletonSample = 16,  // version 3: 16 + number of the sample that is nearest
};

// The end of the dictionary goes through all counters; what stands before is there for repeats.
constexpr size_t kPrimedBytes = 6000;

// With `kWords` beside a sample (version 3), else after the dictionary.
template <bool kWords>
class BasicSkeletonCoder {
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

  // Version 3: all samples are there for repeats; the one of number `nearest` goes through the model
  // as if it had been coded. False: no memory.
  bool init_with_sample(size_t nearest) {
    Bytes samples;
    if (!read_samples(&samples) || !model_.init(SIZE_MAX / 16, 4, kSampleTableBits)) return false;
    size_t at = 0, found = 0;
    for (size_t s = 0; s < kSamples; ++s) {
      const size_t size = kSampleSizes[s].plan + kSampleSizes[s].skeleton;
      if (s == nearest) found = at;
      for (size_t i = 0; s != nearest && i < size; ++i) {
        model_.remember(history_);
        history_.push(samples.data()[at + i]);
      }
      at += size;
    }
    const uint8_t* plan_bytes = samples.data() + found;
    const uint8_t* skeleton = plan_bytes + kSampleSizes[nearest].plan;
    Plan plan;
    plan.version = kSampleVersion;
    KnownBits known;
    run(&known, plan_bytes, kSampleSizes[nearest].plan, 0);
    uint64_t original = kSampleSizes[nearest].skeleton;
    if (!read_plan(plan_bytes, kSampleSizes[nearest].plan, &plan)) return false;
    const uint8_t* end = skeleton;
    for (size_t i = 0; i < plan.extents.size(); ++i) {
      Extent& e = plan.extents[i];
      end += e.gap;
      original += e.size_known ? e.size : load32(end - 4);
    }
    return run_graph(&known, plan, skeleton, original) && !failed();
  }

  // Codes the bytes outside the extents of a file of `original_size` bytes, at their places. False:
  // the plan doesn't fit the size, or the coder ran dry.
  template <typename Coder>
  bool run_graph(Coder* coder, const Plan& plan, const uint8_t* skeleton, uint64_t original_size) {
    uint64_t offset = 0, used = 0;
    for (size_t i = 0; i <= plan.extents.size(); ++i) {
      const bool last = i == plan.extents.size();
      const uint64_t gap = last ? original_size - offset : plan.extents[i].gap;
      if (gap > original_size - offset || gap > kMostModelledBytes - used) return false;
      // Piece by piece, so that a cut file doesn't make us work for long.
      for (uint64_t done = 0; done < gap;) {
        const uint64_t piece = gap - done < kPiece ? gap - done : kPiece;
        run(coder, skeleton == nullptr ? nullptr : skeleton + used, static_cast<size_t>(piece),
            static_cast<size_t>(offset + done));
        if (coder->overrun() > 4 || failed()) return false;
        done += piece, used += piece;
      }
      offset += gap;
      if (last) break;
      const Extent& e = plan.extents[i];
      // Sizes that stand in the skeleton are taken up as they come by.
      if (!e.size_known && used < 4) return false;
      const uint64_t size = e.size_known ? e.size : load32(coded(4));
      if (size > original_size - offset) return false;
      offset += size;
    }
    skeleton_size_ = static_cast<size_t>(used);
    return true;
  }
  size_t skeleton_size() const { return skeleton_size_; }

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
      if (stopped_at(i)) return;
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
      if (stopped_at(i)) return;
      int byte = Coder::kDecodes ? 0 : bytes[i];
      byte = model_.code_byte(coder, byte, history_, first_position + i);
      history_.push(static_cast<uint8_t>(byte));
    }
  }

  const uint8_t* coded(size_t back) const { return history_.data() + history_.size() - back; }
  bool failed() const { return history_.failed() || stopped(); }

 private:
  static constexpr int kBaseBlock = 6;
  static constexpr size_t kMostPrimed = 1u << 18;
  static constexpr int kSampleTableBits = 14;
  static constexpr uint32_t kSampleVersion = 3;
  static constexpr uint64_t kPiece = 1u << 14;

  // Stands in for a coder of bits that both sides know.
  struct KnownBits {
    static constexpr bool kDecodes = false;
    int code(int bit, uint32_t) { return bit; }
    size_t overrun() const { return 0; }
  };

  size_t skeleton_size_ = 0;
  size_t primed_ = 0;
  BasicByteModel<kWords> model_;
  Bytes history_;
};

using SkeletonCoder = BasicSkeletonCoder<false>;
using SampleCoder = BasicSkeletonCoder<true>;

}  // namespace kc

#endif  // KC_SKELETON_H_
