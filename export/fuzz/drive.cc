// Stands in for libFuzzer where the compiler has none: runs a target for some seconds over changed
// files and made-up bytes, the same ones for the same seed.
//
//   fuzz_TARGET SECONDS SEED [FILES...]
#include <stdio.h>
#include <time.h>

#include "bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kLongest = 4096;

uint64_t state = 1;

uint32_t next(uint32_t below) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return static_cast<uint32_t>(state >> 32) % below;
}

// Small numbers are the ones that pass as counts and lengths.
uint8_t any_byte() {
  const uint8_t byte = static_cast<uint8_t>(next(256));
  return next(3) == 0 ? byte & 15 : byte;
}

void change(kc::Bytes* input) {
  for (uint32_t changes = 1 + next(6); changes > 0 && input->size() != 0; --changes) {
    const size_t at = next(static_cast<uint32_t>(input->size()));
    switch (next(4)) {
      case 0: input->data()[at] = any_byte(); break;
      case 1: input->data()[at] ^= static_cast<uint8_t>(1u << next(8)); break;
      case 2: input->shrink(at + 1); break;
      default:
        if (input->size() < kLongest) input->push(any_byte());
    }
  }
}

void read(const char* path, kc::Bytes* out) {
  FILE* file = fopen(path, "rb");
  if (file == nullptr) return;
  uint8_t piece[kLongest];
  out->append(piece, fread(piece, 1, sizeof piece, file));
  fclose(file);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return fprintf(stderr, "SECONDS SEED [FILES...]\n"), 2;
  const time_t end = time(nullptr) + atol(arguments[1]);
  state = static_cast<uint64_t>(atol(arguments[2])) * 0x9E3779B97F4A7C15u + 1;
  unsigned long runs = 0;
  for (; time(nullptr) < end; ++runs) {
    kc::Bytes input;
    if (count > 3 && next(2) == 0) {
      read(arguments[3 + next(static_cast<uint32_t>(count - 3))], &input);
    } else {
      for (uint32_t size = next(next(4) == 0 ? 400 : 60); size > 0; --size) input.push(any_byte());
    }
    change(&input);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  printf("%lu\n", runs);
  return runs == 0 ? 1 : 0;
}
