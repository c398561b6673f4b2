#include "pack.h"

#include "budget.h"
#include "checksum.h"
#include "choose.h"
#include "flatbuffer.h"
#include "light_choice.h"
#include "partner.h"
#include "repeats.h"
#include "sections.h"
#include "skeleton.h"
#include "stop.h"

namespace kc {
namespace {

// Extents of one model share a section, and with it statistics, up to about this many elements;
// larger tensors are divided. Sections are worked on by as many threads, and restored one by one:
// those that learn little or nothing from each other are shorter, so that threads get equal shares.
uint64_t section_elements(uint8_t method) {
  const bool learns_slowly = method == kMethodBytes || method == kMethodSymbols || method == kMethodFloats ||
                             method == kMethodPartner || method == kMethodDrift;
  return learns_slowly ? 1000000 : (is_light(method) ? 120000 : 250000);
}

void share_or_choose(const kc_tensor& tensor, const uint8_t* data, const List<uint32_t>& crcs,
                     Plan* plan, Extent* e, bool* use) {
  *use = true;
  uint32_t crc = crcs[crcs.size() - 1];
  for (size_t k = plan->extents.size(); tensor.size >= 64 && k-- > 0;) {
    const Extent& earlier = plan->extents[k];
    if (crcs[k] == crc && earlier.size == tensor.size && earlier.method != kMethodFill &&
        memcmp(data + earlier.offset, data + tensor.offset, static_cast<size_t>(tensor.size)) == 0) {
      e->method = kMethodCopy;
      e->back = plan->extents.size() - k;
      return;
    }
  }
  *use = choose_extent(tensor, data, plan, e);
}

// In how many elements at a time a tensor may be divided, so that rows stay whole where they can.
uint64_t part_elements(const Extent& e) {
  const uint64_t most = section_elements(e.method);
  const uint64_t unit = e.row != 0 && e.row <= most ? e.row : e.last != 0 && e.last <= most ? e.last : 1;
  const uint64_t parts = (e.count() + most - 1) / most;
  return ((e.count() + parts - 1) / parts + unit - 1) / unit * unit;
}

// Puts several extents in the place of each that is larger than a section. One that others are
// copies of stays whole, and so does one with codebooks by channel.
bool divide(Plan* plan) {
  const size_t count = plan->extents.size();
  Array<uint8_t> copied(count + 1);
  Array<uint32_t> moved(count + 1);
  if (!copied.ok() || !moved.ok()) return false;
  uint64_t parts = count;
  for (size_t i = 0; i < count; ++i) {
    const Extent& e = plan->extents[i];
    if (e.method == kMethodCopy) copied[i - static_cast<size_t>(e.back)] = 1;
    parts += e.count() / section_elements(e.method) * 2;
  }
  if (parts > kMostExtents) return true;
  List<Extent> divided;
  for (size_t i = 0; i < count; ++i) {
    const Extent& whole = plan->extents[i];
    Extent e = whole;
    moved[i] = static_cast<uint32_t>(divided.size());
    if (e.method == kMethodCopy) {
      e.back = divided.size() - moved[i - static_cast<size_t>(e.back)];
    }
    const bool keep = whole.count() <= section_elements(whole.method) || whole.channels != 0 || copied[i] != 0 ||
                      !needs_section(whole.method);
    if (keep && e.method == kMethodBytes && e.size > kMostModelledBytes) make_fast(&e);
    const uint64_t most = keep ? whole.size : part_elements(whole) * whole.element;
    for (uint64_t at = 0; at < whole.size; at += most) {
      e.size = whole.size - at < most ? whole.size - at : most;
      if (!keep) {
        e.size_known = true;
        if (e.row > e.count()) e.row = e.count();
        if (e.last > e.row) e.last = 0;
      }
      e.offset = e.place = whole.offset + at;
      e.base = whole.base + at;
      e.gap = at == 0 ? whole.gap : 0;
      if (!divided.push(e)) return false;
    }
  }
  plan->extents.clear();
  for (size_t i = 0; i < divided.size(); ++i) {
    if (!plan->extents.push(divided[i])) return false;
  }
  return true;
}

// Extents of one method share sections of about equal sizes.
bool open_sections(Plan* plan) {
  uint64_t total[kMethodCount] = {}, opened[kMethodCount] = {};
  uint32_t open[kMethodCount] = {};
  for (size_t i = 0; i < plan->extents.size(); ++i) {
    total[plan->extents[i].method] += plan->extents[i].count();
  }
  for (size_t i = 0; i < plan->extents.size(); ++i) {
    Extent& e = plan->extents[i];
    if (!needs_section(e.method)) continue;
    const uint64_t most = section_elements(e.method);
    const uint64_t sections = (total[e.method] + most - 1) / most;
    const uint64_t share = (total[e.method] + sections - 1) / sections;
    const bool full = opened[e.method] + e.count() / 2 > share && plan->sections < kMostSections;
    if (open[e.method] == 0 || full) {
      if (plan->sections == kMostSections) return false;
      e.new_section = true;
      open[e.method] = ++plan->sections;
      opened[e.method] = 0;
    }
    opened[e.method] += e.count();
    e.section = open[e.method];
  }
  return true;
}

// Where the tensor's bytes are the partner's: takes them from the base, with what stands alike before
// it, down to `free`, and after it, up to `next`.
bool take_from_base(const uint8_t* data, size_t free, size_t next, uint64_t base, Plan* plan,
                    Extent* e) {
  const uint8_t* old = plan->base;
  if (memcmp(data + e->offset, old + base, static_cast<size_t>(e->size)) != 0) return false;
  while (e->offset > free && base > 0 && data[e->offset - 1] == old[base - 1]) {
    --e->offset, --base, ++e->size;
  }
  while (e->offset + e->size < next && base + e->size < plan->base_size &&
         data[e->offset + e->size] == old[base + e->size]) {
    ++e->size;
  }
  e->method = kMethodBase;
  e->base = base;
  e->place = e->offset;
  return true;
}

// Is it what stands in the base behind the extent before, and here as well?
bool goes_on(const Plan& plan, const Extent& e) {
  if (e.method != kMethodBase || plan.extents.size() == 0) return false;
  const Extent& before = plan.extents[plan.extents.size() - 1];
  return before.method == kMethodBase && before.offset + before.size == e.offset &&
         before.base + before.size == e.base;
}

// Codes symbols or floats beside their partner where that takes less.
void try_partner(const uint8_t* data, uint64_t base, Plan* plan, Extent* e) {
  const bool floats = e->method == kMethodFloats;
  if ((e->method != kMethodSymbols && !floats) || e->channels != 0) return;
  Extent other = *e;
  other.method = floats ? kMethodDrift : kMethodPartner;
  other.base = base;
  if (extent_cost(*plan, other, data) < extent_cost(*plan, *e, data)) *e = other;
}

// The extents in file order, with their gaps, and the skeleton that is left.
bool make_plan(const uint8_t* data, size_t size, int32_t codec, const Modelled& modelled,
               const List<kc_tensor>& tensors, Plan* plan, Bytes* skeleton) {
  List<uint32_t> crcs;
  size_t end = 0;
  ModelWalker base_walker;
  const bool walked = plan->is_patch && base_walker.walk(plan->base, plan->base_size);
  for (size_t i = 0; i < tensors.size() && plan->extents.size() < kMostExtents; ++i) {
    if (stopped()) return false;
    const kc_tensor& tensor = tensors[i];
    Extent e;
    e.offset = e.place = tensor.offset;
    e.size = tensor.size;
    bool use = false;
    if (!crcs.push(crc32c(0, data + tensor.offset, static_cast<size_t>(tensor.size)))) return false;
    share_or_choose(tensor, data, crcs, plan, &e, &use);
    if (use && codec == KC_CODEC_FAST) {
      make_fast(&e);
    } else if (use && (codec == KC_CODEC_SMALL || (codec == KC_CODEC_AUTO && tensor.size > modelled.largest_tensor))) {
      make_light(*plan, data, &e);
    } else if (use) {
      try_repeats(*plan, data, &e);
    }
    // Huffman codes of their bytes gain nothing over the skeleton's repeats.
    if (e.method == kMethodIntegers && codec == KC_CODEC_FAST) use = false;
    const kc_tensor* partner =
        walked ? find_partner(base_walker, plan->base, tensor, i, data) : nullptr;
    if (partner != nullptr) {
      const size_t next = i + 1 < tensors.size() ? static_cast<size_t>(tensors[i + 1].offset) : size;
      if (take_from_base(data, end, next, partner->offset, plan, &e)) {
        use = true;
      } else if (use) {
        try_partner(data, partner->offset, plan, &e);
      }
    }
    if (!use) {
      crcs.pop();
      continue;
    }
    if (goes_on(*plan, e)) {
      Extent& before = plan->extents[plan->extents.size() - 1];
      before.size += e.size;
      end = static_cast<size_t>(before.offset + before.size);
      crcs.pop();
      continue;
    }
    e.gap = e.offset - end;
    skeleton->append(data + end, static_cast<size_t>(e.gap));
    end = static_cast<size_t>(e.offset + e.size);
    e.size_known = skeleton->size() < 4 ||
                   load32(skeleton->data() + skeleton->size() - 4) != e.size || plan->is_patch;
    if (!plan->extents.push(e)) return false;
  }
  skeleton->append(data + end, size - end);
  return !skeleton->failed() && !plan->codebooks.failed() && divide(plan) && open_sections(plan);
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
  for (size_t i = 0; i < found.size() && plan->rules.size() < kMostRules; ++i) {
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

// The lowest version that has what the file uses; small files take the compact frame.
uint32_t version_needed(const Plan& plan, Container& container) {
  if (plan.is_patch) return kPatchVersion;
  uint64_t total = 0;
  for (size_t s = 0; s < container.sections.size(); ++s) total += container.sections[s].size;
  const bool compact = total != 0 && total + kLongestCompactHeader <= kLargestCompact;
  if (compact) container.form = kFormCompact;
  bool grids = compact || (total != 0 && container.sections[0].data[0] >= kSkeletonSample);
  for (size_t i = 0; i < plan.extents.size(); ++i) {
    if (is_light(plan.extents[i].method)) return kLightVersion;
    grids = grids || plan.extents[i].grid || plan.extents[i].method == kMethodIntegers;
  }
  return grids ? kGridVersion : 1;
}

}  // namespace

PackJob::~PackJob() {
  for (size_t i = 0; i < parts_.size(); ++i) {
    parts_[i].payload->~Bytes();
    free(parts_[i].payload);
  }
}

bool PackJob::open(const uint8_t* data, size_t size, int32_t codec, const uint8_t* base,
                   size_t base_size) {
  Plan& plan = packing.plan;
  plan.is_patch = base != nullptr;
  plan.version = plan.is_patch ? kPatchVersion : kFormatVersion;
  plan.base = base;
  plan.base_size = base_size;
  data_ = data;
  size_ = size;
  ModelWalker walker;
  const bool walked = walker.walk(data, size);
  List<kc_tensor> none;
  const List<kc_tensor>& tensors = walked ? walker.tensors() : none;
  const Modelled modelled = within_budget(tensors, size);
  graph_ = codec == KC_CODEC_SMALLEST ? GraphCoding::kSmallest
           : codec == KC_CODEC_AUTO && modelled.graph ? GraphCoding::kModelled : GraphCoding::kRepeats;
  if (size == 0 || !make_plan(data, size, codec, modelled, tensors, &packing.plan, &skeleton_)) {
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
  part.done = section == 0 ? encode_skeleton(packing.plan, skeleton_, size_, graph_, part.payload)
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
  container.version = version_needed(plan, container);
  if (modelled) {
    packing.skeleton_size = skeleton_.size();
    packing.skeleton_packed = container.sections[0].size;
    packing.sections = static_cast<uint32_t>(container.sections.size());
    write_container(container, out);
  }
  const bool plausible = size_ / kMostExpansion <= out->size() + plan.base_size;
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
