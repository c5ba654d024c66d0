/* See fuzz.h. The linker's --wrap=LLVMFuzzerTestOneInput leads libFuzzer's calls here, so no target can leave the limits out. */
#include "fuzz/fuzz.h"

#include "base/mem.h"

#include <jansson.h>
#include <limits.h>
#include <sanitizer/allocator_interface.h>
#include <string.h>
#include <unistd.h>

enum { MEMORY_FACTOR = 16, MEMORY_BASE = 64 << 20, N_PATHS = 16 };

int __real_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
_Noreturn void __real__exit(int code);
_Noreturn void __wrap__exit(int code);

static bool counting, keeps_memory;
static size_t held, peak, highest, input_bytes;
static char dir[PATH_MAX];

static void on_malloc(const volatile void *p, size_t n)
{
    (void)p;
    if (!counting)
        return;
    held += n;
    if (held > peak)
        peak = held;
}

static void on_free(const volatile void *p)
{
    if (!counting || !p)
        return;
    size_t n = __sanitizer_get_allocated_size(p);
    held -= n < held ? n : held;
}

static void at_end(void)
{
    fprintf(stderr, "stat::peak_live_bytes: %zu\n", highest);
    if (dir[0] == '\0')
        return;
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0)
        fprintf(stderr, "%s is left over\n", dir);
}

/* CS_ASSERT ends the program by _exit, which libFuzzer would not notice: the input would be lost. */
void __wrap__exit(int code)
{
    if (counting)
        abort();
    __real__exit(code);
}

/* As the program does it: jansson's memory is counted by mem.c. */
__attribute__((constructor)) static void begin(void)
{
    json_set_alloc_funcs(cs_malloc, cs_free);
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
    atexit(at_end);
}

void fuzz_input_bytes(size_t bytes)
{
    if (bytes > input_bytes)
        input_bytes = bytes;
}

void fuzz_keeps_memory(void)
{
    keeps_memory = true;
}

int __wrap_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t before = cs_mem_bytes();
    input_bytes = size;
    held = peak = 0;
    counting = true;
    int result = __real_LLVMFuzzerTestOneInput(data, size);
    counting = false;
    if (peak > highest)
        highest = peak;
    if (peak > MEMORY_FACTOR * input_bytes + MEMORY_BASE) {
        fprintf(stderr, "%zu bytes held for an input of %zu\n", peak, input_bytes);
        abort();
    }
    if (cs_mem_bytes() != before && !keeps_memory) {
        fprintf(stderr, "%lld bytes not given back\n", (long long)(cs_mem_bytes() - before));
        abort();
    }
    return result;
}

const char *fuzz_dir(void)
{
    const char *base = getenv("TMPDIR");
    if (dir[0] != '\0')
        return dir;
    if (!base)
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(dir, sizeof dir, "%s/cs_fuzz_XXXXXX", base);
    FUZZ_CHECK(mkdtemp(dir));
    return dir;
}

const char *fuzz_file(const char *name, const void *bytes, size_t n)
{
    static char path[N_PATHS][PATH_MAX + 64];
    static size_t next;
    char *p = path[next++ % N_PATHS];
    snprintf(p, sizeof path[0], "%s/%s", fuzz_dir(), name);
    FILE *f = fopen(p, "wb");
    FUZZ_CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
    return p;
}

void fuzz_split(const uint8_t *data, size_t size, fuzz_part *part, size_t n)
{
    const uint8_t *end = data + size;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *cut = i + 1 < n ? memmem(data, (size_t)(end - data), "\xff\xfe\xff", 3) : NULL;
        part[i] = (fuzz_part){data, (size_t)((cut ? cut : end) - data)};
        data = cut ? cut + 3 : end;
    }
}
