/* What the division of 64 bits of armeabi-v7a calls for a divisor of zero; beside bionic_stub.c. */
void raise(void) {}
