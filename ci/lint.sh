#!/usr/bin/env bash
# Formatting, ruff, mypy --strict.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
setup_venv
install_needs -r ci/requirements-lint.txt

say "clang-format"
git ls-files '*.h' '*.c' '*.cpp' '*.cu' '*.cuh' | xargs clang-format --dry-run -Werror

say "ruff"
ruff check
ruff format --check

say "mypy --strict"
mypy
