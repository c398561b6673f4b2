#include "block_side.h"

#include "block_search.h"

namespace kc {
namespace {

// Like a tensor of its own: a row is that of the blocks along the axis, or of those beside each other.
Extent floats_of(const Extent& e, const BlockFloats& f) {
  Extent floats;
  floats.method = kMethodPlanes;
  floats.element = 4;
  floats.format = 2;
  floats.size = 4 * e.blocks.blocks(e.count());
  const uint64_t along = (e.blocks.axis + e.blocks.block - 1) / e.blocks.block;
  floats.row = e.blocks.stride != 1 ? e.blocks.stride : along;
  if (floats.row == 1) floats.row = floats.count();
  floats.last = floats.row;
  floats.lowest = f.lowest;
  floats.highest = f.highest;
  floats.modelled = f.modelled;
  floats.zeros = f.zeros;
  return floats;
}

}  // namespace

bool append_integers(int64_t first, size_t symbols, Bytes* codebooks) {
  if (first < -kMaxLevel || first > kMaxLevel) return false;
  for (size_t k = 0; k < symbols; ++k) {
    codebooks->u32(bits_of(static_cast<float>(static_cast<int>(first) + static_cast<int>(k))));
  }
  return true;
}

bool BlockSide::init(const Plan& plan, const Extent& e, bool decodes) {
  floats_[0] = floats_of(e, e.scales);
  floats_[1] = floats_of(e, e.offsets);
  has_offsets_ = e.has_offsets;
  const size_t size = static_cast<size_t>(floats_[0].size);
  if (!scales_.reset(size) || (has_offsets_ && !offsets_.reset(size))) return false;
  for (size_t k = 0; k < e.symbols; ++k) {
    levels_[k] = float_of(load32(plan.codebooks.data() + e.codebook + 4 * k));
  }
  if (decodes) return true;
  memcpy(scales_.data(), plan.tables.data() + e.table, size);
  if (has_offsets_) memcpy(offsets_.data(), plan.tables.data() + e.offset_table, size);
  return true;
}

Blockwise BlockSide::parts(const Extent& e) const {
  Blockwise all;
  all.order = e.blocks;
  all.format = e.format;
  all.levels = levels_;
  all.symbols = e.symbols;
  all.scales = scales_.data();
  all.offsets = has_offsets_ ? offsets_.data() : nullptr;
  all.zero = e.signed_zeros ? zero_of(levels_, e.symbols) : -1;
  all.zero_signs = signs_.data();
  return all;
}

bool BlockSide::count_zeros(const Extent& e, const uint8_t* symbols) {
  const int zero = parts(e).zero;
  const size_t count = static_cast<size_t>(e.count());
  zeros_ = 0;
  for (size_t i = 0; i < count; ++i) zeros_ += symbols[i] == zero ? 1 : 0;
  return signs_.reset((zeros_ + 7) / 8);
}

void BlockSide::find_signs(const Extent& e, const uint8_t* symbols, const uint8_t* data) {
  find_zero_signs(parts(e), data, static_cast<size_t>(e.count()), symbols, signs_.data());
}

bool BlockSide::restore(const Extent& e, const uint8_t* symbols, uint8_t* data) const {
  return restore_blocks(parts(e), symbols, static_cast<size_t>(e.count()), data);
}

bool BlockSide::symbols_of(const Extent& e, const uint8_t* data, uint8_t* symbols) const {
  return find_block_symbols(parts(e), data, static_cast<size_t>(e.count()), symbols);
}

}  // namespace kc
