#include "plan_fields.h"

#include "block_side.h"
#include "channel_book.h"
#include "float_model.h"

namespace kc {
namespace {

constexpr uint8_t kIdentity = 1, kCentreFlag = 2, kFlip = 4, kChannels = 8, kInterleaved = 16, kGrid = 32;
constexpr uint8_t kBlocks = 64;
constexpr uint8_t kPacked = 128;                  // in place of an element's bytes: its bits, 2 or 4
constexpr uint8_t kSparse = 4, kSignedZeros = 8;  // beside the number of the float format

constexpr uint8_t kOffsets = 4, kListed = 16;

void write_block_floats(const BlockFloats& f, Bytes* out) {
  out->push(f.lowest);
  out->push(f.highest);
  out->push(f.modelled);
  out->push(f.zeros);
}

bool read_block_floats(Reader* in, uint8_t least, BlockFloats* f) {
  f->lowest = in->byte();
  f->highest = in->byte();
  f->modelled = in->byte();
  f->zeros = in->byte();
  return f->lowest >= least && f->lowest <= f->highest && f->highest <= 254;
}

void write_blocks(const Plan& plan, const Extent& e, Bytes* out) {
  out->push(static_cast<uint8_t>(e.format | (e.has_offsets ? kOffsets : 0) |
                                 (e.signed_zeros ? kSignedZeros : 0) | (e.listed ? kListed : 0)));
  out->varint(e.blocks.block);
  out->varint(e.blocks.stride);
  out->varint(e.blocks.axis);
  write_block_floats(e.scales, out);
  if (e.has_offsets) write_block_floats(e.offsets, out);
  if (e.listed) {
    out->append(plan.codebooks.data() + e.codebook, 4u * e.symbols);
  } else {
    out->varint(zigzag(e.first_multiple));
  }
}

bool read_blocks(Reader* in, Plan* plan, Extent* e) {
  const uint8_t kind = in->byte();
  e->format = kind & 3;
  e->has_offsets = (kind & kOffsets) != 0;
  e->signed_zeros = (kind & kSignedZeros) != 0;
  e->listed = (kind & kListed) != 0;
  e->blocks.block = in->varint();
  e->blocks.stride = in->varint();
  e->blocks.axis = in->varint();
  const bool fit =
      read_block_floats(in, 1, &e->scales) && (!e->has_offsets || read_block_floats(in, 0, &e->offsets));
  if (!fit || kind > 31 || e->format > 2 || e->element != kFloatFormats[e->format].bytes ||
      e->blocks.block == 0 || (e->has_offsets && e->signed_zeros)) {
    return false;
  }
  if (!e->listed) {
    e->first_multiple = unzigzag(in->varint());
    return append_integers(e->first_multiple, e->symbols, &plan->codebooks);
  }
  const uint8_t* levels = in->take(4u * e->symbols);
  if (levels == nullptr) return false;
  for (size_t k = 0; k < e->symbols; ++k) {
    const uint32_t bits = load32(levels + 4 * k);
    if (bits != 0 && !is_normal(bits)) return false;
  }
  plan->codebooks.append(levels, 4u * e->symbols);
  return true;
}

}  // namespace

void FloatFields::write(const Plan&, const Extent& e, BasePlaces*, Bytes* out) {
  out->push(static_cast<uint8_t>(e.format | (e.sparse ? kSparse : 0) | (e.signed_zeros ? kSignedZeros : 0)));
  out->varint(e.last);
  out->varint(e.row);
  out->push(e.lowest);
  out->push(e.highest);
  out->push(e.modelled);
  out->push(e.zeros);
}

bool FloatFields::read(Reader* in, Plan*, BasePlaces*, Extent* e) {
  e->format = in->byte();
  e->sparse = (e->format & kSparse) != 0;
  e->signed_zeros = (e->format & kSignedZeros) != 0;
  e->format &= static_cast<uint8_t>(~(kSparse | kSignedZeros));
  e->last = in->varint();
  e->row = in->varint();
  e->lowest = in->byte();
  e->highest = in->byte();
  e->modelled = in->byte();
  e->zeros = in->byte();
  if (e->format >= 3) return false;
  e->element = static_cast<uint8_t>(kFloatFormats[e->format].bytes);
  return e->lowest <= e->highest && (e->sparse || !e->signed_zeros) &&
         (!e->sparse || e->highest - e->lowest < 255);
}

void SymbolFields::write(const Plan& plan, const Extent& e, BasePlaces*, Bytes* out) {
  out->push(e.in_byte == 1 ? e.element : static_cast<uint8_t>(kPacked | 8 / e.in_byte));
  out->push(static_cast<uint8_t>((e.identity ? kIdentity : 0) | (e.centre_flag ? kCentreFlag : 0) |
                                 (e.flip ? kFlip : 0) | (e.channels != 0 ? kChannels : 0) |
                                 (e.interleaved ? kInterleaved : 0) | (e.grid ? kGrid : 0) |
                                 (e.has_blocks() ? kBlocks : 0)));
  out->varint(e.last);
  out->varint(e.row);
  out->push(e.centre);
  out->push(e.lowest);
  out->push(e.highest);
  if (e.has_blocks()) {
    write_blocks(plan, e, out);
  } else if (e.channels != 0) {
    out->varint(e.channels);
    out->append(plan.tables.data() + e.table, e.table_size);
  } else if (e.grid) {
    for (int b = 0; b < e.element; ++b) out->push(static_cast<uint8_t>(e.step >> (8 * b)));
    out->varint(zigzag(e.first_multiple));
  } else if (!e.identity) {
    out->append(plan.codebooks.data() + e.codebook, static_cast<size_t>(e.symbols) * e.element);
  }
}

bool SymbolFields::read(Reader* in, Plan* plan, BasePlaces*, Extent* e) {
  e->element = in->byte();
  const bool packed = e->element == (kPacked | 4) || e->element == (kPacked | 2);
  if (packed) {
    e->in_byte = static_cast<uint8_t>(8 / (e->element & 7));
    e->element = 1;
  }
  const uint8_t flags = in->byte();
  e->identity = (flags & kIdentity) != 0;
  e->centre_flag = (flags & kCentreFlag) != 0;
  e->flip = (flags & kFlip) != 0;
  e->interleaved = (flags & kInterleaved) != 0;
  e->grid = (flags & kGrid) != 0;
  e->last = in->varint();
  e->row = in->varint();
  e->centre = in->byte();
  e->lowest = in->byte();
  e->highest = in->byte();
  const bool by_channel = (flags & kChannels) != 0;
  const bool by_block = (flags & kBlocks) != 0;
  if (flags > 127 || (by_block && (flags & (kIdentity | kChannels | kGrid)) != 0) ||
      (packed && !e->identity) || (e->grid && (by_channel || e->identity)) ||
      (e->interleaved && !by_channel) || (by_channel && e->identity) ||
      (e->element != 1 && e->element != 2 && e->element != 4)) {
    return false;
  }
  if (e->lowest > e->centre || e->centre > e->highest) return false;
  if (e->identity) return e->element == 1 && e->highest >> (8 / e->in_byte) == 0;
  if (e->flip || e->lowest != 0) return false;
  e->symbols = static_cast<uint16_t>(e->highest + 1);
  e->codebook = plan->codebooks.size();
  if (by_block) return read_blocks(in, plan, e);
  if (by_channel) {
    e->channels = in->varint();
    return e->channels != 0 && e->channels <= kMaxModelledBytes &&
           read_channel_books(in, e->symbols, static_cast<size_t>(e->channels), e->element, &plan->codebooks);
  }
  if (e->grid) {
    for (int b = 0; b < e->element; ++b) e->step |= static_cast<uint32_t>(in->byte()) << (8 * b);
    e->first_multiple = unzigzag(in->varint());
    return append_grid(e->step, e->first_multiple, e->symbols, e->element, &plan->codebooks);
  }
  const size_t bytes = static_cast<size_t>(e->symbols) * e->element;
  const uint8_t* values = in->take(bytes);
  if (values == nullptr) return false;
  plan->codebooks.append(values, bytes);
  return true;
}

}  // namespace kc
