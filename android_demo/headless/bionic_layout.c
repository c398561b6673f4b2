/* Our code is compiled with glibc's headers and runs on Android's libc: what it sets aside for a mutex
 * or a condition must be enough for those of a 64-bit bionic, which are set up by its own functions. */
#include <pthread.h>

_Static_assert(sizeof(pthread_mutex_t) >= 40, "bionic's mutex has 40 bytes");
_Static_assert(sizeof(pthread_cond_t) >= 48, "bionic's condition has 48 bytes");
_Static_assert(sizeof(pthread_t) == 8, "bionic's thread handle has 8 bytes");
