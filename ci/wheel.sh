#!/usr/bin/env bash
# Builds what is released into build/wheel, a warning being an error: the sdist and, from it and
# PyPI's toolkit alone, the wheel for every GPU and every Linux with glibc 2.28.  Looks at the wheel,
# tries it on every Python that can be had, and runs the tests on it.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
setup_venv
install_needs -r ci/requirements-wheel.txt
rm -rf build/wheel
mkdir -p build/wheel

say "building sdist and wheel"
SECONDS=0
log=build/wheel/build.log
FLASHDEC_CUDA=ON FLASHDEC_CUDA_TOOLKIT=pypi ZIG_GLOBAL_CACHE_DIR="$PWD/build/zig" \
  python -m build --outdir build/wheel \
  -C cmake.define.CMAKE_COMPILE_WARNING_AS_ERROR=ON \
  -C cmake.define.CMAKE_CXX_LINKER_LAUNCHER="$PWD/ci/link_portably.sh" \
  -C wheel.tags="py3-none-manylinux_2_28_$(uname -m)" >"$log" 2>&1 ||
  { cat "$log" && refuse "the wheel was not built"; }
echo "built in $SECONDS s"
wheel=$(echo build/wheel/*.whl)

say "looking at it"
python ci/check_wheel.py "$wheel"

bash ci/try_wheel.sh "$wheel"

say "the tests on it"
install_needs "$wheel[test]"
install_needs --no-deps --force-reinstall "$wheel" # another build may have been there
python -m pytest -q -n auto
