#include "choose.h"

#include "block_search.h"
#include "channel_book.h"
#include "distinct.h"
#include "entropy.h"
#include "fast_choice.h"
#include "float_model.h"
#include "integer_model.h"
#include "stop.h"
#include "symbol_choice.h"
#include "symbols.h"

namespace kc {
namespace {

constexpr size_t kSmallest = 32;        // smaller buffers cost more in the plan than they gain
constexpr size_t kSmallestPacked = 64;  // of elements of less than a byte
constexpr size_t kSmallestUntyped = 1u << 16;

int element_bytes(int type) {
  switch (type) {
    case kFloat32: return 4;
    case kFloat16:
    case kInt16:
    case kUint16:
    case kBfloat16: return 2;
    default: return 1;
  }
}

// Returns the estimated bits of an exponent-and-sign.
void choose_floats(const uint8_t* data, size_t count, uint8_t format, bool sparse, Extent* e) {
  const FloatFormat& f = kFloatFormats[format];
  const int shown = f.mantissa_bits < FloatModel::kMaxModelled ? f.mantissa_bits : FloatModel::kMaxModelled;
  const uint32_t sign_bit = 1u << (8 * f.bytes - 1);
  size_t zeros_found = 0, negative = 0;
  uint32_t kept_low = 255, kept_high = 0;
  for (size_t i = 0; i < count && !stopped_at(i); ++i) {
    uint32_t value = load_element(data + i * static_cast<size_t>(f.bytes), f.bytes);
    if ((value & ~sign_bit) == 0) {
      ++zeros_found;
      negative += value == sign_bit ? 1 : 0;
      continue;
    }
    uint32_t exponent = value >> f.mantissa_bits & ((1u << f.exponent_bits) - 1);
    kept_low = exponent < kept_low ? exponent : kept_low;
    kept_high = exponent > kept_high ? exponent : kept_high;
  }
  e->sparse = sparse && zeros_found != 0 && zeros_found != count && kept_high - kept_low < 255;
  e->signed_zeros = e->sparse && negative != 0;
  uint32_t mask = (1u << f.mantissa_bits) - 1, seen = 0, low = 255, high = 0;
  Array<uint32_t> tree(2u << FloatModel::kMaxModelled);
  for (size_t i = 0; i < count && !stopped_at(i); ++i) {
    uint32_t value = load_element(data + i * static_cast<size_t>(f.bytes), f.bytes);
    if (e->sparse && (value & ~sign_bit) == 0) continue;
    uint32_t exponent = value >> f.mantissa_bits & ((1u << f.exponent_bits) - 1);
    low = exponent < low ? exponent : low;
    high = exponent > high ? exponent : high;
    seen |= value & mask;
    if (tree.ok()) ++tree[(1u << shown) + ((value & mask) >> (f.mantissa_bits - shown))];
  }
  int zeros = 0;
  while (zeros < f.mantissa_bits && (seen >> zeros & 1) == 0) ++zeros;
  // As deep as a level of the tree saves more than it costs to learn.
  int modelled = 2;
  if (tree.ok()) {
    for (size_t i = (1u << shown) - 1; i > 0; --i) tree[i] = tree[2 * i] + tree[2 * i + 1];
    for (int depth = 0; depth < shown; ++depth) {
      uint64_t saved = 0, cost = 0;
      for (size_t node = 1u << depth; node < 2u << depth; ++node) {
        if (tree[node] == 0) continue;
        saved += tree[node] - entropy_bits(&tree[2 * node], 2);
        cost += log2_256(tree[node]) / 2 + 256;
      }
      if (saved * 256 > cost) modelled = depth + 1;
    }
  }
  if (modelled + zeros > f.mantissa_bits) modelled = f.mantissa_bits - zeros;
  e->method = kMethodFloats;
  e->format = format;
  e->element = static_cast<uint8_t>(f.bytes);
  e->lowest = static_cast<uint8_t>(low);
  e->highest = static_cast<uint8_t>(high);
  e->modelled = static_cast<uint8_t>(modelled);
  e->zeros = static_cast<uint8_t>(zeros);
}

// Zeros of either sign among at most an eighth of the elements.
bool few_zeros(const uint8_t* data, size_t count, int bytes) {
  const uint32_t sign_bit = 1u << (8 * bytes - 1);
  size_t zeros = 0;
  for (size_t i = 0; i < count && !stopped_at(i); ++i) {
    zeros += (load_element(data + i * static_cast<size_t>(bytes), bytes) & ~sign_bit) == 0 ? 1 : 0;
  }
  return zeros <= count / 8;
}

// What the stored form of channel codebooks takes in the plan, about: noise but for the upper
// bytes, and steps that are mostly zero.
uint64_t table_cost(const Extent& e) {
  if (e.channels == 0) return (e.symbols * e.element * 7u) / 8;
  return 4u * e.symbols + 4 * e.channels + (e.table_size - 6u * e.symbols - 5 * e.channels) / 8;
}

// In a patch symbols and floats may follow from the tensor's reference, and what is of blocks can't: it has
// to save more than a fourth.
bool blocks_take_less(const Plan& plan, const Extent& blocks, const Extent& e, const uint8_t* file) {
  const uint64_t cost = estimated_cost(plan, blocks, file) + (blocks.listed ? table_cost(blocks) : 0);
  return cost + (plan.is_patch ? cost / 3 : 0) <
         estimated_cost(plan, e, file) + (e.method == kMethodSymbols ? table_cost(e) : 0);
}

// Codebooks that differ by a scale from channel to channel, where there are such.
bool choose_channels(const uint8_t* data, size_t count, int bytes, bool interleaved, Plan* plan, Extent* e) {
  ChannelOrder order;
  order.count = count;
  order.row = static_cast<size_t>(e->row);
  order.interleaved = interleaved;
  Bytes stored;
  size_t entries = 0;
  if (!find_channel_books(data, order, bytes, &stored, &entries) || entries < 2) return false;
  e->method = kMethodSymbols;
  e->element = static_cast<uint8_t>(bytes);
  e->symbols = static_cast<uint16_t>(entries);
  e->channels = order.channels();
  e->interleaved = interleaved;
  e->codebook = plan->codebooks.size();
  e->table = plan->tables.size();
  e->table_size = stored.size();
  e->lowest = 0;
  e->highest = static_cast<uint8_t>(entries - 1);
  plan->tables.append(stored.data(), stored.size());
  Reader in(stored.data(), stored.size());
  if (!read_channel_books(&in, entries, order.channels(), bytes, &plan->codebooks)) return false;
  Array<uint8_t> symbols(count);
  if (!symbols.ok()) return false;
  symbols_of(*plan, *e, data, symbols.data());
  uint32_t counts[256] = {};
  for (size_t i = 0; i < count; ++i) ++counts[symbols[i]];
  size_t zero = 256;
  for (size_t i = 0; i < entries; ++i) {
    // The shared zero is the entry whose exponent is zero.
    if ((stored.data()[5 * entries + i] & 127) == 0 && stored.data()[4 * entries + i] < 16) zero = i;
  }
  choose_centre(counts, entries, count, zero, e);
  if (bytes > 1) return true;
  // Integers nearly always fit some codebook: it must tell much more than they themselves do.
  uint32_t plain[256] = {};
  for (size_t i = 0; i < count; ++i) ++plain[data[i]];
  return entropy_bits(counts, entries) / 8 + table_cost(*e) < entropy_bits(plain, 256) / 8;
}

// Puts channel codebooks in the place of `e` where that takes less.
void try_channels(const kc_tensor& tensor, const uint8_t* file, int bytes, Plan* plan, Extent* e) {
  if (tensor.rank < 2 || e->row == 0) return;
  const size_t codebooks = plan->codebooks.size(), tables = plan->tables.size();
  Extent other = *e;
  other.identity = other.flip = other.sparse = other.signed_zeros = other.centre_flag = false;
  const bool interleaved = tensor.shape[0] == 1;
  if (choose_channels(file + e->offset, static_cast<size_t>(e->size) / static_cast<size_t>(bytes), bytes,
                      interleaved, plan, &other) &&
      estimated_cost(*plan, other, file) + table_cost(other) <
          estimated_cost(*plan, *e, file) + table_cost(*e)) {
    *e = other;
    return;
  }
  plan->codebooks.shrink(codebooks);
  plan->tables.shrink(tables);
}

BlockFloats floats_of_blocks(const Bytes& values) {
  Extent e;
  choose_floats(values.data(), values.size() / 4, 2, false, &e);
  return {e.lowest, e.highest, e.modelled, e.zeros};
}

// Small integers, or few levels, times a scale a block, in the place of `e` where they are that.
bool choose_blocks(const kc_tensor& tensor, const uint8_t* data, size_t count, uint8_t format, Plan* plan,
                   Extent* e) {
  FoundBlocks found;
  if (!find_blocks(tensor, data, count, format, &found)) return false;
  e->method = kMethodSymbols;
  e->format = format;
  e->element = static_cast<uint8_t>(kFloatFormats[format].bytes);
  e->blocks = found.order;
  e->listed = found.listed;
  e->has_offsets = found.has_offsets;
  e->signed_zeros = found.signed_zeros;
  e->first_multiple = found.first;
  e->symbols = static_cast<uint16_t>(found.symbols);
  e->codebook = plan->codebooks.size();
  for (size_t k = 0; k < found.symbols; ++k) plan->codebooks.u32(bits_of(found.levels[k]));
  e->table = plan->tables.size();
  plan->tables.append(found.scales.data(), found.scales.size());
  e->offset_table = plan->tables.size();
  plan->tables.append(found.offsets.data(), found.offsets.size());
  e->scales = floats_of_blocks(found.scales);
  if (found.has_offsets) e->offsets = floats_of_blocks(found.offsets);
  Array<uint8_t> symbols(count);
  if (!symbols.ok() || plan->tables.failed()) return false;
  symbols_of(*plan, *e, data, symbols.data());
  uint32_t counts[256] = {};
  for (size_t i = 0; i < count; ++i) ++counts[symbols[i]];
  const int zero = zero_of(found.levels, found.symbols);
  choose_centre(counts, found.symbols, count, zero < 0 || found.has_offsets ? 256 : static_cast<size_t>(zero),
                e);
  e->lowest = 0;
  e->highest = static_cast<uint8_t>(found.symbols - 1);
  return true;
}

// Biases of quantized models; what is short, or of few values, the skeleton's model knows better.
bool choose_integers(const uint8_t* data, size_t count, Extent* e) {
  constexpr size_t kFewest = 10;
  constexpr int kSaturated = 27;  // from here on, values of dead channels, which are much alike
  int longest = 0;
  size_t saturated = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t value = load32(data + 4 * i);
    const int length = IntegerParts::length_of((value >> 31) != 0 ? 0u - value : value);
    longest = length > longest ? length : longest;
    saturated += length >= kSaturated ? 1 : 0;
  }
  if (count < kFewest || longest < 5 || saturated * 32 > count) return false;
  e->method = kMethodIntegers;
  e->element = 4;
  e->row = count;
  e->highest = static_cast<uint8_t>(longest);
  return true;
}

bool all_equal(const uint8_t* data, size_t size) {
  return size == 1 || memcmp(data, data + 1, size - 1) == 0;
}

void take_bytes(Extent* e) {
  e->method = kMethodHuffman;
  e->element = e->in_byte = 1;
  e->identity = true;
  e->flip = e->centre_flag = false;
  e->lowest = e->centre = 0;
  e->highest = 255;
}

}  // namespace

bool choose_extent(const kc_tensor& tensor, const uint8_t* file, Plan* plan, Extent* e) {
  const uint8_t* data = file + tensor.offset;
  size_t size = static_cast<size_t>(tensor.size);
  if (size < kSmallest) return false;
  if (all_equal(data, size)) {
    e->method = kMethodFill;
    e->fill = data[0];
    return true;
  }
  int bytes = element_bytes(tensor.type);
  bool is_float = tensor.type == kFloat32 || tensor.type == kFloat16 || tensor.type == kBfloat16;
  bool is_symbols =
      tensor.type == kInt8 || tensor.type == kUint8 || tensor.type == kInt16 || tensor.type == kUint16;
  if (tensor.type == kInt32 && size % 4 == 0) {
    return choose_integers(data, size / 4, e);
  }
  if (tensor.type == kInt4 || tensor.type == kUint4 || tensor.type == kInt2) {
    if (size < kSmallestPacked) return false;
    choose_packed(tensor, data, size, e);
    return true;
  }
  if ((!is_float && !is_symbols) || size % static_cast<size_t>(bytes) != 0) {
    if (size < kSmallestUntyped) return false;
    e->method = kMethodBytes;
    e->stride = tensor.type == kInt64 || tensor.type == kUint64 || tensor.type == kFloat64 ? 8 : 4;
    return true;
  }
  size_t count = size / static_cast<size_t>(bytes);
  shape_of(tensor, count, e);
  if (bytes == 1) {
    choose_bytes_as_symbols(data, count, tensor.type == kInt8, e);
    if (tensor.type == kInt8) try_channels(tensor, file, bytes, plan, e);
    return true;
  }
  const uint8_t format = tensor.type == kFloat32 ? 2 : (tensor.type == kFloat16 ? 0 : 1);
  Distinct distinct;
  bool of_blocks = false;
  Extent by_block = *e;
  if (distinct.count(data, count, bytes)) {
    distinct.sort(bytes, is_float);
    const bool grids = is_float && tensor.type != kBfloat16;
    if (grids && entropy_bits(distinct.counts(), distinct.size()) + 100 < size * 8) {
      const Extent plain = *e;
      const size_t codebooks = plan->codebooks.size();
      if (choose_grid(distinct, bytes, count, plan, e)) return true;
      *e = plain;
      plan->codebooks.shrink(codebooks);
    }
    of_blocks = is_float && choose_blocks(tensor, data, count, format, plan, &by_block);
    uint64_t codebook_bits = distinct.size() * static_cast<size_t>(bytes) * 7 +
                             entropy_bits(distinct.counts(), distinct.size()) + 40;
    if (codebook_bits < count * (bytes == 4 ? 26u : 13u)) {
      choose_codebook(distinct, bytes, count, plan, e);
      if (is_float && tensor.type != kBfloat16 && distinct.size() > 32) {
        try_channels(tensor, file, bytes, plan, e);
      }
      if (of_blocks && blocks_take_less(*plan, by_block, *e, file)) *e = by_block;
      return true;
    }
  } else {
    of_blocks = is_float && choose_blocks(tensor, data, count, format, plan, &by_block);
  }
  if (of_blocks && format == 2) {
    *e = by_block;
    return true;
  }
  if (!is_float) {
    if (size < kSmallestUntyped) return false;
    e->method = kMethodBytes;
    e->stride = static_cast<uint8_t>(bytes);
    return true;
  }
  Extent dense = *e;
  choose_floats(data, count, format, true, e);
  if (tensor.type != kBfloat16) try_channels(tensor, file, bytes, plan, e);
  // Of 16 bits the blocks' scales may take most.
  if (of_blocks && blocks_take_less(*plan, by_block, *e, file)) {
    *e = by_block;
    return true;
  }
  if (!e->sparse || e->channels != 0) return true;
  choose_floats(data, count, format, false, &dense);
  // Zeros apart save their mantissas, and cost a little in all others: few of them are tried out.
  if (few_zeros(data, count, bytes) &&
      estimated_cost(*plan, dense, file) <= estimated_cost(*plan, *e, file)) {
    *e = dense;
  }
  return true;
}

void use_plain_method(Extent* e) {
  switch (e->method) {
    case kMethodSymbols: {
      if (e->in_byte != 1) return take_bytes(e);              // of two symbols at once more is known
      bool pairs = e->centre_flag && e->highest > e->lowest;  // one value is frequent
      e->method = pairs ? kMethodGaps : kMethodHuffman;
      return;
    }
    case kMethodFloats: e->method = kMethodPlanes; return;
    case kMethodBytes: return take_bytes(e);
    default: return;
  }
}

}  // namespace kc
