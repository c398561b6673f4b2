#include "lz.h"

#include "huffman.h"
#include "stop.h"

namespace kc {
namespace {

constexpr size_t kShortest = 4;
constexpr size_t kLengthClasses = 80;
constexpr size_t kTokens = 256 + kLengthClasses;  // literals, then classes of match lengths
constexpr size_t kDistanceClasses = 80;
constexpr int kHashBits = 15;
constexpr int kMostTries = 48;

// Numbers in classes: 0 to 3 by themselves, then two classes an octave, with extra bits.
struct Class {
  uint32_t number;
  int extra;
  uint32_t rest;
};

Class class_of(uint32_t value) {
  if (value < 4) return {value, 0, 0};
  int octave = 31 - __builtin_clz(value);
  return {static_cast<uint32_t>(2 * octave) + (value >> (octave - 1) & 1), octave - 1,
          value & ((1u << (octave - 1)) - 1)};
}

uint32_t class_start(uint32_t number) {
  return number < 4 ? number : (2 + (number & 1)) << ((number >> 1) - 1);
}
int class_extra(uint32_t number) { return number < 4 ? 0 : static_cast<int>(number >> 1) - 1; }

struct Token {
  uint32_t length;    // 0: a literal
  uint32_t distance;  // of a match, 0 for the distance before; else the literal
};

class MatchFinder {
 public:
  MatchFinder(const Bytes& bytes) : bytes_(bytes) {}
  bool init() { return heads_.reset(static_cast<size_t>(1) << kHashBits) && chain_.reset(bytes_.size() + 1); }

  void insert(size_t at) {
    if (at + 4 > bytes_.size()) return;
    uint32_t h = load32(bytes_.data() + at) * 0x9E3779B1u >> (32 - kHashBits);
    chain_[at] = heads_[h];
    heads_[h] = static_cast<uint32_t>(at + 1);
  }

  size_t match(size_t at, size_t from) const {
    size_t n = 0, most = bytes_.size() - at;
    while (n < most && bytes_.data()[from + n] == bytes_.data()[at + n]) ++n;
    return n;
  }

  size_t longest(size_t at, size_t* from) const {
    size_t best = 0;
    if (at + 4 > bytes_.size()) return 0;
    uint32_t next = heads_[load32(bytes_.data() + at) * 0x9E3779B1u >> (32 - kHashBits)];
    for (int i = 0; next != 0 && i < kMostTries; ++i, next = chain_[next - 1]) {
      size_t n = match(at, next - 1);
      if (n > best) best = n, *from = next - 1;
    }
    return best;
  }

 private:
  const Bytes& bytes_;
  Array<uint32_t> heads_, chain_;
};

bool find_tokens(const Bytes& bytes, size_t start, List<Token>* tokens) {
  MatchFinder finder(bytes);
  if (!finder.init()) return false;
  for (size_t i = 0; i < start; ++i) finder.insert(i);
  size_t before = 0;  // the distance before
  for (size_t at = start; at < bytes.size();) {
    if (stopped()) return false;
    size_t from = 0, length = finder.longest(at, &from), distance = at - from;
    size_t again = before != 0 ? finder.match(at, at - before) : 0;
    if (again + 2 >= length && again >= kShortest - 1) length = again, distance = before;
    finder.insert(at);
    if (length < kShortest && !(length >= kShortest - 1 && distance == before)) {
      if (!tokens->push({0, bytes.data()[at++]})) return false;
      continue;
    }
    if (length < 64 && at + 1 < bytes.size()) {
      size_t later_from = 0;
      if (finder.longest(at + 1, &later_from) > length + 1) {  // a better one begins here
        if (!tokens->push({0, bytes.data()[at++]})) return false;
        continue;
      }
    }
    if (length > 1u << 30) length = 1u << 30;
    if (!tokens->push({static_cast<uint32_t>(length),
                       distance == before ? 0 : static_cast<uint32_t>(distance)})) {
      return false;
    }
    before = distance;
    for (size_t i = 1; i < length; ++i) finder.insert(at + i);
    at += length;
  }
  return true;
}

}  // namespace

bool lz_encode(const Bytes& history, size_t start, Bytes* out) {
  List<Token> tokens;
  Array<HuffmanCode> codes(2);
  if (history.size() > UINT32_MAX / 2 || !codes.ok() || !find_tokens(history, start, &tokens)) {
    return false;
  }
  uint32_t token_counts[kTokens] = {}, distance_counts[kDistanceClasses] = {};
  token_counts[0] = distance_counts[0] = 1;  // a code is never empty
  for (size_t i = 0; i < tokens.size(); ++i) {
    const Token& t = tokens[i];
    if (t.length == 0) {
      ++token_counts[t.distance];
    } else {
      ++token_counts[256 + class_of(t.length - (kShortest - 1)).number];
      ++distance_counts[class_of(t.distance).number];
    }
  }
  codes[0].build(token_counts, kTokens);
  codes[1].build(distance_counts, kDistanceClasses);
  codes[0].write_lengths(out);
  codes[1].write_lengths(out);
  BitWriter bits(out);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const Token& t = tokens[i];
    if (t.length == 0) {
      codes[0].put(&bits, t.distance);
      continue;
    }
    Class length = class_of(t.length - (kShortest - 1)), distance = class_of(t.distance);
    codes[0].put(&bits, 256 + length.number);
    bits.put(length.rest, length.extra);
    codes[1].put(&bits, distance.number);
    bits.put(distance.rest, distance.extra);
  }
  bits.finish();
  return !out->failed();
}

bool lz_decode(const uint8_t* data, size_t length, size_t size, Bytes* history) {
  Reader in(data, length);
  Array<HuffmanCode> codes(2);
  if (!codes.ok() || !codes[0].read_lengths(&in, kTokens) ||
      !codes[1].read_lengths(&in, kDistanceClasses)) {
    return false;
  }
  HuffmanStream stream(in.here(), in.left());
  size_t before = 0, done = 0, first = history->size();
  uint8_t* out = history->extend(size);
  if (out == nullptr && size != 0) return false;
  while (done < size) {
    stream.refill();
    size_t token = stream.next(codes[0].table());
    // A refill holds four codes: literals come in runs.
    for (int more = 2; token < 256 && more > 0 && done + 1 < size; --more) {
      out[done++] = static_cast<uint8_t>(token);
      token = stream.next(codes[0].table());
    }
    if (token < 256) {
      out[done++] = static_cast<uint8_t>(token);
      if (stream.overrun()) return false;
      continue;
    }
    stream.refill();
    uint32_t number = static_cast<uint32_t>(token - 256);
    if (number > 60) return false;
    size_t run = class_start(number) + stream.take(class_extra(number)) + (kShortest - 1);
    stream.refill();
    uint32_t far = static_cast<uint32_t>(stream.next(codes[1].table()));
    if (far > 63) return false;
    size_t distance = class_start(far) + stream.take(class_extra(far));
    if (distance == 0) distance = before;
    if (distance == 0 || distance > first + done || run > size - done) return false;
    if (stream.overrun()) return false;
    before = distance;
    uint8_t* to = out + done;
    if (distance >= 8 && size - done >= run + 8) {  // by words, up to seven bytes too many
      const uint8_t* from = to - distance;
      for (size_t i = 0; i < run; i += 8) memcpy(to + i, from + i, 8);
      done += run;
      continue;
    }
    for (size_t i = 0; i < run; ++i) to[i] = to[static_cast<ptrdiff_t>(i) - static_cast<ptrdiff_t>(distance)];
    done += run;
  }
  stream.refill();
  return stream.exact();
}

}  // namespace kc
