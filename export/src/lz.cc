#include "lz.h"

#include "huffman.h"
#include "lz_tokens.h"
#include "stop.h"

namespace kc {

namespace {

// One block, up to byte `end`; `done` and `before`, the distance of the last match, go on.
bool decode_block(HuffmanStream* stream, const HuffmanCode* codes, size_t end, size_t first, uint8_t* out,
                  size_t* done, size_t* before) {
  size_t at = *done, last = *before;
  while (at < end) {
    stream->refill();
    size_t token = stream->next(codes[0].table());
    // A refill holds four codes: literals come in runs.
    for (int more = 2; token < 256 && more > 0 && at + 1 < end; --more) {
      out[at++] = static_cast<uint8_t>(token);
      token = stream->next(codes[0].table());
    }
    if (token < 256) {
      out[at++] = static_cast<uint8_t>(token);
      if (stream->overrun()) return false;
      continue;
    }
    stream->refill();
    uint32_t number = static_cast<uint32_t>(token - 256);
    if (number > 60) return false;
    size_t run = LzClass::start_of(number) + stream->take(LzClass::extra_of(number)) + kShortest;
    stream->refill();
    uint32_t far = static_cast<uint32_t>(stream->next(codes[1].table()));
    if (far > 63) return false;
    size_t distance = LzClass::start_of(far) + stream->take(LzClass::extra_of(far));
    if (distance == 0) distance = last;
    if (distance == 0 || distance > first + at || run > end - at) return false;
    if (stream->overrun()) return false;
    last = distance;
    uint8_t* to = out + at;
    if (distance >= 8 && end - at >= run + 8) {  // by words, up to seven bytes too many
      const uint8_t* from = to - distance;
      for (size_t i = 0; i < run; i += 8) memcpy(to + i, from + i, 8);
      at += run;
      continue;
    }
    for (size_t i = 0; i < run; ++i) to[i] = to[static_cast<ptrdiff_t>(i) - static_cast<ptrdiff_t>(distance)];
    at += run;
  }
  *done = at, *before = last;
  stream->refill();
  return stream->exact();
}

}  // namespace

bool lz_decode(const uint8_t* data, size_t length, size_t size, Bytes* history) {
  Reader in(data, length);
  Array<HuffmanCode> codes(2);
  size_t before = 0, done = 0, first = history->size();
  uint8_t* out = history->extend(size);
  if (!codes.ok() || (out == nullptr && size != 0)) return false;
  // Blocks with codes of their own; no match goes on from one to the next.
  while (done < size) {
    const uint64_t block = in.varint();
    if (block == 0 || block > size - done || !codes[0].read_lengths(&in, kTokens) ||
        !codes[1].read_lengths(&in, kDistanceClasses)) {
      return false;
    }
    const uint64_t coded = in.varint();
    const uint8_t* bytes = coded <= in.left() ? in.take(static_cast<size_t>(coded)) : nullptr;
    if (bytes == nullptr || stopped()) return false;
    HuffmanStream stream(bytes, static_cast<size_t>(coded));
    if (!decode_block(&stream, codes.data(), done + static_cast<size_t>(block), first, out, &done, &before)) {
      return false;
    }
  }
  return !in.bad() && in.left() == 0;
}

}  // namespace kc
