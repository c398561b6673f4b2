#include "gap_coding.h"

#include "four_streams.h"
#include "symbols.h"

namespace kc {
namespace {

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
  const size_t max = FourStreams::kCodes * (gaps + 1);
  FourStreams four(streams);
  for (;;) {
    size_t rounds = four.reloads();
    for (int s = 0; s < kStreams; ++s) {
      const size_t left = (part(count, s).end - at[s]) / max;
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
bool decode_pairs(HuffmanStream stream, const uint16_t* table, const PairTable& pairs, size_t filler, Part p,
                  size_t at, uint8_t* data) {
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

}  // namespace

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

}  // namespace kc
