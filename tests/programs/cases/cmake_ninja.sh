#!/bin/bash
# needs: cmake ninja gcc g++ make
mkdir p; cat >p/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(p C CXX)
find_package(Threads REQUIRED)
add_library(one STATIC one.c)
add_library(two SHARED two.cc)
add_custom_command(OUTPUT gen.h COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_SOURCE_DIR}/gen.in gen.h DEPENDS gen.in)
add_executable(app app.cc ${CMAKE_CURRENT_BINARY_DIR}/gen.h)
target_include_directories(app PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
target_link_libraries(app one two Threads::Threads)
enable_testing()
add_test(NAME app COMMAND app)
add_test(NAME fails COMMAND false)
set_tests_properties(fails PROPERTIES WILL_FAIL TRUE)
configure_file(in.txt out.txt)
install(TARGETS app two)
END
echo 'int one(void) { return 1; }' >p/one.c; echo 'int two() { return 2; }' >p/two.cc; echo '@CMAKE_PROJECT_NAME@' >p/in.txt
echo '#define GEN 30' >p/gen.in; echo '#include "gen.h"
#include <thread>
#include <cstdio>
extern "C" int one();
int two(); int main() { int x = 0; std::thread t([&] { x = one() + two() + GEN; }); t.join(); std::printf("%d\n", x); }' >p/app.cc
clean() { sed -E 's/[0-9]+\.[0-9]+ sec//; s/ +/ /g; s/\([0-9.]+s\)//'; }
cmake -S p -B b -G Ninja | clean | grep -v -e 'version' -e '^-- Generating'; ninja -C b -j3 | tail -1 | sed 's/.*] //'; b/app; ninja -C b; cat b/out.txt; (cd b; ctest -j1 | clean | grep -v 'Start'); touch p/one.c; ninja -C b -n | wc -l; ninja -C b | tail -1 | sed 's/.*] //'; ninja -C b -t targets | wc -l; cmake --install b --prefix inst | sort | sed 's/.*moat-case[^/]*//'; ls -R inst
cmake -S p -B m -G 'Unix Makefiles' >/dev/null; make -C m -j3 --no-print-directory 2>&1 | sed 's/^\[[ 0-9%]*\] //' | sort; m/app; echo 'syntax error' >>p/one.c; ninja -C b >/dev/null; echo $?; cmake --version | head -1; cmake -E md5sum p/two.cc; cmake -P nosuch; echo $?
exit 0
