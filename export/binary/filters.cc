#include "filters.h"

#include "image.h"

namespace kc {
namespace binary {

void arrange_filters(const Geometry& g, const Kernels& kernels, const uint8_t* weights, uint32_t* out) {
  const int32_t inputs = group_inputs(g), count = group_filters(g), words = words_of(inputs);
  const int32_t lanes = kernels.block, pairs = row_pairs(g), padded = padded_filters(g, kernels);
  for (int32_t o = 0; o < g.out_c; ++o) {
    const int32_t group = o / count, filter = o % count;
    uint32_t* block =
        out + (static_cast<size_t>(group) * padded + filter / lanes * lanes) * pairs * 2 + filter % lanes;
    size_t bit = static_cast<size_t>(o) * taps(g) * inputs;
    for (int32_t t = 0; t < taps(g); ++t) {
      for (int32_t i = 0; i < inputs; ++i, ++bit) {
        if (bit_at(weights, bit)) {
          block[static_cast<size_t>(t * words + i / 32) * lanes] |= 1u << i % 32;
        }
      }
    }
    if (!kernels.carries) continue;
    for (int32_t k = 0; k < pairs; ++k) {
      uint32_t* pair = block + static_cast<size_t>(2 * k) * lanes;
      pair[lanes] ^= pair[0];
    }
  }
}

}  // namespace binary
}  // namespace kc
