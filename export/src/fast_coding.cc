#include "fast_coding.h"

#include "block_side.h"
#include "float_model.h"
#include "huffman.h"
#include "lz.h"
#include "section_parts.h"
#include "stop.h"
#include "symbols.h"

namespace kc {
namespace {

constexpr int kStreams = 4;

struct Part {
  size_t first, end;
};

Part part(size_t count, int stream) {
  size_t each = (count + kStreams - 1) / kStreams;
  size_t first = each * static_cast<size_t>(stream), end = first + each;
  return {first < count ? first : count, end < count ? end : count};
}

void write_streams(Bytes* streams, Bytes* out) {
  for (int s = 0; s < kStreams; ++s) out->varint(streams[s].size());
  for (int s = 0; s < kStreams; ++s) out->append(streams[s].data(), streams[s].size());
}

bool read_streams(Reader* in, HuffmanStream* streams) {
  uint64_t sizes[kStreams];
  for (uint64_t& size : sizes) size = in->varint();
  for (int s = 0; s < kStreams; ++s) {
    if (in->bad() || sizes[s] > in->left()) return false;
    const uint8_t* bytes = in->take(static_cast<size_t>(sizes[s]));
    streams[s] = HuffmanStream(bytes, static_cast<size_t>(sizes[s]));
  }
  return true;
}

// Symbols of one byte: a code, and four streams, one a quarter.
bool encode_symbols(const uint8_t* symbols, size_t count, Bytes* out) {
  Array<HuffmanCode> code(1);
  if (!code.ok()) return false;
  uint32_t counts[256] = {};
  for (size_t i = 0; i < count; ++i) ++counts[symbols[i]];
  code[0].build(counts, 256);
  code[0].write_lengths(out);
  Bytes streams[kStreams];
  for (int s = 0; s < kStreams; ++s) {
    BitWriter bits(&streams[s]);
    Part p = part(count, s);
    for (size_t i = p.first; i < p.end; ++i) code[0].put(&bits, symbols[i]);
    bits.finish();
    if (streams[s].failed()) return false;
  }
  write_streams(streams, out);
  return !out->failed();
}

Decoded decode_symbols(Reader* in, uint8_t* symbols, size_t count) {
  Array<HuffmanCode> code(1);
  HuffmanStream streams[kStreams];
  if (!code.ok()) return Decoded::kMemory;
  if (!code[0].read_lengths(in, 256) || !read_streams(in, streams)) return Decoded::kMalformed;
  const uint16_t* table = code[0].table();
  uint8_t* at[kStreams];
  size_t shared = count;
  for (int s = 0; s < kStreams; ++s) {
    Part p = part(count, s);
    at[s] = symbols + p.first;
    shared = p.end - p.first < shared ? p.end - p.first : shared;
  }
  // Length and symbol in a byte each, which no instruction is needed to take apart for.
  Array<uint16_t> entries(1u << kHuffmanBits);
  if (!entries.ok()) return Decoded::kMemory;
  for (size_t k = 0; k < entries.size(); ++k) {
    entries[k] = static_cast<uint16_t>((table[k] >> 4) << 8 | (table[k] & 15));
  }
  const uint16_t* entry = entries.data();
  FourStreams four(streams);
  size_t i = 0;
  for (;;) {
    size_t rounds = four.reloads();
    if ((shared - i) / FourStreams::kCodes < rounds) rounds = (shared - i) / FourStreams::kCodes;
    if (rounds == 0) break;
    FourStreams now = four;
    for (; rounds != 0; --rounds, i += FourStreams::kCodes) {
      for (int s = 0; s < kStreams; ++s) now.reload(s);
      for (size_t k = 0; k < FourStreams::kCodes; ++k) {
        for (int s = 0; s < kStreams; ++s) {
          const uint16_t e = entry[now.bits[s] & ((1u << kHuffmanBits) - 1)];
          now.bits[s] >>= e & 63;
          at[s][i + k] = static_cast<uint8_t>(e >> 8);
        }
      }
    }
    four = now;
  }
  for (int s = 0; s < kStreams; ++s) streams[s] = four.rest(s);
  for (int s = 0; s < kStreams; ++s) {
    Part p = part(count, s);
    for (size_t k = i; k < p.end - p.first; ++k) {
      streams[s].refill();
      at[s][k] = static_cast<uint8_t>(streams[s].next(table));
    }
    streams[s].refill();
    if (!streams[s].exact()) return Decoded::kMalformed;
  }
  return Decoded::kDone;
}

// Pairs of (weights at the centre before it, value): symbol = gap * (values - 1) + value without
// the centre. The last symbol says: `gaps` weights at the centre, and no value.
template <typename Emit>
void each_pair(const uint8_t* symbols, Part p, size_t values, size_t centre, size_t gaps, Emit emit) {
  size_t gap = 0;
  for (size_t i = p.first; i < p.end; ++i) {
    if (symbols[i] == centre) {
      if (++gap == gaps) {
        emit(gaps * (values - 1));
        gap = 0;
      }
      continue;
    }
    size_t value = symbols[i] < centre ? symbols[i] : symbols[i] - 1u;
    emit(gap * (values - 1) + value);
    gap = 0;
  }
  if (gap != 0) emit(gaps * (values - 1));  // the reader stops at the end of the part
}

size_t pair_alphabet(size_t values, size_t gaps) { return gaps * (values - 1) + 1; }

bool count_pairs(const uint8_t* symbols, size_t count, size_t values, size_t centre, size_t gaps,
                 uint32_t* counts) {
  memset(counts, 0, kHuffmanAlphabet * sizeof *counts);
  for (int s = 0; s < kStreams; ++s) {
    each_pair(symbols, part(count, s), values, centre, gaps, [&](size_t symbol) { ++counts[symbol]; });
  }
  return true;
}

bool encode_gaps(const Extent& e, const uint8_t* symbols, Bytes* out) {
  size_t count = static_cast<size_t>(e.count()), values = static_cast<size_t>(e.highest - e.lowest) + 1;
  const size_t centre = static_cast<size_t>(e.centre - e.lowest);
  Array<HuffmanCode> code(2);
  Array<uint32_t> counts(kHuffmanAlphabet);
  if (!code.ok() || !counts.ok()) return false;
  size_t best = 0;
  uint64_t best_cost = 0;
  for (size_t gaps = 1; gaps <= 256 && pair_alphabet(values, gaps) <= kHuffmanAlphabet; gaps *= 2) {
    count_pairs(symbols, count, values, centre, gaps, counts.data());
    code[1].build(counts.data(), pair_alphabet(values, gaps) < 2 ? 2 : pair_alphabet(values, gaps));
    uint64_t cost = code[1].cost(counts.data()) + 4 * pair_alphabet(values, gaps);
    if (best == 0 || cost < best_cost) best = gaps, best_cost = cost;
  }
  if (best == 0) return false;
  count_pairs(symbols, count, values, centre, best, counts.data());
  code[0].build(counts.data(), pair_alphabet(values, best));
  out->varint(best);
  code[0].write_lengths(out);
  Bytes streams[kStreams];
  for (int s = 0; s < kStreams; ++s) {
    BitWriter bits(&streams[s]);
    each_pair(symbols, part(count, s), values, centre, best,
              [&](size_t symbol) { code[0].put(&bits, symbol); });
    bits.finish();
    if (streams[s].failed()) return false;
  }
  write_streams(streams, out);
  return !out->failed();
}

template <int kBytes>
struct Width {
  static constexpr int value = kBytes;
};

struct Pair {
  uint8_t bytes[4];  // the value's element; of the last symbol the centre's
  uint16_t gap;
  uint16_t advance;  // elements that the symbol stands for
};
struct PairTable {
  Pair of[kHuffmanAlphabet];
};

// Decodes all four streams side by side as far as none can come to the end of its part or bytes.
template <int kElement>
void decode_four(HuffmanStream* streams, const uint16_t* table, const PairTable& pairs, size_t gaps,
                 size_t count, size_t* at, uint8_t* data) {
  const size_t most = FourStreams::kCodes * (gaps + 1);
  FourStreams four(streams);
  for (;;) {
    size_t rounds = four.reloads();
    for (int s = 0; s < kStreams; ++s) {
      const size_t left = (part(count, s).end - at[s]) / most;
      rounds = left < rounds ? left : rounds;
    }
    if (rounds == 0) break;
    FourStreams now = four;
    size_t place[kStreams];
    for (int s = 0; s < kStreams; ++s) place[s] = at[s];
    for (; rounds != 0; --rounds) {
      for (int s = 0; s < kStreams; ++s) now.reload(s);
      for (size_t k = 0; k < FourStreams::kCodes; ++k) {
        for (int s = 0; s < kStreams; ++s) {
          const uint32_t entry = table[now.bits[s] & ((1u << kHuffmanBits) - 1)];
          now.bits[s] >>= entry & 15;
          const Pair& pair = pairs.of[entry >> 4];
          // Where there is no value the centre is written once more, over itself.
          memcpy(data + (place[s] + pair.gap) * kElement, pair.bytes, kElement);
          place[s] += pair.advance;
        }
      }
    }
    four = now;
    for (int s = 0; s < kStreams; ++s) at[s] = place[s];
  }
  for (int s = 0; s < kStreams; ++s) streams[s] = four.rest(s);
}

template <int kElement>
bool decode_pairs(HuffmanStream stream, const uint16_t* table, const PairTable& pairs, size_t filler,
                  Part p, size_t at, uint8_t* data) {
  while (at < p.end) {
    stream.refill();
    for (int k = 0; k < 4 && at < p.end; ++k) {
      size_t symbol = stream.next(table);
      at += pairs.of[symbol].gap;
      if (symbol == filler) continue;
      if (at >= p.end) return false;
      memcpy(data + at * kElement, pairs.of[symbol].bytes, kElement);
      ++at;
    }
  }
  stream.refill();
  return stream.exact();
}

Decoded decode_gaps(const Plan& plan, const Extent& e, Reader* in, uint8_t* data) {
  size_t values = static_cast<size_t>(e.highest - e.lowest) + 1;
  size_t count = static_cast<size_t>(e.count()), centre = static_cast<size_t>(e.centre - e.lowest);
  uint64_t gaps = in->varint();
  if (in->bad() || gaps == 0 || gaps > 256 || values < 2 ||
      pair_alphabet(values, static_cast<size_t>(gaps)) > kHuffmanAlphabet) {
    return Decoded::kMalformed;
  }
  Array<HuffmanCode> code(1);
  Array<PairTable> pairs(1);
  HuffmanStream streams[kStreams];
  if (!code.ok() || !pairs.ok()) return Decoded::kMemory;
  size_t filler = static_cast<size_t>(gaps) * (values - 1);
  if (!code[0].read_lengths(in, filler + 1) || !read_streams(in, streams)) {
    return Decoded::kMalformed;
  }
  auto put_value = [&](size_t value, uint8_t* to) {
    uint8_t symbol = static_cast<uint8_t>(value + e.lowest);
    restore_symbols(plan, e, &symbol, 1, to);
  };
  for (size_t s = 0; s < filler; ++s) {
    size_t value = s % (values - 1);
    put_value(value + (value >= centre ? 1 : 0), pairs[0].of[s].bytes);
    pairs[0].of[s].gap = static_cast<uint16_t>(s / (values - 1));
    pairs[0].of[s].advance = static_cast<uint16_t>(s / (values - 1) + 1);
  }
  Pair& last = pairs[0].of[filler];
  last.gap = last.advance = static_cast<uint16_t>(gaps);
  put_value(centre, last.bytes);
  for (size_t i = 0; i < count; ++i) memcpy(data + i * e.element, last.bytes, e.element);
  bool good = true;
  const auto decode = [&](auto element) {
    constexpr int kElement = decltype(element)::value;
    size_t at[kStreams];
    for (int s = 0; s < kStreams; ++s) at[s] = part(count, s).first;
    const uint16_t* table = code[0].table();
    decode_four<kElement>(streams, table, pairs[0], static_cast<size_t>(gaps), count, at, data);
    for (int s = 0; s < kStreams && good; ++s) {
      good = decode_pairs<kElement>(streams[s], table, pairs[0], filler, part(count, s), at[s], data);
    }
  };
  if (e.element == 4) decode(Width<4>());
  if (e.element == 2) decode(Width<2>());
  if (e.element == 1) decode(Width<1>());
  return good ? Decoded::kDone : Decoded::kMalformed;
}

// Floats with the sign moved to the low end, so that the top byte is the exponent.
uint32_t rotate_sign(uint32_t v, int bits) {
  return bits == 32 ? v << 1 | v >> 31 : ((v << 1 | v >> 15) & 0xFFFF);
}
uint32_t rotate_back(uint32_t v, int bits) {
  return bits == 32 ? v >> 1 | v << 31 : ((v >> 1 | v << 15) & 0xFFFF);
}

constexpr uint8_t kPlaneRaw = 0, kPlaneCoded = 1;

// Where the zeros lie, as an extent of symbols: 0 below zero, 1 zero, 2 another value.
constexpr uint8_t kNegativeZero = 0, kZero = 1, kKept = 2;

Extent kind_extent(size_t count) {
  Extent kinds;
  kinds.size = count;
  kinds.method = kMethodGaps;
  kinds.identity = true;
  kinds.centre = kZero;
  kinds.lowest = kNegativeZero;
  kinds.highest = kKept;
  return kinds;
}

bool encode_planes(const Extent& whole, const uint8_t* all, Bytes* out) {
  Extent e = whole;
  const uint8_t* data = all;
  size_t count = static_cast<size_t>(e.count());
  Array<uint8_t> kept;
  if (e.sparse) {
    Array<uint8_t> kinds(count);
    const uint32_t sign_bit = 1u << (8 * e.element - 1);
    if (!kinds.ok() || !kept.reset(static_cast<size_t>(e.size))) return false;
    size_t used = 0;
    for (size_t i = 0; i < count; ++i) {
      uint32_t v = load_element(data + i * e.element, e.element);
      kinds[i] = v == 0 ? kZero : (v == sign_bit ? kNegativeZero : kKept);
      if (kinds[i] == kKept) store_element(kept.data() + used++ * e.element, v, e.element);
    }
    if (!encode_gaps(kind_extent(count), kinds.data(), out)) return false;
    data = kept.data();
    count = used;
  }
  Array<uint8_t> plane(count);
  if (!plane.ok()) return false;
  for (int b = 0; b < e.element; ++b) {
    for (size_t i = 0; i < count; ++i) {
      uint32_t v = rotate_sign(load_element(data + i * e.element, e.element), 8 * e.element);
      plane[i] = static_cast<uint8_t>(v >> (8 * b));
    }
    Bytes coded;
    if (!encode_symbols(plane.data(), count, &coded)) return false;
    bool raw = coded.size() + coded.size() / 64 >= count;
    out->push(raw ? kPlaneRaw : kPlaneCoded);
    if (raw) {
      out->append(plane.data(), count);
    } else {
      out->append(coded.data(), coded.size());
    }
  }
  return !out->failed();
}

Decoded decode_planes(const Plan& plan, const Extent& e, Reader* in, uint8_t* data) {
  size_t count = static_cast<size_t>(e.count());
  const size_t all = count;
  Array<uint8_t> kinds;
  if (e.sparse) {
    if (!kinds.reset(count)) return Decoded::kMemory;
    Decoded result = decode_gaps(plan, kind_extent(count), in, kinds.data());
    if (result != Decoded::kDone) return result;
    count = 0;
    for (size_t i = 0; i < all; ++i) count += kinds[i] == kKept ? 1 : 0;
  }
  Array<uint8_t> plane(count);
  if (!plane.ok()) return Decoded::kMemory;
  for (int b = 0; b < e.element; ++b) {
    uint8_t how = in->byte();
    if (how == kPlaneRaw) {
      const uint8_t* bytes = in->take(count);
      if (bytes == nullptr) return Decoded::kMalformed;
      memcpy(plane.data(), bytes, count);
    } else if (how == kPlaneCoded) {
      Decoded result = decode_symbols(in, plane.data(), count);
      if (result != Decoded::kDone) return result;
    } else {
      return Decoded::kMalformed;
    }
    for (size_t i = 0; i < count; ++i) data[i * e.element + static_cast<size_t>(b)] = plane[i];
  }
  for (size_t i = 0; i < count; ++i) {
    uint32_t v = load_element(data + i * e.element, e.element);
    store_element(data + i * e.element, rotate_back(v, 8 * e.element), e.element);
  }
  if (!e.sparse) return Decoded::kDone;
  // The others lie at the front: from the back on they go to their places.
  const uint32_t sign_bit = 1u << (8 * e.element - 1);
  for (size_t i = all; i-- > 0;) {
    uint32_t v = kinds[i] == kNegativeZero ? sign_bit : 0;
    if (kinds[i] == kKept) v = load_element(data + --count * e.element, e.element);
    store_element(data + i * e.element, v, e.element);
  }
  return Decoded::kDone;
}

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

bool encode_fast(const Plan& plan, const Extent& e, const uint8_t* data, Bytes* out) {
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

Decoded decode_fast(const Plan& plan, const Extent& e, Reader* in, uint8_t* data) {
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
    result = side.each([&](const Extent& floats, uint8_t* values) { return decode_planes(plan, floats, in, values); });
    if (result != Decoded::kDone) return result;
  }
  Extent plain;  // the same symbols, as bytes
  plain.size = count;
  plain.identity = true;
  plain.centre = e.centre;
  plain.lowest = e.lowest;
  plain.highest = e.highest;
  result = e.method == kMethodGaps ? decode_gaps(plan, plain, in, symbols) : decode_symbols(in, symbols, count);
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
    if (!encode_fast(*plan, e, original + e.offset, out)) return false;
    e.coded_bits = 8ull * (out->size() - before);
    return !out->failed();
  });
}

Decoded decode_plainly(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory) {
  Reader in(payload, size);
  Decoded result = Decoded::kDone;
  each_extent(*plan, number, [&](Extent& e) {
    const size_t before = in.position();
    result = decode_fast(*plan, e, &in, memory + e.place);
    e.coded_bits = 8ull * (in.position() - before);
    return result == Decoded::kDone;
  });
  return result == Decoded::kDone && in.left() != 0 ? Decoded::kMalformed : result;
}

}  // namespace kc
