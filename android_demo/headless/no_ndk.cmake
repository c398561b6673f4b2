# Stands in for an NDK: Debian's GNU compiler and its headers, nothing of its runtime linked in. The
# stub carries the name of Android's libc and only the names we may use.
enable_language(C)
add_library(bionic SHARED ${CMAKE_CURRENT_LIST_DIR}/bionic_stub.c)
if(CMAKE_SIZEOF_VOID_P EQUAL 8)
  target_sources(bionic PRIVATE ${CMAKE_CURRENT_LIST_DIR}/bionic_layout.c)
endif()
set_target_properties(bionic PROPERTIES OUTPUT_NAME c)
target_compile_options(bionic PRIVATE -fno-builtin -w)
target_link_options(bionic PRIVATE -nostdlib)
file(GLOB KC_JDKS /usr/lib/jvm/java-*-openjdk-*/include /usr/lib/jvm/default-java/include)
find_path(KC_JNI_INCLUDE jni.h PATHS $ENV{JAVA_HOME}/include ${KC_JDKS}
  NO_DEFAULT_PATH REQUIRED)
target_include_directories(keras_compress_jni PRIVATE ${KC_JNI_INCLUDE} ${KC_JNI_INCLUDE}/linux)
target_compile_options(keras_compress_jni PRIVATE -fno-stack-protector -U_FORTIFY_SOURCE
  -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-threadsafe-statics)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  target_compile_options(keras_compress_jni PRIVATE -ffixed-x18)        # Android keeps this register
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "armv7")
  target_link_libraries(keras_compress_jni PRIVATE gcc)  # such a processor has no division of 64 bits
  target_sources(bionic PRIVATE ${CMAKE_CURRENT_LIST_DIR}/bionic_stub_armv7.c)
else()
  target_compile_options(keras_compress_jni PRIVATE -msse4.2 -mpopcnt)  # the ABI's own baseline
endif()
target_link_options(keras_compress_jni PRIVATE -nostdlib -Wl,-z,relro,-z,now -Wl,--hash-style=both
  -Wl,--build-id)
target_link_libraries(keras_compress_jni PRIVATE bionic)
set_target_properties(keras_compress_jni PROPERTIES SKIP_BUILD_RPATH ON)
