// A growable array of bytes on malloc: the library uses no C++ runtime, so it brings its own.
#ifndef KC_BYTES_H_
#define KC_BYTES_H_

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

namespace kc {

// The app for phones is compiled for size: there some tables are shorter, and some loops slower.
#ifdef __OPTIMIZE_SIZE__
constexpr bool kForSize = true;
#else
constexpr bool kForSize = false;
#endif

// Running out of memory is remembered in `failed` and checked once at the end of a step, so the
// coders need no error path for every byte.
class Bytes {
 public:
  Bytes() = default;
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  ~Bytes() { free(data_); }

  const uint8_t* data() const { return data_; }
  uint8_t* data() { return data_; }
  size_t size() const { return size_; }
  bool failed() const { return failed_; }
  void clear() { size_ = 0; }
  void shrink(size_t size) { size_ = size < size_ ? size : size_; }

  // Room for `count` more, so that a long series of appends moves nothing.
  void reserve(size_t count) { reserve_more(count); }
  void drop() {
    free(data_);
    data_ = nullptr;
    size_ = capacity_ = 0;
  }

  void push(uint8_t byte) {
    if (size_ == capacity_ && !grow(size_ + 1)) return;
    data_[size_++] = byte;
  }

  void append(const void* source, size_t count) {
    if (count == 0 || !reserve_more(count)) return;
    memcpy(data_ + size_, source, count);
    size_ += count;
  }

  // Grows by `count` zero bytes; null when memory ran out.
  uint8_t* extend(size_t count) {
    if (!reserve_more(count)) return nullptr;
    uint8_t* start = data_ + size_;
    if (count != 0) memset(start, 0, count);
    size_ += count;
    return start;
  }

  void varint(uint64_t value) {
    while (value >= 0x80) {
      push(static_cast<uint8_t>(value | 0x80));
      value >>= 7;
    }
    push(static_cast<uint8_t>(value));
  }

  void u32(uint32_t value) {
    for (int i = 0; i < 4; ++i) push(static_cast<uint8_t>(value >> (8 * i)));
  }

  // Hands the memory to the caller, who frees it.
  uint8_t* release() {
    uint8_t* data = data_;
    data_ = nullptr;
    size_ = capacity_ = 0;
    return data;
  }

  void swap(Bytes& other) {
    uint8_t* data = data_;
    size_t size = size_, capacity = capacity_;
    bool failed = failed_;
    data_ = other.data_, size_ = other.size_, capacity_ = other.capacity_, failed_ = other.failed_;
    other.data_ = data, other.size_ = size, other.capacity_ = capacity, other.failed_ = failed;
  }

 private:
  bool reserve_more(size_t count) {
    if (count > SIZE_MAX / 2 - size_) return failed_ = true, false;
    return size_ + count <= capacity_ || grow(size_ + count);
  }

  bool grow(size_t wanted) {
    size_t capacity = capacity_ + capacity_ / 2 + 64;
    if (capacity < wanted) capacity = wanted;
    void* data = realloc_copy(capacity);
    if (data == nullptr) return failed_ = true, false;
    data_ = static_cast<uint8_t*>(data);
    capacity_ = capacity;
    return true;
  }

  void* realloc_copy(size_t capacity) {
    void* data = malloc(capacity);
    if (data == nullptr) return nullptr;
    if (size_ != 0) memcpy(data, data_, size_);
    free(data_);
    return data;
  }

  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
  bool failed_ = false;
};

// A plain array of T on malloc, zeroed; `ok()` says whether memory was there.
template <typename T>
class Array {
 public:
  Array() = default;
  explicit Array(size_t count) { reset(count); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { free(data_); }

  bool reset(size_t count) {
    free(data_);
    data_ = nullptr;
    size_ = 0;
    if (count > SIZE_MAX / 2 / sizeof(T)) return false;
    // Of large tables only the parts that are used come into memory.
    data_ = static_cast<T*>(calloc(count * sizeof(T) + 1, 1));
    if (data_ == nullptr) return false;
    size_ = count;
    return true;
  }

  bool ok() const { return data_ != nullptr; }
  size_t size() const { return size_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

// An array of T that grows by one; `push` is false when memory ran out.
template <typename T>
class List {
 public:
  List() = default;
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() { free(data_); }

  bool push(const T& value) {
    if (size_ == capacity_) {
      size_t capacity = capacity_ * 2 + 16;
      T* data = static_cast<T*>(malloc(capacity * sizeof(T)));
      if (data == nullptr) return false;
      if (size_ != 0) memcpy(static_cast<void*>(data), data_, size_ * sizeof(T));
      free(data_);
      data_ = data;
      capacity_ = capacity;
    }
    data_[size_++] = value;
    return true;
  }

  void clear() { size_ = 0; }
  void pop() { --size_; }
  size_t size() const { return size_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// Reads from a span that may be hostile: past the end it yields zeros and remembers `bad`.
class Reader {
 public:
  Reader(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool bad() const { return bad_; }
  size_t position() const { return position_; }
  size_t left() const { return size_ - position_; }
  const uint8_t* here() const { return data_ + position_; }

  uint8_t byte() {
    if (position_ >= size_) return bad_ = true, static_cast<uint8_t>(0);
    return data_[position_++];
  }

  uint32_t u32() {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value |= static_cast<uint32_t>(byte()) << (8 * i);
    return value;
  }

  // At most ten bytes, and the shortest form only: one number has one spelling.
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t next = byte();
      if (shift == 63 && next > 1) break;
      value |= static_cast<uint64_t>(next & 0x7F) << shift;
      if ((next & 0x80) == 0) {
        if (next == 0 && shift != 0) break;
        return value;
      }
    }
    bad_ = true;
    return 0;
  }

  const uint8_t* take(size_t count) {
    if (count > left()) return bad_ = true, nullptr;
    const uint8_t* start = here();
    position_ += count;
    return start;
  }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t position_ = 0;
  bool bad_ = false;
};

inline uint32_t load32(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 | static_cast<uint32_t>(p[2]) << 16 |
         static_cast<uint32_t>(p[3]) << 24;
}
inline uint32_t load16(const uint8_t* p) { return static_cast<uint32_t>(p[0]) | p[1] << 8; }
inline void store32(uint8_t* p, uint32_t v) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(v >> (8 * i));
}

}  // namespace kc

#endif  // KC_BYTES_H_
