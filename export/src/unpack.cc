#include "unpack.h"

#include "lz.h"
#include "sections.h"
#include "skeleton.h"

namespace kc {
namespace {

bool sizes_fit(const Plan& plan) {
  for (size_t i = 0; i < plan.extents.size(); ++i) {
    const uint8_t method = plan.extents[i].method;
    if ((method == kMethodBytes || method == kMethodBeside) && plan.extents[i].size > kMostModelledBytes) {
      return false;
    }
  }
  return true;
}

// Model form: the plan first, as it says where in the file each skeleton byte has its place.
Decoded decode_with_model(Reader* in, size_t plan_size, size_t skeleton_size, uint64_t original_size,
                          Plan* plan, Bytes* skeleton) {
  ArithmeticDecoder coder(in->here(), in->left());
  SkeletonCoder model;
  if (!model.init(plan_size, skeleton_size)) return Decoded::kMemory;
  model.run(&coder, nullptr, plan_size, 0);
  if (model.failed()) return Decoded::kMemory;
  if (coder.overrun() > 4 || !read_plan(model.coded(plan_size), plan_size, plan)) {
    return Decoded::kMalformed;
  }
  if (plan->is_patch) model.learn_base(*plan);
  size_t left = skeleton_size;
  uint64_t offset = 0;
  for (size_t i = 0; i < plan->extents.size(); ++i) {
    const Extent& e = plan->extents[i];
    if (e.gap > left) return Decoded::kMalformed;
    model.run(&coder, nullptr, static_cast<size_t>(e.gap), static_cast<size_t>(offset));
    left -= static_cast<size_t>(e.gap);
    // Sizes that stand in the skeleton are taken up as they come by.
    offset += e.gap + (e.size_known ? e.size : load32(model.coded(4)));
    if (offset > original_size || coder.overrun() > 4) return Decoded::kMalformed;
  }
  model.run(&coder, nullptr, left, static_cast<size_t>(offset));
  if (model.failed()) return Decoded::kMemory;
  skeleton->append(model.coded(skeleton_size), skeleton_size);
  return coder.overrun() > 4 ? Decoded::kMalformed : Decoded::kDone;
}

Decoded decode_beside_sample(Reader* in, size_t sample, size_t plan_size, uint64_t original_size,
                             Plan* plan, Bytes* skeleton) {
  ArithmeticDecoder coder(in->here(), in->left());
  SampleCoder model;
  if (!model.init_with_sample(sample)) return Decoded::kMemory;
  model.run(&coder, nullptr, plan_size, 0);
  if (model.failed()) return Decoded::kMemory;
  if (coder.overrun() > 4 || !read_plan(model.coded(plan_size), plan_size, plan)) {
    return Decoded::kMalformed;
  }
  if (!model.run_graph(&coder, *plan, nullptr, original_size)) {
    return model.failed() ? Decoded::kMemory : Decoded::kMalformed;
  }
  skeleton->append(model.coded(model.skeleton_size()), model.skeleton_size());
  return Decoded::kDone;
}

// Of a patch from version 5 on: beside a sample and the base.
Decoded decode_patch(Reader* in, size_t sample, size_t plan_size, uint64_t original_size, Plan* plan,
                     Bytes* skeleton) {
  List<BaseRange> ranges;
  const uint64_t count = in->varint();
  if (count > kMostRanges) return Decoded::kMalformed;
  uint64_t at = 0, total = 0;
  for (uint64_t r = 0; r < count; ++r) {
    BaseRange range;
    range.first = in->varint();
    range.size = in->varint();
    if (in->bad() || range.size == 0 || range.first > plan->base_size - at) return Decoded::kMalformed;
    range.first += at;
    if (range.size > plan->base_size - range.first) return Decoded::kMalformed;
    at = range.first + range.size;
    total += range.size;
    if (!ranges.push(range)) return Decoded::kMemory;
  }
  ArithmeticDecoder coder(in->here(), in->left());
  PatchCoder model;
  if (!model.init_with_sample(sample, count == 0 ? plan->base_size : total)) return Decoded::kMemory;
  model.run(&coder, nullptr, plan_size, 0);
  if (model.failed()) return Decoded::kMemory;
  if (coder.overrun() > 4 || !read_plan(model.coded(plan_size), plan_size, plan)) {
    return Decoded::kMalformed;
  }
  if (!model.learn_base(*plan, ranges)) return Decoded::kMemory;
  if (!model.run_graph(&coder, *plan, nullptr, original_size)) {
    return model.failed() ? Decoded::kMemory : Decoded::kMalformed;
  }
  skeleton->append(model.coded(model.skeleton_size()), model.skeleton_size());
  return Decoded::kDone;
}

Decoded decode_skeleton(const Container& container, const Span& first, Plan* plan,
                        Bytes* skeleton) {
  Reader in(first.data, first.size);
  uint8_t form = in.byte();
  const bool beside_sample = container.version >= kGridVersion && form >= kSkeletonSample;
  plan->version = container.version;
  uint64_t plan_size = in.varint(), skeleton_size = beside_sample ? 0 : in.varint();
  if (in.bad() || skeleton_size > container.original_size || plan_size > kMostModelledBytes ||
      plan_size > container.original_size + kPlanSlack) {
    return Decoded::kMalformed;
  }
  if (beside_sample) {
    const size_t sample = static_cast<size_t>(form - kSkeletonSample);
    if (sample >= kSamples) return Decoded::kMalformed;
    if (plan->is_patch) {
      return decode_patch(&in, sample, static_cast<size_t>(plan_size), container.original_size, plan,
                          skeleton);
    }
    return decode_beside_sample(&in, sample, static_cast<size_t>(plan_size), container.original_size,
                                plan, skeleton);
  }
  size_t plan_bytes = static_cast<size_t>(plan_size), size = static_cast<size_t>(skeleton_size);
  if (form == kSkeletonModel) {
    if (skeleton_size > kMostModelledBytes) return Decoded::kMalformed;
    return decode_with_model(&in, plan_bytes, size, container.original_size, plan, skeleton);
  }
  Bytes history;
  const uint8_t* coded = nullptr;
  if (form == kSkeletonPlain) {
    if (in.left() < plan_bytes || in.left() - plan_bytes != size) return Decoded::kMalformed;
    coded = in.here();
  } else if (form == kSkeletonRepeats) {
    history.append(kDictionary, kDictionarySize);
    bool good = lz_decode(in.here(), in.left(), plan_bytes + size, &history);
    if (history.failed()) return Decoded::kMemory;
    if (!good) return Decoded::kMalformed;
    coded = history.data() + kDictionarySize;
  } else {
    return Decoded::kMalformed;
  }
  if (!read_plan(coded, plan_bytes, plan)) return Decoded::kMalformed;
  skeleton->append(coded + plan_bytes, size);
  return Decoded::kDone;
}

}  // namespace

int32_t read_skeleton(const Container& container, const Span& first, Plan* plan, Bytes* skeleton,
                      kc_error* error) {
  Decoded result = decode_skeleton(container, first, plan, skeleton);
  if (result == Decoded::kMemory || skeleton->failed()) {
    return fail(error, KC_ERROR_MEMORY, KC_PLACE_SKELETON);
  }
  if (result != Decoded::kDone || !check_rules(*plan, skeleton->size()) ||
      plan->sections + 1 != container.sections.size()) {
    return fail(error, KC_ERROR_MALFORMED, KC_PLACE_SKELETON);
  }
  undo_rules(*plan, skeleton->data());
  if (!place_extents(plan, skeleton->data(), skeleton->size(), container.original_size) ||
      !sizes_fit(*plan)) {
    return fail(error, KC_ERROR_MALFORMED, KC_PLACE_SKELETON);
  }
  return KC_OK;
}

}  // namespace kc
