#!/bin/sh
# Checks that what the build needs is installed; installs what is missing when it may (root, or sudo without a password).
# usage: scripts/deps.sh [check]     with "check" also what check.sh needs (clang for a second compiler and the fuzzers) and what it would like to
#                                    have (MPICH beside Open MPI); without the latter it skips a stage
set -u

missing=""
wanted=""
need() { # need PACKAGE COMMAND...: PACKAGE is missing when COMMAND fails
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
want() { # the same for a package that there is another way without
    package=$1
    shift
    "$@" >/dev/null 2>&1 || wanted="$wanted $package"
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
    wanted=""
    need build-essential sh -c 'command -v cc && command -v make && command -v ar'
    need pkg-config command -v pkg-config
    need libopenmpi-dev sh -c 'pkg-config --exists mpi-c || pkg-config --exists mpich'
    need openmpi-bin command -v mpirun
    need libjansson-dev pkg-config --exists jansson
    need zlib1g-dev pkg-config --exists zlib
    need libzstd-dev pkg-config --exists libzstd
    need libsnappy-dev pkg-config --exists snappy
    need liblz4-dev pkg-config --exists liblz4
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
        want libmpich-dev pkg-config --exists mpich
        want mpich command -v mpirun.mpich
    fi
}

as=none # how to install; none = not allowed to
if command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
        as=""
    elif sudo -n true 2>/dev/null; then
        as="sudo -n"
    fi
fi
install() { # install PACKAGE...
    echo "installing: $*" >&2
    { $as env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 update &&
        $as env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >&2
}

look "${1:-}"
# shellcheck disable=SC2086
if [ -n "$missing" ] && [ "$as" != none ]; then
    install $missing
    look "${1:-}"
fi
if [ -n "$missing" ]; then
    echo "missing packages; run this as root and start again: apt-get install -y$missing" >&2
    exit 1
fi
# shellcheck disable=SC2086
if [ -n "$wanted" ] && { [ "$as" = none ] || ! install $wanted; }; then
    echo "not installed, what needs it is skipped:$wanted" >&2
fi
exit 0
