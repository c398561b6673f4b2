// The parts of a context-mixing model: logistic tables, adaptive counters, mixers.
// Integers only, so that every machine computes the same probabilities.
#ifndef KC_MIXING_H_
#define KC_MIXING_H_

#include "bytes.h"
#include "stop.h"

namespace kc {

// The logistic domain: 256 units are one nat, from -kLogistic to +kLogistic.
constexpr int kLogistic = 2815;

// 65536 / (1 + exp(-x)) at x = 0, 0.25, 0.5 ... 11.25 nats; straight lines between.
constexpr int kSquashAnchors[46] = {32768, 36843, 40793, 44511, 47911, 50941, 53581, 55834, 57724, 59287,
                                    60565, 61598, 62428, 63090, 63615, 64030, 64357, 64614, 64816, 64974,
                                    65097, 65194, 65269, 65328, 65374, 65410, 65438, 65459, 65476, 65489,
                                    65500, 65508, 65514, 65519, 65523, 65526, 65528, 65530, 65531, 65532,
                                    65533, 65534, 65534, 65535, 65535, 65535};

struct LogisticTables {
  uint16_t squash[2 * kLogistic + 1];
  int16_t stretch[4096];
};

// Made when the library is loaded: in the file they would take 19 KB.
inline LogisticTables make_logistic() {
  LogisticTables t{};
  for (int x = 0; x <= kLogistic; ++x) {
    int a = kSquashAnchors[x >> 6], b = kSquashAnchors[(x >> 6) + 1];
    int p = a + (((b - a) * (x & 63) + 32) >> 6);
    if (p > 65535) p = 65535;
    t.squash[kLogistic + x] = static_cast<uint16_t>(p);
    t.squash[kLogistic - x] = static_cast<uint16_t>(65536 - p);
  }
  int x = 0;
  for (int i = 0; i < 4096; ++i) {
    // The smallest x whose squash reaches the middle of this step of 16.
    while (x < 2 * kLogistic && t.squash[x] < i * 16 + 8) ++x;
    t.stretch[i] = static_cast<int16_t>(x - kLogistic);
  }
  return t;
}

extern const LogisticTables kTables;

inline int stretch(uint32_t p16) { return kTables.stretch[p16 >> 4]; }
inline uint32_t squash(int x) {
  if (x > kLogistic) x = kLogistic;
  if (x < -kLogistic) x = -kLogistic;
  return kTables.squash[x + kLogistic];
}

// 65536 / (n + 1.5), the step of a counter that has seen n bits.
struct StepTable {
  static constexpr uint32_t kTrusts = kForSize ? 96 : 1024;  // from 94 on they are all 63

  uint16_t at[1024];
  uint8_t trust[kTrusts];  // how much of the stretched probability goes into the mix, in 1/64
};
extern const StepTable kSteps;

// A counter: probability of a 1 in the upper 22 bits, number of bits seen in the lower 10.
constexpr uint32_t kFreshCounter = 1u << 31;

inline uint32_t counter_p16(uint32_t c) { return c >> 16; }
inline int counter_input(uint32_t c) {
  const uint32_t n = c & 1023;
  return stretch(c >> 16) * kSteps.trust[kForSize && n >= StepTable::kTrusts ? StepTable::kTrusts - 1 : n] >>
         6;
}

inline uint32_t moved_counter(uint32_t c, int bit, uint32_t limit) {
  const uint32_t n = c & 1023;
  const int64_t target = static_cast<int64_t>((0 - static_cast<uint64_t>(bit)) >> 42);
  const int64_t moved = (target - static_cast<int64_t>(c >> 10)) * kSteps.at[n];
  // Probability and number grow by one sum; the last of it is 1 below the limit.
  return c + (static_cast<uint32_t>(moved >> 6) & ~1023u) + ((n - limit) >> 31);
}
inline void update_counter(uint32_t* c, int bit, uint32_t limit) { *c = moved_counter(*c, bit, limit); }

// One set of weights a selector value; `dot` mixes in the logistic domain, `learn` moves the
// weights of the chosen set against the coding error. Factors have 16 bits and products 32, which
// compilers turn into vector code; sensible weights, within 8 either way, keep to them.
template <int kInputs>
class MixerSet {
 public:
  bool reset(size_t sets, int32_t first_weight) {
    if (!weights_.reset(sets * kInputs)) return false;
    for (size_t i = 0; i < sets * kInputs; ++i) weights_[i] = first_weight;
    return true;
  }

  int dot(const int16_t* inputs, size_t set) {
    chosen_ = weights_.data() + set * kInputs;
    int32_t sum = 0;
    for (int i = 0; i < kInputs; ++i) {
      sum += static_cast<int32_t>(inputs[i]) * static_cast<int16_t>(chosen_[i] >> 4);
    }
    int x = sum >> 12;
    if (x > kLogistic) x = kLogistic;
    if (x < -kLogistic) x = -kLogistic;
    output_ = x;
    return x;
  }

  // `rate` is at most 100.
  void learn(const int16_t* inputs, int bit, int rate) {
    const int16_t error =
        static_cast<int16_t>((((bit << 16) - static_cast<int>(squash(output_))) * rate) >> 8);
    for (int i = 0; i < kInputs; ++i) {
      uint32_t moved = static_cast<uint32_t>((static_cast<int32_t>(inputs[i]) * error + (1 << 11)) >> 12);
      chosen_[i] = static_cast<int32_t>(static_cast<uint32_t>(chosen_[i]) + moved);
    }
  }

 private:
  Array<int32_t> weights_;
  int32_t* chosen_ = nullptr;
  int output_ = 0;
};

// An adaptive probability map: corrects a probability by what happened before at about this
// probability in this context.
class Apm {
 public:
  static constexpr int kSteps = 45;  // 128 apart

  bool reset(size_t contexts) {
    if (!table_.reset(contexts * kSteps)) return false;
    for (size_t i = 0; i < contexts; ++i)
      for (int j = 0; j < kSteps; ++j) {
        table_[i * kSteps + j] = static_cast<uint16_t>(squash((j - 22) * 128) - (j == kSteps - 1));
      }
    return true;
  }

  // Ahead of `refine`: a context's probabilities lie in two lines of the cache.
  void fetch(size_t context) const {
    const uint16_t* row = table_.data() + context * kSteps;
    __builtin_prefetch(row + 8, 1);
    __builtin_prefetch(row + kSteps - 8, 1);
  }

  uint32_t refine(int stretched, size_t context) {
    int x = stretched + 2816;
    int low = x >> 7, weight = x & 127;
    index_ = context * kSteps + static_cast<size_t>(low) + (weight >= 64 ? 1 : 0);
    size_t base = context * kSteps + static_cast<size_t>(low);
    return (table_[base] * static_cast<uint32_t>(128 - weight) +
            table_[base + 1] * static_cast<uint32_t>(weight)) >>
           7;
  }

  void learn(int bit, int shift) {
    uint16_t& p = table_[index_];
    const int up = -bit & 65535;  // (65535 - p) >> shift upwards, p >> shift downwards
    p = static_cast<uint16_t>(p + (((p ^ up) >> shift) ^ -(1 - bit)) + (1 - bit));
  }

 private:
  Array<uint16_t> table_;
  size_t index_ = 0;
};

inline uint32_t clamp_p16(uint32_t p) { return p < 1 ? 1 : (p > 65535 ? 65535 : p); }

// Lets go of what a counter has seen beyond `max` bits: it soon learns something else.
inline uint32_t weakened_counter(uint32_t c, uint32_t max) {
  return (c & 1023) > max ? (c & ~1023u) | max : c;
}

inline bool fill_fresh(Array<uint32_t>* counters) {
  for (size_t i = 0; i < counters->size(); ++i) (*counters)[i] = kFreshCounter;
  return true;
}

// A bit by one counter alone.
template <typename Coder>
int code_by_counter(Coder* coder, uint32_t* counter, int bit, uint32_t limit) {
  bit = coder->code(bit, clamp_p16(counter_p16(*counter)));
  update_counter(counter, bit, limit);
  return bit;
}

}  // namespace kc

#endif  // KC_MIXING_H_
