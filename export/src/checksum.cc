#include "checksum.h"

#include "stop.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "bytes.h"

namespace kc {
namespace {

struct Tables {
  uint32_t at[8][256];
};

// Made when the library is loaded: in the file they would take 8 KB.
Tables make_tables() {
  Tables t{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = (c >> 1) ^ ((c & 1) != 0 ? 0x82F63B78u : 0u);
    t.at[0][i] = c;
  }
  for (uint32_t i = 0; i < 256; ++i)
    for (int k = 1; k < 8; ++k) t.at[k][i] = (t.at[k - 1][i] >> 8) ^ t.at[0][t.at[k - 1][i] & 0xFF];
  return t;
}

const Tables kTables = make_tables();

constexpr uint32_t kPolynomial = 0x82F63B78u;  // reflected: bit 31 is the coefficient of 1

// Product of two polynomials modulo the checksum's.
constexpr uint32_t times(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = (b & 1) != 0 ? b >> 1 ^ kPolynomial : b >> 1;
  }
  return product;
}

struct Powers {
  uint32_t at[64];  // x to the power of 8 * 2^k: what 2^k zero bytes do to a checksum
};

constexpr Powers make_powers() {
  Powers p{};
  p.at[0] = 1u << 23;
  for (int k = 1; k < 64; ++k) p.at[k] = times(p.at[k - 1], p.at[k - 1]);
  return p;
}

constexpr Powers kPowers = make_powers();

uint32_t by_table(uint32_t crc, const uint8_t* data, size_t size) {
  const auto& t = kTables.at;
  while (size >= 8) {
    uint32_t a = crc ^ load32(data);
    uint32_t b = load32(data + 4);
    crc = t[7][a & 0xFF] ^ t[6][(a >> 8) & 0xFF] ^ t[5][(a >> 16) & 0xFF] ^ t[4][a >> 24] ^ t[3][b & 0xFF] ^
          t[2][(b >> 8) & 0xFF] ^ t[1][(b >> 16) & 0xFF] ^ t[0][b >> 24];
    data += 8;
    size -= 8;
  }
  while (size-- != 0) crc = (crc >> 8) ^ t[0][(crc ^ *data++) & 0xFF];
  return crc;
}

#if defined(__x86_64__)
// The instruction of SSE4.2, which not every processor of this kind has.
__attribute__((target("sse4.2"))) uint32_t by_instruction(uint32_t crc, const uint8_t* data, size_t size) {
  uint64_t wide = crc;
  for (; size >= 8; data += 8, size -= 8) {
    uint64_t word;
    memcpy(&word, data, 8);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  crc = static_cast<uint32_t>(wide);
  while (size-- != 0) crc = __builtin_ia32_crc32qi(crc, *data++);
  return crc;
}

bool has_instruction() {
  // Asking takes long under a hypervisor, so the answer is kept; two threads would write the same.
  static int known = 0;
  int answer = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (answer == 0) {
    uint32_t a = 0, b = 0, c = 0, d = 0;
    answer = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSE4_2) != 0 ? 1 : -1;
    __atomic_store_n(&known, answer, __ATOMIC_RELAXED);
  }
  return answer > 0;
}
#endif

}  // namespace

uint32_t crc32c(uint32_t crc, const uint8_t* data, size_t size) {
  // What is stopped ends in an error, whatever sum it comes to.
  constexpr size_t kPiece = 1u << 22;
  for (; size > kPiece; data += kPiece, size -= kPiece) {
    if (stopped()) return crc;
    crc = crc32c(crc, data, kPiece);
  }
#if defined(__x86_64__)
  if (size >= 64 && has_instruction()) return ~by_instruction(~crc, data, size);
#endif
  return ~by_table(~crc, data, size);
}

uint32_t crc32c_joined(uint32_t a, uint32_t b, uint64_t b_size) {
  for (int k = 0; b_size != 0; b_size >>= 1, ++k) {
    if ((b_size & 1) != 0) a = times(kPowers.at[k], a);
  }
  return a ^ b;
}

}  // namespace kc
