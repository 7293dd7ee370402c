# Compiler settings, third-party packages and the two helpers that every folder's CMakeLists.txt uses.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

find_program(CCACHE ccache)
if(CCACHE) # a second checkout is served too, wherever it lies
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

# What is built once is built many files at a time, and keeps of debug information what stack traces need.
if(VPN_BUILT_ONCE)
  if(NOT DEFINED CMAKE_UNITY_BUILD)
    set(CMAKE_UNITY_BUILD ON)
  endif()
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 16)
  add_compile_options(-g1)
endif()

# Where several files are one for the compiler, a name of one file is no shadow on another's local, and a name of an anonymous
# namespace stays in one file: builds file by file keep these warnings.
add_library(vpn_warnings INTERFACE)
target_compile_options(vpn_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Werror=switch -Werror=unused-result
  $<IF:$<BOOL:${CMAKE_UNITY_BUILD}>,$<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>,-Wshadow>
  $<$<BOOL:${VPN_WERROR}>:-Werror>)
# What is packaged does not tell where it was built. Everyday builds keep the flag out: with it, a compiler cache could
# not serve two checkouts.
add_compile_options($<$<CONFIG:Release>:-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=>)
add_compile_options(-fstack-protector-strong)
if(CMAKE_BUILD_TYPE MATCHES "Rel" AND NOT VPN_SANITIZE)
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
add_link_options(-Wl,-z,relro -Wl,-z,now)
# Half a hundred programs are linked: lld takes a third of GNU ld's time. A release build keeps Debian's linker.
find_program(LLD ld.lld)
if(LLD AND NOT CMAKE_BUILD_TYPE STREQUAL "Release")
  add_link_options(-fuse-ld=lld)
endif()

if(VPN_SANITIZE)
  add_compile_options(-fsanitize=${VPN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${VPN_SANITIZE})
  if(VPN_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize=vptr)  # reads type information, which the core's objects do not carry
  endif()
endif()

if(VPN_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(b2 REQUIRED IMPORTED_TARGET libb2)
pkg_check_modules(crypto REQUIRED IMPORTED_TARGET libcrypto)
find_package(tl-expected REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(GTest REQUIRED)
include(GoogleTest)

# intel-ipsec-mb ships no pkg-config file, and exists for x86-64 only; without it the portable backends serve.
find_library(IPSEC_MB_LIBRARY IPSec_MB)
find_path(IPSEC_MB_INCLUDE intel-ipsec-mb.h)

# vpn_not_optimised(NAME [INSTALLED]): what need not be fast when it is built once: tests, and, with sanitizers, also what
# else carries no packet. The optimiser takes half of the compiler's time on tests, with sanitizers two thirds on all. What
# `make install` installs stays optimised and fortified.
function(vpn_not_optimised name)
  if(VPN_BUILT_ONCE AND (VPN_SANITIZE OR NOT "INSTALLED" IN_LIST ARGN))
    target_compile_options(${name} PRIVATE -O0 -U_FORTIFY_SOURCE)
  endif()
endfunction()

# vpn_add_test(NAME SOURCES... LIBRARIES...): one GoogleTest executable, each of its tests known to ctest by name; with
# sanitizers all in one process, for each process starts the sanitizer anew, which took a third of the time.
function(vpn_add_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} vpn_warnings GTest::gmock GTest::gtest_main)
  vpn_not_optimised(${name})
  if(VPN_SANITIZE)
    add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
    set_tests_properties(${name} PROPERTIES TIMEOUT 600)
  else()
    gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 300)
  endif()
endfunction()

# vpn_add_library(NAME SOURCES... LIBRARIES...): a static library with the project's warnings and include root.
function(vpn_add_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${arg_LIBRARIES} PRIVATE vpn_warnings)
endfunction()
