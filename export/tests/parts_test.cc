// The parts by themselves: coders against each other, codes at their limits.
#include <string.h>

#include <initializer_list>

#include "arithmetic.h"
#include "check.h"
#include "checksum.h"
#include "container.h"
#include "dividing.h"
#include "huffman.h"
#include "lz.h"
#include "mixing.h"

using namespace kc;

namespace {

uint32_t state = 7;
uint32_t next_random() { return state = state * 1664525u + 1013904223u, state >> 8; }

void test_checksum() {
  const uint8_t* text = reinterpret_cast<const uint8_t*>("123456789");
  CHECK(crc32c(0, text, 9) == 0xE3069283u);  // the check value of CRC-32C
  CHECK(crc32c(crc32c(0, text, 4), text + 4, 5) == 0xE3069283u);
}

void test_logistic() {
  for (int x = -kLogistic; x < kLogistic; ++x) CHECK(squash(x) <= squash(x + 1));
  for (int x = 0; x <= kLogistic; ++x) CHECK(squash(x) + squash(-x) == 65536);
  for (uint32_t p = 16; p < 65520; p += 16) {
    int error = static_cast<int>(squash(stretch(p))) - static_cast<int>(p);
    CHECK(error > -96 && error < 96);  // one step of the tables is up to 64
  }
}

void test_arithmetic() {
  Bytes out;
  ArithmeticEncoder encoder(&out);
  uint32_t seed = state;
  for (int i = 0; i < 20000; ++i) {
    uint32_t p = 1 + next_random() % 65535;
    encoder.code((next_random() & 65535) < p ? 1 : 0, p);
  }
  encoder.finish();
  state = seed;
  ArithmeticDecoder decoder(out.data(), out.size());
  for (int i = 0; i < 20000; ++i) {
    uint32_t p = 1 + next_random() % 65535;
    CHECK(decoder.code(0, p) == ((next_random() & 65535) < p ? 1 : 0));
  }
  CHECK(decoder.overrun() <= 4);
}

void test_counters_stay_in_range() {
  for (int bit = 0; bit < 2; ++bit) {
    uint32_t counter = kFreshCounter;
    for (int i = 0; i < 5000; ++i) update_counter(&counter, bit, 1000);
    CHECK(bit == 1 ? counter_p16(counter) > 65000 : counter_p16(counter) < 500);
    CHECK((counter & 1023) == 1000);
  }
}

void test_huffman(size_t symbols, int skew) {
  static uint32_t counts[kHuffmanAlphabet];
  for (size_t i = 0; i < symbols; ++i) {
    counts[i] = skew == 0 ? 1 : (i < 31 ? 1u << i : next_random() % 3);
  }
  static HuffmanCode code, copy;
  code.build(counts, symbols);
  Bytes bytes;
  code.write_lengths(&bytes);
  Reader reader(bytes.data(), bytes.size());
  CHECK(copy.read_lengths(&reader, kHuffmanAlphabet) && reader.left() == 0);
  Bytes coded;
  BitWriter writer(&coded);
  for (size_t i = 0; i < symbols; ++i) {
    if (counts[i] != 0) code.put(&writer, i);
  }
  writer.finish();
  HuffmanStream stream(coded.data(), coded.size());
  for (size_t i = 0; i < symbols; ++i) {
    if (counts[i] == 0) continue;
    stream.refill();
    CHECK(stream.next(copy.table()) == i);
  }
  stream.refill();
  CHECK(stream.exact());
}

void test_incomplete_codes_are_refused() {
  // Lengths 1, 2 leave room; lengths 1, 1, 1 ask for too much. Any bytes either fail or are full.
  for (int i = 0; i < 3000; ++i) {
    Bytes bytes;
    bytes.varint(2 + next_random() % 40);
    bytes.varint(12);
    for (int k = 0; k < 12; ++k) bytes.push(static_cast<uint8_t>(next_random()));
    static HuffmanCode code;
    Reader reader(bytes.data(), bytes.size());
    if (!code.read_lengths(&reader, 41)) continue;
    for (size_t k = 0; k < 1u << kHuffmanBits; ++k) CHECK((code.table()[k] & 15) != 0);
  }
}

void test_repeats() {
  for (int round = 0; round < 40; ++round) {
    Bytes history, coded, restored;
    size_t start = next_random() % 300, size = next_random() % 3000;
    for (size_t i = 0; i < start + size; ++i) {
      bool repeat = i > 40 && next_random() % 8 != 0;
      history.push(repeat ? history.data()[i - 37] : static_cast<uint8_t>(next_random()));
    }
    CHECK(lz_encode(history, start, &coded));
    restored.append(history.data(), start);
    CHECK(lz_decode(coded.data(), coded.size(), size, &restored));
    CHECK(restored.size() == history.size());
    CHECK(memcmp(restored.data(), history.data(), history.size()) == 0);
  }
}

// A plan of tensors that need not be there: floats of `count` elements each, and a copy of the last.
void test_sections_grow(size_t tensors, uint64_t count, uint8_t method, uint32_t max_sections) {
  Plan plan;
  for (size_t i = 0; i <= tensors; ++i) {
    Extent e;
    e.method = i == tensors ? static_cast<uint8_t>(kMethodCopy) : method;
    e.back = i == tensors ? 1 : 0;
    e.element = i == tensors ? 1 : 4;
    e.row = e.last = 1000;
    e.size = 4 * count;
    e.offset = i * e.size;
    CHECK(plan.extents.push(e));
  }
  CHECK(divide_into_sections(&plan));
  CHECK(plan.sections <= max_sections && plan.extents.size() <= kMaxExtents);
  List<uint64_t> elements;
  for (uint32_t s = 0; s < plan.sections; ++s) CHECK(elements.push(0));
  uint64_t end = 0;
  for (size_t i = 0; i < plan.extents.size(); ++i) {
    const Extent& e = plan.extents[i];
    CHECK(e.offset == end && e.size != 0);
    end += e.size;
    if (e.method == kMethodCopy) {
      CHECK(plan.extents[i - static_cast<size_t>(e.back)].size == e.size);
    } else {
      elements[e.section - 1] += e.count();
    }
  }
  CHECK(end == (tensors + 1) * 4 * count);
  for (uint32_t s = 0; s < plan.sections; ++s) CHECK(elements[s] != 0 && elements[s] < 2100000);
}

}  // namespace

int main() {
  test_checksum();
  test_logistic();
  test_arithmetic();
  test_counters_stay_in_range();
  for (size_t symbols : {2u, 3u, 40u, 256u, 2048u}) {
    test_huffman(symbols, 0);
    test_huffman(symbols, 1);
  }
  test_incomplete_codes_are_refused();
  test_repeats();
  for (uint8_t method : {kMethodFloats, kMethodFastFloats, kMethodPlanes}) {
    test_sections_grow(3, 100000, method, 4);
    test_sections_grow(1, 100000000, method, 1024);
    test_sections_grow(40, 20000000, method, 1024);            // 3.2 GB
    test_sections_grow(400, 20000000, method, 8200);           // 32 GB
    test_sections_grow(300, 200000000, method, kMaxSections);  // 240 GB
  }
  return 0;
}
