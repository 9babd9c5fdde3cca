# What a build can be told, by -D or, under pip, by the environment (native/python hands it down).

set(FLASHDEC_CUDA AUTO CACHE STRING
  "Build the CUDA kernels: AUTO (where there is an nvcc or an NVIDIA driver), ON or OFF")
set(FLASHDEC_CUDA_TOOLKIT auto CACHE STRING
  "The CUDA toolkit: auto (the machine's, else PyPI's) or pypi")
set(FLASHDEC_CUDA_WHEELS "" CACHE PATH
  "PyPI's toolkit, site-packages/nvidia/cu13 of some environment; pip's builds know it")
set(FLASHDEC_CUDA_ARCHITECTURES "" CACHE STRING
  "The GPUs to compile for, as CMAKE_CUDA_ARCHITECTURES takes them; empty: all")
set(FLASHDEC_SANITIZE "" CACHE STRING "address, undefined or thread, comma-separated")

# All: machine code for the generations that differ (8.6 runs the code of 8.0), and PTX of the newest
# for those to come.  The front end takes as long as the assembler, so generations share it where
# they have the same to offer here; code for 10.0 and 12.0 runs on the whole of its family, because
# it uses nothing that only some of it have.
set(FLASHDEC_CUDA_CODE
  "arch=compute_80,code=[sm_80,sm_89]"
  "arch=compute_90,code=[sm_90,sm_100]"
  "arch=compute_120,code=[sm_120,compute_120]")
