#include "pack.h"

#include "budget.h"
#include "bundle.h"
#include "byte_choice.h"
#include "checksum.h"
#include "choose.h"
#include "dividing.h"
#include "fast_choice.h"
#include "noise.h"
#include "patching.h"
#include "repeats.h"
#include "rules.h"
#include "sections.h"
#include "skeleton.h"
#include "stop.h"

namespace kc {
namespace {

void share_or_choose(const kc_tensor& tensor, const uint8_t* data, Plan* plan, Extent* e, bool* use) {
  *use = true;
  for (size_t k = plan->extents.size(); tensor.size >= 64 && k-- > 0;) {
    const Extent& earlier = plan->extents[k];
    if (earlier.crc == e->crc && earlier.size == tensor.size && earlier.method != kMethodFill &&
        memcmp(data + earlier.offset, data + tensor.offset, static_cast<size_t>(tensor.size)) == 0) {
      e->method = kMethodCopy;
      e->back = plan->extents.size() - k;
      return;
    }
  }
  *use = choose_extent(tensor, data, plan, e);
}

// Adds an extent, and what lies between it and the one before to the skeleton.
bool add_extent(const uint8_t* data, Extent e, size_t* end, Plan* plan, Bytes* skeleton) {
  if (e.method == kMethodBase && plan->extents.size() != 0) {
    // What stands in the base behind the extent before, and here as well, goes on with it.
    Extent& before = plan->extents[plan->extents.size() - 1];
    if (before.method == kMethodBase && before.offset + before.size == e.offset &&
        before.base + before.size == e.base) {
      before.size += e.size;
      *end = static_cast<size_t>(e.offset + e.size);
      return true;
    }
  }
  e.gap = e.offset - *end;
  skeleton->append(data + *end, static_cast<size_t>(e.gap));
  *end = static_cast<size_t>(e.offset + e.size);
  e.size_known =
      skeleton->size() < 4 || load32(skeleton->data() + skeleton->size() - 4) != e.size || plan->is_patch;
  return plan->extents.push(e);
}

// The extents in file order, with their gaps, and the skeleton that is left.
bool make_plan(const uint8_t* data, size_t size, int32_t codec, const Modelled& modelled,
               const List<kc_tensor>& tensors, const List<Extent>& noise, const Patcher& patcher, Plan* plan,
               Bytes* skeleton) {
  size_t end = 0, chosen_at = 0, noises = 0;
  uint64_t left = modelled.left;
  List<Extent> found;
  auto add_found = [&](size_t before) {
    // Of a patch, what lies before the first may stand in the base as well.
    List<Extent> outside;
    if (plan->is_patch && !patcher.place_outside(data, end, before, &outside)) return false;
    for (size_t k = 0; k < outside.size(); ++k) {
      if (!add_extent(data, outside[k], &end, plan, skeleton)) return false;
    }
    for (; noises < noise.size() && noise[noises].offset < before; ++noises) {
      if (!add_extent(data, noise[noises], &end, plan, skeleton)) return false;
    }
    for (size_t k = 0; k < found.size(); ++k) {
      if (found[k].method == kMethodCopy) found[k].back += plan->extents.size() - chosen_at;
      if (!add_extent(data, found[k], &end, plan, skeleton)) return false;
    }
    found.clear();
    return true;
  };
  for (size_t i = 0; i < tensors.size() && plan->extents.size() + noise.size() < kMaxExtents; ++i) {
    if (stopped()) return false;
    const kc_tensor& tensor = tensors[i];
    Extent e;
    e.offset = e.place = tensor.offset;
    e.size = tensor.size;
    e.crc = crc32c(0, data + tensor.offset, static_cast<size_t>(tensor.size));
    bool use = false;
    chosen_at = plan->extents.size();
    share_or_choose(tensor, data, plan, &e, &use);
    bool slowly = false;
    if (use && codec == KC_CODEC_FAST) {
      use_plain_method(&e);
    } else if (use && (codec == KC_CODEC_SMALL ||
                       (codec == KC_CODEC_AUTO && tensor.size > modelled.largest_tensor))) {
      use_fast_model(*plan, data, &e);
    } else if (use) {
      slowly = true;
      try_repeats(*plan, data, &e);
    }
    if (use) try_bytes(*plan, data, tensor, codec, slowly, &left, &e);
    // Huffman codes of their bytes gain nothing over the skeleton's repeats.
    if (e.method == kMethodIntegers && codec == KC_CODEC_FAST) use = false;
    if (plan->is_patch) {
      const size_t next = i + 1 < tensors.size() ? static_cast<size_t>(tensors[i + 1].offset) : size;
      if (!patcher.place(data, tensor, i, use, end, next, e, *plan, &found)) return false;
    } else if (use && !found.push(e)) {
      return false;
    }
    if (found.size() != 0 && !add_found(static_cast<size_t>(found[0].offset))) return false;
  }
  if (!add_found(size)) return false;
  skeleton->append(data + end, size - end);
  return !skeleton->failed() && !plan->codebooks.failed() && divide_into_sections(plan);
}

// Where byte `offset` of the file lies in the skeleton; false if the `count` bytes from there are
// not in it as one piece.
bool in_skeleton(const Plan& plan, uint64_t offset, uint64_t count, uint64_t* place) {
  uint64_t removed = 0;
  for (size_t i = 0; i < plan.extents.size(); ++i) {
    const Extent& e = plan.extents[i];
    if (offset < e.offset) {
      *place = offset - removed;
      return offset + count <= e.offset;
    }
    if (offset < e.offset + e.size) return false;
    removed += e.size;
  }
  *place = offset - removed;
  return true;
}

// A size that stands in skeleton bytes which a rule changes has to be named in the plan: the model
// form needs it before rules are undone.
void name_changed_sizes(Plan* plan) {
  size_t r = 0;
  uint64_t used = 0;
  for (size_t i = 0; i < plan->extents.size(); ++i) {
    Extent& e = plan->extents[i];
    used += e.gap;
    while (r < plan->rules.size() && plan->rules[r].target + 4 * plan->rules[r].count + 4 <= used) ++r;
    if (r < plan->rules.size() && plan->rules[r].target < used) e.size_known = true;
  }
}

// Keeps the rules that hold for at least half of their values, and that can be turned back.
bool keep_rules(const List<ScaleRule>& found, Plan* plan, const uint8_t* skeleton, size_t size) {
  uint64_t free_from = 0;
  for (size_t i = 0; i < found.size() && plan->rules.size() < kMaxRules; ++i) {
    const ScaleRule& f = found[i];
    Rule rule;
    uint64_t weights = f.weights_single ? 1 : f.count;
    if (!in_skeleton(*plan, f.target, 4 * f.count, &rule.target) ||
        !in_skeleton(*plan, f.weights, 4 * weights, &rule.weights) ||
        !in_skeleton(*plan, f.input, 4, &rule.input)) {
      continue;
    }
    rule.count = f.count;
    rule.weights_single = f.weights_single;
    if (rule_hits(rule, skeleton, size) * 2 < rule.count) continue;
    if (check_rule(rule, size, &free_from) && !plan->rules.push(rule)) return false;
  }
  name_changed_sizes(plan);
  return true;
}

// Small files take the compact frame.
bool fits_compact(const Container& container) {
  uint64_t total = 0;
  for (size_t s = 0; s < container.sections.size(); ++s) total += container.sections[s].size;
  return total != 0 && container.sections.size() <= 2048 && total + kLongestCompactHeader <= kLargestCompact;
}

}  // namespace

PackJob::~PackJob() {
  drop();
  for (size_t i = 0; i < parts_.size(); ++i) free(parts_[i].payload);
}

void PackJob::drop() {
  for (size_t i = 0; i < parts_.size(); ++i) parts_[i].payload->drop();
}

bool PackJob::open(const uint8_t* data, size_t size, int32_t codec, const uint8_t* base, size_t base_size) {
  Plan& plan = packing.plan;
  plan.is_patch = base != nullptr;
  plan.base = base;
  plan.base_size = base_size;
  data_ = data;
  size_ = size;
  BundleWalker walker;
  const bool walked = walker.walk(data, size);
  List<kc_tensor> none;
  const List<kc_tensor>& tensors = walked ? walker.tensors() : none;
  List<Extent> noise;
  // Of a patch, such bytes may stand in the base.
  if (!plan.is_patch && !find_noise(data, size, tensors, &noise)) return true;  // stored, too
  uint64_t modelled_size = size;
  for (size_t i = 0; i < noise.size(); ++i) modelled_size -= noise[i].size;
  const Modelled modelled = within_budget(tensors, modelled_size);
  graph_ = codec == KC_CODEC_SMALLEST ? GraphCoding::kSmallest
           : codec == KC_CODEC_FAST   ? GraphCoding::kRepeats
           : codec == KC_CODEC_SMALL  ? GraphCoding::kLz
                                      : modelled.graph;
  Patcher patcher;
  if (plan.is_patch && (!patcher.init(base, base_size) || !patcher.graph_ranges(&ranges_))) return false;
  if (size == 0 ||
      !make_plan(data, size, codec, modelled, tensors, noise, patcher, &packing.plan, &skeleton_)) {
    return true;  // left without sections, it is stored
  }
  if (walked) {
    keep_rules(walker.rules(), &packing.plan, skeleton_.data(), skeleton_.size());
    apply_rules(packing.plan, skeleton_.data());
  }
  for (uint32_t s = 0; s <= packing.plan.sections; ++s) {
    Part part;
    part.payload = static_cast<Bytes*>(malloc(sizeof(Bytes)));
    if (part.payload == nullptr) return false;
    memset(static_cast<void*>(part.payload), 0, sizeof(Bytes));  // what its constructor does
    if (!parts_.push(part)) {
      free(part.payload);
      return false;
    }
  }
  return true;
}

void PackJob::work(uint32_t section) {
  if (section >= parts_.size() || parts_[section].begun || stopped()) return;
  Part& part = parts_[section];
  part.begun = true;
  part.done = section == 0 ? encode_skeleton(packing.plan, skeleton_, size_, graph_, ranges_, part.payload)
                           : encode_section(&packing.plan, section, data_, part.payload);
}

int32_t PackJob::finish(Bytes* out, kc_error* error) {
  Container container;
  const Plan& plan = packing.plan;
  container.form = plan.is_patch ? kFormPatch : kFormModelled;
  container.base_size = plan.base_size;
  if (plan.is_patch) container.base_crc = crc32c(0, plan.base, plan.base_size);
  container.original_size = size_;
  container.original_crc = crc32c(0, data_, size_);
  bool modelled = parts_.size() != 0;
  for (uint32_t s = 0; s < parts_.size() && modelled; ++s) {
    work(s);
    Span span;
    span.data = parts_[s].payload->data();
    span.size = parts_[s].payload->size();
    modelled = parts_[s].done && container.sections.push(span);
  }
  // What was left out because of it would make a poor file, not none.
  if (stopped()) return fail(error, KC_ERROR_STOPPED, KC_PLACE_NONE);
  if (!plan.is_patch && fits_compact(container)) container.form = kFormCompact;
  if (modelled) {
    packing.skeleton_size = skeleton_.size();
    packing.skeleton_packed = container.sections[0].size;
    packing.sections = static_cast<uint32_t>(container.sections.size());
    write_container(
        container, out, [](void* job, uint32_t s) { static_cast<PackJob*>(job)->parts_[s].payload->drop(); },
        this);
  }
  const bool plausible = size_ / kMaxExpansion <= out->size() + plan.base_size;
  if (!modelled || out->failed() || out->size() > size_ + 32 || !plausible) {
    out->clear();
    packing.stored = true;
    Container stored;
    stored.original_size = size_;
    stored.original_crc = container.original_crc;
    Span whole;
    whole.data = data_;
    whole.size = size_;
    if (!stored.sections.push(whole)) return fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
    write_container(stored, out);
  }
  return out->failed() || stopped() ? fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE) : KC_OK;
}

}  // namespace kc
