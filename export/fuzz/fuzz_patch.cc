// A patch between two parts of the input restores the second; with some of its bytes changed, and
// its checksums mended, it restores anything or nothing.
#include <string.h>

#include "keras_compress.h"
#include "mended.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Head: number of changes, size of the base, to the byte, or few bases would be models; changes.
  if (size < 3) return 0;
  const size_t changes = data[0] % 8, base_size = kc::load16(data + 1);
  data += 3, size -= 3;
  if (size < 3 * changes) return 0;
  const uint8_t* change = data;
  data += 3 * changes, size -= 3 * changes;
  const uint8_t* base = data;
  const size_t first = base_size < size ? base_size : size;
  const uint8_t* wanted = data + first;
  const size_t wanted_size = size - first;

  kc_bytes packed = {nullptr, 0};
  kc_error error;
  if (kc_pack_patch(wanted, wanted_size, base, first, &packed, &error) != KC_OK) __builtin_trap();
  kc::Bytes file;
  file.append(packed.data, packed.size);
  kc_free(&packed);
  for (size_t i = 0; i < changes; ++i) {
    file.data()[kc::load16(change + 3 * i) % file.size()] = change[3 * i + 2];
  }
  if (changes != 0) mend(&file);

  kc_source source;
  memset(&source, 0, sizeof source);
  source.data = file.data();
  source.size = file.size();
  kc_file* opened = nullptr;
  kc_summary summary;
  kc::Bytes restored;
  int32_t status = kc_file_open_patch(&source, base, first, 1 << 14, &opened, &summary, &error);
  if (status == KC_OK) {
    restored.extend(static_cast<size_t>(summary.original_size) + 1);
    for (uint32_t s = 0; s < summary.sections && status == KC_OK; ++s) {
      status = kc_file_section(opened, s, restored.data(), nullptr, &error);
    }
    if (status == KC_OK) status = kc_file_finish(opened, &error);
    kc_file_close(opened);
  }
  if (changes == 0 && (status != KC_OK || summary.original_size != wanted_size ||
                       memcmp(restored.data(), wanted, wanted_size) != 0)) {
    __builtin_trap();
  }
  return 0;
}
