#!/bin/sh
# CMake calls this with the command that would link the library, and zig links it instead of g++:
# against the symbols of glibc 2.28, with its own C++ run time and unwinder inside.  g++'s would ask
# for the newest glibc.  The arithmetic that g++ calls for is its own still (libgcc.a): zig's comes
# with a memcpy, an exp2f and others that would take the place of glibc's.
set -eu
compiler=$1
shift
machine=$("$compiler" -dumpmachine)
exec "$(dirname "$0")/../.venv/bin/python" -m ziglang c++ -target "${machine%%-*}-linux-gnu.2.28" \
  "$@" "$("$compiler" -print-libgcc-file-name)"
