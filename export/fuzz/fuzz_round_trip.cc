// Packs any bytes with each codec and wants them back.
#include <string.h>

#include "keras_compress.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  kc_bytes packed = {nullptr, 0}, restored = {nullptr, 0};
  kc_error error;
  const int32_t codec = data[0] % 4;
  ++data, --size;
  if (kc_pack(data, size, codec, &packed, &error) != KC_OK || packed.size > size + 64) {
    __builtin_trap();
  }
  if (kc_unpack(packed.data, packed.size, 0, &restored, &error) != KC_OK || restored.size != size ||
      (size != 0 && memcmp(restored.data, data, size) != 0)) {
    __builtin_trap();
  }
  kc_free(&packed);
  kc_free(&restored);
  return 0;
}
