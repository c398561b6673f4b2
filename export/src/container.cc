#include "container.h"

#include "checksum.h"
#include "stop.h"

namespace kc {

#ifndef KC_WITHOUT_STOP
__thread const int32_t* stop_flag = nullptr;
#endif

namespace {

constexpr uint64_t kMaxSectionsAtOnce = 1u << 11;  // in a header that is read without knowing how long it is
constexpr size_t kLongestHeader = 64 + 10 * kMaxSectionsAtOnce;

}  // namespace

kc_status status_of(Decoded result) {
  switch (result) {
    case Decoded::kDone: return KC_OK;
    case Decoded::kUnsupported: return KC_ERROR_UNSUPPORTED;
    case Decoded::kMemory: return KC_ERROR_MEMORY;
    default: return KC_ERROR_MALFORMED;
  }
}

int32_t fail(kc_error* error, kc_status status, kc_place place, uint32_t section) {
  // What a loop that was stopped returned was not the reason.
  if (stopped()) status = KC_ERROR_STOPPED;
  if (error != nullptr) {
    error->status = status;
    error->place = place;
    error->section = section;
  }
  return status;
}

void write_container(const Container& c, Bytes* out, void (*written)(void*, uint32_t), void* context) {
  size_t start = out->size(), total = 0;
  for (size_t i = 0; i < c.sections.size(); ++i) total += c.sections[i].size + 16;
  out->reserve(total + 64);
  out->append(kMagic, sizeof kMagic);
  const bool compact = c.form == kFormCompact;
  out->push(static_cast<uint8_t>(kFormatVersion));
  out->push(c.form);
  out->varint(c.original_size);
  out->u32(c.original_crc);
  if (c.form == kFormPatch) {
    out->varint(c.base_size);
    out->u32(c.base_crc);
  }
  out->varint(c.sections.size());
  for (size_t i = 0; i + (compact ? 1 : 0) < c.sections.size(); ++i) out->varint(c.sections[i].size);
  if (compact) {
    for (size_t i = 0; i < c.sections.size(); ++i) out->append(c.sections[i].data, c.sections[i].size);
    out->u32(crc32c(0, out->data() + start, out->size() - start));
    return;
  }
  out->u32(crc32c(0, out->data() + start, out->size() - start));
  for (size_t i = 0; i < c.sections.size(); ++i) {
    out->append(c.sections[i].data, c.sections[i].size);
    out->u32(crc32c(0, c.sections[i].data, c.sections[i].size));
    if (written != nullptr) written(context, static_cast<uint32_t>(i));
  }
}

namespace {

// The rest of a compact file's frame: sections one after another, and one checksum for the whole.
int32_t read_compact(const Source& source, const Reader& in, Container* c, uint64_t count, kc_error* error) {
  const size_t size = static_cast<size_t>(source.size());
  Bytes own;
  const uint8_t* data = nullptr;
  const kc_status read = source.take(0, size, &own, &data);
  if (read != KC_OK) return fail(error, read, KC_PLACE_WHOLE);
  if (in.bad() || size < 4 + in.position()) return fail(error, KC_ERROR_TRUNCATED, KC_PLACE_HEADER);
  if (load32(data + size - 4) != crc32c(0, data, size - 4)) {
    return fail(error, KC_ERROR_CHECKSUM, KC_PLACE_WHOLE);
  }
  if (count == 0) return fail(error, KC_ERROR_MALFORMED, KC_PLACE_HEADER);
  c->form = kFormCompact;
  if (c->original_size / kMaxExpansion > size) {
    if (error != nullptr) error->value = c->original_size;
    return fail(error, KC_ERROR_LIMIT, KC_PLACE_HEADER);
  }
  size_t at = in.position();
  for (size_t i = 0; i < c->sections.size(); ++i) {
    Span& span = c->sections[i];
    if (size - 4 - at < span.size) {
      return fail(error, KC_ERROR_MALFORMED, KC_PLACE_HEADER);
    }
    span.offset = at;
    if (source.memory() != nullptr) span.data = source.memory() + at;
    at += span.size;
  }
  return at == size - 4 ? KC_OK : fail(error, KC_ERROR_MALFORMED, KC_PLACE_HEADER);
}

}  // namespace

int32_t read_frame(const Source& source, Container* c, kc_error* error) {
  const uint64_t size = source.size();
  size_t begun = size < kLongestHeader ? static_cast<size_t>(size) : kLongestHeader;
  Bytes own, longer;
  const uint8_t* data = nullptr;
  kc_status read = source.take(0, begun, &own, &data);
  if (read != KC_OK) return fail(error, read, KC_PLACE_HEADER);
  Reader in(data, begun);
  const uint8_t* magic = in.take(sizeof kMagic);
  if (magic == nullptr) {
    bool begins = size != 0 && memcmp(data, kMagic, begun) == 0;
    return fail(error, begins ? KC_ERROR_TRUNCATED : KC_ERROR_NOT_PACKED, KC_PLACE_HEADER);
  }
  if (memcmp(magic, kMagic, sizeof kMagic) != 0) {
    return fail(error, KC_ERROR_NOT_PACKED, KC_PLACE_HEADER);
  }
  uint8_t version = in.byte(), form = in.byte();
  if (in.bad()) return fail(error, KC_ERROR_TRUNCATED, KC_PLACE_HEADER);
  if (version > kFormatVersion) {
    if (error != nullptr) error->version = version;
    return fail(error, KC_ERROR_VERSION, KC_PLACE_HEADER);
  }
  if (version == 0) return fail(error, KC_ERROR_MALFORMED, KC_PLACE_HEADER);
  c->original_size = in.varint();
  c->original_crc = in.u32();
  if (form == kFormPatch) {
    c->base_size = in.varint();
    c->base_crc = in.u32();
  }
  uint64_t count = in.varint();
  if (!in.bad() && count > kMaxSections + 1) return fail(error, KC_ERROR_MALFORMED, KC_PLACE_HEADER);
  if (!in.bad() && count > kMaxSectionsAtOnce) {  // a longer table
    const size_t longest = 64 + 10 * static_cast<size_t>(count), passed = in.position();
    begun = size < longest ? static_cast<size_t>(size) : longest;
    read = source.take(0, begun, &longer, &data);
    if (read != KC_OK) return fail(error, read, KC_PLACE_HEADER);
    in = Reader(data, begun);
    in.take(passed);
  }
  const bool compact = form == kFormCompact;
  if (compact && size > kLargestCompact) return fail(error, KC_ERROR_MALFORMED, KC_PLACE_HEADER);
  uint64_t total = 0;
  for (uint64_t i = 0; i < count && !in.bad(); ++i) {
    Span span;
    // Of a compact file the last section takes what is left.
    const bool rest = compact && i + 1 == count && size >= total + in.position() + 4;
    uint64_t length = rest ? size - total - in.position() - 4 : (compact && i + 1 == count ? 0 : in.varint());
    if (length > SIZE_MAX / 4 - total) return fail(error, KC_ERROR_MALFORMED, KC_PLACE_HEADER);
    span.size = static_cast<size_t>(length);
    total += length;
    if (!c->sections.push(span)) return fail(error, KC_ERROR_MEMORY, KC_PLACE_HEADER);
  }
  if (compact) return read_compact(source, in, c, count, error);
  size_t checked = in.position();
  uint32_t crc = in.u32();
  if (in.bad()) {
    bool ended = in.left() < 10;
    return fail(error, ended ? KC_ERROR_TRUNCATED : KC_ERROR_MALFORMED, KC_PLACE_HEADER);
  }
  if (crc != crc32c(0, data, checked)) return fail(error, KC_ERROR_CHECKSUM, KC_PLACE_HEADER);

  // From here on the header is as it was written; the rest finds what a hostile writer wrote.
  if (form > kFormCompact) return fail(error, KC_ERROR_UNSUPPORTED, KC_PLACE_HEADER);
  if (count == 0) return fail(error, KC_ERROR_MALFORMED, KC_PLACE_HEADER);
  c->form = static_cast<Form>(form);
  // What a patch takes from its base costs it nothing.
  const uint64_t base = c->base_size < UINT64_MAX - size ? c->base_size : 0;
  if (c->original_size / kMaxExpansion > size + base) {
    if (error != nullptr) error->value = c->original_size;
    return fail(error, KC_ERROR_LIMIT, KC_PLACE_HEADER);
  }
  uint64_t at = in.position();
  for (size_t i = 0; i < c->sections.size(); ++i) {
    Span& span = c->sections[i];
    kc_place place = i == 0 ? KC_PLACE_SKELETON : KC_PLACE_DATA;
    uint32_t number = static_cast<uint32_t>(i);
    if (size - at < span.size || size - at - span.size < 4) {
      return fail(error, KC_ERROR_TRUNCATED, place, number);
    }
    span.offset = at;
    at += span.size + 4;
    if (source.memory() == nullptr) continue;
    span.data = source.memory() + span.offset;
    if (load32(span.data + span.size) != crc32c(0, span.data, span.size)) {
      return fail(error, KC_ERROR_CHECKSUM, place, number);
    }
  }
  if (at != size) return fail(error, KC_ERROR_TRAILING, KC_PLACE_WHOLE);
  if (c->form == kFormStored && (count != 1 || c->sections[0].size != c->original_size)) {
    return fail(error, KC_ERROR_MALFORMED, KC_PLACE_HEADER);
  }
  return KC_OK;
}

}  // namespace kc
