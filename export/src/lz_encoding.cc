#include "entropy.h"
#include "lz_coding.h"
#include "lz_model.h"
#include "lz_parser.h"
#include "section_parts.h"
#include "stop.h"

namespace kc {

uint32_t LzModel::price_p16(uint32_t p, int bit) { return 16 * 256 - log2_256(bit != 0 ? p : 65536 - p); }
uint32_t LzModel::price(uint32_t counter, int bit) { return price_p16(clamped(counter >> 16), bit); }

uint32_t LzModel::tree_price(const uint32_t* counters, int bits, uint32_t value) {
  uint32_t node = 1, sum = 0;
  for (int i = bits - 1; i >= 0; --i) {
    const int b = static_cast<int>(value >> i & 1);
    sum += price(counters[node], b);
    node = node * 2 + static_cast<uint32_t>(b);
  }
  return sum;
}

uint32_t LzModel::literal_price(const LzState& s, size_t place, const uint8_t* end, size_t have, int byte) {
  uint32_t node = 1, sum = 0;
  if (sure()) {
    const int guess = guessed_byte(s, place, end, have);
    if (guess >= 0) sum = price(*guess_counter(place), guess == byte);
    if (guess == byte) return sum;
  }
  const Literal c = literal_context(s, place, end, have);
  for (int i = 7; i >= 0; --i) {
    uint32_t* counters[kLiteralInputs];
    int16_t inputs[kLiteralInputs];
    const int b = byte >> i & 1;
    sum += price_p16(predict(c, node, i, counters, inputs), b);
    node = node * 2 + static_cast<uint32_t>(b);
  }
  return sum;
}

uint32_t LzModel::rep_price(const LzState& s, int number, bool byte) const {
  const uint32_t* rep = &reps_[s.kinds * 4];
  uint32_t sum = price(rep[0], 1) + price(rep[1], number > 0);
  if (number == 0) return sum + price(bytes_[s.kinds], byte);
  sum += price(rep[2], number > 1);
  return number > 1 ? sum + price(rep[3], number > 2) : sum;
}

uint32_t LzModel::length_price(size_t set, uint32_t value) const {
  const LzClass c(value);
  const int modelled = c.extra < 4 ? c.extra : 4;
  const uint32_t rest = (value & ((1u << c.extra) - 1)) >> (c.extra - modelled);
  return tree_price(&lengths_[set * 64], 6, c.number) +
         tree_price(&length_bits_[(set * 64 + c.number) * 16], modelled, rest) +
         256u * static_cast<uint32_t>(c.extra - modelled);
}

uint32_t LzModel::distance_class_price(uint32_t length, uint32_t number) const {
  return tree_price(&distances_[(length < 3 ? length : 3) * 64], 6, number);
}

uint32_t LzModel::distance_bits_price(uint32_t distance) const {
  const uint32_t value = distance - 1;
  const LzClass c(value);
  const uint32_t rest = value & ((1u << c.extra) - 1);
  if (c.number < kFullyModelled) return tree_price(&distance_bits_[c.number * 64], c.extra, rest);
  uint32_t node = 1, sum = 256u * static_cast<uint32_t>(c.extra - kAligned);
  for (int i = 0; i < kAligned; ++i) {
    const int b = static_cast<int>(rest >> i & 1);
    sum += price(aligned_[node], b);
    node = node * 2 + static_cast<uint32_t>(b);
  }
  return sum;
}

namespace {

constexpr int kDepth = 64;  // earlier places that are looked at

}  // namespace

bool lz_encode_modelled(const Bytes& history, size_t start, Bytes* out) {
  LzModel model;
  LzParser<LzModel> parser(history.data(), history.size(), &model);
  if (!model.init() || !parser.init(start, kDepth)) return false;
  RangeEncoder coder(out);
  LzState state;
  List<LzStep> steps;
  for (size_t at = start; at < history.size();) {
    if (stopped() || !parser.block(at, state, &steps)) return false;
    for (size_t k = 0; k < steps.size(); ++k) {
      LzStep step = steps[k];
      const bool is_match = step.distance != 0;
      model.code_kind(&coder, state, is_match);
      if (is_match) {
        model.code_match(&coder, &state, &step);
      } else {
        model.code_literal(&coder, state, at, history.data() + at, at, history.data()[at]);
        state.literal();
      }
      at += step.length;
    }
  }
  coder.finish();
  return !out->failed();
}

bool encode_lz_section(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out) {
  Bytes bytes;
  each_extent(*plan, number, [&](const Extent& e) {
    bytes.append(original + e.offset, static_cast<size_t>(e.size));
    return true;
  });
  const size_t before = out->size();
  if (bytes.failed() || !lz_encode_modelled(bytes, 0, out)) return false;
  each_extent(*plan, number, [&](Extent& e) {
    e.coded_bits = 8 * (out->size() - before) * e.size / bytes.size();  // its share
    return true;
  });
  return true;
}

}  // namespace kc
