# Sourced by the other scripts: one virtual environment, .venv, and the library installed into it.
# Needs Python 3.10 or later with pip, git and g++; everything else comes from PyPI.
#
#   setup_venv                    make .venv and put it first on PATH
#   install_flashdec [EXTRA]      build the library for what the machine has, and install it
#   install_needs FILE|PACKAGE    install packages: a requirements file, or what pip takes
#   say, refuse                   a heading; one sentence, and the end

cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }

refuse() {
  echo "$*" >&2
  exit 1
}

setup_venv() {
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "making .venv"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
      refuse "python3 is $(python3 --version 2>&1); flashdec needs Python 3.10 or later"
    python3 -m venv --clear .venv >/dev/null 2>&1 || make_venv_by_pip ||
      refuse "python3 cannot make a virtual environment: install python3-venv, or pip"
  fi
  export PATH="$PWD/.venv/bin:$PATH"
}

# Debian's python3 without its package python3-venv makes environments that lack pip.
make_venv_by_pip() {
  python3 -m venv --clear --without-pip .venv &&
    python3 -m pip install --quiet pip \
      --target "$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
}

install_needs() { python -m pip install --quiet --disable-pip-version-check "$@"; }

# CPU alone where there is no NVIDIA driver: an nvcc by itself would make AUTO build kernels that
# cannot run here.  FLASHDEC_CUDA in the environment decides otherwise.
install_flashdec() {
  if [ -z "${FLASHDEC_CUDA:-}" ] && ! sh native/cmake/nvidia_driver.sh; then
    export FLASHDEC_CUDA=OFF
  fi
  say "building flashdec (FLASHDEC_CUDA=${FLASHDEC_CUDA:-AUTO})"
  SECONDS=0
  install_needs ".${1:+[$1]}"
  echo "built and installed in $SECONDS s"
}
