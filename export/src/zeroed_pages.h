// Zeroed memory of which only the pages that are written to exist.
#ifndef KC_ZEROED_PAGES_H_
#define KC_ZEROED_PAGES_H_

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#define KC_HAS_MMAP 1
#endif

namespace kc {

// What `calloc` gives may be memory that was used before, all of which it has to clear: from the
// system it comes page by page.
class ZeroedPages {
 public:
  explicit ZeroedPages(size_t size) : size_(size) {
#ifdef KC_HAS_MMAP
    void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages != MAP_FAILED) data_ = static_cast<uint8_t*>(pages);
#else
    data_ = static_cast<uint8_t*>(calloc(size, 1));
#endif
  }
  ~ZeroedPages() {
#ifdef KC_HAS_MMAP
    if (data_ != nullptr) munmap(data_, size_);
#else
    free(data_);
#endif
  }
  ZeroedPages(const ZeroedPages&) = delete;
  ZeroedPages& operator=(const ZeroedPages&) = delete;

  uint8_t* data() { return data_; }  // null: there is no memory

 private:
  size_t size_;
  uint8_t* data_ = nullptr;
};

}  // namespace kc

#endif  // KC_ZEROED_PAGES_H_
