#!/usr/bin/env bash
# Installs a wheel into an empty environment of each Python that is supported, and lets it test itself.
# A Python that is neither here nor to be downloaded is named and left out.  Argument: the wheel.
set -euo pipefail
wheel=$(realpath "$1")
source "$(dirname "$0")/setup.sh"
setup_venv
install_needs -r ci/requirements-wheel.txt
folder=build/wheel_try
rm -rf "$folder"

# pyenv's Pythons are not on PATH but for one.
export PATH="$PATH$(printf ':%s' "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin)"
export UV_PYTHON_INSTALL_DIR="$PWD/build/pythons" UV_HTTP_RETRIES=0

find_python() {
  uv python find --no-project --system "$1" 2>/dev/null ||
    { uv python install --quiet "$1" 2>/dev/null && uv python find --no-project "$1"; }
}

try_on() { # Python's path, the environment to make
  "$1" -m venv "$2" # with the pip of that Python: an older one does not know a newer Python
  "$2/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel"
  env -u FLASHDEC_LIBRARY "$2/bin/python" -I -m flashdec selftest >"$2/selftest.log" ||
    { cat "$2/selftest.log" && refuse "the wheel's self-test failed"; }
  tail -n 1 "$2/selftest.log"
}

tried=0
for version in 3.10 3.11 3.12 3.13 3.14; do
  if python=$(find_python "$version"); then
    say "the wheel on Python $version"
    try_on "$python" "$folder/$version"
    tried=$((tried + 1))
  else
    say "Python $version cannot be had here: the wheel is not tried on it"
  fi
done
[ "$tried" -gt 0 ] || refuse "no Python can be had to try the wheel on"
