# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` lays down: the program, the library in both kinds, its headers, varve.pc and
# a CMake package (find_package(varve COMPONENTS static shared), giving varve::static, varve::shared).
include(CMakePackageConfigHelpers)

install(TARGETS varve_program RUNTIME)
install(TARGETS varve_static EXPORT varve_static ARCHIVE)
install(TARGETS varve_shared EXPORT varve_shared LIBRARY)
install(DIRECTORY include/varve DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)

# varve.pc finds the prefix from where it lies, so that an installed tree can be moved.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    set(VARVE_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
    file(RELATIVE_PATH VARVE_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
    string(REGEX REPLACE "/$" "" VARVE_PC_PREFIX "\${pcfiledir}/${VARVE_PC_PREFIX}")
endif()
foreach(dir LIBDIR INCLUDEDIR)
    if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
        set(VARVE_PC_${dir} "${CMAKE_INSTALL_${dir}}")
    else()
        set(VARVE_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
    endif()
endforeach()
set(VARVE_PC_REQUIRES_PRIVATE "libisal libzstd jansson libcrypto sqlite3")
if(ISAL_CRYPTO_FOUND)
    string(APPEND VARVE_PC_REQUIRES_PRIVATE " libisal_crypto")
    set(VARVE_CONFIG_ISAL_CRYPTO "ISAL_CRYPTO:libisal_crypto")
endif()
configure_file(cmake/varve.pc.in varve.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/varve.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/varve)
configure_package_config_file(cmake/varve-config.cmake.in varve-config.cmake
    INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break its callers.
write_basic_package_version_file(varve-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/varve-config.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/varve-config-version.cmake DESTINATION ${package_dir})
foreach(kind static shared)
    install(EXPORT varve_${kind} NAMESPACE varve:: FILE varve-${kind}.cmake
        DESTINATION ${package_dir})
endforeach()

# The manual page is made where scdoc is installed. It bears the day of its last change, not that of
# the build.
find_program(SCDOC scdoc)
if(SCDOC)
    set(VARVE_MANUAL_DATE 1795392000) # 2026-11-23
    add_custom_command(OUTPUT varve.1
        COMMAND ${CMAKE_COMMAND} -E env SOURCE_DATE_EPOCH=${VARVE_MANUAL_DATE}
            sh -c "exec \"$1\" < \"$2\" > varve.1" - ${SCDOC} ${CMAKE_SOURCE_DIR}/docs/varve.1.scd
        DEPENDS docs/varve.1.scd VERBATIM)
    add_custom_target(manual ALL DEPENDS varve.1)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/varve.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
