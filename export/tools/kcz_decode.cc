// Unpacks a file with the bare library: what the cross-compiled checks run under an emulator.
//
//   kcz_decode PACKED [OUT]      exit code 1: damaged, 2: a file can't be read or written
#include <stdio.h>
#include <stdlib.h>

#include "keras_compress.h"

int main(int argc, char** argv) {
  FILE* file = argc < 2 ? nullptr : fopen(argv[1], "rb");
  if (file == nullptr || fseek(file, 0, SEEK_END) != 0) return 2;
  const long size = ftell(file);
  if (size < 0 || fseek(file, 0, SEEK_SET) != 0) return 2;
  uint8_t* packed = static_cast<uint8_t*>(malloc(static_cast<size_t>(size) + 1));
  if (packed == nullptr || fread(packed, 1, static_cast<size_t>(size), file) != static_cast<size_t>(size)) {
    return 2;
  }
  fclose(file);
  kc_bytes out = {nullptr, 0};
  kc_error error;
  const int32_t status = kc_unpack(packed, static_cast<size_t>(size), 0, &out, &error);
  free(packed);
  if (status != KC_OK) {
    fprintf(stderr, "%s (%s %u)\n", kc_status_message(status), kc_place_name(error.place), error.section);
    return 1;
  }
  if (argc > 2) {
    file = fopen(argv[2], "wb");
    if (file == nullptr || fwrite(out.data, 1, out.size, file) != out.size || fclose(file) != 0) return 2;
  }
  kc_free(&out);
  return 0;
}
