# The target flashdecoding: libflashdecoding.so.

set(sources ${FLASHDEC_CORE_SOURCES} ${FLASHDEC_CPU_SOURCES} ${FLASHDEC_TORCH_SOURCES})
set(FLASHDEC_X86 0)
set(FLASHDEC_ARM64 0)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(FLASHDEC_X86 1)
  list(APPEND sources ${FLASHDEC_X86_SOURCES})
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(FLASHDEC_ARM64 1)
  list(APPEND sources ${FLASHDEC_ARM64_SOURCES})
endif()
if(FLASHDEC_WITH_CUDA)
  list(APPEND sources ${FLASHDEC_CUDA_SOURCES})
else()
  list(APPEND sources ${FLASHDEC_NO_CUDA_SOURCES})
endif()

set(FLASHDEC_WITH_SM90A 0)
if(FLASHDEC_WITH_CUDA AND (FLASHDEC_CUDA_ARCHITECTURES STREQUAL "" OR
    FLASHDEC_CUDA_ARCHITECTURES MATCHES "90a"))
  set(FLASHDEC_WITH_SM90A 1)
endif()

add_library(flashdecoding SHARED ${sources})
add_library(flashdec::flashdecoding ALIAS flashdecoding)
target_compile_features(flashdecoding PRIVATE cxx_std_17)
target_include_directories(flashdecoding
  PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/native/include>
  PRIVATE ${PROJECT_SOURCE_DIR}/native)
target_compile_definitions(flashdecoding PRIVATE
  FLASHDEC_WITH_CUDA=${FLASHDEC_WITH_CUDA} FLASHDEC_WITH_SM90A=${FLASHDEC_WITH_SM90A}
  FLASHDEC_X86=${FLASHDEC_X86} FLASHDEC_ARM64=${FLASHDEC_ARM64})
set_target_properties(flashdecoding PROPERTIES
  CXX_EXTENSIONS OFF
  POSITION_INDEPENDENT_CODE ON
  CXX_VISIBILITY_PRESET hidden
  CUDA_VISIBILITY_PRESET hidden
  VISIBILITY_INLINES_HIDDEN ON
  CUDA_RUNTIME_LIBRARY Static
  LINK_DEPENDS ${PROJECT_SOURCE_DIR}/native/flashdec.map)

# No contraction of a * b + c on its own: where a fused operation is meant, it is written, so that
# bits do not depend on what the optimiser inlines where.
target_compile_options(flashdecoding PRIVATE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-psabi -ffp-contract=off -fno-math-errno>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-ffp-contract=off --fmad=false -compress-mode=size>)
# Kernels of one architecture, so that they are not compiled for the others.
if(FLASHDEC_WITH_SM90A)
  add_library(flashdec_sm90a OBJECT ${FLASHDEC_SM90A_SOURCES})
  target_compile_features(flashdec_sm90a PRIVATE cxx_std_17)
  foreach(property INCLUDE_DIRECTORIES COMPILE_DEFINITIONS COMPILE_OPTIONS
      CXX_EXTENSIONS POSITION_INDEPENDENT_CODE CUDA_VISIBILITY_PRESET VISIBILITY_INLINES_HIDDEN)
    get_target_property(value flashdecoding ${property})
    set_target_properties(flashdec_sm90a PROPERTIES ${property} "${value}")
  endforeach()
  set_target_properties(flashdec_sm90a PROPERTIES CUDA_ARCHITECTURES 90a-real)
  target_sources(flashdecoding PRIVATE $<TARGET_OBJECTS:flashdec_sm90a>)
endif()
if(FLASHDEC_CUDA_ARCHITECTURES STREQUAL "")
  foreach(code IN LISTS FLASHDEC_CUDA_CODE)
    target_compile_options(flashdecoding PRIVATE
      "$<$<COMPILE_LANGUAGE:CUDA>:--generate-code=${code}>")
  endforeach()
endif()
if(FLASHDEC_X86)
  # gcc 12 takes its own _mm512_undefined_*() for a use of an uninitialised variable.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(quiet -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  foreach(isa avx2 avx512 avx512bf16)
    string(TOUPPER ${isa} ISA)
    set_source_files_properties(native/cpu/${isa}.cpp PROPERTIES
      COMPILE_OPTIONS "${FLASHDEC_${ISA}_FLAGS};${quiet}")
  endforeach()
endif()
if(FLASHDEC_ARM64)
  foreach(isa neon neonbf16)
    string(TOUPPER ${isa} ISA)
    set_source_files_properties(native/cpu/${isa}.cpp PROPERTIES
      COMPILE_OPTIONS "${FLASHDEC_${ISA}_FLAGS}")
  endforeach()
endif()

# Nothing but the ABI leaks out, the library stays loaded once its threads run, and what no one calls
# is left out: parts of the C++ run time that would ask for a newer libc.
target_link_options(flashdecoding PRIVATE
  -Wl,--version-script=${PROJECT_SOURCE_DIR}/native/flashdec.map
  -Wl,-z,nodelete -Wl,--build-id=sha1 -Wl,--gc-sections)
if(FLASHDEC_SANITIZE)
  target_compile_options(flashdecoding PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${FLASHDEC_SANITIZE} -g -fno-omit-frame-pointer>)
  target_link_options(flashdecoding PRIVATE -fsanitize=${FLASHDEC_SANITIZE})
else()
  # Nothing of the C++ run time is asked of the machine.
  target_link_options(flashdecoding PRIVATE -static-libstdc++ -static-libgcc -Wl,-z,defs)
endif()
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
target_link_libraries(flashdecoding PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
