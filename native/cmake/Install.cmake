# What is installed, the same below a prefix and inside the wheel's flashdec/ folder.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# A wheel has one place for libraries on every distribution.
if(SKBUILD)
  set(CMAKE_INSTALL_LIBDIR lib)
endif()
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/flashdec)

install(TARGETS flashdecoding EXPORT flashdec LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES native/include/flashdec.h native/include/flashdec_dlpack.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
set_property(TARGET flashdecoding APPEND PROPERTY
  INTERFACE_INCLUDE_DIRECTORIES $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

install(EXPORT flashdec NAMESPACE flashdec:: FILE flashdecTargets.cmake
  DESTINATION ${package_dir})
configure_package_config_file(native/cmake/flashdecConfig.cmake.in
  ${CMAKE_BINARY_DIR}/flashdecConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/flashdecConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/flashdecConfig.cmake
  ${CMAKE_BINARY_DIR}/flashdecConfigVersion.cmake DESTINATION ${package_dir})

configure_file(native/cmake/flashdec.pc.in ${CMAKE_BINARY_DIR}/flashdec.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/flashdec.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
