#!/bin/sh
# Prints what to build the CUDA kernels with: the path of an nvcc, "pypi" (the wheels of PyPI) or
# "none".
#
#   cuda_toolkit.sh FLASHDEC_CUDA FLASHDEC_CUDA_TOOLKIT
#
# This is the one search for nvcc.  CMake asks it (CudaToolkit.cmake), and so does the PEP 517 wrapper
# (native/python), which has to fetch PyPI's wheels before there is a CMake; hence a shell script.
set -eu
wish=$1 toolkit=$2
oldest=13 # the first nvcc that knows every architecture we name

refuse() {
  echo "$*" >&2
  exit 1
}

is_new_enough() {
  release=$("$1" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
  [ "${release:-0}" -ge "$oldest" ]
}

# An nvcc that is named must do; of those that happen to be here, one that is too old is passed over.
find_nvcc() {
  if [ -n "${CUDACXX:-}" ]; then
    nvcc=$(command -v "$CUDACXX") || refuse "CUDACXX is $CUDACXX, which is no program"
    is_new_enough "$nvcc" || refuse "CUDACXX is $CUDACXX; the kernels need an nvcc $oldest.0 or later"
    echo "$nvcc"
    return
  fi
  for nvcc in "${CUDA_PATH:+$CUDA_PATH/bin/nvcc}" "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" \
    /usr/local/cuda/bin/nvcc "$(command -v nvcc)"; do
    if [ -x "$nvcc" ] && is_new_enough "$nvcc"; then
      echo "$nvcc"
      return
    fi
  done
}

case $wish in
AUTO | ON | OFF) ;;
*) refuse "FLASHDEC_CUDA is $wish; it can be AUTO, ON or OFF" ;;
esac
case $toolkit in
auto | pypi) ;;
*) refuse "FLASHDEC_CUDA_TOOLKIT is $toolkit; it can be auto or pypi (CUDA_PATH names a folder)" ;;
esac

if [ "$wish" = OFF ]; then
  echo none
elif [ "$toolkit" = pypi ]; then
  echo pypi
else
  nvcc=$(find_nvcc)
  if [ -n "$nvcc" ]; then
    echo "$nvcc"
  elif [ "$wish" = ON ] || sh "$(dirname "$0")/nvidia_driver.sh"; then
    echo pypi
  else
    echo none
  fi
fi
