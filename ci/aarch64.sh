#!/usr/bin/env bash
# Cross-builds the library for aarch64, a warning being an error, looks at the objects of NEON, and
# runs tests/abi/four_verbs.c and tests/native/isa_vectors.cpp on every instruction set under qemu.
# Then the wheel for aarch64, into build/aarch64/wheel: the CPU part, for every Linux with glibc 2.28.
# Argument: how many random shapes; 60 take some fifteen seconds.
# Needs Debian's g++-aarch64-linux-gnu and qemu-user-static, which root gets here.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
shapes=${1:-60}
out=build/aarch64
machine=/usr/aarch64-linux-gnu # its C library

skip() {
  echo "skipped: $*"
  exit 0
}

have() {
  local tool
  for tool; do command -v "$tool" >/dev/null || return 1; done
}

install_tools() {
  apt-get -qq update &&
    apt-get -qq install -y --no-install-recommends g++-aarch64-linux-gnu qemu-user-static
}

setup_venv
install_needs "cmake>=3.31" ninja
tools=(aarch64-linux-gnu-g++ qemu-aarch64-static)
if ! have "${tools[@]}"; then
  { [ "$(id -u)" = 0 ] && have apt-get; } ||
    skip "${tools[*]}: one is missing, and only root can install them, with apt-get"
  say "installing g++-aarch64-linux-gnu and qemu-user-static"
  { install_tools >/dev/null 2>&1 && have "${tools[@]}"; } ||
    skip "g++-aarch64-linux-gnu and qemu-user-static cannot be had here"
fi

say "building for aarch64"
SECONDS=0
cmake -S . -B "$out" -G Ninja -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DFLASHDEC_CUDA=OFF \
  -DCMAKE_COMPILE_WARNING_AS_ERROR=ON >/dev/null
cmake --build "$out" >"$out/build.log" || { cat "$out/build.log" && refuse "it does not build"; }
warnings=(-Wall -Wextra -Wpedantic -Werror -Wno-missing-field-initializers)
link=(-Inative/include "$out/libflashdecoding.so" "-Wl,-rpath,$PWD/$out" -lm)
aarch64-linux-gnu-gcc -std=c99 -O1 "${warnings[@]}" tests/abi/four_verbs.c -o "$out/four_verbs" \
  "${link[@]}"
aarch64-linux-gnu-g++ -std=c++17 -O2 "${warnings[@]}" -Inative tests/native/isa_vectors.cpp \
  -o "$out/isa_vectors" "${link[@]}"
echo "built in $SECONDS s"

# As tests/packaging/test_instruction_sets.py does, which says why.
say "only the entry points leave the objects of NEON"
check_object() { # the instruction set, the object
  local shared wanted
  shared=$(aarch64-linux-gnu-nm -C --defined-only "$2" |
    LC_ALL=C sed -n 's/^[0-9a-f]* [A-Zuvw] \([^(]*\).*/\1/p' | LC_ALL=C sort | tr '\n' ' ')
  wanted=$(printf "flashdec::cpu::run_$1_%s " bf16 f16 f32)
  [ "$shared" = "$wanted" ] || refuse "$2 defines $shared; it should define $wanted"
}
for isa in neon neonbf16; do
  # As it is built, and with nothing inlined.
  aarch64-linux-gnu-g++ -std=c++17 -O0 -march=armv8.2-a+bf16 -fvisibility=hidden \
    -DFLASHDEC_ARM64=1 -Inative -Inative/include -c native/cpu/$isa.cpp -o "$out/$isa.o"
  check_object "$isa" "$out/CMakeFiles/flashdecoding.dir/native/cpu/$isa.cpp.o"
  check_object "$isa" "$out/$isa.o"
  echo "$isa: nothing else"
done

under_qemu() { qemu-aarch64-static -L "$machine" "$@"; }

say "tests/abi/four_verbs.c"
for isa in reference generic neon neonbf16; do
  printf '%s: ' "$isa"
  FLASHDEC_ISA=$isa under_qemu "$out/four_verbs"
done

say "tests/native/isa_vectors.cpp"
SECONDS=0
under_qemu "$out/isa_vectors" "$shapes"
echo "$SECONDS s under qemu"

# A processor without FEAT_BF16 is given NEON alone.
say "the same on a Cortex-A72"
under_qemu -cpu cortex-a72 "$out/isa_vectors" 6

say "the wheel for aarch64"
SECONDS=0
install_needs -r ci/requirements-wheel.txt
rm -rf "$out/wheel"
FLASHDEC_CUDA=OFF ZIG_GLOBAL_CACHE_DIR="$PWD/build/zig" python -m build --outdir "$out/wheel" \
  -C cmake.define.CMAKE_SYSTEM_NAME=Linux -C cmake.define.CMAKE_SYSTEM_PROCESSOR=aarch64 \
  -C cmake.define.CMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
  -C cmake.define.CMAKE_COMPILE_WARNING_AS_ERROR=ON \
  -C cmake.define.CMAKE_CXX_LINKER_LAUNCHER="$PWD/ci/link_portably.sh" \
  -C wheel.tags=py3-none-manylinux_2_28_aarch64 >"$out/wheel.log" 2>&1 ||
  { cat "$out/wheel.log" && refuse "the wheel was not built"; }
wheel=$(echo "$out"/wheel/*.whl)
python ci/check_wheel.py "$wheel" aarch64
python -m zipfile -e "$wheel" "$out/wheel/unpacked"
for isa in generic neon neonbf16; do
  printf '%s: ' "$isa"
  FLASHDEC_ISA=$isa under_qemu -E LD_LIBRARY_PATH="$out/wheel/unpacked/flashdec/lib" "$out/four_verbs"
done
echo "built and tried in $SECONDS s"
