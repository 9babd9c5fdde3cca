# Sourced by the other scripts: one virtual environment, .venv, and the library installed into it.
# Needs Python 3.10 or later with pip, git and g++; everything else comes from PyPI.
#
#   setup_venv                  make .venv and put it first on PATH
#   install_flashdec            build the library for what the machine has, and install it
#   install_needs FILE|PACKAGE  install packages: a requirements file, or what pip takes

cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }

setup_venv() {
  if [ ! -x .venv/bin/python ]; then
    say "making .venv"
    # Debian's python3 may lack venv; virtualenv is the same without it.
    python3 -m venv .venv 2>/dev/null || {
      rm -rf .venv
      python3 -m pip install --quiet --user --break-system-packages virtualenv 2>/dev/null ||
        python3 -m pip install --quiet --user virtualenv
      python3 -m virtualenv --quiet .venv
    } || {
      echo "no virtual environment can be made: install python3-venv, or pip" >&2
      exit 1
    }
  fi
  PATH="$PWD/.venv/bin:$PATH"
  export PATH
}

install_needs() { python -m pip install --quiet --disable-pip-version-check "$@"; }

# CPU alone where there is no NVIDIA driver; FLASHDEC_CUDA in the environment decides otherwise.
install_flashdec() {
  if [ -z "${FLASHDEC_CUDA:-}" ] && [ ! -e /proc/driver/nvidia/version ] && [ ! -e /dev/nvidiactl ]; then
    FLASHDEC_CUDA=OFF
  fi
  export FLASHDEC_CUDA="${FLASHDEC_CUDA:-AUTO}"
  say "building flashdec (FLASHDEC_CUDA=$FLASHDEC_CUDA)"
  SECONDS=0
  install_needs .
  echo "built and installed in $SECONDS s"
}
