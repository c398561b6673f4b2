// Runs a model through the C interface of the AAR's own library, in a glibc program:
//
//   run_tflite LIBRARY.so MODEL.tflite INPUT OUTPUT [xnnpack [RUNS]]
//
// with XNNPACK as the app's screen asks for it, or without: this interface adds no delegate itself.
// It loads the copy that unbionic.py makes. For tests on a host, or on arm64 under qemu.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

// bionic keeps its stack guard 40 bytes above the thread pointer. These bytes are this program's own
// and never written, so that the library finds the same guard whenever it looks.
alignas(16) thread_local char bionic_slots[64];

namespace {

void* library;

// Larger than the real struct of any version, which is handed over by address all the same.
struct XnnpackOptions {
  char bytes[256];
};

template <typename Function>
Function Find(const char* name) {
  void* found = dlsym(library, name);
  if (found == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::exit(2);
  }
  return reinterpret_cast<Function>(found);
}

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "%s failed\n", what);
  std::exit(1);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 5 || count > 7) Fail("usage");
  const int runs = count == 7 ? std::atoi(arguments[6]) : 1;
  volatile char keep = bionic_slots[0];
  static_cast<void>(keep);
  library = dlopen(arguments[1], RTLD_NOW);
  if (library == nullptr) Fail(dlerror());
  using Handle = void*;
  Handle model = Find<Handle (*)(const char*)>("TfLiteModelCreateFromFile")(arguments[2]);
  if (model == nullptr) Fail("opening the model");
  Handle options = Find<Handle (*)()>("TfLiteInterpreterOptionsCreate")();
  Find<void (*)(Handle, int)>("TfLiteInterpreterOptionsSetNumThreads")(options, 1);
  if (count >= 6) {
    const auto defaults = Find<XnnpackOptions (*)()>("TfLiteXNNPackDelegateOptionsDefault");
    const auto create = Find<Handle (*)(const XnnpackOptions*)>("TfLiteXNNPackDelegateCreate");
    const XnnpackOptions chosen = defaults();
    Handle delegate = create(&chosen);
    if (delegate == nullptr) Fail("making the XNNPACK delegate");
    Find<void (*)(Handle, Handle)>("TfLiteInterpreterOptionsAddDelegate")(options, delegate);
  }
  Handle interpreter = Find<Handle (*)(Handle, Handle)>("TfLiteInterpreterCreate")(model, options);
  if (interpreter == nullptr) Fail("making the interpreter");
  if (Find<int (*)(Handle)>("TfLiteInterpreterAllocateTensors")(interpreter) != 0) {
    Fail("allocating the tensors");
  }
  const auto size_of = Find<size_t (*)(Handle)>("TfLiteTensorByteSize");
  Handle in = Find<Handle (*)(Handle, int)>("TfLiteInterpreterGetInputTensor")(interpreter, 0);
  std::vector<char> bytes(size_of(in));
  FILE* file = std::fopen(arguments[3], "rb");
  if (file == nullptr || std::fread(bytes.data(), 1, bytes.size(), file) != bytes.size()) {
    Fail("reading the input");
  }
  std::fclose(file);
  if (Find<int (*)(Handle, const void*, size_t)>("TfLiteTensorCopyFromBuffer")(in, bytes.data(),
                                                                               bytes.size()) != 0) {
    Fail("setting the input");
  }
  const auto invoke = Find<int (*)(Handle)>("TfLiteInterpreterInvoke");
  for (int run = 0; run < runs; ++run) {
    if (invoke(interpreter) != 0) Fail("running the model");
  }
  Handle out = Find<Handle (*)(Handle, int)>("TfLiteInterpreterGetOutputTensor")(interpreter, 0);
  std::vector<char> result(size_of(out));
  if (Find<int (*)(Handle, void*, size_t)>("TfLiteTensorCopyToBuffer")(out, result.data(), result.size()) !=
      0) {
    Fail("reading the output");
  }
  file = std::fopen(arguments[4], "wb");
  if (file == nullptr || std::fwrite(result.data(), 1, result.size(), file) != result.size()) {
    Fail("writing the output");
  }
  std::fclose(file);
  return 0;
}
