// Calls Java's interface to the core with whatever bytes and lengths come, behind a stand-in for the
// virtual machine, under AddressSanitizer: no input may read or write outside its buffers.
//
//   g++ -std=c++17 -g -O1 -fsanitize=address,undefined -I include -I src -I JDK/include ...
//       jni/fuzz_jni.cc jni/keras_compress_jni.cc src/*.cc -o fuzz_jni && ./fuzz_jni 20000 FILE...
//
// changes each FILE so many times; with clang and -DKC_LIBFUZZER -fsanitize=fuzzer it is a libFuzzer
// target. Without sanitizers and with 0 changes it is the test of the calls themselves.
#include <jni.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" {
jint Java_org_kerascompress_bench_core_KczDecoder_abiVersion(JNIEnv*, jclass);
jlong Java_org_kerascompress_bench_core_KczDecoder_unpackedSize(JNIEnv*, jclass, jobject, jlong, jlongArray);
jlong Java_org_kerascompress_bench_core_KczDecoder_unpackInto(JNIEnv*, jclass, jobject, jlong, jobject, jlong,
                                                              jlongArray);
jstring Java_org_kerascompress_bench_core_KczDecoder_statusMessage(JNIEnv*, jclass, jint);
jstring Java_org_kerascompress_bench_core_KczDecoder_placeName(JNIEnv*, jclass, jint);
jboolean Java_org_kerascompress_bench_core_KczDecoder_hasBinaryDelegate(JNIEnv*, jclass);
}

namespace {

#define KC_CALL(name) Java_org_kerascompress_bench_core_KczDecoder_##name

// What the machine knows of a direct buffer; one that isn't direct has no address and capacity -1.
struct Buffer {
  void* address;
  jlong capacity;
};

struct Longs {
  jsize size;
  jlong values[8];
};

void* JNICALL Address(JNIEnv*, jobject buffer) { return reinterpret_cast<Buffer*>(buffer)->address; }
jlong JNICALL Capacity(JNIEnv*, jobject buffer) { return reinterpret_cast<Buffer*>(buffer)->capacity; }
jsize JNICALL Length(JNIEnv*, jarray array) { return reinterpret_cast<Longs*>(array)->size; }
void JNICALL SetLongs(JNIEnv*, jlongArray array, jsize start, jsize count, const jlong* values) {
  Longs* longs = reinterpret_cast<Longs*>(array);
  if (start < 0 || count < 0 || start + count > longs->size) std::abort();
  std::memcpy(longs->values + start, values, sizeof(jlong) * static_cast<size_t>(count));
}
jstring JNICALL NewText(JNIEnv*, const char* text) {
  if (text == nullptr || std::strlen(text) > 200) std::abort();
  return nullptr;
}

struct Machine {
  JNINativeInterface_ calls;
  JNIEnv_ env;
  Machine() : calls(), env() {
    calls.GetDirectBufferAddress = Address;
    calls.GetDirectBufferCapacity = Capacity;
    calls.GetArrayLength = Length;
    calls.SetLongArrayRegion = SetLongs;
    calls.NewStringUTF = NewText;
    env.functions = &calls;
  }
};

constexpr jlong kLargest = 1 << 22;

template <typename T>
jobject Handle(T* thing) {
  return reinterpret_cast<jobject>(thing);
}

void Check(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "wrong: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Machine machine;
  JNIEnv* env = &machine.env;
  // A copy of its own on the heap, so that a byte too far is seen.
  uint8_t* copy = static_cast<uint8_t*>(std::malloc(size ? size : 1));
  std::memcpy(copy, data, size);
  Buffer packed{copy, static_cast<jlong>(size)};
  Longs error{5, {}};
  jlongArray told = static_cast<jlongArray>(Handle(&error));
  const jlong declared = KC_CALL(unpackedSize)(env, nullptr, Handle(&packed), packed.capacity, told);
  KC_CALL(statusMessage)(env, nullptr, static_cast<jint>(error.values[0]));
  KC_CALL(placeName)(env, nullptr, static_cast<jint>(error.values[1]));
  const jlong room = declared < 0 ? 64 : declared < kLargest ? declared : kLargest;
  uint8_t* out = static_cast<uint8_t*>(std::malloc(room ? static_cast<size_t>(room) : 1));
  Buffer target{out, room};
  for (const jlong capacity : {room, room / 2, room + 1, jlong{-1}}) {
    const jlong written =
        KC_CALL(unpackInto)(env, nullptr, Handle(&packed), packed.capacity, Handle(&target), capacity, told);
    Check(written <= room, "more written than there is room");
    Check(capacity <= room || written == -1, "a capacity over the buffer's was taken");
    if (declared > 100000) break;
  }
  std::free(out);
  std::free(copy);
  return 0;
}

#ifndef KC_LIBFUZZER
namespace {

// What no caller of good will does: null, not direct, lengths over the capacity, overlap.
void WrongCallers() {
  Machine machine;
  JNIEnv* env = &machine.env;
  uint8_t bytes[64] = {};
  Buffer direct{bytes, 64}, heap{nullptr, -1}, empty{nullptr, 0};
  Longs error{5, {}}, few{2, {}};
  jlongArray told = static_cast<jlongArray>(Handle(&error));
  for (jobject packed : {jobject{nullptr}, Handle(&heap), Handle(&empty), Handle(&direct)}) {
    for (jlong length : {jlong{-1}, jlong{0}, jlong{64}, jlong{65}, jlong{INT64_MAX}, INT64_MIN}) {
      for (jlongArray array : {told, static_cast<jlongArray>(Handle(&few)), jlongArray{nullptr}}) {
        Check(KC_CALL(unpackedSize)(env, nullptr, packed, length, array) == -1, "size of nothing");
        for (jobject out : {jobject{nullptr}, Handle(&heap), Handle(&direct)}) {
          Check(KC_CALL(unpackInto)(env, nullptr, packed, length, out, length, array) == -1,
                "unpacked from nothing");
        }
      }
    }
  }
  for (jint code : {-1, 0, 1, 9, 10, 1 << 30}) {
    KC_CALL(statusMessage)(env, nullptr, code);
    KC_CALL(placeName)(env, nullptr, code);
  }
  Check(KC_CALL(abiVersion)(env, nullptr) == 1, "interface version");
  KC_CALL(hasBinaryDelegate)(env, nullptr);
}

std::vector<uint8_t> Read(const char* path) {
  std::vector<uint8_t> bytes;
  FILE* file = std::fopen(path, "rb");
  Check(file != nullptr, path);
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) {
    bytes.push_back(static_cast<uint8_t>(c));
  }
  std::fclose(file);
  return bytes;
}

}  // namespace

int main(int count, char** arguments) {
  WrongCallers();
  const long changes = count > 1 ? std::atol(arguments[1]) : 0;
  uint64_t state = 88172645463325252u;
  auto next = [&state](size_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? static_cast<size_t>(state % below) : 0;
  };
  for (int i = 2; i < count; ++i) {
    const std::vector<uint8_t> seed = Read(arguments[i]);
    LLVMFuzzerTestOneInput(seed.data(), seed.size());
    for (long n = 0; n < changes; ++n) {
      std::vector<uint8_t> bytes = seed;
      for (size_t k = 0, times = 1 + next(6); k < times && !bytes.empty(); ++k) {
        // Headers tell sizes, so half of the changes go there.
        const size_t within = next(2) && bytes.size() > 96 ? 96 : bytes.size();
        bytes[next(within)] = static_cast<uint8_t>(next(256));
      }
      if (next(4) == 0) bytes.resize(next(bytes.size() + 8));
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
  }
  std::puts("sound");
  return 0;
}
#endif
