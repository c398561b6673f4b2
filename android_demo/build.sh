#!/usr/bin/env bash
# Makes the APK on a bare Debian machine, without Android's SDK or NDK, and prints its path last.
#
#   bash android_demo/build.sh            the APK
#   bash android_demo/build.sh --test     and the tests of the app on this machine's JVM
#
# Installs what is missing with apt (as root, or through sudo); Maven fetches the rest.
set -euo pipefail
cd "$(dirname "$0")"

needed=(openjdk-17-jdk-headless maven cmake ninja-build g++ aapt apksigner zipalign patchelf python3
  g++-aarch64-linux-gnu)
missing=()
for package in "${needed[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
    missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  root=()
  [ "$(id -u)" = 0 ] || root=(sudo)
  "${root[@]}" apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >&2
fi

goal=(process-classes)
[ "${1:-}" = --test ] && goal=(test)
mvn -B -q "${goal[@]}" >&2
echo "$PWD/target/keras-compress-bench.apk"
