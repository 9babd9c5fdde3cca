#!/usr/bin/env bash
# Builds the wheel with every CUDA architecture, by PyPI's toolkit alone, and looks at it.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
setup_venv
rm -rf build/cuda_wheel
mkdir -p build/cuda_wheel

say "building the CUDA wheel"
SECONDS=0
FLASHDEC_CUDA=ON FLASHDEC_CUDA_TOOLKIT=pypi python -m pip wheel --quiet --disable-pip-version-check \
  --no-deps --wheel-dir build/cuda_wheel .
echo "built in $SECONDS s"

say "looking at it"
python ci/check_cuda_wheel.py build/cuda_wheel/*.whl
