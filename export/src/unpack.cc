#include "unpack.h"

#include "lz.h"
#include "lz_coding.h"
#include "rules.h"
#include "skeleton.h"
#include "stop.h"

namespace kc {
namespace {

// The ranges of the base that a patch's graph is coded beside.
Decoded read_ranges(Reader* in, uint64_t base_size, List<BaseRange>* ranges, uint64_t* total) {
  const uint64_t count = in->varint();
  if (count > kMaxRanges) return Decoded::kMalformed;
  uint64_t at = 0;
  *total = count == 0 ? base_size : 0;
  for (uint64_t r = 0; r < count; ++r) {
    BaseRange range;
    range.first = in->varint();
    range.size = in->varint();
    if (in->bad() || range.size == 0 || range.first > base_size - at) return Decoded::kMalformed;
    range.first += at;
    if (range.size > base_size - range.first) return Decoded::kMalformed;
    at = range.first + range.size;
    *total += range.size;
    if (!ranges->push(range)) return Decoded::kMemory;
  }
  return in->bad() ? Decoded::kMalformed : Decoded::kDone;
}

// Model forms: the plan first, as it says where in the file each skeleton byte has its place.
template <typename Model>
Decoded decode_with_model(Reader* in, uint8_t form, size_t plan_size, uint64_t original_size, Plan* plan,
                          Bytes* skeleton) {
  const size_t priming = form % kSkeletonModel;
  if (priming >= kPrimingGraphs) return Decoded::kMalformed;
  List<BaseRange> ranges;
  uint64_t total = 0;
  Decoded read = plan->is_patch ? read_ranges(in, plan->base_size, &ranges, &total) : Decoded::kDone;
  if (read != Decoded::kDone) return read;
  ArithmeticDecoder coder(in->here(), in->left());
  Model model;
  if (!model.init(priming, form / kSkeletonModel, total)) return Decoded::kMemory;
  model.run(&coder, nullptr, plan_size, 0);
  if (model.failed()) return Decoded::kMemory;
  if (coder.overrun() > 4) return Decoded::kMalformed;
  read = read_plan(model.coded(plan_size), plan_size, plan);
  if (read != Decoded::kDone) return read;
  if (plan->is_patch && !model.learn_base(*plan, ranges)) return Decoded::kMemory;
  if (!model.run_graph(&coder, *plan, nullptr, original_size)) {
    return model.failed() ? Decoded::kMemory : Decoded::kMalformed;
  }
  skeleton->append(model.coded(model.skeleton_size()), model.skeleton_size());
  return Decoded::kDone;
}

Decoded decode_repeats(uint8_t form, const uint8_t* data, size_t length, size_t size, Bytes* history) {
  if (form >= kSkeletonLz) return lz_decode_modelled(data, length, size, history);
  const bool good = lz_decode(data, length, size, history);
  if (history->failed() || stopped()) return Decoded::kMemory;
  return good ? Decoded::kDone : Decoded::kMalformed;
}

Decoded decode_skeleton(const Container& container, const Span& first, Plan* plan, Bytes* skeleton) {
  Reader in(first.data, first.size);
  const uint8_t form = in.byte();
  const bool modelled = form >= kSkeletonModel;
  const uint64_t plan_size = in.varint(), skeleton_size = modelled ? 0 : in.varint();
  if (in.bad() || skeleton_size > container.original_size || plan_size > kMaxModelledBytes ||
      plan_size > container.original_size + kPlanSlack) {
    return Decoded::kMalformed;
  }
  if (form / kSkeletonModel > kMaxTables) return Decoded::kUnsupported;
  const size_t plan_bytes = static_cast<size_t>(plan_size), size = static_cast<size_t>(skeleton_size);
  if (modelled) {
    const auto decode =
        plan->is_patch ? decode_with_model<PatchSkeletonCoder> : decode_with_model<SkeletonCoder>;
    return decode(&in, form, plan_bytes, container.original_size, plan, skeleton);
  }
  Bytes history;
  const uint8_t* coded = nullptr;
  if (form == kSkeletonPlain) {
    if (in.left() < plan_bytes || in.left() - plan_bytes != size) return Decoded::kMalformed;
    coded = in.here();
  } else if (form <= kSkeletonPrimedLz) {
    const bool primed = form == kSkeletonPrimedRepeats || form == kSkeletonPrimedLz;
    if (primed && !read_priming(&history)) return Decoded::kMemory;
    const size_t start = history.size();
    const Decoded result = decode_repeats(form, in.here(), in.left(), plan_bytes + size, &history);
    if (result != Decoded::kDone) return result;
    coded = history.data() + start;
  } else {
    return Decoded::kUnsupported;
  }
  const Decoded read = read_plan(coded, plan_bytes, plan);
  if (read != Decoded::kDone) return read;
  skeleton->append(coded + plan_bytes, size);
  return Decoded::kDone;
}

}  // namespace

int32_t read_skeleton(const Container& container, const Span& first, Plan* plan, Bytes* skeleton,
                      kc_error* error) {
  Decoded result = decode_skeleton(container, first, plan, skeleton);
  if (skeleton->failed()) result = Decoded::kMemory;
  if (result != Decoded::kDone) return fail(error, status_of(result), KC_PLACE_SKELETON);
  if (!check_rules(*plan, skeleton->size()) || plan->sections + 1 != container.sections.size()) {
    return fail(error, KC_ERROR_MALFORMED, KC_PLACE_SKELETON);
  }
  undo_rules(*plan, skeleton->data());
  if (!place_extents(plan, skeleton->data(), skeleton->size(), container.original_size)) {
    return fail(error, KC_ERROR_MALFORMED, KC_PLACE_SKELETON);
  }
  return KC_OK;
}

}  // namespace kc
