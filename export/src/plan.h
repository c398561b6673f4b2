// The plan: which parts of the file are constant buffers, and how each of them is coded.
#ifndef KC_PLAN_H_
#define KC_PLAN_H_

#include "blockwise.h"
#include "bytes.h"

namespace kc {

// Numbers of the format; what each of them reads, writes and codes stands in methods.cc.
enum Method : uint8_t {
  kMethodRaw = 0,
  kMethodFill = 1,
  kMethodCopy = 2,
  kMethodBytes = 3,
  kMethodSymbols = 4,
  kMethodFloats = 5,
  kMethodHuffman = 6,
  kMethodGaps = 7,
  kMethodPlanes = 8,
  kMethodBase = 9,
  kMethodReferenceSymbols = 10,
  kMethodReferenceFloats = 11,
  kMethodIntegers = 12,
  kMethodFastSymbols = 13,
  kMethodFastFloats = 14,
  kMethodFastIntegers = 15,
  kMethodReferenceBytes = 16,
  kMethodRepeats = 17,
  kMethodLz = 18,
  kMethodCount
};

constexpr uint64_t kMaxExtents = 1u << 16;
constexpr uint64_t kMaxRules = 1u << 16;
constexpr uint32_t kMaxSections = 1u << 16;  // of data
// Longest skeleton, plan, and byte model extent; the slow model shall not run for hours.
constexpr uint64_t kMaxModelledBytes = 1u << 26;
// Bytes of the base beside which a section is coded at most.
constexpr uint64_t kLargestWindow = 1u << 22;
// A plan entry takes some ten bytes and a codebook up to 1 KiB, for a buffer that is larger.
constexpr uint64_t kPlanSlack = 4096;

// How reading ended.
enum class Decoded {
  kDone,
  kMalformed,    // no writer writes this
  kUnsupported,  // a number that this reader doesn't know: a later writer may
  kMemory,
};

// Where an extent stands, and in which data section its bytes are.
struct ExtentPlace {
  uint64_t offset = 0;  // in the original
  uint64_t size = 0;
  uint64_t gap = 0;         // skeleton bytes before it
  bool size_known = false;  // false: the size stands in the 4 skeleton bytes before it
  uint8_t method = kMethodRaw;
  bool new_section = false;
  uint32_t section = 0;  // data section, from 1
  // Not in the file:
  uint32_t next = 0;        // the next extent of the same section, + 1
  uint64_t place = 0;       // where in the decoder's memory it is restored to
  uint64_t coded_bits = 0;  // taken in the section, as coding or decoding finds them
  uint32_t crc = 0;         // of the restored bytes
};

// Of elements in rows, with a range of what they may be.
struct ExtentRows {
  uint8_t element = 1;  // bytes of an element
  uint8_t in_byte = 1;  // or how many of them are in one: 2 or 4
  uint64_t row = 0;
  uint64_t last = 0;
  uint8_t lowest = 0, highest = 0;
};

// Of symbols: what an element is at each.
struct ExtentSymbols {
  bool identity = false;  // the bytes are the symbols (int8 with their sign bit turned over)
  bool centre_flag = false;
  bool flip = false;  // identity: symbol = byte ^ 0x80
  uint8_t centre = 0;
  uint16_t symbols = 0;  // entries of the codebook
  size_t codebook = 0;   // where they start in Plan::codebooks
  bool grid = false;     // the codebook holds multiples of a step, from `first_multiple` on
  uint32_t step = 0;
  int64_t first_multiple = 0;
  uint64_t channels = 0;             // codebooks, one after another, if each channel has one of its own
  bool interleaved = false;          // channels change from element to element, and not from row to row
  size_t table = 0, table_size = 0;  // their stored form in Plan::tables
};

struct ExtentFloats {
  uint8_t format = 0;
  uint8_t modelled = 0;
  uint8_t zeros = 0;
  bool sparse = false;        // zeros are coded apart, and the fields above are of the others
  bool signed_zeros = false;  // sparse: some of the zeros are negative
};

// Of one float32 a block: what says of floats how they are coded.
struct BlockFloats {
  uint8_t lowest = 0, highest = 0, modelled = 0, zeros = 0;
};

// Of symbols that are levels of blocks, with `format` and `signed_zeros` of floats. The codebook holds the
// levels, as float32.
struct ExtentBlocks {
  BlockOrder blocks;    // of no elements: there are none
  bool listed = false;  // the levels are in the plan; else they are integers from `first_multiple` on
  bool has_offsets = false;
  BlockFloats scales, offsets;
  size_t offset_table = 0;  // the scales stand in Plan::tables where `table` says, the offsets here

  bool has_blocks() const { return blocks.block != 0; }
};

// Of a patch: where the base has something to say.
struct ExtentBase {
  uint64_t base = 0;
  uint64_t window = 0, window_size = 0;  // beside: first of a section
};

struct Extent : ExtentPlace, ExtentRows, ExtentSymbols, ExtentFloats, ExtentBlocks, ExtentBase {
  uint8_t fill = 0;
  uint64_t back = 0;    // copy: how many extents back
  uint8_t stride = 1;   // byte models
  uint8_t context = 0;  // fast models: what its second counters are chosen by

  uint64_t count() const { return size / element * in_byte; }
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
  Bytes tables;  // stored forms of channel codebooks, scales and offsets of blocks; the packer's alone
  uint32_t sections = 0;  // data sections
  List<uint32_t> firsts;  // the first extent of each, + 1, from section 1 on
  // Of a patch: the file it is made for.
  bool is_patch = false;
  const uint8_t* base = nullptr;
  size_t base_size = 0;
};

// Fills in which extents each section has. False: no memory.
bool link_sections(Plan* plan);

void write_plan(const Plan& plan, Bytes* out);

// Checks every field that can be checked without the skeleton.
Decoded read_plan(const uint8_t* data, size_t size, Plan* plan);

// Fills in offsets and sizes, which partly stand in the skeleton, and checks that skeleton and
// extents make up exactly `original_size` bytes.
bool place_extents(Plan* plan, const uint8_t* skeleton, size_t skeleton_size, uint64_t original_size);

inline uint64_t zigzag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
inline int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

}  // namespace kc

#endif  // KC_PLAN_H_
