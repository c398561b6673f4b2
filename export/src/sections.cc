#include "sections.h"

#include "methods.h"
#include "section_parts.h"

namespace kc {

bool encode_section(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out) {
  const Extent* first = first_extent(*plan, number);
  return first == nullptr || find_method(first->method)->encode(plan, number, original, out);
}

Decoded decode_section(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory) {
  return find_method(first_extent(*plan, number)->method)->decode(plan, number, payload, size, memory);
}

uint64_t extents_cost(const Plan& plan, const List<Extent>& extents, const uint8_t* original) {
  Plan alone;
  alone.base = plan.base;
  alone.base_size = plan.base_size;
  alone.codebooks.append(plan.codebooks.data(), plan.codebooks.size());
  alone.sections = 1;
  for (size_t i = 0; i < extents.size(); ++i) {
    Extent e = extents[i];
    e.section = 1;
    if (e.last == 0) e.last = e.row;
    if (e.has_blocks()) {
      const size_t bytes = static_cast<size_t>(4 * e.blocks.blocks(e.count()));
      const size_t scales = alone.tables.size();
      alone.tables.append(plan.tables.data() + e.table, bytes);
      if (e.has_offsets) alone.tables.append(plan.tables.data() + e.offset_table, bytes);
      e.table = scales;
      e.offset_table = scales + bytes;
    }
    if (!alone.extents.push(e)) return UINT64_MAX;
  }
  Bytes coded;
  if (alone.codebooks.failed() || alone.tables.failed() || !link_sections(&alone) ||
      !encode_section(&alone, 1, original, &coded)) {
    return UINT64_MAX;
  }
  return coded.size();
}

uint64_t extent_cost(const Plan& plan, const Extent& extent, const uint8_t* original) {
  List<Extent> one;
  return one.push(extent) ? extents_cost(plan, one, original) : UINT64_MAX;
}

}  // namespace kc
