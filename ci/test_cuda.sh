#!/usr/bin/env bash
# On a machine with a GPU: builds for it, runs the suite on it, and writes the report that is
# committed under docs/benchmarks/<device>/.  Takes the machine's own Python packages (torch carries
# the arrays) and works without a network.  Arguments: the folder for the report.  FLASHDEC_WHEEL: a
# wheel that is installed instead, such as ci/wheel.sh makes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-build/cuda_report}
mkdir -p "$out"

# The machine's own architecture; 9.0 has kernels of its own, for sm_90a, which "native" is not.
architecture=native
[ "$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0)" != 9.0 ] || architecture=90a-real

echo "== installing ${FLASHDEC_WHEEL:-what is built here}"
FLASHDEC_CUDA=ON FLASHDEC_CUDA_ARCHITECTURES="${FLASHDEC_CUDA_ARCHITECTURES:-$architecture}" \
  python3 -m pip install --quiet --no-build-isolation --no-index --no-deps --target build/cuda_site \
  --upgrade "${FLASHDEC_WHEEL:-.}"
export PYTHONPATH="$PWD/build/cuda_site${PYTHONPATH:+:$PYTHONPATH}"

echo "== selftest"
python3 -m flashdec info
python3 -m flashdec selftest | tail -n 3

echo "== tests"
status=0
FLASHDEC_TEST_CASES="${FLASHDEC_TEST_CASES:-3000}" python3 -m pytest -n "${FLASHDEC_TEST_WORKERS:-4}" \
  -m cuda --junit-xml "$out/cuda_tests.xml" tests 2>&1 | tee "$out/cuda_tests.log" || status=$?
python3 ci/cuda_report.py "$out"
exit "$status"
