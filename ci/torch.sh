#!/usr/bin/env bash
# The tests that take PyTorch, which ci/test.sh skips where it is not installed: sets everything up
# as that does, and installs PyTorch into .venv too.  Arguments go to pytest.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
setup_venv
install_flashdec test
say "PyTorch"
install_needs -r ci/requirements-torch.txt
python -c 'import torch; print("torch", torch.__version__)'

say "tests"
python -m pytest -n auto tests/pytorch tests/abi tests/cli \
  tests/numeric/test_decode.py tests/numeric/test_merge_over_processes.py \
  tests/packaging/test_readme.py tests/packaging/test_docs.py "$@"
