#include "fast_model_coding.h"

#include "block_side.h"
#include "fast_floats.h"
#include "fast_integers.h"
#include "section_parts.h"
#include "symbols.h"

namespace kc {
namespace {

// The models of a section; of floats and integers what its method needs.
struct Models {
  FastModel symbols, scales;
  FastFloatParts floats;
  IntegerParts integers;
  bool has_scales = false;

  bool init(uint8_t method) {
    return symbols.init() && (method != kMethodFastFloats || floats.init()) &&
           (method != kMethodFastIntegers || integers.init());
  }
};

template <typename Lane, typename Noise>
Decoded run_symbols(const Plan& plan, const Extent& e, Models* models, Lane* lanes, Noise* noise,
                    uint8_t* data) {
  SymbolRoom room;
  BlockSide side;
  if (!room.init(e, Lane::kDecodes, data)) return Decoded::kMemory;
  uint8_t* symbols = room.at();
  if (!Lane::kDecodes) symbols_of(plan, e, data, symbols);
  if (e.has_blocks()) {
    const bool ready = models->has_scales || (models->scales.init() && models->floats.init());
    models->has_scales = true;
    if (!ready || !side.init(plan, e, Lane::kDecodes)) return Decoded::kMemory;
    const Decoded coded = side.each([&](const Extent& floats, uint8_t* values) {
      if (!float_layout_fits(floats)) return Decoded::kMalformed;
      return models->floats.run(&models->scales, lanes, noise, values, float_layout(floats), kFastAlone)
                 ? Decoded::kDone
                 : Decoded::kMemory;
    });
    if (coded != Decoded::kDone) return coded;
  }
  if (!models->symbols.run(lanes, noise, symbols, symbol_layout(e), e.context)) return Decoded::kMemory;
  if (e.has_blocks() && !side.code_signs<Lane::kDecodes>(e, noise, symbols, data)) return Decoded::kMemory;
  if (!Lane::kDecodes) return Decoded::kDone;
  const bool fits = e.has_blocks() ? side.restore(e, symbols, data)
                                   : restore_symbols(plan, e, symbols, static_cast<size_t>(e.count()), data);
  return fits ? Decoded::kDone : Decoded::kMalformed;
}

// The models run both ways: `memory` is the original, or where extents are restored.
template <typename Lane, typename Noise>
Decoded run_fast(Plan& plan, uint32_t number, Lane* lanes, Noise* noise, uint8_t* memory) {
  Models models;
  if (!models.init(first_extent(plan, number)->method)) return Decoded::kMemory;
  Decoded result = Decoded::kDone;
  uint64_t used = 0;
  each_extent(plan, number, [&](Extent& e) {
    uint8_t* data = memory + (Lane::kDecodes ? e.place : e.offset);
    bool memory_left = true;
    if (e.method == kMethodFastSymbols) {
      result = run_symbols(plan, e, &models, lanes, noise, data);
    } else if (e.method == kMethodFastIntegers) {
      memory_left = run_fast_integers(&models.symbols, &models.integers, lanes, noise, data,
                                      static_cast<size_t>(e.count()), e.highest, e.context);
    } else if (float_layout_fits(e)) {
      memory_left = models.floats.run(&models.symbols, lanes, noise, data, float_layout(e), e.context);
    } else {
      result = Decoded::kMalformed;
    }
    if (!memory_left) result = Decoded::kMemory;
    const uint64_t before = used;
    used = lanes[0].bits() + lanes[1].bits() + noise->bits();
    e.coded_bits = used - before;
    return result == Decoded::kDone;
  });
  return result;
}

}  // namespace

bool encode_fast(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out) {
  Bytes coded[kLanes], noise_bytes;
  RangeEncoder lanes[kLanes] = {RangeEncoder(&coded[0]), RangeEncoder(&coded[1])};
  BitWriter noise(&noise_bytes);
  // Encoding leaves the original as it is: the models write only where they decode.
  if (run_fast(*plan, number, lanes, &noise, const_cast<uint8_t*>(original)) != Decoded::kDone) {
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

Decoded decode_fast(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory) {
  Reader in(payload, size);
  uint64_t sizes[kLanes];
  for (uint64_t& lane : sizes) lane = in.varint();
  RangeDecoder lanes[kLanes];
  for (int s = 0; s < kLanes; ++s) {
    if (in.bad() || sizes[s] > in.left()) return Decoded::kMalformed;
    const uint8_t* bytes = in.take(static_cast<size_t>(sizes[s]));
    lanes[s] = RangeDecoder(bytes, static_cast<size_t>(sizes[s]));
  }
  BitReader noise(in.here(), in.left());
  const Decoded result = run_fast(*plan, number, lanes, &noise, memory);
  const bool exact = lanes[0].exact() && lanes[1].exact() && noise.exact();
  return result == Decoded::kDone && !exact ? Decoded::kMalformed : result;
}

}  // namespace kc
