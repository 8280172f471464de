// Nothing: the precompiled header that all tests share (CMakeLists.txt) is built with this file.
