#include "rules.h"

namespace kc {
namespace {

float load_float(const uint8_t* p) {
  uint32_t bits = load32(p);
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

bool usual(uint32_t bits) {
  uint32_t exponent = bits >> 23 & 255;
  return exponent != 0 && exponent != 255;
}

// The sources are final when a rule is turned back: rules go in order, and the packer turns them
// in the opposite order.
uint32_t product(const Rule& rule, const uint8_t* skeleton, uint64_t i) {
  const uint8_t* weights = skeleton + rule.weights + 4 * (rule.weights_single ? 0 : i);
  float predicted = load_float(skeleton + rule.input) * load_float(weights);
  uint32_t bits;
  memcpy(&bits, &predicted, 4);
  // Not-a-numbers and subnormal values depend on the machine and its modes: nothing is predicted.
  return usual(load32(skeleton + rule.input)) && usual(load32(weights)) && usual(bits) ? bits : 0;
}

void turn_rule(const Rule& rule, uint8_t* skeleton) {
  for (uint64_t i = 0; i < rule.count; ++i) {
    uint8_t* at = skeleton + rule.target + 4 * i;
    store32(at, load32(at) ^ product(rule, skeleton, i));
  }
}

bool inside(uint64_t start, uint64_t count, size_t size) {
  return start <= size && (size - start) / 4 >= count;
}

bool meet(uint64_t a, uint64_t a_count, uint64_t b, uint64_t b_count) {
  return a < b + 4 * b_count && b < a + 4 * a_count;
}

}  // namespace

bool check_rule(const Rule& r, size_t skeleton_size, uint64_t* free_from) {
  uint64_t weights = r.weights_single ? 1 : r.count;
  if (!inside(r.target, r.count, skeleton_size) || !inside(r.weights, weights, skeleton_size) ||
      !inside(r.input, 1, skeleton_size) || r.count == 0 || r.target < *free_from ||
      meet(r.target, r.count, r.weights, weights) || meet(r.target, r.count, r.input, 1)) {
    return false;
  }
  *free_from = r.target + 4 * r.count;
  return true;
}

bool check_rules(const Plan& plan, size_t skeleton_size) {
  uint64_t free_from = 0;
  for (size_t i = 0; i < plan.rules.size(); ++i) {
    if (!check_rule(plan.rules[i], skeleton_size, &free_from)) return false;
  }
  return true;
}

uint64_t rule_hits(const Rule& rule, const uint8_t* skeleton, size_t skeleton_size) {
  uint64_t weights = rule.weights_single ? 1 : rule.count, hits = 0;
  if (!inside(rule.target, rule.count, skeleton_size) || !inside(rule.weights, weights, skeleton_size) ||
      !inside(rule.input, 1, skeleton_size)) {
    return 0;
  }
  for (uint64_t i = 0; i < rule.count; ++i) {
    hits += load32(skeleton + rule.target + 4 * i) == product(rule, skeleton, i) ? 1 : 0;
  }
  return hits;
}

void apply_rules(const Plan& plan, uint8_t* skeleton) {
  for (size_t i = plan.rules.size(); i-- > 0;) turn_rule(plan.rules[i], skeleton);
}

void undo_rules(const Plan& plan, uint8_t* skeleton) {
  for (size_t i = 0; i < plan.rules.size(); ++i) turn_rule(plan.rules[i], skeleton);
}

void write_rules(const Plan& plan, Bytes* out) {
  uint64_t before = 0;
  for (size_t i = 0; i < plan.rules.size(); ++i) {
    const Rule& rule = plan.rules[i];
    out->varint(rule.target - before);
    out->varint(rule.count * 2 + (rule.weights_single ? 1 : 0));
    out->varint(zigzag(static_cast<int64_t>(rule.weights - rule.target)));
    out->varint(zigzag(static_cast<int64_t>(rule.input - rule.target)));
    before = rule.target;
  }
}

bool read_rules(Reader* in, uint64_t count, Plan* plan) {
  uint64_t before = 0;
  for (uint64_t i = 0; i < count && !in->bad(); ++i) {
    Rule rule;
    rule.target = before + in->varint();
    const uint64_t elements = in->varint();
    rule.count = elements >> 1;
    rule.weights_single = (elements & 1) != 0;
    rule.weights = rule.target + static_cast<uint64_t>(unzigzag(in->varint()));
    rule.input = rule.target + static_cast<uint64_t>(unzigzag(in->varint()));
    before = rule.target;
    if (!plan->rules.push(rule)) return false;
  }
  return true;
}

}  // namespace kc
