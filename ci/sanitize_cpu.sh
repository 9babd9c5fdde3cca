#!/usr/bin/env bash
# The library for the CPU under sanitizers and valgrind; what they find is an error.
#   address, undefined   most of the suite, on every instruction set that the processor has
#   thread               the suite's tests with threads, and tests/native/shared_plans.cpp
#   valgrind             two programs, with AVX2: it knows no AVX-512
# Needs g++ with its sanitizers; valgrind is installed where it is missing and apt-get may do it.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
setup_venv
install_needs -r ci/requirements-sanitize.txt
out=$PWD/build/sanitize
export PYTHONPATH=$PWD/python # in place of an installed flashdec
export FLASHDEC_TEST_CASES=${FLASHDEC_TEST_CASES:-400}

# build NAME SANITIZERS: the library into $out/NAME; it ends at the first finding.
build() {
  say "building ($1)"
  rm -rf "${out:?}/$1"
  mkdir -p "$out/$1"
  cmake -S . -B "$out/$1" -G Ninja -DFLASHDEC_CUDA=OFF -DFLASHDEC_SANITIZE="$2" \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_COMPILE_WARNING_AS_ERROR=ON \
    -DCMAKE_CXX_FLAGS="${2:+-fno-sanitize-recover=all}" >"$out/$1/build.log" 2>&1 &&
    cmake --build "$out/$1" >>"$out/$1/build.log" 2>&1 ||
    { cat "$out/$1/build.log" && refuse "the library was not built"; }
}

# program NAME SOURCE OPTION..: a program against that library, and its path.
program() {
  local compiler=g++ target=$out/$1/$(basename "$2")
  target=${target%.*}
  [ "${2##*.}" != c ] || compiler=gcc
  "$compiler" -O1 -g -Inative/include "$2" "${@:3}" "$out/$1/libflashdecoding.so" \
    -Wl,-rpath,"$out/$1" -lm -pthread -o "$target"
  echo "$target"
}

# suite NAME VARIABLE=VALUE.. -- ARGUMENT..: pytest on that library.  The interpreter is not
# instrumented, so the run times are loaded before it.  A finding ends the worker, which fails the
# test; its report goes to stderr, which pytest must not catch below Python.
suite() {
  local variables=() library=$out/$1/libflashdecoding.so preload
  preload=$(ldd "$library" | awk '/lib(asan|ubsan|tsan|stdc\+\+)\.so/ {print $3}')
  shift
  while [ "$1" != -- ]; do
    variables+=("$1")
    shift
  done
  shift
  env "${variables[@]}" FLASHDEC_LIBRARY="$library" LD_PRELOAD="${preload//$'\n'/ }" \
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1 \
    "${fixed_addresses[@]}" python -m pytest -q -p no:cacheprovider --capture=sys "$@"
}

# The run time of ThreadSanitizer cannot live with all the random addresses of newer kernels.
fixed_addresses=()
! setarch "$(uname -m)" -R true 2>/dev/null || fixed_addresses=(setarch "$(uname -m)" -R)

build address address,undefined
# Left out, beside what needs PyTorch, an example's model or a GPU:
#   tests/packaging, test_headers, test_symbols, test_c_program   they compile, or look at the file
#   tests/unit                      a library of their own, compiled by themselves
#   tests/cli but for the selftest  processes and their output, over calls that others make as well
#   test_guard_pages                sees by protected pages what the sanitizer sees
#   test_merge_over_processes       PyTorch's processes
say "the suite: address, undefined"
suite address -- -n 2 tests/numeric tests/invariance tests/cli/test_selftest.py \
  --ignore tests/numeric/test_guard_pages.py --ignore tests/numeric/test_merge_over_processes.py
# Python's own small objects lie in memory of their own here, the ABI's structs among them.
suite address PYTHONMALLOC=malloc -- -n 2 tests/abi \
  --ignore tests/abi/test_headers.py --ignore tests/abi/test_symbols.py \
  --ignore tests/abi/test_c_program.py

build thread thread
say "callers that share plans: thread"
TSAN_OPTIONS="halt_on_error=1" "${fixed_addresses[@]}" \
  "$(program thread tests/native/shared_plans.cpp -std=c++17 -fsanitize=thread)"
# Without forks, after which ThreadSanitizer lets no thread begin; they are among the tests above.
say "the suite's tests with threads: thread"
suite thread -- -n 2 tests/invariance/test_threads.py tests/numeric/test_decode_calls.py \
  tests/abi/test_run_objects.py tests/abi/test_plan_object.py -k "not fork"

say "valgrind"
install_valgrind() { apt-get -qq update && apt-get -qq -y install valgrind; }
command -v valgrind >/dev/null || [ "$(id -u)" != 0 ] || install_valgrind >/dev/null 2>&1 || true
if ! command -v valgrind >/dev/null; then
  echo "valgrind is missing and cannot be installed here: its part is skipped"
  exit 0
fi
if [ "$(uname -m)" = x86_64 ] && grep -qw avx2 /proc/cpuinfo; then export FLASHDEC_ISA=avx2; fi
build plain ""
memcheck() { valgrind -q --error-exitcode=9 "$@"; }
memcheck "$(program plain tests/abi/four_verbs.c -std=c99)"
memcheck "$(program plain tests/native/shared_plans.cpp -std=c++17)" 6
