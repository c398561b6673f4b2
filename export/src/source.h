// Where a packed file's bytes come from: memory, or a caller's function that reads pieces of it.
#ifndef KC_SOURCE_H_
#define KC_SOURCE_H_

#include "bytes.h"
#include "keras_compress.h"

namespace kc {

class Source {
 public:
  Source() = default;
  Source(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  explicit Source(const kc_source& from)
      : data_(from.data), size_(from.size), read_(from.read), context_(from.context) {}

  uint64_t size() const { return size_; }
  const uint8_t* memory() const { return data_; }
  bool usable() const { return data_ != nullptr || read_ != nullptr || size_ == 0; }

  // Sets `data` to the `size` bytes from `offset` on, which must lie in the file: where they are,
  // or read into `own`.
  kc_status take(uint64_t offset, size_t size, Bytes* own, const uint8_t** data) const {
    if (data_ != nullptr) {
      *data = data_ + offset;
      return KC_OK;
    }
    own->clear();
    uint8_t* to = own->extend(size + 1);  // never null, and never of no bytes
    if (to == nullptr) return KC_ERROR_MEMORY;
    *data = to;
    return size == 0 || read_(context_, offset, to, size) == 0 ? KC_OK : KC_ERROR_CALLER;
  }

 private:
  const uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
  int32_t (*read_)(void*, uint64_t, uint8_t*, size_t) = nullptr;
  void* context_ = nullptr;
};

}  // namespace kc

#endif  // KC_SOURCE_H_
