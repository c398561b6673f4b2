#include "huffman_symbols.h"

#include "four_streams.h"

namespace kc {

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

}  // namespace kc
