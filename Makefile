# make            build/cspeed, build/libcspeed.a, build/libcspeed.so
# make check      every test;   make SAN=1 check   under ASan+UBSan;   make MPI=0   without MPI;   make DNNL=0   without oneDNN
# make MPI_PC=mpich   with that MPI library (name of a .pc file) where several are installed
# make demo | bench | soak | install PREFIX=/usr/local
BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
PREFIX ?= /usr/local
PKG_CONFIG ?= pkg-config
OPT ?= -O3
VERSION := 0.1.0

LIBS := jansson zlib libzstd snappy liblz4 libxxhash libutf8proc libpcre2-8
MPI_PC ?= $(shell $(PKG_CONFIG) --exists mpi-c && echo mpi-c || echo mpich)
MPI ?= $(shell $(PKG_CONFIG) --exists $(MPI_PC) && echo 1 || echo 0)
# Debian's oneDNN brings no .pc file: a .pc file is asked first, then the compiler.
DNNL ?= $(if $(filter x86_64,$(shell uname -m)),$(shell $(PKG_CONFIG) --exists dnnl && echo 1 || (echo '\#include <oneapi/dnnl/dnnl.h>' | $(CC) -E -x c - >/dev/null 2>&1 && echo 1 || echo 0)),0)

DESTDIR ?=
SOVERSION := 0

CFLAGS := $(CFLAGS)
LDLIBS := $(LDLIBS)
CFLAGS += $(OPT) -g -std=c11 -D_GNU_SOURCE -Wall -Wextra -fopenmp -fPIC -ffp-contract=off -MMD -MP -Isrc -DCS_VERSION='"$(VERSION)"'
CFLAGS += $(shell $(PKG_CONFIG) --cflags $(LIBS))
LDLIBS += $(shell $(PKG_CONFIG) --libs $(LIBS)) -lm -lpthread
ifeq ($(MPI),1)
CFLAGS += -DCS_HAVE_MPI=1 $(shell $(PKG_CONFIG) --cflags $(MPI_PC))
LDLIBS += $(shell $(PKG_CONFIG) --libs $(MPI_PC))
endif
ifeq ($(DNNL),1)
CFLAGS += -DCS_HAVE_DNNL=1
LDLIBS += $(shell $(PKG_CONFIG) --libs dnnl 2>/dev/null || echo -ldnnl)
endif
ifeq ($(SAN),1)
CFLAGS += -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
endif
# Fuzz targets also stop at conversions that change a value without a cast, and at floats that do not fit their integer.
ifeq ($(FUZZ),1)
FUZZ_CHECKS := -fsanitize=implicit-conversion,float-cast-overflow -fno-sanitize-recover=implicit-conversion,float-cast-overflow
CFLAGS += -fsanitize=fuzzer-no-link $(FUZZ_CHECKS)
LDFLAGS += $(FUZZ_CHECKS)
# Sizes that files state are added and multiplied in fmt/: no unsigned sum may wrap there either.
$(BUILD)/obj/fmt/%.o: CFLAGS += -fsanitize=unsigned-integer-overflow -fno-sanitize-recover=unsigned-integer-overflow
endif
ifeq ($(WERROR),1)
CFLAGS += -Werror
endif

SRC := $(sort $(filter-out src/cli/main.c,$(wildcard src/*/*.c src/*/*/*.c)))
OBJ := $(SRC:src/%.c=$(BUILD)/obj/%.o)
TEST_SRC := $(sort $(wildcard tests/unit/*.c tests/grad/*.c tests/parallel/*.c tests/golden/*.c tests/fail/*.c))
TEST_BIN := $(TEST_SRC:tests/%.c=$(BUILD)/tests/%)
FUZZ_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))

all: $(BUILD)/cspeed $(BUILD)/libcspeed.a $(BUILD)/libcspeed.so $(BUILD)/cspeed.1 $(BUILD)/cspeed.bash $(BUILD)/cspeed.pc

# Vector code is compiled per file for its instruction set and reached through run-time dispatch only (src/kern/select.c).
ifneq ($(filter x86_64-%,$(shell $(CC) -dumpmachine)),)
ISA_AVX2 := -mavx2 -mfma -mf16c
ISA_AVX512 := $(ISA_AVX2) -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512
$(BUILD)/obj/kern/cpu/%_avx2.o: CFLAGS += $(ISA_AVX2)
$(BUILD)/obj/kern/cpu/%_avx512.o: CFLAGS += $(ISA_AVX512)
$(BUILD)/obj/kern/cpu/%_avx512bf16.o: CFLAGS += $(ISA_AVX512) -mavx512bf16
endif

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c $< -o $@

$(BUILD)/libcspeed.a: $(OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/libcspeed.so: $(OBJ)
	$(CC) -shared -fopenmp -Wl,-soname,libcspeed.so.$(SOVERSION) $(LDFLAGS) $^ -o $@ $(LDLIBS)

$(BUILD)/cspeed: $(BUILD)/obj/cli/main.o $(BUILD)/libcspeed.a
	$(CC) -fopenmp $(LDFLAGS) $^ -o $@ $(LDLIBS)

$(BUILD)/tests/%: tests/%.c $(BUILD)/libcspeed.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Itests $(LDFLAGS) $< $(BUILD)/libcspeed.a -o $@ -lcmocka $(LDLIBS)

# Man page and shell completion come from the option tables inside the program.
$(BUILD)/cspeed.1: $(BUILD)/cspeed
	$(BUILD)/cspeed help --man > $@.tmp && mv $@.tmp $@

$(BUILD)/cspeed.bash: $(BUILD)/cspeed
	$(BUILD)/cspeed help --completion > $@.tmp && mv $@.tmp $@

$(BUILD)/cspeed.pc: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' 'Name: cspeed' \
	    'Description: Trains and runs LLaMA-family language models on CPUs' 'Version: $(VERSION)' 'Requires.private: $(LIBS)' \
	    'Libs: -L$${libdir} -lcspeed' 'Libs.private: -fopenmp $(LDLIBS)' 'Cflags: -I$${includedir}' > $@

$(BUILD)/tests/fuzz/harness.o: tests/fuzz/harness.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Itests -c $< -o $@

$(BUILD)/tests/fuzz/%: tests/fuzz/%.c $(BUILD)/tests/fuzz/harness.o $(BUILD)/libcspeed.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Itests -fsanitize=fuzzer -Wl,--wrap=LLVMFuzzerTestOneInput,--wrap=_exit $(LDFLAGS) $< $(BUILD)/tests/fuzz/harness.o $(BUILD)/libcspeed.a -o $@ $(LDLIBS)

tests: all $(TEST_BIN)

# clang only: make CC=clang FUZZ=1 SAN=1 MPI=0 DNNL=0 BUILD=build/fuzz fuzzers
fuzzers: $(FUZZ_BIN)

# With SAN=1 only the sanitizer stage runs.
check:
	./check.sh $(if $(filter 1,$(SAN)),san)

demo:
	./demo.sh

bench: all
	$(BUILD)/cspeed bench

# Long runs: every fuzz target for FUZZ_SECONDS (default 10 minutes each), which are entered in docs/testing.md, then all checks, and
# among them (SOAK) every single call that can fail in tests/fail; all layouts of parallel training (those done before are passed over) and mutations of
# the parallel code that they must see; a model of LLaMA 7B's size where there is room.
soak: all tests
	FUZZ_SECONDS=$${FUZZ_SECONDS:-600} FUZZ_KEEP=1 ./check.sh fuzz
	scripts/fuzz_ledger.sh build/check/fuzz
	SOAK=1 ./check.sh
	CS_SOAK=$(BUILD)/layouts.done OMP_WAIT_POLICY=passive $(BUILD)/tests/parallel/test_layouts
	scripts/mutate.sh $(BUILD)/mutate
	CSPEED=$(BUILD)/cspeed scripts/soak_big.sh

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/share/man/man1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 $(BUILD)/cspeed $(DESTDIR)$(PREFIX)/bin/cspeed
	install -m 644 $(BUILD)/libcspeed.a $(DESTDIR)$(PREFIX)/lib/libcspeed.a
	install -m 755 $(BUILD)/libcspeed.so $(DESTDIR)$(PREFIX)/lib/libcspeed.so.$(SOVERSION)
	ln -sf libcspeed.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib/libcspeed.so
	install -m 644 $(BUILD)/cspeed.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/cspeed.pc
	install -m 644 $(BUILD)/cspeed.1 $(DESTDIR)$(PREFIX)/share/man/man1/cspeed.1
	install -m 644 $(BUILD)/cspeed.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/cspeed
	if [ -d include ]; then install -d $(DESTDIR)$(PREFIX)/include && install -m 644 include/*.h $(DESTDIR)$(PREFIX)/include; fi

clean:
	rm -rf $(BUILD)

FORCE:

.PHONY: FORCE all tests fuzzers check demo bench soak install clean
-include $(OBJ:.o=.d) $(BUILD)/obj/cli/main.d $(TEST_BIN:=.d) $(FUZZ_BIN:=.d) $(BUILD)/tests/fuzz/harness.d
