// The writing half of lz.h.
#include "entropy.h"
#include "huffman.h"
#include "lz.h"
#include "lz_parser.h"
#include "lz_tokens.h"
#include "stop.h"

namespace kc {
namespace {

constexpr int kDepth = 64;       // earlier places that are looked at
constexpr int kRounds = 3;       // of parsing with the prices of the round before
constexpr size_t kPiece = 1024;  // steps that a block has at least
constexpr size_t kMaxPieces = 100;
constexpr size_t kMaxAgain = 1u << 20;  // bytes of which there is more than one round

// Prices in 1/256 bit, by what the codes of a block will be like.
struct TokenPrices {
  // At first literals have the prices of bytes that are no matches, and classes their bits.
  void begin(const uint8_t* data, size_t size) {
    uint32_t counts[256] = {};
    for (size_t i = 0; i < size; ++i) ++counts[data[i]];
    take(counts, 256, tokens);
    for (size_t c = 0; c < kLengthClasses; ++c) tokens[256 + c] = 6 * 256;
    for (uint32_t& price : distances) price = 5 * 256;
  }

  static void take(const uint32_t* counts, size_t kinds, uint32_t* prices) {
    uint64_t total = 1;
    for (size_t i = 0; i < kinds; ++i) total += counts[i];
    for (size_t i = 0; i < kinds; ++i) {
      const uint32_t price = log2_256(total) - log2_256(counts[i] == 0 ? 1 : counts[i]);
      prices[i] =
          price < 256 ? 256 : (counts[i] == 0 || price > kHuffmanBits * 256 ? kHuffmanBits * 256 : price);
    }
  }

  uint32_t tokens[kTokens];
  uint32_t distances[kDistanceClasses];
};

// Steps that share their codes.
struct Block {
  size_t steps = 0;
  size_t bytes = 0;
  uint32_t tokens[kTokens] = {};
  uint32_t distances[kDistanceClasses] = {};

  void add(const LzStep& s) {
    ++steps;
    bytes += s.length == 0 ? 1 : s.length;
    ++tokens[s.length == 0 ? s.distance : 256 + LzClass(s.length - static_cast<uint32_t>(kShortest)).number];
    if (s.length != 0) ++distances[LzClass(s.distance).number];
  }

  void add(const Block& other) {
    steps += other.steps;
    bytes += other.bytes;
    for (size_t i = 0; i < kTokens; ++i) tokens[i] += other.tokens[i];
    for (size_t i = 0; i < kDistanceClasses; ++i) distances[i] += other.distances[i];
  }

  // Bits of its codes' symbols, and of the codes themselves, about.
  uint64_t cost() const {
    uint64_t used = 0;
    for (uint32_t count : tokens) used += count != 0 ? 1 : 0;
    for (uint32_t count : distances) used += count != 0 ? 1 : 0;
    return entropy_bits(tokens, kTokens) + entropy_bits(distances, kDistanceClasses) + 3 * used + 120;
  }
};

// What the parser asks, with the prices of the block that it is in.
class BlockPrices {
 public:
  const TokenPrices* now = nullptr;

  uint32_t kind_price(const LzState&, int) const { return 0; }
  uint32_t literal_price(const LzState&, size_t, const uint8_t*, size_t, int byte) const {
    return now->tokens[byte];
  }
  uint32_t match_price(const LzState&) const { return 0; }
  uint32_t rep_price(const LzState&, int number, bool byte) const {
    return number == 0 && !byte ? now->distances[0] : kNever;
  }
  uint32_t length_price(size_t, uint32_t value) const {
    if (value + kShortestLz < kShortest) return kNever;
    const LzClass c(static_cast<uint32_t>(value + kShortestLz - kShortest));
    return now->tokens[256 + c.number] + 256u * static_cast<uint32_t>(c.extra);
  }
  static uint32_t distance_class(uint32_t distance) { return LzClass(distance).number; }
  uint32_t distance_class_price(uint32_t, uint32_t number) const { return now->distances[number]; }
  uint32_t distance_bits_price(uint32_t distance) const {
    return 256u * static_cast<uint32_t>(LzClass(distance).extra);
  }

 private:
  static constexpr uint32_t kNever = 1u << 28;
};

// `prices` are those of blocks that end at `ends`, the last of them of all that follows.
bool find_steps(const Bytes& bytes, size_t start, const List<TokenPrices>& prices, const List<size_t>& ends,
                List<LzStep>* all) {
  BlockPrices model;
  LzParser<BlockPrices> parser(bytes.data(), bytes.size(), &model);
  if (!parser.init(start, kDepth)) return false;
  LzState state;
  for (uint32_t& distance : state.reps) distance = UINT32_MAX;  // there is none
  List<LzStep> steps;
  size_t block = 0;
  all->clear();
  for (size_t at = start; at < bytes.size();) {
    while (block + 1 < ends.size() && ends[block] <= at) ++block;
    model.now = &prices[block];
    if (stopped() || !parser.block(at, state, &steps)) return false;
    for (size_t k = 0; k < steps.size(); ++k) {
      LzStep kept = steps[k];
      if (kept.distance == 0) {  // a literal is its byte: the code needs nothing else
        kept.length = 0, kept.distance = bytes.data()[at];
      } else if (kept.rep == 0) {
        kept.distance = 0;
      } else {
        state.match(kept.distance);
      }
      if (!all->push(kept)) return false;
      at += steps[k].length;
    }
  }
  return true;
}

// Pieces of some steps each, joined where one code does for both.
bool find_blocks(const List<LzStep>& steps, List<Block>* blocks) {
  const size_t piece = kPiece > steps.size() / kMaxPieces ? kPiece : steps.size() / kMaxPieces;
  blocks->clear();
  for (size_t i = 0; i < steps.size(); ++i) {
    if (i % piece == 0 && !blocks->push(Block())) return false;
    (*blocks)[blocks->size() - 1].add(steps[i]);
  }
  for (bool joined = true; joined;) {
    joined = false;
    uint64_t best = 0;
    size_t where = 0;
    for (size_t b = 0; b + 1 < blocks->size(); ++b) {
      Block both = (*blocks)[b];
      both.add((*blocks)[b + 1]);
      const uint64_t apart = (*blocks)[b].cost() + (*blocks)[b + 1].cost(), together = both.cost();
      if (together <= apart && apart - together + 1 > best) best = apart - together + 1, where = b;
    }
    if (best == 0) break;
    (*blocks)[where].add((*blocks)[where + 1]);
    for (size_t b = where + 1; b + 1 < blocks->size(); ++b) (*blocks)[b] = (*blocks)[b + 1];
    blocks->pop();
    joined = true;
  }
  return true;
}

void write_block(Block* block, const LzStep* steps, HuffmanCode* codes, Bytes* out) {
  block->distances[0] += block->distances[0] == 0 ? 1 : 0;  // a code is never empty
  codes[0].build(block->tokens, kTokens);
  codes[1].build(block->distances, kDistanceClasses);
  out->varint(block->bytes);
  codes[0].write_lengths(out);
  codes[1].write_lengths(out);
  Bytes coded;
  BitWriter bits(&coded);
  for (size_t i = 0; i < block->steps; ++i) {
    const LzStep& s = steps[i];
    if (s.length == 0) {
      codes[0].put(&bits, s.distance);
      continue;
    }
    const uint32_t value = s.length - static_cast<uint32_t>(kShortest);
    const LzClass length(value), distance(s.distance);
    codes[0].put(&bits, 256 + length.number);
    bits.put(value & ((1u << length.extra) - 1), length.extra);
    codes[1].put(&bits, distance.number);
    bits.put(s.distance & ((1u << distance.extra) - 1), distance.extra);
  }
  bits.finish();
  out->varint(coded.size());
  out->append(coded.data(), coded.size());
}

}  // namespace

bool lz_encode(const Bytes& history, size_t start, Bytes* out) {
  Array<HuffmanCode> codes(2);
  List<TokenPrices> prices;
  List<size_t> ends;
  List<LzStep> steps;
  List<Block> blocks;
  if (history.size() > UINT32_MAX / 2 || !codes.ok() || !prices.push(TokenPrices()) ||
      !ends.push(history.size())) {
    return false;
  }
  prices[0].begin(history.data() + start, history.size() - start);
  const int rounds = history.size() - start <= kMaxAgain ? kRounds : 1;
  for (int round = 0; round < rounds; ++round) {
    if (!find_steps(history, start, prices, ends, &steps) || !find_blocks(steps, &blocks)) return false;
    prices.clear();
    ends.clear();
    size_t end = start;
    for (size_t b = 0; b < blocks.size(); ++b) {
      end += blocks[b].bytes;
      TokenPrices of_block;
      TokenPrices::take(blocks[b].tokens, kTokens, of_block.tokens);
      TokenPrices::take(blocks[b].distances, kDistanceClasses, of_block.distances);
      if (!prices.push(of_block) || !ends.push(end)) return false;
    }
  }
  size_t at = 0;
  for (size_t b = 0; b < blocks.size(); ++b) {
    const size_t count = blocks[b].steps;
    write_block(&blocks[b], steps.data() + at, codes.data(), out);
    at += count;
  }
  return !out->failed();
}

}  // namespace kc
