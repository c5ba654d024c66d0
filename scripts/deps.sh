#!/bin/sh
# Checks that what the build needs is installed; installs what is missing when it may (root, or sudo without a password).
# usage: scripts/deps.sh [check]     with "check" also what check.sh needs (clang for a second compiler and the fuzzers)
set -u

missing=""
need() { # need PACKAGE COMMAND...: PACKAGE is missing when COMMAND fails
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
have_header() {
    echo "#include <$1>" | "${CC:-cc}" -E -x c - >/dev/null 2>&1
}
clang_runtime() { # the fuzzer runtime of the installed clang
    command -v clang >/dev/null && test -n "$(find "$(clang -print-resource-dir)/" -name 'libclang_rt.fuzzer-*.a' -print -quit)"
}
clang_openmp() {
    command -v clang >/dev/null && echo '#include <omp.h>' | clang -fopenmp -E -x c - >/dev/null 2>&1
}
look() {
    missing=""
    need build-essential sh -c 'command -v cc && command -v make && command -v ar'
    need pkg-config command -v pkg-config
    need libopenmpi-dev sh -c 'pkg-config --exists mpi-c || pkg-config --exists mpich'
    need openmpi-bin command -v mpirun
    need libjansson-dev pkg-config --exists jansson
    need zlib1g-dev pkg-config --exists zlib
    need libzstd-dev pkg-config --exists libzstd
    need libxxhash-dev pkg-config --exists libxxhash
    need libutf8proc-dev pkg-config --exists libutf8proc
    need libpcre2-dev pkg-config --exists libpcre2-8
    need libdnnl-dev have_header oneapi/dnnl/dnnl.h
    need librandom123-dev have_header Random123/philox.h
    need libcmocka-dev pkg-config --exists cmocka
    if [ "${1:-}" = check ]; then
        need clang command -v clang
        need libclang-rt-14-dev clang_runtime
        need libomp-dev clang_openmp
    fi
}

look "${1:-}"
[ -z "$missing" ] && exit 0
line="apt-get install -y --no-install-recommends$missing"
if command -v apt-get >/dev/null; then
    as=""
    if [ "$(id -u)" != 0 ]; then
        as="sudo -n"
        sudo -n true 2>/dev/null || as=none
    fi
    if [ "$as" != none ]; then
        echo "installing:$missing" >&2
        { $as env DEBIAN_FRONTEND=noninteractive apt-get update && $as env DEBIAN_FRONTEND=noninteractive $line; } >&2
        look "${1:-}"
        [ -z "$missing" ] && exit 0
    fi
fi
echo "missing packages; run this as root and start again: apt-get install -y$missing" >&2
exit 1
