# Decides whether to build for CUDA, and finds nvcc before enable_language(CUDA) does.
#
#   FLASHDEC_CUDA          AUTO (CUDA where there is an nvcc), ON, OFF
#   FLASHDEC_CUDA_TOOLKIT  empty: search; pypi: the wheels of PyPI; or a folder
#
# The search is CUDACXX, CUDA_PATH, CUDA_HOME, /usr/local/cuda, PATH, then PyPI's wheels.  Under pip
# the PEP 517 wrapper (native/python) has searched in the same order, since it must ask for the wheels
# beforehand, and hands over what it found in CUDACXX.  `cmake -P` with this file prints the nvcc.

function(flashdec_find_nvcc result)
  set(candidates "$ENV{CUDACXX}")
  foreach(root "$ENV{CUDA_PATH}" "$ENV{CUDA_HOME}" "/usr/local/cuda")
    if(root)
      list(APPEND candidates "${root}/bin/nvcc")
    endif()
  endforeach()
  foreach(candidate IN LISTS candidates)
    if(EXISTS "${candidate}")
      set(${result} "${candidate}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  find_program(found nvcc NO_CACHE)
  if(found)
    set(${result} "${found}" PARENT_SCOPE)
  else()
    set(${result} "" PARENT_SCOPE)
  endif()
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  flashdec_find_nvcc(nvcc)
  message(NOTICE "nvcc=${nvcc}")
  return()
endif()

# PyPI's wheels put the toolkit into nvidia/cu13 of a site-packages: the PEP 517 wrapper says of
# which, in FLASHDEC_SITE_PACKAGES.
function(flashdec_find_wheels result)
  foreach(prefix IN LISTS CMAKE_PREFIX_PATH ITEMS "$ENV{FLASHDEC_SITE_PACKAGES}")
    if(EXISTS "${prefix}/nvidia/cu13/bin/nvcc")
      set(${result} "${prefix}/nvidia/cu13" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(${result} "" PARENT_SCOPE)
endfunction()

# The wheels lack lib64 and an unversioned libcudart.so.  Links in the build tree make them whole
# without writing into site-packages; nvcc takes its root from the path it was called by.
function(flashdec_make_link_farm toolkit farm)
  file(REMOVE_RECURSE "${farm}")
  file(MAKE_DIRECTORY "${farm}/bin" "${farm}/lib")
  foreach(folder bin lib)
    file(GLOB entries "${toolkit}/${folder}/*")
    foreach(entry IN LISTS entries)
      get_filename_component(name "${entry}" NAME)
      file(CREATE_LINK "${entry}" "${farm}/${folder}/${name}" SYMBOLIC)
    endforeach()
  endforeach()
  foreach(folder include nvvm)
    file(CREATE_LINK "${toolkit}/${folder}" "${farm}/${folder}" SYMBOLIC)
  endforeach()
  file(CREATE_LINK lib "${farm}/lib64" SYMBOLIC)
  file(GLOB cudart "${toolkit}/lib/libcudart.so.*")
  if(cudart)
    list(GET cudart 0 cudart)
    file(CREATE_LINK "${cudart}" "${farm}/lib/libcudart.so" SYMBOLIC)
  endif()
endfunction()

# Sets CMAKE_CUDA_COMPILER and FLASHDEC_WITH_CUDA.
macro(flashdec_choose_cuda)
  set(FLASHDEC_WITH_CUDA 0)
  if(NOT FLASHDEC_CUDA MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "FLASHDEC_CUDA is ${FLASHDEC_CUDA}; it can be AUTO, ON or OFF")
  endif()
  if(NOT FLASHDEC_CUDA STREQUAL "OFF")
    set(nvcc "")
    if(FLASHDEC_CUDA_TOOLKIT AND NOT FLASHDEC_CUDA_TOOLKIT STREQUAL "pypi")
      set(nvcc "${FLASHDEC_CUDA_TOOLKIT}/bin/nvcc")
    elseif(NOT FLASHDEC_CUDA_TOOLKIT)
      flashdec_find_nvcc(nvcc)
    endif()
    if(NOT nvcc)
      flashdec_find_wheels(wheels)
      if(wheels)
        flashdec_make_link_farm("${wheels}" "${CMAKE_BINARY_DIR}/cuda")
        set(nvcc "${CMAKE_BINARY_DIR}/cuda/bin/nvcc")
      endif()
    endif()
    if(nvcc)
      set(FLASHDEC_WITH_CUDA 1)
      set(CMAKE_CUDA_COMPILER "${nvcc}")
      message(STATUS "CUDA kernels: with ${nvcc}")
    elseif(FLASHDEC_CUDA STREQUAL "ON")
      message(FATAL_ERROR
        "FLASHDEC_CUDA is ON but there is no nvcc in CUDACXX, CUDA_PATH, CUDA_HOME, "
        "/usr/local/cuda, PATH or PyPI's wheels; `pip install .` fetches the wheels itself")
    else()
      message(STATUS "CUDA kernels: none, there is no nvcc")
    endif()
  endif()
endmacro()
