#include "mixing.h"

namespace kc {
namespace {

constexpr StepTable make_steps() {
  StepTable t{};
  for (int n = 0; n < 1024; ++n) {
    t.at[n] = static_cast<uint16_t>(131072 / (2 * n + 3));
    if (n >= static_cast<int>(StepTable::kTrusts)) continue;
    t.trust[n] = static_cast<uint8_t>(n == 0 ? 0 : 64 * (2 * n + 1) / (2 * n + 4));
  }
  return t;
}

}  // namespace

const LogisticTables kTables = make_logistic();
constexpr StepTable kSteps = make_steps();

}  // namespace kc
