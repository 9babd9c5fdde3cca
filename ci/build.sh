#!/usr/bin/env bash
# Builds for the CPU alone, a warning being an error, installs it, and says how long that took.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
setup_venv
FLASHDEC_CUDA=OFF SKBUILD_CMAKE_DEFINE=CMAKE_COMPILE_WARNING_AS_ERROR=ON install_flashdec
