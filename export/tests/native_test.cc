// The C interface as a caller in C would use it; with arguments, unpacks golden files.
#include "keras_compress.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <initializer_list>

#include "check.h"

namespace {

uint32_t state = 1;
uint32_t next_random() { return state = state * 1664525u + 1013904223u, state >> 8; }

void round_trip(const uint8_t* data, size_t size, int32_t codec) {
  kc_bytes packed = {nullptr, 0}, restored = {nullptr, 0};
  kc_error error;
  CHECK(kc_pack(data, size, codec, &packed, &error) == KC_OK);
  CHECK(packed.size <= size + 64);
  CHECK(kc_unpack(packed.data, packed.size, 0, &restored, &error) == KC_OK);
  CHECK(restored.size == size && (size == 0 || memcmp(restored.data, data, size) == 0));
  CHECK(kc_verify(packed.data, packed.size, size, &error) == KC_OK);
  uint64_t declared = 0;
  CHECK(kc_unpacked_size(packed.data, packed.size, &declared, &error) == KC_OK);
  CHECK(declared == size);
  if (size != 0) {
    size_t written = 0;
    CHECK(kc_unpack_into(packed.data, packed.size, restored.data, size - 1, &written, &error) ==
          KC_ERROR_LIMIT);
    CHECK(error.value == size);
    CHECK(kc_unpack_into(packed.data, packed.size, restored.data, size, &written, &error) == KC_OK);
    packed.data[packed.size - 1] ^= 1;
    CHECK(kc_unpack(packed.data, packed.size, 0, &restored, &error) == KC_ERROR_CHECKSUM);
    CHECK(error.place != KC_PLACE_NONE);
  }
  kc_free(&packed);
  kc_free(&restored);
}

// Every call that may be long ends as its flag asks, and works once more when it doesn't.
void stop_all(const uint8_t* data, size_t size) {
  for (int32_t codec = KC_CODEC_AUTO; codec <= KC_CODEC_SMALLEST; ++codec) {
    kc_bytes packed = {nullptr, 0}, out = {nullptr, 0};
    kc_error error;
    kc_summary summary;
    kc_file* file = nullptr;
    kc_source source = {};
    size_t written = 0;
    CHECK(kc_pack(data, size, codec, &packed, &error) == KC_OK);
    source.data = packed.data;
    source.size = packed.size;
    CHECK(kc_file_open(&source, 0, &file, &summary, &error) == KC_OK);
    uint8_t* room = static_cast<uint8_t*>(malloc(size));
    int32_t stop = 1;
    CHECK(kc_watch(&stop) == nullptr);
    CHECK(kc_pack(data, size, codec, &out, &error) == KC_ERROR_STOPPED);
    CHECK(kc_pack_patch(data, size, data, size / 2, &out, &error) == KC_ERROR_STOPPED);
    CHECK(kc_unpack(packed.data, packed.size, 0, &out, &error) == KC_ERROR_STOPPED);
    CHECK(kc_verify(packed.data, packed.size, 0, &error) == KC_ERROR_STOPPED);
    CHECK(kc_unpack_into(packed.data, packed.size, room, size, &written, &error) == KC_ERROR_STOPPED);
    CHECK(kc_file_section(file, 0, room, nullptr, &error) == KC_ERROR_STOPPED);
    CHECK(kc_file_read(file, size / 2, 9, room, &error) == KC_ERROR_STOPPED);
    CHECK(error.status == KC_ERROR_STOPPED && out.data == nullptr);
    CHECK(kc_watch(nullptr) == &stop);
    CHECK(kc_file_read(file, size / 2, 9, room, &error) == KC_OK);
    CHECK(memcmp(room, data + size / 2, 9) == 0);
    kc_file_close(file);
    kc_free(&packed);
    free(room);
  }
}

// Prints size and sum of what the file unpacks to; used to compare machines.
int unpack_file(const char* path) {
  FILE* file = fopen(path, "rb");
  CHECK(file != nullptr);
  static uint8_t data[1 << 20];
  size_t size = fread(data, 1, sizeof data, file);
  fclose(file);
  kc_bytes restored = {nullptr, 0};
  kc_error error;
  CHECK(kc_unpack(data, size, 0, &restored, &error) == KC_OK);
  uint64_t sum = 1469598103934665603ull;
  for (size_t i = 0; i < restored.size; ++i) sum = (sum ^ restored.data[i]) * 1099511628211ull;
  printf("%zu %016llx\n", restored.size, static_cast<unsigned long long>(sum));
  kc_free(&restored);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  for (int i = 1; i < count; ++i) unpack_file(arguments[i]);
  if (count > 1) return 0;
  CHECK(kc_abi_version() == KC_ABI_VERSION);
  static uint8_t data[5000];
  for (int32_t codec = KC_CODEC_AUTO; codec <= KC_CODEC_SMALLEST; ++codec) {
    for (size_t size : {size_t{0}, size_t{1}, size_t{33}, sizeof data}) {
      for (size_t i = 0; i < size; ++i) data[i] = static_cast<uint8_t>(next_random());
      round_trip(data, size, codec);
      for (size_t i = 0; i < size; ++i) data[i] = static_cast<uint8_t>(i / 7 % 13);
      round_trip(data, size, codec);
    }
  }
  stop_all(data, sizeof data);
  kc_bytes out;
  kc_error error;
  CHECK(kc_pack(nullptr, 5, 0, &out, &error) == KC_ERROR_ARGUMENT);
  CHECK(kc_pack(data, 5, 7, &out, &error) == KC_ERROR_ARGUMENT);
  CHECK(kc_unpack(nullptr, 0, 0, &out, &error) != KC_OK);
  for (int32_t s = -1; s < 20; ++s) CHECK(kc_status_message(s) != nullptr);
  for (uint32_t m = 0; m < 20; ++m) CHECK(kc_method_name(m) != nullptr);
  return 0;
}
