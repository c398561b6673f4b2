// Rules: floats of the skeleton that are products of others, as scales of biases are.
#ifndef KC_RULES_H_
#define KC_RULES_H_

#include "plan.h"

namespace kc {

// A rule replaces each target by its difference to a product, or turns that back. Targets lie in
// order and apart, from `free_from` on, which bounds the work, too.
bool check_rule(const Rule& rule, size_t skeleton_size, uint64_t* free_from);
bool check_rules(const Plan& plan, size_t skeleton_size);
// How many targets are exactly the product.
uint64_t rule_hits(const Rule& rule, const uint8_t* skeleton, size_t skeleton_size);
void apply_rules(const Plan& plan, uint8_t* skeleton);
void undo_rules(const Plan& plan, uint8_t* skeleton);

void write_rules(const Plan& plan, Bytes* out);
// False: no memory.
bool read_rules(Reader* in, uint64_t count, Plan* plan);

}  // namespace kc

#endif  // KC_RULES_H_
