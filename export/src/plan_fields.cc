#include "plan_fields.h"

#include "channel_book.h"
#include "float_model.h"

namespace kc {
namespace {

constexpr uint8_t kIdentity = 1, kCentreFlag = 2, kFlip = 4, kChannels = 8, kInterleaved = 16, kGrid = 32;
constexpr uint8_t kSparse = 4, kSignedZeros = 8;  // beside the number of the float format

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
  out->push(e.element);
  out->push(static_cast<uint8_t>((e.identity ? kIdentity : 0) | (e.centre_flag ? kCentreFlag : 0) |
                                 (e.flip ? kFlip : 0) | (e.channels != 0 ? kChannels : 0) |
                                 (e.interleaved ? kInterleaved : 0) | (e.grid ? kGrid : 0)));
  out->varint(e.last);
  out->varint(e.row);
  out->push(e.centre);
  out->push(e.lowest);
  out->push(e.highest);
  if (e.channels != 0) {
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
  if (flags > 63 || (e->grid && (by_channel || e->identity)) || (e->interleaved && !by_channel) ||
      (by_channel && e->identity) || (e->element != 1 && e->element != 2 && e->element != 4)) {
    return false;
  }
  if (e->lowest > e->centre || e->centre > e->highest) return false;
  if (e->identity) return e->element == 1;
  if (e->flip || e->lowest != 0) return false;
  e->symbols = static_cast<uint16_t>(e->highest + 1);
  e->codebook = plan->codebooks.size();
  if (by_channel) {
    e->channels = in->varint();
    return e->channels != 0 && e->channels <= kMostModelledBytes &&
           read_channel_books(in, e->symbols, static_cast<size_t>(e->channels), e->element,
                              &plan->codebooks);
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
