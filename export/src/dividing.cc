#include "dividing.h"

#include "channel_book.h"
#include "choose.h"
#include "methods.h"

namespace kc {
namespace {

constexpr uint64_t kLargestSection = 1000000;  // elements, while there is room for more sections
constexpr int kMaxGrowth = 40;
constexpr uint64_t kFewSections = 1u << 10;  // while they needn't be of the largest size

struct Parts {
  uint64_t extents = 0, sections = 0;
};

// Of these the statistics of all would have to be written again for each part.
bool stays_whole(const Extent& e, uint64_t max) {
  return e.count() <= max || !needs_section(e.method) ||
         (e.channels != 0 && (e.interleaved || e.row > max)) || division_unit(e) > max;
}

// In how many elements at a time a tensor is divided, so that rows stay whole where they can.
uint64_t part_elements(const Extent& e, uint64_t max) {
  uint64_t unit = e.row != 0 && e.row <= max ? e.row : e.last != 0 && e.last <= max ? e.last : 1;
  if (unit % division_unit(e) != 0) unit = division_unit(e);
  const uint64_t parts = (e.count() + max - 1) / max;
  return ((e.count() + parts - 1) / parts + unit - 1) / unit * unit;
}

// Bytes of the parts that each extent is divided into; copies go the way of what they are copies of.
bool find_parts(const Plan& plan, int growth, Array<uint64_t>* bytes, Parts* parts) {
  uint64_t total[kMethodCount] = {};
  *parts = Parts();
  for (size_t i = 0; i < plan.extents.size(); ++i) {
    const Extent& e = plan.extents[i];
    const uint64_t max = section_elements(e.method, growth);
    uint64_t part = stays_whole(e, max) ? e.size : part_elements(e, max) / e.in_byte * e.element;
    if (e.method == kMethodCopy) part = (*bytes)[i - static_cast<size_t>(e.back)];
    (*bytes)[i] = part;
    parts->extents += (e.size + part - 1) / part;
    if (needs_section(e.method)) total[e.method] += e.count();
  }
  for (size_t m = 0; m < kMethodCount; ++m) {
    const uint64_t max = section_elements(static_cast<uint8_t>(m), growth);
    parts->sections += (total[m] + max - 1) / max;
  }
  return true;
}

// The part of `whole` from byte `at` on.
bool cut(Plan* plan, const Extent& whole, uint64_t at, uint64_t size, Extent* e) {
  *e = whole;
  e->size = size;
  e->offset = e->place = whole.offset + at;
  e->base = whole.base + at;
  e->gap = at == 0 ? whole.gap : 0;
  if (size == whole.size) return true;
  e->size_known = true;
  if (e->row > e->count()) e->row = e->count();
  if (e->last > e->row) e->last = 0;
  if (e->has_blocks()) cut_blocks(at / e->element, size / e->element, e);
  if (e->channels == 0) return true;
  const size_t first = static_cast<size_t>(at / e->element / whole.row);
  e->channels = (e->count() + e->row - 1) / e->row;
  e->codebook = whole.codebook + first * e->symbols * e->element;
  e->table = plan->tables.size();
  Bytes table;
  if (!cut_channel_books(plan->tables.data() + whole.table, whole.table_size, e->symbols,
                         static_cast<size_t>(whole.channels), first, static_cast<size_t>(e->channels),
                         &table)) {
    return false;
  }
  e->table_size = table.size();
  plan->tables.append(table.data(), table.size());
  return !plan->tables.failed();
}

bool divide(Plan* plan, const Array<uint64_t>& bytes) {
  const size_t count = plan->extents.size();
  Array<size_t> moved(count + 1);
  List<Extent> divided;
  if (!moved.ok()) return false;
  for (size_t i = 0; i < count; ++i) {
    Extent whole = plan->extents[i];
    moved[i] = divided.size();
    if (whole.method == kMethodCopy) whole.back = divided.size() - moved[i - static_cast<size_t>(whole.back)];
    if (whole.method == kMethodBytes && bytes[i] > kMaxModelledBytes) use_plain_method(&whole);
    for (uint64_t at = 0; at < whole.size; at += bytes[i]) {
      Extent e;
      const uint64_t rest = whole.size - at;
      if (!cut(plan, whole, at, rest < bytes[i] ? rest : bytes[i], &e) || !divided.push(e)) return false;
    }
  }
  plan->extents.clear();
  for (size_t i = 0; i < divided.size(); ++i) {
    if (!plan->extents.push(divided[i])) return false;
  }
  return true;
}

// Extents of one method share sections of about equal sizes.
bool open_sections(Plan* plan, int growth) {
  uint64_t total[kMethodCount] = {}, opened[kMethodCount] = {};
  uint32_t open[kMethodCount] = {};
  uint64_t window = 0;
  for (size_t i = 0; i < plan->extents.size(); ++i) {
    total[plan->extents[i].method] += plan->extents[i].count();
  }
  for (size_t i = 0; i < plan->extents.size(); ++i) {
    Extent& e = plan->extents[i];
    if (!needs_section(e.method)) continue;
    const uint64_t max = section_elements(e.method, growth);
    const uint64_t sections = (total[e.method] + max - 1) / max;
    const uint64_t share = (total[e.method] + sections - 1) / sections;
    const bool full = opened[e.method] + e.count() / 2 > share && plan->sections < kMaxSections;
    const bool elsewhere = e.method == kMethodReferenceBytes && e.window != window;
    if (open[e.method] == 0 || full || elsewhere) {
      if (plan->sections == kMaxSections) return false;
      e.new_section = true;
      open[e.method] = ++plan->sections;
      opened[e.method] = 0;
      if (e.method == kMethodReferenceBytes) window = e.window;
    }
    opened[e.method] += e.count();
    e.section = open[e.method];
  }
  return link_sections(plan);
}

}  // namespace

uint64_t division_unit(const Extent& e) {
  if (!e.has_blocks()) return e.in_byte;
  const BlockOrder& o = e.blocks;
  // One axis that is all there is may be divided between its blocks.
  return o.stride * (o.axis * o.stride == e.count() ? o.block : o.axis);
}

void cut_blocks(uint64_t first, uint64_t count, Extent* e) {
  const size_t before = e->blocks.block_of(first);
  e->table += 4 * before;
  e->offset_table += 4 * before;
  if (e->blocks.axis > count / e->blocks.stride) e->blocks.axis = count / e->blocks.stride;
}

// Sections are worked on by as many threads, and restored one by one: extents that learn little or
// nothing from each other are in shorter ones, so that threads get equal shares.
uint64_t section_elements(uint8_t method, int growth) {
  const MethodInfo& info = *find_method(method);
  const uint64_t few = info.has(kLearns) ? kLargestSection : (info.has(kFast) ? 120000 : 250000);
  if (info.has(kFarBack)) return growth <= 2 ? 4 * kLargestSection : 4 * kLargestSection << (growth - 2);
  constexpr int kFull = 4;  // from here on all are of the largest size
  if (growth <= kFull) return few << growth < kLargestSection ? few << growth : kLargestSection;
  return kLargestSection << (growth - kFull - 1);
}

bool divide_into_sections(Plan* plan) {
  Array<uint64_t> bytes(plan->extents.size() + 1);
  if (!bytes.ok()) return false;
  int growth = 0;
  for (; growth < kMaxGrowth; ++growth) {
    Parts parts;
    if (!find_parts(*plan, growth, &bytes, &parts)) return false;
    // Some are opened for a few elements more or less.
    const uint64_t max = growth < 5 ? kFewSections : kMaxSections;
    if (parts.extents <= kMaxExtents && parts.sections + parts.sections / 16 <= max) break;
  }
  return divide(plan, bytes) && open_sections(plan, growth);
}

}  // namespace kc
