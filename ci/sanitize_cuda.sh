#!/usr/bin/env bash
# On a machine with a GPU and compute-sanitizer: its four tools over the CUDA kernels, at the same
# time, and a report.
# Installs nothing: takes what ci/test_cuda.sh has built, or else the flashdec that Python finds.
# Arguments: the folder for the logs and sanitizers.json.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-build/cuda_sanitizers}
limit=${FLASHDEC_SANITIZER_SECONDS:-140}  # of each tool
mkdir -p "$out"
[ ! -d build/cuda_site ] || export PYTHONPATH="$PWD/build/cuda_site${PYTHONPATH:+:$PYTHONPATH}"

# One row of every kernel folder and head_dim, up to 64 tokens in caches of up to 80, merges and appends:
# the others are the same code with other constants.
few='^cuda_(sm80|sm90)_bf16_d[0-9]+_h8$|^cuda_simple_bf16$|^cuda_merge$|^cuda_append$'
jobs=()

# sanitize TOOL OPTION.. -- ARGUMENT..: options of the tool, arguments of the program.
sanitize() {
  local tool=$1 options=() code=0 start=$SECONDS
  shift
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  echo "== $tool"
  timeout --kill-after=10 "$limit" compute-sanitizer --tool "$tool" --error-exitcode 9 \
    --target-processes all "${options[@]}" python3 tests/cuda/sanitize_cases.py "$@" \
    >"$out/$tool.log" 2>&1 || code=$?
  echo "== $tool: exit $code, $((SECONDS - start)) seconds" | tee -a "$out/$tool.log"
  return "$code"
}

# A refused cooperative launch is answered by two launches; the program fails on all other errors.
sanitize memcheck --padding 256 --report-api-errors no -- --checks all &
jobs+=($!)
sanitize initcheck -- --checks all &
jobs+=($!)
sanitize racecheck -- --rows "$few" --checks light --max-kv-len 80 &
jobs+=($!)
sanitize synccheck -- --rows "$few" --checks light --max-kv-len 80 &
jobs+=($!)
status=0
for job in "${jobs[@]}"; do
  wait "$job" || status=1
done
python3 ci/sanitize_report.py "$out"
exit "$status"
