# To measure the library for armeabi-v7a: the app holds none, and this one runs on no phone, for Debian's
# compiler passes floats in registers of their own.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7-a)
set(CMAKE_C_COMPILER arm-linux-gnueabihf-gcc)
set(CMAKE_CXX_COMPILER arm-linux-gnueabihf-g++)
set(CMAKE_C_FLAGS_INIT "-march=armv7-a+neon-vfpv4 -mthumb")
set(CMAKE_CXX_FLAGS_INIT "-march=armv7-a+neon-vfpv4 -mthumb")
