#include "lz_coding.h"

#include "lz_model.h"
#include "section_parts.h"
#include "stop.h"

namespace kc {

Decoded lz_decode_modelled(const uint8_t* data, size_t length, size_t size, Bytes* history) {
  LzModel model;
  const size_t start = history->size(), end = start + size;
  if (!model.init()) return Decoded::kMemory;
  RangeDecoder coder(data, length);
  LzState state;
  while (history->size() < end) {
    const size_t at = history->size();
    // A cut file ends in zeros, which may be a match of gigabytes, or literals without end.
    if (stopped() || history->failed()) return Decoded::kMemory;
    if (coder.dry()) return Decoded::kMalformed;
    if (model.code_kind(&coder, state, 0) == 0) {
      history->push(model.code_literal(&coder, state, at, history->data() + at, at, 0));
      state.literal();
      continue;
    }
    LzStep step;
    if (!model.code_match(&coder, &state, &step) || step.distance > at || step.length > end - at) {
      return Decoded::kMalformed;
    }
    uint8_t* to = history->extend(step.length);
    if (to == nullptr) return Decoded::kMemory;
    const uint8_t* from = to - step.distance;
    for (size_t i = 0; i < step.length; ++i) to[i] = from[i];
  }
  return coder.exact() ? Decoded::kDone : Decoded::kMalformed;
}

Decoded decode_lz_section(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory) {
  uint64_t total = 0;
  each_extent(*plan, number, [&](const Extent& e) { return total += e.size, true; });
  Bytes bytes;
  const Decoded result = lz_decode_modelled(payload, size, static_cast<size_t>(total), &bytes);
  if (result != Decoded::kDone) return result;
  size_t at = 0;
  each_extent(*plan, number, [&](Extent& e) {
    memcpy(memory + e.place, bytes.data() + at, static_cast<size_t>(e.size));
    at += static_cast<size_t>(e.size);
    e.coded_bits = 8 * size * e.size / total;  // its share
    return true;
  });
  return Decoded::kDone;
}

}  // namespace kc
