// The frame of a packed file: header, table of sections, checksums.
#ifndef KC_CONTAINER_H_
#define KC_CONTAINER_H_

#include "keras_compress.h"
#include "plan.h"
#include "source.h"

namespace kc {

constexpr uint8_t kMagic[4] = {0x89, 'K', 'C', 'Z'};
constexpr uint32_t kFormatVersion = 1;
constexpr size_t kLargestCompact = 1u << 16;             // bytes of a compact file
constexpr size_t kLongestCompactHeader = 64 + 3 * 2048;  // of up to 2048 sections
// A packed byte stands for at most so many original ones, so a tiny file can't ask for the world.
constexpr uint64_t kMaxExpansion = 1u << 20;

enum Form : uint8_t {
  kFormStored = 0,    // one section: the original as it is
  kFormModelled = 1,  // a skeleton section and data sections
  kFormPatch = 2,     // the same, beside a base file
  kFormCompact = 3,   // as modelled, with one checksum for all: for small files
};

struct Span {
  const uint8_t* data = nullptr;  // null: not in memory
  size_t size = 0;
  uint64_t offset = 0;  // in the file
};

struct Container {
  Form form = kFormStored;
  uint64_t original_size = 0;
  uint32_t original_crc = 0;
  uint64_t base_size = 0;  // patches: the file they are made for
  uint32_t base_crc = 0;
  List<Span> sections;
};

// Checks header and lengths, and of a source in memory the checksums of all sections, before
// anything is allocated for the data. From elsewhere sections come with `data` null.
int32_t read_frame(const Source& source, Container* container, kc_error* error);

// Calls `written` behind each section of a file that isn't compact: its payload isn't needed any more.
void write_container(const Container& container, Bytes* out, void (*written)(void*, uint32_t) = nullptr,
                     void* context = nullptr);

kc_status status_of(Decoded result);

int32_t fail(kc_error* error, kc_status status, kc_place place, uint32_t section = 0);

}  // namespace kc

#endif  // KC_CONTAINER_H_
