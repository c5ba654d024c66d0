/* Chooses the kernel table: detects the CPU, lays the CPU kernels over the reference once, and hands out const pointers.
 * All tables are built together on first use and never change afterwards. */
#include <pthread.h>
#include <string.h>

#include "kern/cpu/cpu.h"
#include "kern/ref/ref.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { N_STORE = 3, N_LEVEL = 2, N_GEMM = 3 }; /* {f32, bf16, f16} x {avx2, avx512} x gemm_names */

typedef struct table_set {
    cs_isa isa;
    cs_kernels f64;
    cs_kernels cpu[N_STORE][N_LEVEL][N_GEMM];
    bool present[N_STORE][N_LEVEL][N_GEMM];
} table_set;

static table_set tables;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static const char *const gemm_names[N_GEMM] = {"own", "own-f32", "onednn"};
static const char *const level_names[N_LEVEL] = {"avx2", "avx512"};
static void (*const vector_install[N_STORE][N_LEVEL])(cs_kernels *) = {
    {cs_cpu_install_f32_avx2, cs_cpu_install_f32_avx512},
    {cs_cpu_install_bf16_avx2, cs_cpu_install_bf16_avx512},
    {cs_cpu_install_f16_avx2, cs_cpu_install_f16_avx512},
};
static const cs_dtype store_types[N_STORE] = {CS_F32, CS_BF16, CS_F16};
static const char *const table_names[N_STORE][N_LEVEL][N_GEMM] = {
    {{"f32-avx2-own", NULL, "f32-avx2-onednn"}, {"f32-avx512-own", NULL, "f32-avx512-onednn"}},
    {{"bf16-avx2-own", NULL, "bf16-avx2-onednn"}, {"bf16-avx512-own", "bf16-avx512-own-f32", "bf16-avx512-onednn"}},
    {{"f16-avx2-own", NULL, NULL}, {"f16-avx512-own", NULL, NULL}},
};

#if defined(__x86_64__)
static uint64_t read_xcr0(void)
{
    uint32_t lo, hi;
    __asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* CPUID bits as in the Intel SDM volume 2; XCR0 says whether the operating system saves the registers. */
cs_isa cs_cpu_detect(void)
{
    uint32_t a, b, c, d, c1, b7, a71 = 0, max7;
    if (!__get_cpuid(1, &a, &b, &c1, &d) || !(c1 >> 27 & 1) || !__get_cpuid_count(7, 0, &max7, &b7, &c, &d))
        return CS_ISA_GENERIC;
    if (max7 >= 1)
        __get_cpuid_count(7, 1, &a71, &b, &c, &d);
    uint64_t xcr0 = read_xcr0();
    bool ymm = (xcr0 & 0x6) == 0x6, zmm = (xcr0 & 0xe6) == 0xe6;
    bool avx2 = ymm && (c1 >> 12 & 1) && (c1 >> 29 & 1) && (b7 >> 5 & 1);
    bool avx512 = avx2 && zmm && (b7 >> 16 & 1) && (b7 >> 17 & 1) && (b7 >> 30 & 1) && (b7 >> 31 & 1);
    bool bf16 = avx512 && (a71 >> 5 & 1);
    return bf16 ? CS_ISA_AVX512BF16 : avx512 ? CS_ISA_AVX512 : avx2 ? CS_ISA_AVX2 : CS_ISA_GENERIC;
}
#else
cs_isa cs_cpu_detect(void)
{
    return CS_ISA_GENERIC;
}
#endif

static void build_cpu_table(int store, int level, int gemm)
{
    cs_kernels *t = &tables.cpu[store][level][gemm];
    *t = *cs_kernels_ref(store_types[store]);
    t->name = table_names[store][level][gemm];
    vector_install[store][level](t);
    cs_isa isa = level == 0 ? CS_ISA_AVX2 : tables.isa;
    tables.present[store][level][gemm] = cs_cpu_gemm_install(t, isa, gemm_names[gemm]);
}

static void build_tables(void)
{
    tables.isa = cs_cpu_detect();
    tables.f64 = cs_ref_f64;
    if (tables.isa >= CS_ISA_AVX2) {
        tables.f64.name = "ref-f64-avx2";
        cs_cpu_install_f64_avx2(&tables.f64);
    }
    for (int store = 0; store < N_STORE; store++)
        for (int level = 0; level < N_LEVEL; level++)
            for (int gemm = 0; gemm < N_GEMM; gemm++)
                if (tables.isa >= (level == 0 ? CS_ISA_AVX2 : CS_ISA_AVX512))
                    build_cpu_table(store, level, gemm);
}

static const table_set *get_tables(void)
{
    pthread_once(&tables_once, build_tables);
    return &tables;
}

const cs_kernels *cs_kernels_ref(cs_dtype store)
{
    CS_ASSERT(store <= CS_F16);
    static const cs_kernels *const ref[] = {[CS_F64] = &cs_ref_f64, [CS_F32] = &cs_ref_f32, [CS_BF16] = &cs_ref_bf16, [CS_F16] = &cs_ref_f16};
    return ref[store];
}

/* Level index of a request, -1 for the reference; `auto` takes the highest this CPU has. */
static cs_status find_level(const table_set *set, const char *isa, int *level, cs_error *err)
{
    int best = set->isa >= CS_ISA_AVX512 ? 1 : set->isa >= CS_ISA_AVX2 ? 0 : -1;
    *level = strcmp(isa, "auto") == 0 ? best : -1;
    if (strcmp(isa, "auto") == 0 || strcmp(isa, "ref") == 0)
        return CS_OK;
    for (int i = 0; i < N_LEVEL; i++)
        if (strcmp(isa, level_names[i]) == 0)
            *level = i;
    if (*level < 0)
        return cs_fail(err, CS_E_USAGE, "kernels '%s': expected auto, ref, avx2 or avx512", isa);
    if (*level > best)
        return cs_fail(err, CS_E_USAGE, "kernels '%s': this CPU has %s", isa, cs_kernels_cpu_isa());
    return CS_OK;
}

/* Index into gemm_names. */
static cs_status find_gemm(const table_set *set, const char *gemm, int store, int level, int *index, cs_error *err)
{
    const bool *present = set->present[store][level];
    const cs_kernels *t = set->cpu[store][level];
    if (strcmp(gemm, "auto") == 0) {
        const cs_kernels *candidates[N_GEMM];
        int which[N_GEMM], n = 0;
        for (int i = 0; i < N_GEMM; i++)
            if (present[i]) {
                candidates[n] = &t[i];
                which[n++] = i;
            }
        *index = which[cs_cpu_gemm_measure(candidates, n)];
        return CS_OK;
    }
    for (int i = 0; i < N_GEMM; i++) {
        if (strcmp(gemm, gemm_names[i]) != 0)
            continue;
        if (!present[i])
            return cs_fail(err, CS_E_USAGE, "matrix products '%s': not in this build or not for this CPU and type", gemm);
        *index = i;
        return CS_OK;
    }
    return cs_fail(err, CS_E_USAGE, "matrix products '%s': expected auto, own, own-f32 or onednn", gemm);
}

cs_status cs_kernels_select(const cs_kernels_request *req, const cs_kernels **out, const char **gemm_chosen, cs_error *err)
{
    const table_set *set = get_tables();
    int level, gemm = 0;
    if (req->store > CS_F16)
        return cs_fail(err, CS_E_USAGE, "no kernels for storage type %s: expected f64, f32, bf16 or f16", cs_dtype_name(req->store));
    CS_TRY(find_level(set, req->isa, &level, err));
    if (level < 0 || req->store == CS_F64) {
        if (strcmp(req->gemm, "onednn") == 0)
            return cs_fail(err, CS_E_USAGE, "matrix products 'onednn': the %s table has its own only",
                           level < 0 ? "reference" : cs_dtype_name(req->store));
        if (strcmp(req->gemm, "auto") != 0 && strcmp(req->gemm, "own") != 0)
            return cs_fail(err, CS_E_USAGE, "matrix products '%s': expected auto, own or onednn", req->gemm);
        *out = level < 0 ? cs_kernels_ref(req->store) : &set->f64;
    } else {
        int store = 0;
        while (store_types[store] != req->store)
            store++;
        CS_TRY(find_gemm(set, req->gemm, store, level, &gemm, err));
        *out = &set->cpu[store][level][gemm];
    }
    if (gemm_chosen != NULL)
        *gemm_chosen = gemm_names[gemm];
    return CS_OK;
}

const char *cs_kernels_cpu_isa(void)
{
    static const char *const names[] = {"generic", "avx2", "avx512", "avx512+bf16"};
    return names[get_tables()->isa];
}

int cs_kernels_all(const cs_kernels **out, int max)
{
    const table_set *set = get_tables();
    const cs_kernels *all[5 + N_STORE * N_LEVEL * N_GEMM] = {&cs_ref_f64, &cs_ref_f32, &cs_ref_bf16, &cs_ref_f16};
    int n = 4;
    if (set->isa >= CS_ISA_AVX2)
        all[n++] = &set->f64;
    for (int i = 0; i < N_STORE * N_LEVEL * N_GEMM; i++)
        if ((&set->present[0][0][0])[i])
            all[n++] = &(&set->cpu[0][0][0])[i];
    n = n < max ? n : max;
    memcpy(out, all, (size_t)n * sizeof *out);
    return n;
}
