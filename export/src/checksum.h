// CRC-32C (Castagnoli): finds every single flipped bit and every burst of up to 32 bits.
#ifndef KC_CHECKSUM_H_
#define KC_CHECKSUM_H_

#include <stddef.h>
#include <stdint.h>

namespace kc {

// Call with the previous result to go on over several pieces; start with 0.
uint32_t crc32c(uint32_t crc, const uint8_t* data, size_t size);

// The checksum of A followed by B, from that of A, that of B, and the bytes of B.
uint32_t crc32c_joined(uint32_t a, uint32_t b, uint64_t b_size);

}  // namespace kc

#endif  // KC_CHECKSUM_H_
