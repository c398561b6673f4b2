#include "skeleton_coding.h"

#include "lz.h"
#include "sections.h"
#include "skeleton.h"

namespace kc {
namespace {

// How much of a skeleton is compared with the samples.
constexpr size_t kMostCompared = 1u << 16;
constexpr size_t kLongSkeleton = 1u << 15;

bool encode_with_model(const Plan& plan, const Bytes& plan_bytes, const Bytes& skeleton,
                       Bytes* out) {
  ArithmeticEncoder coder(out);
  SkeletonCoder model;
  if (!model.init(plan_bytes.size(), skeleton.size())) return false;
  model.run(&coder, plan_bytes.data(), plan_bytes.size(), 0);
  if (plan.is_patch) model.learn_base(plan);
  size_t used = 0;
  uint64_t offset = 0;
  for (size_t i = 0; i < plan.extents.size(); ++i) {
    const Extent& e = plan.extents[i];
    model.run(&coder, skeleton.data() + used, static_cast<size_t>(e.gap),
              static_cast<size_t>(offset));
    used += static_cast<size_t>(e.gap);
    offset += e.gap + e.size;
  }
  model.run(&coder, skeleton.data() + used, skeleton.size() - used, static_cast<size_t>(offset));
  coder.finish();
  return !model.failed();
}

// The sample that has the most runs of eight bytes in common with the skeleton.
size_t nearest_sample(const Bytes& skeleton) {
  constexpr int kBits = 14;
  constexpr size_t kRun = 8;
  Array<uint8_t> seen(1u << kBits);
  auto place = [](const uint8_t* p) {
    return ((load32(p) * 0x9E3779B1u ^ load32(p + 4)) * 0x85EBCA6Bu) >> (32 - kBits);
  };
  const size_t size = skeleton.size() < kMostCompared ? skeleton.size() : kMostCompared;
  size_t at = 0, best = 0, most = 0;
  Bytes samples;
  if (!seen.ok() || !read_samples(&samples)) return 0;
  for (size_t i = 0; i + kRun <= size; ++i) seen[place(skeleton.data() + i)] = 1;
  for (size_t s = 0; s < kSamples; ++s) {
    at += kSampleSizes[s].plan;
    size_t common = 0;
    for (size_t i = 0; i + kRun <= kSampleSizes[s].skeleton; ++i) {
      common += seen[place(samples.data() + at + i)];
    }
    // Of what is much longer, much is of no use.
    const size_t share = common * 4096 / (kSampleSizes[s].skeleton + size + 1);
    if (share > most) most = share, best = s;
    at += kSampleSizes[s].skeleton;
  }
  return best;
}

bool encode_beside_sample(const Plan& plan, const Bytes& plan_bytes, const Bytes& skeleton,
                          size_t sample, uint64_t original_size, Bytes* out) {
  ArithmeticEncoder coder(out);
  SampleCoder model;
  if (!model.init_with_sample(sample)) return false;
  model.run(&coder, plan_bytes.data(), plan_bytes.size(), 0);
  if (!model.run_graph(&coder, plan, skeleton.data(), original_size)) return false;
  coder.finish();
  return !model.failed();
}

// With `ranges` of the base, or none for what the plan doesn't take.
bool encode_patch(const Plan& plan, const Bytes& plan_bytes, const Bytes& skeleton, size_t sample,
                  const List<BaseRange>& ranges, uint64_t original_size, Bytes* out) {
  uint64_t at = 0, total = 0;
  out->push(static_cast<uint8_t>(kSkeletonSample + sample));
  out->varint(plan_bytes.size());
  out->varint(ranges.size());
  for (size_t r = 0; r < ranges.size(); ++r) {
    out->varint(ranges[r].first - at);
    out->varint(ranges[r].size);
    at = ranges[r].first + ranges[r].size;
    total += ranges[r].size;
  }
  ArithmeticEncoder coder(out);
  PatchCoder model;
  if (!model.init_with_sample(sample, ranges.size() == 0 ? plan.base_size : total)) return false;
  model.run(&coder, plan_bytes.data(), plan_bytes.size(), 0);
  if (!model.learn_base(plan, ranges)) return false;
  if (!model.run_graph(&coder, plan, skeleton.data(), original_size)) return false;
  coder.finish();
  return !model.failed() && !out->failed();
}

}  // namespace

bool encode_skeleton(const Plan& plan, const Bytes& skeleton, uint64_t original_size,
                     GraphCoding coding, const List<BaseRange>& ranges, Bytes* out) {
  Bytes plan_bytes, coded;
  write_plan(plan, &plan_bytes);
  // What no reader takes is left to the stored form.
  if (plan_bytes.failed() || plan_bytes.size() > kMostModelledBytes ||
      plan_bytes.size() > original_size + kPlanSlack) {
    return false;
  }
  const bool slow = (coding != GraphCoding::kRepeats || plan.is_patch) &&
                    skeleton.size() <= kMostModelledBytes;
  if (plan.is_patch && slow && kSamples != 0) {
    Bytes other;
    const List<BaseRange> none;
    const size_t sample = nearest_sample(skeleton);
    if (!encode_patch(plan, plan_bytes, skeleton, sample, none, original_size, out)) return false;
    if (ranges.size() != 0) {
      if (!encode_patch(plan, plan_bytes, skeleton, sample, ranges, original_size, &other)) return false;
      if (other.size() < out->size()) out->swap(other);
    }
    return true;
  }
  SkeletonForm form = slow ? kSkeletonModel : kSkeletonRepeats;
  if (form == kSkeletonModel && kSamples != 0) {
    const size_t sample = nearest_sample(skeleton);
    if (!encode_beside_sample(plan, plan_bytes, skeleton, sample, original_size, &coded)) return false;
    Bytes other;  // after the dictionary, with larger tables, which long plans can use
    const bool try_other =
        coding == GraphCoding::kSmallest && plan_bytes.size() + skeleton.size() > kLongSkeleton;
    if (try_other && !encode_with_model(plan, plan_bytes, skeleton, &other)) return false;
    if (try_other && other.size() < coded.size()) {
      coded.swap(other);
    } else if (coded.size() < plan_bytes.size() + skeleton.size()) {
      out->push(static_cast<uint8_t>(kSkeletonSample + sample));
      out->varint(plan_bytes.size());
      out->append(coded.data(), coded.size());
      return !coded.failed() && !out->failed();
    }
  } else if (form == kSkeletonModel) {
    if (!encode_with_model(plan, plan_bytes, skeleton, &coded)) return false;
  } else {
    Bytes history;
    history.append(kDictionary, kDictionarySize);
    history.append(plan_bytes.data(), plan_bytes.size());
    history.append(skeleton.data(), skeleton.size());
    if (history.failed() || !lz_encode(history, kDictionarySize, &coded)) return false;
  }
  if (coded.size() >= plan_bytes.size() + skeleton.size()) {
    form = kSkeletonPlain;
    coded.clear();
    coded.append(plan_bytes.data(), plan_bytes.size());
    coded.append(skeleton.data(), skeleton.size());
  }
  out->push(form);
  out->varint(plan_bytes.size());
  out->varint(skeleton.size());
  out->append(coded.data(), coded.size());
  return !coded.failed() && !out->failed();
}

}  // namespace kc
