// What the coders of a data section need to know of its extents.
#ifndef KC_SECTION_PARTS_H_
#define KC_SECTION_PARTS_H_

#include "float_model.h"
#include "plan.h"

namespace kc {

// The part that all layouts have.
template <typename Layout>
Layout layout_of(const Extent& e) {
  Layout l;
  l.count = static_cast<size_t>(e.count());
  l.row = static_cast<size_t>(e.row);
  l.last = static_cast<size_t>(e.last == 0 ? e.row : e.last);
  l.lowest = e.lowest;
  l.highest = e.highest;
  return l;
}

inline SymbolLayout symbol_layout(const Extent& e) {
  SymbolLayout l = layout_of<SymbolLayout>(e);
  l.centre = e.centre;
  l.centre_flag = e.centre_flag;
  return l;
}

inline FloatLayout float_layout(const Extent& e) {
  FloatLayout l = layout_of<FloatLayout>(e);
  l.format = kFloatFormats[e.format];
  l.modelled = e.modelled;
  l.zeros = e.zeros;
  l.sparse = e.sparse;
  l.signed_zeros = e.signed_zeros;
  return l;
}

inline bool float_layout_fits(const Extent& e) {
  const FloatFormat& f = kFloatFormats[e.format];
  return e.modelled <= FloatModel::kMaxModelled && e.modelled + e.zeros <= f.mantissa_bits &&
         e.highest < (1 << f.exponent_bits);
}

// Calls `work(extent)` for each extent of the section; stops at the first false.
template <typename AnyPlan, typename Work>
bool each_extent(AnyPlan& plan, uint32_t number, Work work) {
  for (size_t next = plan.firsts[number - 1]; next != 0; next = plan.extents[next - 1].next) {
    if (!work(plan.extents[next - 1])) return false;
  }
  return true;
}

inline const Extent* first_extent(const Plan& plan, uint32_t number) {
  const uint32_t first = plan.firsts[number - 1];
  return first == 0 ? nullptr : &plan.extents[first - 1];
}

}  // namespace kc

#endif  // KC_SECTION_PARTS_H_
