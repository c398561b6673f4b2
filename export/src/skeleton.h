// The first section of a modelled file: the plan and all bytes outside the extents.
#ifndef KC_SKELETON_H_
#define KC_SKELETON_H_

#include "arithmetic.h"
#include "byte_model.h"
#include "methods.h"
#include "priming.h"

namespace kc {

// How plan and skeleton are coded; numbers of the format.
enum SkeletonForm : uint8_t {
  kSkeletonPlain = 0,
  kSkeletonRepeats = 1,        // lz.h
  kSkeletonPrimedRepeats = 2,  // so, with all priming graphs before it
  kSkeletonLz = 3,             // lz_coding.h
  kSkeletonPrimedLz = 4,       // so, with all priming graphs before it
  // 16 times 1 to 3, for tables of 2^14, 2^16 or 2^18 groups, + the number of the priming graph
  // that the model has learned.
  kSkeletonModel = 16,
};
constexpr int kMaxTables = 3;
constexpr int table_bits(int tables) { return 12 + 2 * tables; }

// Bytes of a patch's base.
struct BaseRange {
  uint64_t first = 0, size = 0;
};

constexpr uint64_t kMaxRanges = 1u << 12;

// The model that has learned a priming graph; with `kWithReference` it has learned a patch's base, too.
template <bool kWithReference>
class BasicSkeletonCoder {
 public:
  // All priming graphs are there for repeats; the one of number `nearest` goes through the model as if it had
  // been coded. False: no memory.
  bool init(size_t nearest, int tables, uint64_t base_size = 0) {
    Bytes graphs;
    const int bits = table_bits(tables);
    const int match_bits = kWithReference ? reference_match_bits(base_size) : bits + 1;
    if (!read_priming(&graphs) || !model_.init(SIZE_MAX / 16, 4, bits, match_bits)) return false;
    size_t at = 0, found = 0;
    for (size_t s = 0; s < kPrimingGraphs; ++s) {
      const size_t size = kPrimingSizes[s].plan + kPrimingSizes[s].skeleton;
      if (s == nearest) found = at;
      for (size_t i = 0; s != nearest && i < size; ++i) {
        model_.remember(history_);
        history_.push(graphs.data()[at + i]);
      }
      at += size;
    }
    const uint8_t* plan_bytes = graphs.data() + found;
    const uint8_t* skeleton = plan_bytes + kPrimingSizes[nearest].plan;
    Plan plan;
    KnownBits known;
    run(&known, plan_bytes, kPrimingSizes[nearest].plan, 0);
    uint64_t original = kPrimingSizes[nearest].skeleton;
    if (read_plan(plan_bytes, kPrimingSizes[nearest].plan, &plan) != Decoded::kDone) return false;
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
      if (gap > original_size - offset || gap > kMaxModelledBytes - used) return false;
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
      if (kWithReference) anchor_behind(e);
    }
    skeleton_size_ = static_cast<size_t>(used);
    return true;
  }
  size_t skeleton_size() const { return skeleton_size_; }

  // Of a patch: takes bytes of the base, with none named those outside of what the plan takes from it.
  bool learn_base(const Plan& plan, const List<BaseRange>& named) {
    if (named.size() == 0) {
      List<BaseRange> left;
      if (!outside_taken(plan, &left)) return false;
      return left.size() == 0 || learn_base(plan, left);
    }
    KnownBits known;
    for (size_t r = 0; r < named.size(); ++r) {
      const BaseRange& range = named[r];
      if (!learned_.push({range, history_.size()})) return false;
      for (uint64_t i = range.first; i < range.first + range.size; ++i) {
        if (stopped_at(static_cast<size_t>(i))) return false;
        if (primed_++ < kMaxKnown) {
          run(&known, plan.base + i, 1, static_cast<size_t>(i));
        } else {
          model_.remember(history_);
          history_.push(plan.base[i]);
        }
      }
    }
    model_.end_base(history_.size());
    model_.put_anchor(learned_[0].place);
    return !history_.failed();
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
  static constexpr size_t kMaxKnown = 1u << 17;
  static constexpr uint64_t kPiece = 1u << 14;

  // Stands in for a coder of bits that both sides know.
  struct KnownBits {
    static constexpr bool kDecodes = false;
    int code(int bit, uint32_t) { return bit; }
    size_t overrun() const { return 0; }
  };

  // Blocks of the base but those that lie as a whole in what the plan takes.
  static bool outside_taken(const Plan& plan, List<BaseRange>* left) {
    const uint64_t blocks = (plan.base_size + (1u << kBaseBlock) - 1) >> kBaseBlock;
    Array<uint32_t> begun(static_cast<size_t>(blocks) + 1), ended(static_cast<size_t>(blocks) + 1);
    if (!begun.ok() || !ended.ok()) return false;
    for (size_t i = 0; i < plan.extents.size(); ++i) {
      const Extent& e = plan.extents[i];
      if (!has_trait(e.method, kTakesBase) || !e.size_known || e.base > plan.base_size ||
          e.size > plan.base_size - e.base)
        continue;
      const uint64_t first = (e.base + (1u << kBaseBlock) - 1) >> kBaseBlock;
      const uint64_t end = (e.base + e.size) >> kBaseBlock;
      if (first >= end) continue;
      ++begun[static_cast<size_t>(first)];
      ++ended[static_cast<size_t>(end)];
    }
    uint32_t taken = 0;  // by how many extents
    for (uint64_t b = 0; b < blocks; ++b) {
      taken += begun[static_cast<size_t>(b)] - ended[static_cast<size_t>(b)];
      if (taken != 0) continue;
      const uint64_t first = b << kBaseBlock, rest = plan.base_size - first;
      const uint64_t size = rest < (1u << kBaseBlock) ? rest : 1u << kBaseBlock;
      if (left->size() != 0 && (*left)[left->size() - 1].first + (*left)[left->size() - 1].size == first) {
        (*left)[left->size() - 1].size += size;
      } else if (!left->push({first, size})) {
        return false;
      }
    }
    return true;
  }

  // What stands in the base behind the extent's bytes there may well stand here, too.
  void anchor_behind(const Extent& e) {
    if (!has_trait(e.method, kTakesBase) && e.method != kMethodReferenceBytes) return;
    const uint64_t at = e.base + e.size;
    size_t low = 0, high = learned_.size();  // the first range that ends behind it
    while (low < high) {
      const size_t middle = (low + high) / 2;
      const BaseRange& range = learned_[middle].range;
      if (range.first + range.size > at) high = middle;
      else low = middle + 1;
    }
    if (low == learned_.size() || at < learned_[low].range.first) return;
    model_.put_anchor(learned_[low].place + static_cast<size_t>(at - learned_[low].range.first));
  }

  struct Learned {
    BaseRange range;
    size_t place;  // in the history
  };

  size_t skeleton_size_ = 0;
  size_t primed_ = 0;
  List<Learned> learned_;
  BasicByteModel<kWithReference> model_;
  Bytes history_;
};

using SkeletonCoder = BasicSkeletonCoder<false>;
using PatchSkeletonCoder = BasicSkeletonCoder<true>;

}  // namespace kc

#endif  // KC_SKELETON_H_
