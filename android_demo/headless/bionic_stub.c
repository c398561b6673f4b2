/* The names our library may take from Android's libc.so: all exported since API 21, with the C
 * standard's own interface. Any other name fails the link. */
void memcpy(void) {}
void memmove(void) {}
void memset(void) {}
void memcmp(void) {}
void strlen(void) {}
void malloc(void) {}
void calloc(void) {}
void free(void) {}
void abort(void) {}
void __cxa_atexit(void) {}
void __cxa_finalize(void) {}
