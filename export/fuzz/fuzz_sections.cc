// One data section of each method in turn, over any bytes, with a plan that is right.
#include "fast_model.h"
#include "huffman.h"
#include "lz.h"
#include "methods.h"
#include "sections.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  constexpr size_t kSize = 120;  // whole elements of every width
  uint8_t restored[kSize];
  static const uint8_t kBefore[kSize] = {1, 2, 3, 4, 5, 6, 7, 8, 0x80, 0x3F, 0, 0, 0x80, 0xBF};
  kc::Plan plan;
  plan.sections = 1;
  plan.base = kBefore;
  plan.base_size = sizeof kBefore;
  kc::Extent e;
  e.size = kSize;
  e.section = 1;
  e.method = data[0] % kc::kMethodCount;
  if (e.method == kc::kMethodBase) {  // needs no section: its number stands for repeats
    kc::Bytes history;
    history.append(kBefore, 64);
    kc::lz_decode(data + 2, size - 2, kSize, &history);
    return 0;
  }
  const uint8_t elements[3] = {1, 2, 4};
  e.element = elements[data[1] % 3];
  const bool integers = e.method == kc::kMethodIntegers || e.method == kc::kMethodFastIntegers;
  if (integers) e.element = 4;
  e.row = 1 + data[2] % e.count();
  e.last = data[3] % (e.row + 1);
  e.format = e.element == 4 ? 2 : data[1] >> 4 & 1;
  plan.is_patch = kc::has_trait(e.method, kc::kPatchOnly);
  if (e.method == kc::kMethodFloats || e.method == kc::kMethodPlanes ||
      e.method == kc::kMethodReferenceFloats || e.method == kc::kMethodFastFloats) {
    if (e.element == 1) return 0;
    e.lowest = 0, e.highest = e.format == 0 ? 31 : 255;
    e.modelled = data[1] >> 5;
  } else {
    e.symbols = static_cast<uint16_t>(1 + data[2]);
    e.highest = data[2];
    e.centre = static_cast<uint8_t>(data[3] % e.symbols);
    e.centre_flag = (data[1] & 64) != 0;
    for (size_t i = 0; i < size_t{e.symbols} * e.element; ++i) plan.codebooks.push(static_cast<uint8_t>(i));
  }
  if (integers) e.highest = static_cast<uint8_t>(1 + data[2] % 32);
  e.context = static_cast<uint8_t>(data[0] / kc::kMethodCount | (data[1] & 4) << 3);
  if (!kc::is_fast_context(e.context)) return 0;
  if (e.method == kc::kMethodFill || e.method == kc::kMethodCopy) return 0;
  e.new_section = true;
  if (e.method == kc::kMethodReferenceBytes) {
    e.window = data[2] % sizeof kBefore;
    e.window_size = sizeof kBefore - e.window;
    e.base = data[3];
  }
  plan.extents.push(e);
  if (!kc::link_sections(&plan)) return 0;
  kc::decode_section(&plan, 1, data + 4, size - 4, restored);
  return 0;
}
