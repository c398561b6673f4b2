#include "noise.h"

#include "checksum.h"
#include "stop.h"

namespace kc {
namespace {

constexpr size_t kBlock = 1024;       // bytes that are judged at a time
constexpr size_t kEdge = 32;          // so, at both ends
constexpr size_t kMinStretch = 4096;  // a stretch's: an extent takes some bytes of the plan
constexpr size_t kMaxStretches = 1u << 10;
constexpr size_t kDistances[] = {1, 2, 3, 4, 8};

// Chi-squared of equal chances: 255 on average, 22.6 the deviation. What is above it would be saved, 0.72
// bits each, by a model that makes no mistake; one that learns loses some 0.015 bits a byte.
bool is_even(const uint32_t* counts, size_t total) {
  uint64_t squares = 0;
  for (size_t i = 0; i < 256; ++i) squares += static_cast<uint64_t>(counts[i]) * counts[i];
  return 256 * squares <= (static_cast<uint64_t>(total) + 400 + total / 50) * total;
}

bool bytes_are_even(const uint8_t* data, size_t size) {
  uint32_t counts[256] = {};
  for (size_t i = 0; i < size; ++i) ++counts[data[i]];
  return is_even(counts, size);
}

// Numbers that grow have all bytes equally often; their differences don't.
bool differences_are_even(const uint8_t* data, size_t size) {
  for (size_t distance : kDistances) {
    uint32_t counts[256] = {};
    for (size_t i = distance; i < size && !stopped_at(i); ++i)
      ++counts[static_cast<uint8_t>(data[i] - data[i - distance])];
    if (!is_even(counts, size - distance)) return false;
  }
  return true;
}

// Tells which stretches have bytes in common: one place in sixteen, chosen by its bytes, is remembered.
class Memory {
 public:
  bool init(size_t size) {
    bits_ = 12;
    while (bits_ < 22 && (static_cast<size_t>(1) << bits_) < size / 4) ++bits_;
    return words_.reset(static_cast<size_t>(1) << bits_) && owners_.reset(static_cast<size_t>(1) << bits_);
  }

  // Remembers the bytes of stretch `number`; are they known, then those of the `earlier` ones, too.
  bool add(const uint8_t* data, size_t size, uint32_t number, List<uint32_t>* earlier) {
    size_t places = 0;
    earlier->clear();
    for (size_t i = 0; i + 8 <= size && !stopped_at(i); ++i) {
      const uint32_t a = load32(data + i) * 0x9E3779B1u;
      if (a >> 28 != 0) continue;
      const uint32_t word = (a ^ load32(data + i + 4) * 0x85EBCA6Bu) | 1;
      const size_t place = word * 0xC2B2AE35u >> (32 - bits_);
      ++places;
      if (words_[place] == word && !earlier->push(owners_[place])) return false;
      words_[place] = word, owners_[place] = number;
    }
    if (earlier->size() * 64 <= places) earlier->clear();  // by chance
    return true;
  }

 private:
  Array<uint32_t> words_, owners_;
  int bits_ = 0;
};

class Finder {
 public:
  Finder(const uint8_t* data, List<Extent>* noise) : data_(data), noise_(noise) {}
  bool init(size_t size) { return memory_.init(size); }

  bool look(size_t first, size_t end) {
    size_t begun = first;
    for (size_t at = first; noise_->size() < kMaxStretches; at += kBlock) {
      if (stopped()) return false;
      const bool whole = at + kBlock <= end;
      if (whole && bytes_are_even(data_ + at, kBlock)) continue;
      if (at > begun && !take(begun, at, &first, end)) return false;
      if (!whole) break;
      begun = at + kBlock;
    }
    return true;
  }

 private:
  // A stretch, and what goes on like it on both sides, from `free` on, which moves behind it, and to `end`.
  bool take(size_t begun, size_t at, size_t* free, size_t end) {
    if (begun < *free) begun = *free;  // what the one before has taken of it
    if (at <= begun) return true;
    while (begun >= *free + kEdge && bytes_are_even(data_ + begun - kEdge, kEdge)) begun -= kEdge;
    while (at + kEdge <= end && bytes_are_even(data_ + at, kEdge)) at += kEdge;
    const size_t size = at - begun;
    const uint8_t* bytes = data_ + begun;
    if (size < kMinStretch || !bytes_are_even(bytes, size) || !differences_are_even(bytes, size)) return true;
    List<uint32_t> earlier;
    if (!memory_.add(bytes, size, static_cast<uint32_t>(noise_->size()), &earlier)) return false;
    Extent e;
    e.method = kMethodRaw;
    e.offset = e.place = begun;
    e.size = size;
    e.crc = crc32c(0, bytes, size);
    *free = at;
    if (!noise_->push(e)) return false;
    if (earlier.size() != 0) earlier.push(static_cast<uint32_t>(noise_->size() - 1));
    for (size_t i = 0; i < earlier.size(); ++i) (*noise_)[earlier[i]].size = 0;  // what stands twice
    return true;
  }

  const uint8_t* data_;
  List<Extent>* noise_;
  Memory memory_;
};

}  // namespace

bool find_noise(const uint8_t* data, size_t size, const List<kc_tensor>& tensors, List<Extent>* noise) {
  Finder finder(data, noise);
  if (!finder.init(size)) return false;
  size_t end = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const size_t first = static_cast<size_t>(tensors[i].offset);
    if (first > end && !finder.look(end, first)) return false;
    const size_t behind = first + static_cast<size_t>(tensors[i].size);
    end = behind > end ? behind : end;
  }
  if (!finder.look(end, size) || stopped()) return false;
  // What stands twice is left, all of it, to the models that find repeats.
  size_t kept = 0;
  for (size_t i = 0; i < noise->size(); ++i)
    if ((*noise)[i].size != 0) (*noise)[kept++] = (*noise)[i];
  while (noise->size() > kept) noise->pop();
  return true;
}

}  // namespace kc
