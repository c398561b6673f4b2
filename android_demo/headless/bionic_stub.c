/* The names our library may take from Android's libc.so: all exported since API 21, with the C
 * standard's own interface or that of POSIX. Any other name fails the link. */
void memcpy(void) {}
void memmove(void) {}
void memset(void) {}
void memcmp(void) {}
void strlen(void) {}
void malloc(void) {}
void calloc(void) {}
void posix_memalign(void) {}
void free(void) {}
void abort(void) {}
void __cxa_atexit(void) {}
void __cxa_finalize(void) {}
void strcmp(void) {}
void strncmp(void) {}
void pthread_create(void) {}
void pthread_join(void) {}
void pthread_mutex_init(void) {}
void pthread_mutex_destroy(void) {}
void pthread_mutex_lock(void) {}
void pthread_mutex_unlock(void) {}
void pthread_cond_init(void) {}
void pthread_cond_destroy(void) {}
void pthread_cond_wait(void) {}
void pthread_cond_signal(void) {}
void pthread_cond_broadcast(void) {}
