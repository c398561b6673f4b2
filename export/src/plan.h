// The plan: which parts of the file are constant buffers, and how each of them is coded.
#ifndef KC_PLAN_H_
#define KC_PLAN_H_

#include "bytes.h"

namespace kc {

// Numbers of the format: never reused.
enum Method : uint8_t {
  kMethodRaw = 0,      // as it is
  kMethodFill = 1,     // one byte, repeated
  kMethodCopy = 2,     // the same bytes as an earlier extent
  kMethodBytes = 3,    // byte model
  kMethodSymbols = 4,  // codebook, symbol model
  kMethodFloats = 5,   // float model
  kMethodHuffman = 6,  // codebook, canonical Huffman over indices
  kMethodGaps = 7,     // codebook, canonical Huffman over (zeros before, value) pairs
  kMethodPlanes = 8,   // float bytes in planes, each Huffman coded or as it is
  kMethodBase = 9,     // patches: the bytes of the base file at an offset
  kMethodPartner = 10, // patches: symbols, by the partner model
  kMethodDrift = 11,   // patches: floats, by the drift model
  kMethodIntegers = 12,  // version 3: 32-bit integers, by the integer model
  kMethodLight = 13,        // version 4: symbols, by the light model
  kMethodLightFloats = 14,  // version 4: floats, by the light float model
  kMethodLightIntegers = 15,  // version 4: 32-bit integers, by the light integer model
  kMethodBeside = 24,  // version 5, patches: bytes, by the byte model beside a window of the base
  kMethodCount = 25,
};

constexpr uint64_t kMostExtents = 1u << 16;
constexpr uint64_t kMostRules = 1u << 16;
constexpr uint32_t kMostSections = 1u << 16;
constexpr uint32_t kMostSectionsBefore = 1u << 10;  // version 5
// Longest skeleton, plan, and byte model extent; the slow model shall not run for hours.
constexpr uint64_t kMostModelledBytes = 1u << 26;
// Bytes of the base beside which a section is coded at most.
constexpr uint64_t kLargestWindow = 1u << 22;
// A plan entry takes some ten bytes and a codebook up to 1 KiB, for a buffer that is larger.
constexpr uint64_t kPlanSlack = 4096;
constexpr size_t kNoSection = 0;

struct Extent {
  uint64_t offset = 0;  // in the original
  uint64_t size = 0;
  uint64_t gap = 0;     // skeleton bytes before it
  bool size_known = false;  // false: the size stands in the 4 skeleton bytes before it
  uint8_t method = kMethodRaw;
  bool new_section = false;
  uint32_t section = 0;   // data section, from 1
  uint32_t next = 0;      // not in the file: the next extent of the same section, + 1
  uint8_t element = 1;    // bytes of an element
  uint64_t row = 0;
  uint64_t last = 0;
  uint8_t fill = 0;
  uint64_t base = 0;      // base, partner, drift, beside: where in the base file
  uint64_t window = 0, window_size = 0;  // beside: of the base; first of a section
  uint64_t back = 0;      // copy: how many extents back
  uint8_t stride = 1;     // byte model
  // symbols
  bool identity = false;  // the bytes are the symbols (int8 with their sign bit turned over)
  bool centre_flag = false;
  bool flip = false;      // identity: symbol = byte ^ 0x80
  uint8_t centre = 0, lowest = 0, highest = 0;
  uint16_t symbols = 0;   // entries of the codebook
  size_t codebook = 0;    // where they start in Plan::codebooks
  bool grid = false;      // the codebook holds multiples of a step, from `first_multiple` on
  uint32_t step = 0;
  int64_t first_multiple = 0;
  uint64_t channels = 0;  // codebooks, one after another, if each channel has one of its own
  bool interleaved = false;  // channels change from element to element, and not from row to row
  size_t table = 0, table_size = 0;  // their stored form in Plan::tables
  // floats
  uint8_t format = 0;
  uint8_t modelled = 0;
  uint8_t zeros = 0;
  bool sparse = false;        // zeros are coded apart, and the fields above are of the others
  bool signed_zeros = false;  // sparse: some of the zeros are negative
  uint8_t context = 0;        // light: what its second counters are chosen by
  // not in the file: bits taken in the section, as coding or decoding finds them
  uint64_t coded_bits = 0;
  uint64_t place = 0;  // where in the decoder's memory it is restored to
  uint32_t crc = 0;    // of the restored bytes

  uint64_t count() const { return size / element; }
  size_t channel(size_t i) const {
    if (channels == 0) return 0;
    return static_cast<size_t>(interleaved ? i % row : i / row);
  }
};

struct Rule {
  uint64_t target = 0, weights = 0, input = 0, count = 0;  // in skeleton bytes
  bool weights_single = false;
};

struct Plan {
  List<Extent> extents;
  List<Rule> rules;
  Bytes codebooks;
  Bytes tables;  // stored forms of channel codebooks; the packer's alone
  uint32_t sections = 0;  // data sections
  List<uint32_t> firsts;  // the first extent of each, + 1, from section 1 on
  uint32_t version = 1;  // of the format: which fields there may be
  // Of a patch: the file it is made for.
  bool is_patch = false;
  const uint8_t* base = nullptr;
  size_t base_size = 0;
};

// Does it take as many bytes of the base as it has?
inline bool uses_base(uint8_t method) {
  return method == kMethodBase || method == kMethodPartner || method == kMethodDrift;
}

inline bool is_light(uint8_t method) {
  return method == kMethodLight || method == kMethodLightFloats || method == kMethodLightIntegers;
}

// Fills in which extents each section has. False: no memory.
bool link_sections(Plan* plan);

// Do the bytes of such an extent stand in a data section?
inline bool needs_section(uint8_t method) {
  return method != kMethodFill && method != kMethodCopy && method != kMethodBase;
}

void write_plan(const Plan& plan, Bytes* out);

// Checks every field that can be checked without the skeleton. False: malformed or no memory.
bool read_plan(const uint8_t* data, size_t size, Plan* plan);

// Fills in offsets and sizes, which partly stand in the skeleton, and checks that skeleton and
// extents make up exactly `original_size` bytes.
bool place_extents(Plan* plan, const uint8_t* skeleton, size_t skeleton_size,
                   uint64_t original_size);

// Replaces each target by its difference to the rule's product, or turns that back. Targets lie in
// order and apart, from `free_from` on, which bounds the work, too.
bool check_rule(const Rule& rule, size_t skeleton_size, uint64_t* free_from);
bool check_rules(const Plan& plan, size_t skeleton_size);
// How many targets are exactly the product.
uint64_t rule_hits(const Rule& rule, const uint8_t* skeleton, size_t skeleton_size);
void apply_rules(const Plan& plan, uint8_t* skeleton);
void undo_rules(const Plan& plan, uint8_t* skeleton);

}  // namespace kc

#endif  // KC_PLAN_H_
