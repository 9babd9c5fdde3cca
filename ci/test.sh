#!/usr/bin/env bash
# Sets everything up, builds for what the machine has, and runs the tests.  Arguments go to pytest.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
setup_venv
install_flashdec test

say "tests"
python -m pytest -n auto "$@"
