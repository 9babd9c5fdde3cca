#!/usr/bin/env bash
# Formatting, ruff, mypy --strict.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
setup_venv
install_needs -r ci/requirements-lint.txt

say "clang-format"
git ls-files 'native/*.h' 'native/*.cpp' 'native/*.cu' 'native/*.cuh' 'tests/*.c' 'tests/*.cpp' |
  xargs clang-format --dry-run -Werror

say "ruff"
ruff check
ruff format --check

say "mypy --strict"
mypy
