// Times models with the C API of a TFLite shared library, given as a file: that of an Android AAR made
// loadable on glibc, say, under emulation. Models take turns, so that a change of the machine's speed
// meets all alike.
//
//   tflite_timer LIBRARY ROUNDS MODEL...
//
// prints one line a model: its path, then the milliseconds of processor time of each round. XNNPACK is
// applied, as Java's interpreter does by itself.

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

// An Android library looks for its stack guard 40 bytes behind the thread pointer: room for it.
alignas(16) thread_local volatile char guard_room[64];

template <typename Function>
Function Find(void* library, const char* name) {
  void* found = dlsym(library, name);
  if (found == nullptr) {
    std::fprintf(stderr, "the library lacks %s\n", name);
    std::exit(2);
  }
  return reinterpret_cast<Function>(found);
}

int main(int argc, char** argv) {
  guard_room[0] = 0;
  if (argc < 4) {
    std::fprintf(stderr, "usage: tflite_timer LIBRARY ROUNDS MODEL...\n");
    return 2;
  }
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  auto load = Find<void* (*)(const char*)>(library, "TfLiteModelCreateFromFile");
  auto make_options = Find<void* (*)()>(library, "TfLiteInterpreterOptionsCreate");
  auto set_threads = Find<void (*)(void*, int)>(library, "TfLiteInterpreterOptionsSetNumThreads");
  auto make = Find<void* (*)(void*, void*)>(library, "TfLiteInterpreterCreate");
  auto allocate = Find<int (*)(void*)>(library, "TfLiteInterpreterAllocateTensors");
  auto input = Find<void* (*)(void*, int)>(library, "TfLiteInterpreterGetInputTensor");
  auto size = Find<size_t (*)(void*)>(library, "TfLiteTensorByteSize");
  auto fill = Find<int (*)(void*, const void*, size_t)>(library, "TfLiteTensorCopyFromBuffer");
  auto xnnpack = Find<void* (*)(const void*)>(library, "TfLiteXNNPackDelegateCreate");
  auto add = Find<void (*)(void*, void*)>(library, "TfLiteInterpreterOptionsAddDelegate");
  auto invoke = Find<int (*)(void*)>(library, "TfLiteInterpreterInvoke");

  std::vector<void*> interpreters;
  for (int i = 3; i < argc; ++i) {
    void* options = make_options();
    set_threads(options, 1);
    add(options, xnnpack(nullptr));  // one for each: a delegate belongs to one interpreter
    void* model = load(argv[i]);
    void* interpreter = model == nullptr ? nullptr : make(model, options);
    if (interpreter == nullptr || allocate(interpreter) != 0) {
      std::fprintf(stderr, "can't load %s\n", argv[i]);
      return 1;
    }
    void* tensor = input(interpreter, 0);
    std::vector<float> values(size(tensor) / sizeof(float), 0.5f);
    fill(tensor, values.data(), values.size() * sizeof(float));
    interpreters.push_back(interpreter);
  }
  std::vector<std::vector<double>> times(interpreters.size());
  for (int round = -1; round < std::atoi(argv[2]); ++round) {
    for (size_t i = 0; i < interpreters.size(); ++i) {
      const std::clock_t start = std::clock();
      if (invoke(interpreters[i]) != 0) return 1;
      const double spent = 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      if (round >= 0) times[i].push_back(spent);  // the first one warms up
    }
  }
  for (size_t i = 0; i < interpreters.size(); ++i) {
    std::printf("%s", argv[i + 3]);
    for (double milliseconds : times[i]) std::printf(" %.4f", milliseconds);
    std::printf("\n");
  }
}
