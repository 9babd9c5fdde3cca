# Options, each also read from the environment, where pip hands them down.

function(flashdec_option name default text)
  if(NOT DEFINED ${name} AND DEFINED ENV{${name}})
    set(${name} "$ENV{${name}}")
  endif()
  if("${${name}}" STREQUAL "")  # not NOT: OFF is a value
    set(${name} "${default}")
  endif()
  set(${name} "${${name}}" CACHE STRING "${text}" FORCE)
endfunction()

flashdec_option(FLASHDEC_CUDA AUTO "Build the CUDA kernels: AUTO, ON or OFF")
flashdec_option(FLASHDEC_CUDA_TOOLKIT "" "Where nvcc is: empty (search), pypi, or a folder")
# Machine code for the generations that differ, and PTX of the newest for those to come; 8.6 runs
# the code of 8.0.
flashdec_option(FLASHDEC_CUDA_ARCHITECTURES
  "80-real;89-real;90a-real;100f-real;120f-real;120-virtual" "What CMAKE_CUDA_ARCHITECTURES takes")
flashdec_option(FLASHDEC_SANITIZE "" "address, undefined or thread, comma-separated")
