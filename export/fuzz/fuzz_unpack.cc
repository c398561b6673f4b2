// Any bytes as a packed file. Checksums are mended first, or nothing behind them would be reached.
#include "keras_compress.h"
#include "mended.h"

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
