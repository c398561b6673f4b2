// Writes right checksums into a packed file wherever its header leads to a place for one: without
// them nothing behind the checks would be reached.
#ifndef KC_FUZZ_MENDED_H_
#define KC_FUZZ_MENDED_H_

#include "bytes.h"
#include "checksum.h"
#include "container.h"

inline void mend(kc::Bytes* file) {
  kc::Reader in(file->data(), file->size());
  in.take(5);
  const uint8_t form = in.byte();
  in.varint();
  in.u32();
  if (form == kc::kFormPatch) in.varint(), in.u32();
  if (form == kc::kFormCompact && file->size() >= 4) {
    const size_t end = file->size() - 4;
    kc::store32(file->data() + end, kc::crc32c(0, file->data(), end));
    return;
  }
  uint64_t count = in.varint(), lengths[64] = {};
  if (count > 64) return;
  for (uint64_t i = 0; i < count; ++i) lengths[i] = in.varint();
  if (in.bad() || in.left() < 4) return;
  kc::store32(file->data() + in.position(), kc::crc32c(0, file->data(), in.position()));
  in.take(4);
  for (uint64_t i = 0; i < count; ++i) {
    if (lengths[i] > in.left() || in.left() - lengths[i] < 4) return;
    uint32_t crc = kc::crc32c(0, in.here(), static_cast<size_t>(lengths[i]));
    in.take(static_cast<size_t>(lengths[i]));
    kc::store32(file->data() + in.position(), crc);
    in.take(4);
  }
}

#endif  // KC_FUZZ_MENDED_H_
