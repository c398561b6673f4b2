#include "unpack.h"

#include "checksum.h"
#include "sections.h"
#include "skeleton.h"

namespace kc {
namespace {

// A plan entry takes some ten bytes and a codebook up to 1 KiB, for a buffer that is larger.
constexpr uint64_t kPlanSlack = 4096;

bool rows_fit(const Plan& plan) {
  for (size_t i = 0; i < plan.extents.size(); ++i) {
    if (plan.extents[i].method == kMethodBytes && plan.extents[i].size > kMostModelledBytes) {
      return false;
    }
  }
  return true;
}

}  // namespace

int32_t read_skeleton(const Container& container, Plan* plan, Bytes* skeleton, kc_error* error) {
  Reader in(container.sections[0].data, container.sections[0].size);
  uint64_t plan_size = in.varint(), skeleton_size = in.varint();
  if (in.bad() || skeleton_size > container.original_size ||
      skeleton_size > kMostModelledBytes || plan_size > kMostModelledBytes ||
      plan_size > container.original_size + kPlanSlack) {
    return fail(error, KC_ERROR_MALFORMED, KC_PLACE_SKELETON);
  }
  ArithmeticDecoder coder(in.here(), in.left());
  SkeletonCoder model;
  if (!model.init(static_cast<size_t>(plan_size), static_cast<size_t>(skeleton_size))) {
    return fail(error, KC_ERROR_MEMORY, KC_PLACE_SKELETON);
  }
  size_t plan_bytes = static_cast<size_t>(plan_size), left = static_cast<size_t>(skeleton_size);
  model.run(&coder, nullptr, plan_bytes, 0);
  if (model.failed()) return fail(error, KC_ERROR_MEMORY, KC_PLACE_SKELETON);
  if (coder.overrun() > 4 || !read_plan(model.coded(plan_bytes), plan_bytes, plan)) {
    return fail(error, KC_ERROR_MALFORMED, KC_PLACE_SKELETON);
  }
  // The model needs each byte's place in the file, so sizes are taken up as they come by.
  uint64_t offset = 0;
  for (size_t i = 0; i < plan->extents.size(); ++i) {
    const Extent& e = plan->extents[i];
    if (e.gap > left) return fail(error, KC_ERROR_MALFORMED, KC_PLACE_SKELETON);
    model.run(&coder, nullptr, static_cast<size_t>(e.gap), static_cast<size_t>(offset));
    left -= static_cast<size_t>(e.gap);
    offset += e.gap + (e.size_known ? e.size : load32(model.coded(4)));
    if (offset > container.original_size || coder.overrun() > 4) {
      return fail(error, KC_ERROR_MALFORMED, KC_PLACE_SKELETON);
    }
  }
  model.run(&coder, nullptr, left, static_cast<size_t>(offset));
  if (model.failed()) return fail(error, KC_ERROR_MEMORY, KC_PLACE_SKELETON);
  size_t size = static_cast<size_t>(skeleton_size);
  skeleton->append(model.coded(size), size);
  if (skeleton->failed()) return fail(error, KC_ERROR_MEMORY, KC_PLACE_SKELETON);
  if (coder.overrun() > 4 || !check_rules(*plan, size) ||
      plan->sections + 1 != container.sections.size()) {
    return fail(error, KC_ERROR_MALFORMED, KC_PLACE_SKELETON);
  }
  undo_rules(*plan, skeleton->data());
  if (!place_extents(plan, skeleton->data(), size, container.original_size) || !rows_fit(*plan)) {
    return fail(error, KC_ERROR_MALFORMED, KC_PLACE_SKELETON);
  }
  return KC_OK;
}

int32_t restore(const Container& container, uint8_t* out, kc_error* error) {
  size_t size = static_cast<size_t>(container.original_size);
  if (container.form == kFormStored) {
    if (size != 0) memcpy(out, container.sections[0].data, size);
  } else {
    Plan plan;
    Bytes skeleton;
    int32_t status = read_skeleton(container, &plan, &skeleton, error);
    if (status != KC_OK) return status;
    size_t used = 0;
    uint8_t* at = out;
    for (size_t i = 0; i < plan.extents.size(); ++i) {
      const Extent& e = plan.extents[i];
      memcpy(at, skeleton.data() + used, static_cast<size_t>(e.gap));
      used += static_cast<size_t>(e.gap);
      at += e.gap + e.size;
      if (e.method == kMethodFill) memset(out + e.offset, e.fill, static_cast<size_t>(e.size));
    }
    if (skeleton.size() != used) memcpy(at, skeleton.data() + used, skeleton.size() - used);
    for (uint32_t s = 1; s < container.sections.size(); ++s) {
      const Span& payload = container.sections[s];
      Decoded result = decode_section(plan, s, payload.data, payload.size, out);
      if (result != Decoded::kDone) {
        return fail(error, result == Decoded::kMemory ? KC_ERROR_MEMORY : KC_ERROR_MALFORMED,
                    KC_PLACE_DATA, s);
      }
    }
    for (size_t i = 0; i < plan.extents.size(); ++i) {
      const Extent& e = plan.extents[i];
      if (e.method != kMethodCopy) continue;
      memcpy(out + e.offset, out + plan.extents[i - e.back].offset, static_cast<size_t>(e.size));
    }
  }
  if (crc32c(0, out, size) != container.original_crc) {
    return fail(error, KC_ERROR_CHECKSUM, KC_PLACE_WHOLE);
  }
  return KC_OK;
}

}  // namespace kc
