#!/usr/bin/env bash
# Sets everything up, builds for what the machine has, and runs the tests.  Arguments go to pytest.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
setup_venv
install_flashdec
install_needs -r ci/requirements-test.txt

say "tests"
python -m pytest -n auto "$@"
