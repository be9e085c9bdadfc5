# Sanitized builds parse the large headers once. Others do not, so that each file is seen to include what it
# uses.
function(msb_precompile name)
  if(MSB_SANITIZE AND name STREQUAL "msb_base")
    target_precompile_headers(${name} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled.h)
  elseif(MSB_SANITIZE)
    target_precompile_headers(${name} REUSE_FROM msb_base)
  endif()
endfunction()

# msb_library(NAME SOURCES ... DEPS ...): one library a folder, with the alias msb::NAME.
function(msb_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(msb_${name} STATIC ${ARG_SOURCES})
  add_library(msb::${name} ALIAS msb_${name})
  target_link_libraries(msb_${name} PUBLIC ${ARG_DEPS})
  msb_precompile(msb_${name})
endfunction()

# msb_executable(NAME SOURCES ... DEPS ...): fully static, since a jail's root has no loader and a dynamic
# binary starts ten times slower. Sanitized builds are dynamic (their runtime is) and serve tests only.
function(msb_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  msb_precompile(${name})
  if(NOT MSB_SANITIZE)
    target_link_options(${name} PRIVATE -static)
  endif()
endfunction()

# msb_test(NAME SOURCES ... DEPS ... [DATA dir]): a GoogleTest binary, each test known to ctest.
function(msb_test name)
  if(NOT MSB_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  msb_precompile(${name})
  target_compile_definitions(${name} PRIVATE MSB_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                             MSB_BUILD_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
endfunction()

# msb_fuzz(NAME SOURCES ... DEPS ...): a libFuzzer target with a committed seed corpus beside it in
# corpus/NAME/. Sanitized builds only; ctest runs the seeds once.
function(msb_fuzz name)
  if(NOT MSB_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  if(NOT MSB_SANITIZE)
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  msb_precompile(${name})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  add_test(NAME ${name}_seeds
           COMMAND ${name} -runs=0 ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
  set_property(GLOBAL APPEND_STRING PROPERTY MSB_FUZZERS
               "${name} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name}\n")
endfunction()
