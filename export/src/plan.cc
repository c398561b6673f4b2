#include "plan.h"

#include "methods.h"
#include "rules.h"

namespace kc {
namespace {

constexpr uint8_t kNewSection = 0x80;

void write_extent(const Plan& plan, const Extent& e, BasePlaces* places, Bytes* out) {
  out->varint(e.gap);
  out->varint(e.size_known ? e.size : 0);
  out->push(static_cast<uint8_t>(e.method | (e.new_section ? kNewSection : 0)));
  find_method(e.method)->write_fields(plan, e, places, out);
}

Decoded read_extent(Reader* in, Plan* plan, BasePlaces* places, Extent* e) {
  e->gap = in->varint();
  e->size = in->varint();
  e->size_known = e->size != 0;
  e->offset += e->gap;
  const uint8_t method = in->byte();
  e->new_section = (method & kNewSection) != 0;
  e->method = method & (kNewSection - 1);
  if (in->bad()) return Decoded::kMalformed;
  const MethodInfo* info = find_method(e->method);
  if (info == nullptr) return Decoded::kUnsupported;
  if (e->new_section && info->has(kInline)) return Decoded::kMalformed;
  if (!plan->is_patch && info->has(kPatchOnly)) return Decoded::kMalformed;
  // What says where bytes stand in the base counts on their place in the file.
  if (plan->is_patch && !e->size_known) return Decoded::kMalformed;
  return info->read_fields(in, plan, places, e) ? Decoded::kDone : Decoded::kMalformed;
}

// What an extent's fields say beside its size.
bool fits(const Plan& plan, size_t i) {
  const Extent& e = plan.extents[i];
  const MethodInfo& method = *find_method(e.method);
  if (e.size % e.element != 0) return false;
  if (e.channels != 0) {
    if (e.row == 0 || e.row > e.count()) return false;
    if (e.channels != (e.interleaved ? e.row : (e.count() + e.row - 1) / e.row)) return false;
  }
  if (e.has_blocks() && !e.blocks.fits(e.count())) return false;
  if (e.method == kMethodCopy) return e.back != 0 && e.back <= i && plan.extents[i - e.back].size == e.size;
  if (method.has(kTakesBase) && (e.base > plan.base_size || e.size > plan.base_size - e.base)) return false;
  if (e.window_size > kLargestWindow || e.window > plan.base_size ||
      e.window_size > plan.base_size - e.window) {
    return false;
  }
  if (method.has(kOfBytes) && e.size > kMaxModelledBytes) return false;
  return !method.has(kInRows) || (e.row != 0 && e.last <= e.row && e.row <= e.count());
}

}  // namespace

void write_plan(const Plan& plan, Bytes* out) {
  out->varint(plan.extents.size());
  out->varint(plan.rules.size());
  BasePlaces places;
  for (size_t i = 0; i < plan.extents.size(); ++i) write_extent(plan, plan.extents[i], &places, out);
  write_rules(plan, out);
}

Decoded read_plan(const uint8_t* data, size_t size, Plan* plan) {
  Reader in(data, size);
  uint64_t extents = in.varint(), rules = in.varint();
  if (extents > kMaxExtents || rules > kMaxRules || extents > size || rules > size) {
    return Decoded::kMalformed;
  }
  uint32_t open[kMethodCount] = {};
  BasePlaces places;
  uint64_t offset = 0;
  for (uint64_t i = 0; i < extents && !in.bad(); ++i) {
    Extent e;
    e.offset = offset;
    const Decoded read = read_extent(&in, plan, &places, &e);
    if (read != Decoded::kDone) return read;
    offset = e.offset + e.size;
    if (needs_section(e.method)) {
      // Extents of one method share a section until one of them opens the next.
      if (e.new_section) open[e.method] = ++plan->sections;
      if (open[e.method] == 0 || plan->sections > kMaxSections) return Decoded::kMalformed;
      e.section = open[e.method];
    }
    if (!plan->extents.push(e)) return Decoded::kMemory;
  }
  if (!read_rules(&in, rules, plan)) return Decoded::kMemory;
  if (in.bad() || in.left() != 0) return Decoded::kMalformed;
  return !plan->codebooks.failed() && link_sections(plan) ? Decoded::kDone : Decoded::kMemory;
}

bool link_sections(Plan* plan) {
  Array<uint32_t> last(plan->sections);
  if (!last.ok()) return false;
  plan->firsts.clear();
  for (uint32_t s = 0; s < plan->sections; ++s) {
    if (!plan->firsts.push(0)) return false;
  }
  for (size_t i = 0; i < plan->extents.size(); ++i) {
    Extent& e = plan->extents[i];
    e.next = 0;
    if (e.section == 0) continue;
    uint32_t& before = last[e.section - 1];
    const uint32_t here = static_cast<uint32_t>(i + 1);
    (before == 0 ? plan->firsts[e.section - 1] : plan->extents[before - 1].next) = here;
    before = here;
  }
  return true;
}

bool place_extents(Plan* plan, const uint8_t* skeleton, size_t skeleton_size, uint64_t original_size) {
  uint64_t used = 0, offset = 0;
  for (size_t i = 0; i < plan->extents.size(); ++i) {
    Extent& e = plan->extents[i];
    if (e.gap > skeleton_size - used) return false;
    used += e.gap;
    offset += e.gap;
    if (!e.size_known) {
      if (used < 4) return false;
      e.size = load32(skeleton + used - 4);
    }
    if (e.size == 0 || offset > original_size || e.size > original_size - offset) return false;
    e.offset = offset;
    offset += e.size;
    if (has_trait(e.method, kInRows) && e.last == 0) e.last = e.row;
    if (!fits(*plan, i)) return false;
  }
  return offset + (skeleton_size - used) == original_size;
}

}  // namespace kc
