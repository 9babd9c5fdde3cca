# What is installed, the same below a prefix and inside the wheel's flashdec/ folder.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# A wheel has one place for libraries on every distribution.
if(SKBUILD)
  set(CMAKE_INSTALL_LIBDIR lib)
endif()
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/flashdec)
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES native/include/flashdec.h native/include/flashdec_append.h native/include/flashdec_merge.h
              native/include/flashdec_dlpack.h native/include/flashdec_probe.h native/include/flashdec_torch.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS flashdecoding EXPORT flashdec
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# find_package(flashdec) gives flashdec::flashdecoding.
install(EXPORT flashdec NAMESPACE flashdec:: FILE flashdecTargets.cmake DESTINATION ${package_dir})
configure_package_config_file(native/cmake/flashdecConfig.cmake.in
  ${PROJECT_BINARY_DIR}/flashdecConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/flashdecConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/flashdecConfig.cmake
  ${PROJECT_BINARY_DIR}/flashdecConfigVersion.cmake DESTINATION ${package_dir})

# The pkg-config file finds the prefix from where it lies itself, so the tree may be moved.
file(RELATIVE_PATH to_prefix /${pkgconfig_dir} /)
configure_file(native/cmake/flashdec.pc.in ${PROJECT_BINARY_DIR}/flashdec.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/flashdec.pc DESTINATION ${pkgconfig_dir})
