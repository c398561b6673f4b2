/* What Android's libc and liblog have and glibc lacks, or has with another interface, so that tests on
 * a glibc host run the very engine that is in the APK. unbionic.py renames the second kind: the last
 * letter becomes a G. What the engine logs is appended to the file KC_ENGINE_LOG names, as logcat would
 * keep it. For tests only. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

extern int __xpg_strerror_r(int, char*, size_t);

/* stdin, stdout and stderr of a 64-bit bionic: an array of structs of 152 bytes. */
char __sF[3 * 152];

static FILE* host_stream(FILE* stream) {
  FILE* standard[] = {stdin, stdout, stderr};
  const long at = (char*)stream - __sF;
  return at >= 0 && at < (long)sizeof __sF ? standard[at / 152] : stream;
}

int* __errno(void) { return &errno; }

size_t __strlen_chk(const char* text, size_t size) {
  (void)size;
  return strlen(text);
}

/* Of all properties the engine asks for one: before Android 5 it does without XNNPACK. */
int __system_property_get(const char* name, char* value) {
  strcpy(value, strcmp(name, "ro.build.version.sdk") == 0 ? "34" : "");
  return (int)strlen(value);
}

void android_set_abort_message(const char* message) { fprintf(stderr, "abort: %s\n", message); }

int __android_log_vprint(int priority, const char* tag, const char* format, va_list arguments) {
  const char* path = getenv("KC_ENGINE_LOG");
  FILE* log = path ? fopen(path, "a") : NULL;
  (void)priority;
  if (!log) return 0;
  fprintf(log, "%s: ", tag);
  vfprintf(log, format, arguments);
  fputc('\n', log);
  fclose(log);
  return 0;
}

int vfprintG(FILE* stream, const char* format, va_list arguments) {
  return vfprintf(host_stream(stream), format, arguments);
}

int fprintG(FILE* stream, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int written = vfprintf(host_stream(stream), format, arguments);
  va_end(arguments);
  return written;
}

int fputG(int c, FILE* stream) { return fputc(c, host_stream(stream)); }
int fflusG(FILE* stream) { return fflush(stream ? host_stream(stream) : NULL); }
int filenG(FILE* stream) { return fileno(host_stream(stream)); }
size_t fwritG(const void* data, size_t size, size_t count, FILE* stream) {
  return fwrite(data, size, count, host_stream(stream));
}
int strerror_G(int error, char* text, size_t size) { return __xpg_strerror_r(error, text, size); }

/* Asked for a name in all libraries, bionic ends at those of the caller; glibc knows only the global
 * ones, which a library that Java has loaded is not. This is how the engine finds its own XNNPACK. */
void* dlsyG(void* handle, const char* name) {
  void* found = dlsym(handle, name);
  Dl_info caller;
  if (found || handle != RTLD_DEFAULT || !dladdr(__builtin_return_address(0), &caller)) return found;
  void* own = dlopen(caller.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  if (!own) return NULL;
  found = dlsym(own, name);
  dlclose(own);
  return found;
}

/* bionic numbers the names of sysconf in its own way. */
long sysconG(int name) {
  switch (name) {
    case 0x27:
    case 0x28: return getpagesize();
    case 0x60: return get_nprocs_conf();
    case 0x61: return get_nprocs();
    default: errno = EINVAL; return -1;
  }
}
