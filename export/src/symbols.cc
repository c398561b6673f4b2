#include "symbols.h"

#include "block_side.h"
#include "float_model.h"
#include "nibbles.h"

namespace kc {
namespace {

uint32_t codebook_value(const Plan& plan, const Extent& e, size_t index) {
  return load_element(plan.codebooks.data() + e.codebook + index * e.element, e.element);
}

// The index of the codebook for `value`, the first of equal ones; 0 if it isn't there, which the
// packer's choice rules out.
int find_symbol(const Plan& plan, const Extent& e, size_t channel, uint32_t value) {
  const size_t first = channel * e.symbols;
  for (int i = 0; i < e.symbols; ++i) {
    if (codebook_value(plan, e, first + static_cast<size_t>(i)) == value) return i;
  }
  return 0;
}

uint8_t flip_of(const Extent& e) { return static_cast<uint8_t>(e.flip ? 1 << (8 / e.in_byte - 1) : 0); }

}  // namespace

void symbols_of(const Plan& plan, const Extent& e, const uint8_t* data, uint8_t* symbols) {
  size_t count = static_cast<size_t>(e.count());
  if (e.has_blocks()) {
    BlockSide side;
    if (side.init(plan, e, false)) side.symbols_of(e, data, symbols);
    return;
  }
  if (e.identity) {
    split_bytes(data, static_cast<size_t>(e.size), 8 / e.in_byte, flip_of(e), symbols);
    return;
  }
  // A direct-mapped memory of the last finds: few values, many weights.
  struct Find {
    uint32_t value;
    uint32_t channel;  // + 1
    uint8_t symbol;
  };
  Find finds[1024];
  memset(finds, 0, sizeof finds);
  for (size_t i = 0; i < count && !stopped_at(i); ++i) {
    const uint32_t value = load_element(data + i * e.element, e.element);
    const uint32_t channel = static_cast<uint32_t>(e.channel(i));
    Find& find = finds[(value * 0x9E3779B1u ^ channel * 0x85EBCA6Bu) >> 22];
    if (find.channel != channel + 1 || find.value != value) {
      find.value = value;
      find.channel = channel + 1;
      find.symbol = static_cast<uint8_t>(find_symbol(plan, e, channel, value));
    }
    symbols[i] = find.symbol;
  }
}

bool restore_symbols(const Plan& plan, const Extent& e, const uint8_t* symbols, size_t count, uint8_t* data) {
  if (e.identity) return join_bytes(symbols, count / e.in_byte, 8 / e.in_byte, flip_of(e), data);
  uint8_t highest = 0;
  for (size_t i = 0; i < count; ++i) highest = symbols[i] > highest ? symbols[i] : highest;
  if (highest >= e.symbols) return false;
  const uint8_t* codebook = plan.codebooks.data() + e.codebook;
  if (e.channels != 0) {
    for (size_t i = 0; i < count; ++i) {
      const size_t entry = e.channel(i) * e.symbols + symbols[i];
      memcpy(data + i * e.element, codebook + entry * e.element, e.element);
    }
    return true;
  }
  switch (e.element) {
    case 1:
      for (size_t i = 0; i < count; ++i) data[i] = codebook[symbols[i]];
      return true;
    case 2:
      for (size_t i = 0; i < count; ++i) memcpy(data + 2 * i, codebook + 2 * symbols[i], 2);
      return true;
    default:
      for (size_t i = 0; i < count; ++i) memcpy(data + 4 * i, codebook + 4 * symbols[i], 4);
      return true;
  }
}

}  // namespace kc
