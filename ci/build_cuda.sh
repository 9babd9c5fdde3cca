#!/usr/bin/env bash
# Builds the wheel for every GPU by PyPI's toolkit alone, a warning being an error, and looks at it.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
setup_venv
install_needs -r ci/requirements-cuda.txt
rm -rf build/cuda_wheel

say "building the CUDA wheel"
SECONDS=0
FLASHDEC_CUDA=ON FLASHDEC_CUDA_TOOLKIT=pypi python -m pip wheel --quiet --no-deps \
  --disable-pip-version-check --config-settings cmake.define.CMAKE_COMPILE_WARNING_AS_ERROR=ON \
  --wheel-dir build/cuda_wheel .
echo "built in $SECONDS s"

say "looking at it"
python ci/check_cuda_wheel.py build/cuda_wheel/*.whl
