// What restoring takes with the models that mix predictions, as `benchmarks/decode_costs.py` measures it:
// nanoseconds a byte, on the machine that its results name.
#ifndef KC_DECODE_COSTS_H_
#define KC_DECODE_COSTS_H_

#include <stdint.h>

namespace kc {

// Of the byte model, and of the graph, which it codes.
constexpr uint64_t kByteModelCost = 1400;

// Of a tensor of this type; where its numbers choose between models, of the dearest.
inline uint64_t restoring_time(int32_t type) {
  switch (type) {
    case 0: return 100;  // float32
    case 1:
    case 18: return 200;  // float16, bfloat16
    case 2: return 60;    // int32
    case 3:
    case 9: return 350;  // uint8, int8
    case 17:
    case 20: return 400;  // int4, uint4
    case 19: return 500;  // int2
    default:
      return kByteModelCost;  // by the byte model: what has more than 256 values, is 64 bits long, or text
  }
}

// Of one that fast models restore, or where there are none, Huffman codes.
inline uint64_t fast_model_time(int32_t type) {
  switch (type) {
    case 0: return 25;  // float32
    case 1:
    case 18: return 32;  // float16, bfloat16
    case 2: return 20;   // int32
    case 3:
    case 9: return 43;  // uint8, int8
    case 17:
    case 20: return 77;   // int4, uint4
    case 19: return 110;  // int2
    default: return 3;
  }
}

}  // namespace kc

#endif  // KC_DECODE_COSTS_H_
