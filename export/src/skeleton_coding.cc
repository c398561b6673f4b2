#include "skeleton_coding.h"

#include "lz.h"
#include "lz_coding.h"
#include "sections.h"
#include "skeleton.h"

namespace kc {
namespace {

// How much of a skeleton is compared with the priming graphs.
constexpr size_t kMaxCompared = 1u << 16;
constexpr size_t kHalfTables = 1u << 10;  // bytes that fill half of tables of 2^12 groups
constexpr uint64_t kMuchOfFile = 4;
constexpr int kPatchTables = 2;
// Skeletons for which the nearest priming graphs, or all of them, are tried, and how many.
constexpr size_t kTriesSeveral = 1u << 15;
constexpr size_t kTriedGraphs = 3;
// The priming graphs must save this share of what the quick form takes without them.
constexpr size_t kPrimingSaves = 64;

// The priming graphs in the order of how many runs of eight bytes they have in common with the skeleton.
bool nearest_graphs(const Bytes& skeleton, List<size_t>* order) {
  constexpr int kBits = 14;
  constexpr size_t kRun = 8;
  Array<uint8_t> seen(1u << kBits);
  auto place = [](const uint8_t* p) {
    return ((load32(p) * 0x9E3779B1u ^ load32(p + 4)) * 0x85EBCA6Bu) >> (32 - kBits);
  };
  const size_t size = skeleton.size() < kMaxCompared ? skeleton.size() : kMaxCompared;
  size_t at = 0;
  Bytes graphs;
  List<size_t> shares;
  if (!seen.ok() || !read_priming(&graphs)) return false;
  for (size_t i = 0; i + kRun <= size; ++i) seen[place(skeleton.data() + i)] = 1;
  for (size_t s = 0; s < kPrimingGraphs; ++s) {
    at += kPrimingSizes[s].plan;
    size_t common = 0;
    for (size_t i = 0; i + kRun <= kPrimingSizes[s].skeleton; ++i) {
      common += seen[place(graphs.data() + at + i)];
    }
    // Of what is much longer, much is of no use.
    if (!shares.push(common * 4096 / (kPrimingSizes[s].skeleton + size + 1)) || !order->push(s)) return false;
    at += kPrimingSizes[s].skeleton;
    for (size_t k = s; k > 0 && shares[s] > shares[(*order)[k - 1]]; --k) {
      (*order)[k] = (*order)[k - 1];
      (*order)[k - 1] = s;
    }
  }
  return true;
}

// Primed by one graph, and of a patch by `ranges` of the base, or with none by what the plan doesn't take.
template <typename Model>
bool encode_with_model(const Plan& plan, const Bytes& plan_bytes, const Bytes& skeleton, size_t priming,
                       int tables, const List<BaseRange>& ranges, uint64_t original_size, Bytes* out) {
  uint64_t at = 0, total = 0;
  out->push(static_cast<uint8_t>(kSkeletonModel * tables + static_cast<int>(priming)));
  out->varint(plan_bytes.size());
  if (plan.is_patch) out->varint(ranges.size());
  for (size_t r = 0; r < ranges.size(); ++r) {
    out->varint(ranges[r].first - at);
    out->varint(ranges[r].size);
    at = ranges[r].first + ranges[r].size;
    total += ranges[r].size;
  }
  ArithmeticEncoder coder(out);
  Model model;
  if (!model.init(priming, tables, ranges.size() == 0 ? plan.base_size : total)) return false;
  model.run(&coder, plan_bytes.data(), plan_bytes.size(), 0);
  if (plan.is_patch && !model.learn_base(plan, ranges)) return false;
  if (!model.run_graph(&coder, plan, skeleton.data(), original_size)) return false;
  coder.finish();
  return !model.failed() && !out->failed();
}

void write_head(SkeletonForm form, const Bytes& plan_bytes, const Bytes& skeleton, Bytes* out) {
  out->push(form);
  out->varint(plan_bytes.size());
  out->varint(skeleton.size());
}

// `form` is one of repeats.
bool encode_repeats(SkeletonForm form, const Bytes& plan_bytes, const Bytes& skeleton, Bytes* out) {
  Bytes history;
  const bool primed = form == kSkeletonPrimedRepeats || form == kSkeletonPrimedLz;
  if (primed && !read_priming(&history)) return false;
  const size_t start = history.size();
  history.append(plan_bytes.data(), plan_bytes.size());
  history.append(skeleton.data(), skeleton.size());
  write_head(form, plan_bytes, skeleton, out);
  if (history.failed()) return false;
  return form >= kSkeletonLz ? lz_encode_modelled(history, start, out) : lz_encode(history, start, out);
}

bool encode_plain(const Bytes& plan_bytes, const Bytes& skeleton, Bytes* out) {
  write_head(kSkeletonPlain, plan_bytes, skeleton, out);
  out->append(plan_bytes.data(), plan_bytes.size());
  out->append(skeleton.data(), skeleton.size());
  return !out->failed();
}

// Tries one more form: the smaller stays in `out`.
void keep_smaller(Bytes* other, Bytes* out) {
  if (other->size() < out->size()) out->swap(*other);
  other->clear();
}

}  // namespace

bool encode_skeleton(const Plan& plan, const Bytes& skeleton, uint64_t original_size, GraphCoding coding,
                     const List<BaseRange>& ranges, Bytes* out) {
  Bytes plan_bytes, other;
  const List<BaseRange> none;
  write_plan(plan, &plan_bytes);
  // What no reader takes is left to the stored form.
  if (plan_bytes.failed() || plan_bytes.size() > kMaxModelledBytes ||
      plan_bytes.size() > original_size + kPlanSlack) {
    return false;
  }
  const size_t total = plan_bytes.size() + skeleton.size();
  const bool slow =
      (coding >= GraphCoding::kModelled || plan.is_patch) && skeleton.size() <= kMaxModelledBytes;
  List<size_t> graphs;
  if (slow && !nearest_graphs(skeleton, &graphs)) return false;
  size_t nearest = slow ? graphs[0] : 0;
  if (plan.is_patch && slow) {
    if (!encode_with_model<PatchSkeletonCoder>(plan, plan_bytes, skeleton, nearest, kPatchTables, none,
                                               original_size, out)) {
      return false;
    }
    if (ranges.size() == 0) return true;
    if (!encode_with_model<PatchSkeletonCoder>(plan, plan_bytes, skeleton, nearest, kPatchTables, ranges,
                                               original_size, &other)) {
      return false;
    }
    keep_smaller(&other, out);
    return true;
  }
  if (!encode_plain(plan_bytes, skeleton, out)) return false;
  // What a faster codec would do hardly ever wins, and of smaller files all codecs are tried.
  if (!slow) {
    const bool quick = coding == GraphCoding::kRepeats || skeleton.size() > kMaxModelledBytes;
    if (!encode_repeats(quick ? kSkeletonRepeats : kSkeletonLz, plan_bytes, skeleton, &other)) return false;
    keep_smaller(&other, out);
    const size_t without = out->size();
    if (!encode_repeats(quick ? kSkeletonPrimedRepeats : kSkeletonPrimedLz, plan_bytes, skeleton, &other)) {
      return false;
    }
    // Priming takes some of the time that the quick form is for.
    if (!quick || other.size() + without / kPrimingSaves < without) keep_smaller(&other, out);
    return true;
  }
  size_t tried =
      total > kTriesSeveral ? 1 : (coding == GraphCoding::kSmallest ? kPrimingGraphs : kTriedGraphs);
  if (tried > graphs.size()) tried = graphs.size();
  for (size_t k = 0; k < tried; ++k) {
    if (!encode_with_model<SkeletonCoder>(plan, plan_bytes, skeleton, graphs[k], 1, none, original_size,
                                          &other)) {
      return false;
    }
    if (other.size() < out->size()) nearest = graphs[k];
    keep_smaller(&other, out);
  }
  // `auto` takes 4 MB for tables only where much of the file is text and zips behind the model.
  const bool much = skeleton.size() >= original_size / kMuchOfFile;
  const int max_tables = coding == GraphCoding::kSmallest ? kMaxTables : (much ? 2 : 1);
  for (int tables = 2; tables <= max_tables; ++tables) {
    if (total < (kHalfTables << (2 * tables))) break;
    if (!encode_with_model<SkeletonCoder>(plan, plan_bytes, skeleton, nearest, tables, none, original_size,
                                          &other)) {
      return false;
    }
    keep_smaller(&other, out);
  }
  return true;
}

}  // namespace kc
