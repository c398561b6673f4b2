// Any bytes as a packed file. Checksums are mended first, or nothing behind them would be reached.
#include "checksum.h"
#include "keras_compress.h"
#include "container.h"

namespace {

// Writes right checksums wherever the header leads to a place for one.
void mend(kc::Bytes* file) {
  kc::Reader in(file->data(), file->size());
  in.take(6);
  in.varint();
  in.u32();
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kc::Bytes file;
  file.append(data, size);
  mend(&file);
  kc_bytes out = {nullptr, 0};
  kc_error error;
  // A small limit: slow models over long originals would leave few executions a second.
  if (kc_unpack(file.data(), file.size(), 1 << 12, &out, &error) == KC_OK) kc_free(&out);
  return 0;
}
