# Decides whether to build for CUDA and with which nvcc, before enable_language(CUDA) would search.
# Sets FLASHDEC_WITH_CUDA and, with it, CMAKE_CUDA_COMPILER.

# PyPI's wheels lack lib64 and an unversioned libcudart.so.  Links in the build tree make them whole
# without writing into site-packages; nvcc takes its root from the path it was called by.
function(flashdec_make_link_farm toolkit farm)
  file(REMOVE_RECURSE "${farm}")
  foreach(folder bin lib)
    file(MAKE_DIRECTORY "${farm}/${folder}")
    file(GLOB entries "${toolkit}/${folder}/*")
    foreach(entry IN LISTS entries)
      cmake_path(GET entry FILENAME name)
      file(CREATE_LINK "${entry}" "${farm}/${folder}/${name}" SYMBOLIC)
    endforeach()
  endforeach()
  file(CREATE_LINK "${toolkit}/include" "${farm}/include" SYMBOLIC)
  file(CREATE_LINK "${toolkit}/nvvm" "${farm}/nvvm" SYMBOLIC)
  file(CREATE_LINK lib "${farm}/lib64" SYMBOLIC)
  file(CREATE_LINK libcudart.so.13 "${farm}/lib/libcudart.so" SYMBOLIC)
endfunction()

# An nvcc given by -D counts as one named in the environment; what we chose at an earlier configuration
# does not.
if(CMAKE_CUDA_COMPILER AND NOT CMAKE_CUDA_COMPILER STREQUAL FLASHDEC_CHOSEN_NVCC)
  set(ENV{CUDACXX} "${CMAKE_CUDA_COMPILER}")
  set(nvcc_is_given TRUE)
endif()
execute_process(
  COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/cuda_toolkit.sh
    "${FLASHDEC_CUDA}" "${FLASHDEC_CUDA_TOOLKIT}"
  OUTPUT_VARIABLE nvcc ERROR_VARIABLE refusal RESULT_VARIABLE status
  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_STRIP_TRAILING_WHITESPACE)
if(status)
  message(FATAL_ERROR "${refusal}")
endif()
message(STATUS "CUDA kernels: ${nvcc}")

if(nvcc STREQUAL "none")
  set(FLASHDEC_WITH_CUDA 0)
  return()
endif()
set(FLASHDEC_WITH_CUDA 1)
if(CMAKE_VERSION VERSION_LESS 3.31 AND FLASHDEC_CUDA_ARCHITECTURES MATCHES "[0-9]f")
  message(FATAL_ERROR "CMake is ${CMAKE_VERSION}; the family architectures of "
    "FLASHDEC_CUDA_ARCHITECTURES (${FLASHDEC_CUDA_ARCHITECTURES}) need 3.31 or later")
endif()
if(nvcc STREQUAL "pypi")
  if(NOT EXISTS "${FLASHDEC_CUDA_WHEELS}/bin/nvcc")
    message(FATAL_ERROR
      "FLASHDEC_CUDA is ${FLASHDEC_CUDA} and FLASHDEC_CUDA_TOOLKIT is ${FLASHDEC_CUDA_TOOLKIT}, which "
      "takes nvcc from PyPI's wheels, but FLASHDEC_CUDA_WHEELS (${FLASHDEC_CUDA_WHEELS}) has none: "
      "`pip install .` fetches them, CUDACXX names another nvcc, FLASHDEC_CUDA=OFF builds without")
  endif()
  flashdec_make_link_farm("${FLASHDEC_CUDA_WHEELS}" "${PROJECT_BINARY_DIR}/cuda")
  set(nvcc "${PROJECT_BINARY_DIR}/cuda/bin/nvcc")
endif()
set(CMAKE_CUDA_COMPILER "${nvcc}")
if(NOT nvcc_is_given)
  set(FLASHDEC_CHOSEN_NVCC "${nvcc}" CACHE INTERNAL "")
endif()
# Of all, Library.cmake says which code they get.
set(CMAKE_CUDA_ARCHITECTURES ${FLASHDEC_CUDA_ARCHITECTURES})
if(FLASHDEC_CUDA_ARCHITECTURES STREQUAL "")
  set(CMAKE_CUDA_ARCHITECTURES OFF)
endif()
