#include "plain_coding.h"

#include "bit_io.h"
#include "block_side.h"
#include "gap_coding.h"
#include "huffman_symbols.h"
#include "lz.h"
#include "plane_coding.h"
#include "section_parts.h"
#include "stop.h"
#include "symbols.h"

namespace kc {
namespace {

// Bits by the byte, of which the last may have fewer.
struct SignBytes {
  Reader* in;
  bool bad = false;
};
uint32_t code_noise(SignBytes* from, uint32_t, int bits) {
  const uint8_t byte = from->in->byte();
  from->bad = from->bad || byte >> bits != 0;
  return byte;
}

bool encode_extent(const Plan& plan, const Extent& e, const uint8_t* data, Bytes* out) {
  if (e.method == kMethodRaw) return out->append(data, static_cast<size_t>(e.size)), !out->failed();
  if (e.method == kMethodRepeats) {
    Bytes bytes, coded;
    bytes.append(data, static_cast<size_t>(e.size));
    if (bytes.failed() || !lz_encode(bytes, 0, &coded)) return false;
    out->varint(coded.size());
    out->append(coded.data(), coded.size());
    return !out->failed();
  }
  if (e.method == kMethodPlanes) return encode_planes(e, data, out);
  size_t count = static_cast<size_t>(e.count());
  Array<uint8_t> symbols(count);
  if (!symbols.ok()) return false;
  symbols_of(plan, e, data, symbols.data());
  if (e.method == kMethodGaps) {
    for (size_t i = 0; i < count; ++i) symbols[i] = static_cast<uint8_t>(symbols[i] - e.lowest);
  }
  BlockSide side;
  if (e.has_blocks() && (!side.init(plan, e, false) || side.each([&](const Extent& floats, uint8_t* values) {
        return encode_planes(floats, values, out) ? Decoded::kDone : Decoded::kMemory;
      }) != Decoded::kDone)) {
    return false;
  }
  const bool coded = e.method == kMethodGaps ? encode_gaps(e, symbols.data(), out)
                                             : encode_symbols(symbols.data(), count, out);
  if (!coded || !e.has_blocks()) return coded;
  BitWriter noise(out);
  if (!side.code_signs<false>(e, &noise, symbols.data(), data)) return false;
  noise.finish();
  return !out->failed();
}

Decoded decode_extent(const Plan& plan, const Extent& e, Reader* in, uint8_t* data) {
  if (e.method == kMethodRaw) {
    const uint8_t* bytes = in->take(static_cast<size_t>(e.size));
    if (bytes == nullptr) return Decoded::kMalformed;
    memcpy(data, bytes, static_cast<size_t>(e.size));
    return Decoded::kDone;
  }
  if (e.method == kMethodRepeats) {
    Bytes bytes;
    const uint64_t coded = in->varint();
    const uint8_t* from = coded <= in->left() ? in->take(static_cast<size_t>(coded)) : nullptr;
    if (in->bad() || from == nullptr) return Decoded::kMalformed;
    const bool good = lz_decode(from, static_cast<size_t>(coded), static_cast<size_t>(e.size), &bytes);
    if (bytes.failed() || stopped()) return Decoded::kMemory;
    if (!good) return Decoded::kMalformed;
    memcpy(data, bytes.data(), static_cast<size_t>(e.size));
    return Decoded::kDone;
  }
  if (e.method == kMethodPlanes) return decode_planes(plan, e, in, data);
  const bool by_book = e.channels == 0 && e.in_byte == 1 && !e.has_blocks();
  if (e.method == kMethodGaps && by_book) return decode_gaps(plan, e, in, data);
  const size_t count = static_cast<size_t>(e.count());
  SymbolRoom room;
  BlockSide side;
  if (!room.init(e, true, data)) return Decoded::kMemory;
  uint8_t* symbols = room.at();
  Decoded result = Decoded::kDone;
  if (e.has_blocks()) {
    if (!side.init(plan, e, true)) return Decoded::kMemory;
    result = side.each(
        [&](const Extent& floats, uint8_t* values) { return decode_planes(plan, floats, in, values); });
    if (result != Decoded::kDone) return result;
  }
  Extent plain;  // the same symbols, as bytes
  plain.size = count;
  plain.identity = true;
  plain.centre = e.centre;
  plain.lowest = e.lowest;
  plain.highest = e.highest;
  result =
      e.method == kMethodGaps ? decode_gaps(plan, plain, in, symbols) : decode_symbols(in, symbols, count);
  if (result != Decoded::kDone) return result;
  if (!e.has_blocks()) {
    return restore_symbols(plan, e, symbols, count, data) ? Decoded::kDone : Decoded::kMalformed;
  }
  SignBytes signs{in};
  if (!side.code_signs<true>(e, &signs, symbols, data)) return Decoded::kMemory;
  const bool fits = !signs.bad && !in->bad() && side.restore(e, symbols, data);
  return fits ? Decoded::kDone : Decoded::kMalformed;
}

}  // namespace

bool encode_plainly(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out) {
  return each_extent(*plan, number, [&](Extent& e) {
    const size_t before = out->size();
    if (!encode_extent(*plan, e, original + e.offset, out)) return false;
    e.coded_bits = 8ull * (out->size() - before);
    return !out->failed();
  });
}

Decoded decode_plainly(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory) {
  Reader in(payload, size);
  Decoded result = Decoded::kDone;
  each_extent(*plan, number, [&](Extent& e) {
    const size_t before = in.position();
    result = decode_extent(*plan, e, &in, memory + e.place);
    e.coded_bits = 8ull * (in.position() - before);
    return result == Decoded::kDone;
  });
  return result == Decoded::kDone && in.left() != 0 ? Decoded::kMalformed : result;
}

}  // namespace kc
