#include "huffman.h"

#include "arithmetic.h"
#include "mixing.h"

namespace kc {
namespace {

// Plain Huffman lengths, then the classic mending of those over the limit: shorten the deepest,
// lengthen the cheapest, until the code is full again.
struct Node {
  uint64_t count;
  int16_t left, right;
};

uint32_t reversed(uint32_t code, int length) {
  uint32_t r = 0;
  for (int i = 0; i < length; ++i) r |= (code >> i & 1) << (length - 1 - i);
  return r;
}

// The model of code lengths: four bits, high first, in the context of the length before.
class LengthModel {
 public:
  LengthModel() {
    for (auto& row : counters_)
      for (uint32_t& c : row) c = kFreshCounter;
  }
  template <typename Coder>
  int code(Coder* coder, int length) {
    int prefix = 1;
    for (int i = 3; i >= 0; --i) {
      uint32_t* c = &counters_[before_][prefix];
      int bit = coder->code(length >> i & 1, clamp_p16(counter_p16(*c)));
      update_counter(c, bit, 60);
      prefix = prefix * 2 + bit;
    }
    before_ = prefix & 15;
    return before_;
  }

 private:
  uint32_t counters_[16][16];
  int before_ = 0;
};

}  // namespace

void HuffmanCode::build(const uint32_t* counts, size_t symbols) {
  symbols_ = symbols;
  memset(lengths_, 0, sizeof lengths_);
  Array<Node> nodes(2 * symbols + 1);
  Array<int16_t> heap(symbols + 1);
  Array<uint8_t> depth(2 * symbols + 1);
  size_t size = 0, made = 0;
  if (!nodes.ok() || !heap.ok() || !depth.ok()) {
    // Without memory every symbol gets the same length, which is a code as well.
    int bits = 1;
    while ((static_cast<size_t>(1) << bits) < symbols) ++bits;
    for (size_t i = 0; i < (static_cast<size_t>(1) << bits) && i < kHuffmanAlphabet; ++i) {
      lengths_[i] = static_cast<uint8_t>(bits);
    }
    symbols_ = static_cast<size_t>(1) << bits;
    assign();
    return;
  }
  auto less = [&](int16_t a, int16_t b) { return nodes[a].count < nodes[b].count; };
  auto push = [&](int16_t node) {
    size_t i = size++;
    for (; i > 0 && less(node, heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = node;
  };
  auto pop = [&] {
    int16_t top = heap[0], last = heap[--size];
    size_t i = 0;
    for (size_t child = 1; child < size; child = 2 * i + 1) {
      if (child + 1 < size && less(heap[child + 1], heap[child])) ++child;
      if (!less(heap[child], last)) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
    return top;
  };
  for (size_t i = 0; i < symbols; ++i) {
    nodes[i].count = counts[i];
    nodes[i].left = -1;
    if (counts[i] != 0) push(static_cast<int16_t>(i));
  }
  made = symbols;
  if (size == 1) {
    // A full code needs two words; the second belongs to a symbol that never comes.
    size_t only = static_cast<size_t>(heap[0]);
    lengths_[only] = 1;
    lengths_[only == 0 ? 1 : 0] = 1;
    if (symbols_ < 2) symbols_ = 2;
    assign();
    return;
  }
  while (size > 1) {
    int16_t a = pop(), b = pop();
    nodes[made].count = nodes[a].count + nodes[b].count;
    nodes[made].left = a;
    nodes[made].right = b;
    push(static_cast<int16_t>(made++));
  }
  for (size_t i = made; i-- > symbols;) {
    uint8_t below = static_cast<uint8_t>(depth[i] < 250 ? depth[i] + 1 : 250);
    depth[static_cast<size_t>(nodes[i].left)] = below;
    depth[static_cast<size_t>(nodes[i].right)] = below;
  }
  // Kraft sum in units of 2^-12.
  int64_t sum = 0;
  for (size_t i = 0; i < symbols; ++i) {
    if (counts[i] == 0) continue;
    lengths_[i] = depth[i] > kHuffmanBits ? kHuffmanBits : depth[i];
    sum += 1 << (kHuffmanBits - lengths_[i]);
  }
  const int64_t full = 1 << kHuffmanBits;
  while (sum > full) {
    // Lengthen the longest code that is still below the limit: it costs least.
    size_t best = symbols;
    for (size_t i = 0; i < symbols; ++i) {
      if (lengths_[i] == 0 || lengths_[i] >= kHuffmanBits) continue;
      if (best == symbols || lengths_[i] > lengths_[best] ||
          (lengths_[i] == lengths_[best] && counts[i] < counts[best])) {
        best = i;
      }
    }
    sum -= 1 << (kHuffmanBits - lengths_[best] - 1);
    ++lengths_[best];
  }
  while (sum < full) {
    // Give the room left to the most frequent symbol that fits.
    size_t best = symbols;
    for (size_t i = 0; i < symbols; ++i) {
      if (lengths_[i] < 2 || (1 << (kHuffmanBits - lengths_[i])) > full - sum) continue;
      if (best == symbols || counts[i] > counts[best]) best = i;
    }
    sum += 1 << (kHuffmanBits - lengths_[best]);
    --lengths_[best];
  }
  assign();
}

bool HuffmanCode::assign() {
  uint32_t count[kHuffmanBits + 1] = {}, next[kHuffmanBits + 2] = {};
  uint32_t sum = 0;
  for (size_t i = 0; i < symbols_; ++i) {
    if (lengths_[i] > kHuffmanBits) return false;
    if (lengths_[i] == 0) continue;
    ++count[lengths_[i]];
    sum += 1u << (kHuffmanBits - lengths_[i]);
  }
  if (sum != 1u << kHuffmanBits) return false;
  for (int l = 1; l <= kHuffmanBits; ++l) next[l + 1] = (next[l] + count[l]) << 1;
  for (size_t i = 0; i < symbols_; ++i) {
    int length = lengths_[i];
    if (length == 0) continue;
    uint32_t code = reversed(next[length]++, length);
    codes_[i] = static_cast<uint16_t>(code);
    for (uint32_t fill = code; fill < 1u << kHuffmanBits; fill += 1u << length) {
      table_[fill] = static_cast<uint16_t>(i << 4 | static_cast<size_t>(length));
    }
  }
  return true;
}

void HuffmanCode::write_lengths(Bytes* out) const {
  Bytes coded;
  ArithmeticEncoder coder(&coded);
  LengthModel model;
  for (size_t i = 0; i < symbols_; ++i) model.code(&coder, lengths_[i]);
  coder.finish();
  out->varint(symbols_);
  out->varint(coded.size());
  out->append(coded.data(), coded.size());
}

bool HuffmanCode::read_lengths(Reader* in, size_t max) {
  uint64_t symbols = in->varint(), size = in->varint();
  if (in->bad() || symbols < 2 || symbols > max || symbols > kHuffmanAlphabet) return false;
  const uint8_t* bytes = size > in->left() ? nullptr : in->take(static_cast<size_t>(size));
  if (bytes == nullptr) return false;
  symbols_ = static_cast<size_t>(symbols);
  ArithmeticDecoder coder(bytes, static_cast<size_t>(size));
  LengthModel model;
  for (size_t i = 0; i < symbols_; ++i) {
    lengths_[i] = static_cast<uint8_t>(model.code(&coder, 0));
  }
  return coder.overrun() <= 4 && assign();
}

uint64_t HuffmanCode::cost(const uint32_t* counts) const {
  uint64_t bits = 0;
  for (size_t i = 0; i < symbols_; ++i) bits += static_cast<uint64_t>(counts[i]) * lengths_[i];
  return bits;
}

}  // namespace kc
