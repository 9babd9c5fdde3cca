#!/usr/bin/env bash
# The tests that take PyTorch and transformers, which ci/test.sh skips where they are not installed:
# sets everything up, and installs them into .venv too.  They run on the wheel that ci/wheel.sh has
# left, whose C++ run time is not PyTorch's, or else on a build of their own.  Arguments go to pytest.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
setup_venv
wheel=$(echo build/wheel/*.whl)
if [ -f "$wheel" ]; then
  say "installing $wheel"
  install_needs "$wheel[test]"
  install_needs --no-deps --force-reinstall "$wheel" # another build may have been there
else
  install_flashdec test
fi
say "PyTorch and transformers"
install_needs -r ci/requirements-torch.txt
python -c 'import torch, transformers; print(torch.__version__, transformers.__version__)'

say "tests"
python -m pytest -n auto tests/pytorch tests/hf tests/abi tests/cli \
  tests/numeric/test_decode.py tests/numeric/test_merge_over_processes.py \
  tests/examples/test_huggingface.py tests/packaging/test_readme.py tests/packaging/test_docs.py "$@"
