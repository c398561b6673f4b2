#include "light_coding.h"

#include "fast_coding.h"
#include "light_floats.h"
#include "light_integers.h"
#include "section_parts.h"

namespace kc {
namespace {

template <typename Lane, typename Noise>
uint64_t bits_used(const Lane* lanes, const Noise& noise) {
  return lanes[0].bits() + lanes[1].bits() + noise.bits();
}

template <typename Lane, typename Noise>
Decoded run_symbols(Plan& plan, uint32_t number, Lane* lanes, Noise* noise, uint8_t* memory) {
  LightModel model;
  if (!model.init()) return Decoded::kMemory;
  Decoded result = Decoded::kDone;
  each_extent(plan, number, [&](Extent& e) {
    const uint64_t before = bits_used(lanes, *noise);
    uint8_t* data = memory + (Lane::kDecodes ? e.place : e.offset);
    const size_t count = static_cast<size_t>(e.count());
    Array<uint8_t> found(Lane::kDecodes ? 0 : count);
    // Decoded symbols stand at the end of the place that their elements will fill.
    uint8_t* symbols = Lane::kDecodes ? data + (e.size - count) : found.data();
    if (!Lane::kDecodes && found.ok()) symbols_of(plan, e, data, symbols);
    if (!found.ok() || !model.run(lanes, noise, symbols, symbol_layout(e), e.context)) {
      result = Decoded::kMemory;
    } else if (Lane::kDecodes && !restore_symbols(plan, e, symbols, count, data)) {
      result = Decoded::kMalformed;
    }
    e.coded_bits = bits_used(lanes, *noise) - before;
    return result == Decoded::kDone;
  });
  return result;
}

template <typename Lane, typename Noise>
Decoded run_floats(Plan& plan, uint32_t number, Lane* lanes, Noise* noise, uint8_t* memory) {
  LightFloatModel model;
  if (!model.init()) return Decoded::kMemory;
  Decoded result = Decoded::kDone;
  each_extent(plan, number, [&](Extent& e) {
    const uint64_t before = bits_used(lanes, *noise);
    uint8_t* data = memory + (Lane::kDecodes ? e.place : e.offset);
    if (!float_layout_fits(e)) {
      result = Decoded::kMalformed;
    } else if (!model.run(lanes, noise, data, float_layout(e), e.context)) {
      result = Decoded::kMemory;
    }
    e.coded_bits = bits_used(lanes, *noise) - before;
    return result == Decoded::kDone;
  });
  return result;
}

template <typename Lane, typename Noise>
Decoded run_integers(Plan& plan, uint32_t number, Lane* lanes, Noise* noise, uint8_t* memory) {
  LightIntegerModel model;
  if (!model.init()) return Decoded::kMemory;
  const bool done = each_extent(plan, number, [&](Extent& e) {
    const uint64_t before = bits_used(lanes, *noise);
    uint8_t* data = memory + (Lane::kDecodes ? e.place : e.offset);
    const bool good =
        model.run(lanes, noise, data, static_cast<size_t>(e.count()), e.highest, e.context);
    e.coded_bits = bits_used(lanes, *noise) - before;
    return good;
  });
  return done ? Decoded::kDone : Decoded::kMemory;
}

// The models run both ways: `memory` is the original, or where extents are restored.
template <typename Lane, typename Noise>
Decoded run_light(Plan& plan, uint32_t number, Lane* lanes, Noise* noise, uint8_t* memory) {
  switch (first_extent(plan, number)->method) {
    case kMethodLight: return run_symbols(plan, number, lanes, noise, memory);
    case kMethodLightFloats: return run_floats(plan, number, lanes, noise, memory);
    default: return run_integers(plan, number, lanes, noise, memory);
  }
}

}  // namespace

bool encode_light(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out) {
  Bytes coded[kLanes], noise_bytes;
  LightEncoder lanes[kLanes] = {LightEncoder(&coded[0]), LightEncoder(&coded[1])};
  BitWriter noise(&noise_bytes);
  // Encoding leaves the original as it is: the models write only where they decode.
  if (run_light(*plan, number, lanes, &noise, const_cast<uint8_t*>(original)) != Decoded::kDone) {
    return false;
  }
  noise.finish();
  for (int s = 0; s < kLanes; ++s) {
    lanes[s].finish();
    if (coded[s].failed()) return false;
    out->varint(coded[s].size());
  }
  for (const Bytes& lane : coded) out->append(lane.data(), lane.size());
  out->append(noise_bytes.data(), noise_bytes.size());
  return !out->failed() && !noise_bytes.failed();
}

Decoded decode_light(Plan* plan, uint32_t number, const uint8_t* payload, size_t size,
                     uint8_t* memory) {
  Reader in(payload, size);
  uint64_t sizes[kLanes];
  for (uint64_t& lane : sizes) lane = in.varint();
  LightDecoder lanes[kLanes];
  for (int s = 0; s < kLanes; ++s) {
    if (in.bad() || sizes[s] > in.left()) return Decoded::kMalformed;
    const uint8_t* bytes = in.take(static_cast<size_t>(sizes[s]));
    lanes[s] = LightDecoder(bytes, static_cast<size_t>(sizes[s]));
  }
  BitReader noise(in.here(), in.left());
  const Decoded result = run_light(*plan, number, lanes, &noise, memory);
  const bool exact = lanes[0].exact() && lanes[1].exact() && noise.exact();
  return result == Decoded::kDone && !exact ? Decoded::kMalformed : result;
}

}  // namespace kc
