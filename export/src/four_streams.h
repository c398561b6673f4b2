// Huffman codes in four streams, each of a quarter of an extent's elements.
#ifndef KC_FOUR_STREAMS_H_
#define KC_FOUR_STREAMS_H_

#include "huffman.h"

namespace kc {

constexpr int kStreams = 4;

struct Part {  // of the elements
  size_t first, end;
};

inline Part part(size_t count, int stream) {
  size_t each = (count + kStreams - 1) / kStreams;
  size_t first = each * static_cast<size_t>(stream), end = first + each;
  return {first < count ? first : count, end < count ? end : count};
}

inline void write_streams(Bytes* streams, Bytes* out) {
  for (int s = 0; s < kStreams; ++s) out->varint(streams[s].size());
  for (int s = 0; s < kStreams; ++s) out->append(streams[s].data(), streams[s].size());
}

inline bool read_streams(Reader* in, HuffmanStream* streams) {
  uint64_t sizes[kStreams];
  for (uint64_t& size : sizes) size = in->varint();
  for (int s = 0; s < kStreams; ++s) {
    if (in->bad() || sizes[s] > in->left()) return false;
    const uint8_t* bytes = in->take(static_cast<size_t>(sizes[s]));
    streams[s] = HuffmanStream(bytes, static_cast<size_t>(sizes[s]));
  }
  return true;
}

}  // namespace kc

#endif  // KC_FOUR_STREAMS_H_
