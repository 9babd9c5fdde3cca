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

# Machine code for the generations that differ (8.6 runs the code of 8.0), and PTX of the newest for
# those to come.
if(FLASHDEC_CUDA_ARCHITECTURES STREQUAL "")
  set(FLASHDEC_CUDA_ARCHITECTURES 80-real 89-real 90a-real 100f-real 120f-real 120-virtual)
endif()
