/* `cspeed version`: what this binary is made of and what it found on this CPU. */
#include "cli/commands.h"

#include "base/log.h"
#include "comm/comm.h"
#include "tensor/kernels.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>
#ifdef CS_HAVE_DNNL
#include <oneapi/dnnl/dnnl_version.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

#define TEXT_OF(x) #x
#define NUMBER_TEXT(x) TEXT_OF(x)

typedef struct fact {
    const char *group, *name, *value;
} fact;

enum { MAX_FACTS = 24 };

static const char *dnnl_text(void)
{
#ifdef CS_HAVE_DNNL
    return NUMBER_TEXT(DNNL_VERSION_MAJOR) "." NUMBER_TEXT(DNNL_VERSION_MINOR) "." NUMBER_TEXT(DNNL_VERSION_PATCH);
#else
    return "none: own matrix products only";
#endif
}

static const char *sanitizer_text(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return "address, undefined";
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return "address, undefined";
#else
    return "none";
#endif
#else
    return "none";
#endif
}

static size_t collect(fact out[MAX_FACTS], const char *cores)
{
    const char *mpi = cs_launch_mpi_name();
    size_t n = 0;
    out[n++] = (fact){"build", "compiler", __VERSION__};
    out[n++] = (fact){"build", "openmp", NUMBER_TEXT(_OPENMP)};
    out[n++] = (fact){"build", "sanitizers", sanitizer_text()};
    out[n++] = (fact){"libraries", "mpi", mpi ? mpi : "none: --nproc over shared memory only"};
    out[n++] = (fact){"libraries", "onednn", dnnl_text()};
    out[n++] = (fact){"libraries", "jansson", jansson_version_str()};
    out[n++] = (fact){"libraries", "zlib", zlibVersion()};
    out[n++] = (fact){"libraries", "zstd", ZSTD_versionString()};
    out[n++] = (fact){"libraries", "xxhash", NUMBER_TEXT(XXH_VERSION_MAJOR) "." NUMBER_TEXT(XXH_VERSION_MINOR) "." NUMBER_TEXT(XXH_VERSION_RELEASE)};
    out[n++] = (fact){"machine", "cores", cores};
    out[n++] = (fact){"machine", "isa", cs_kernels_cpu_isa()};
    return n;
}

/* "f32: avx512/onednn" style names of every table that can run here, in one line. */
static void list_tables(char *buf, size_t size)
{
    const cs_kernels *tables[32];
    int n = cs_kernels_all(tables, 32);
    size_t used = 0;
    buf[0] = '\0';
    for (int i = 0; i < n && i < 32 && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s(%s)", i ? " " : "", tables[i]->name, cs_dtype_name(tables[i]->store));
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    (void)config;
    fact facts[MAX_FACTS];
    char cores[16], tables[600];
    if (cli->options->positional.n > 0)
        return cs_fail(err, CS_E_USAGE, "%s: version takes no arguments", cli->options->positional.items[0]);
    snprintf(cores, sizeof cores, "%d", cs_cli_cores());
    size_t n = collect(facts, cores);
    list_tables(tables, sizeof tables);
    facts[n++] = (fact){"machine", "kernels", tables};
    if (!cli->common->json) {
        printf("cspeed %s\n", CS_VERSION);
        for (size_t i = 0; i < n; i++)
            printf("%-10s %-11s %s\n", i == 0 || strcmp(facts[i].group, facts[i - 1].group) ? facts[i].group : "", facts[i].name, facts[i].value);
        return CS_OK;
    }
    json_t *root = json_pack("{s:s}", "version", CS_VERSION);
    for (size_t i = 0; i < n && root; i++) {
        json_t *group = json_object_get(root, facts[i].group);
        if (!group) {
            json_object_set_new(root, facts[i].group, json_object());
            group = json_object_get(root, facts[i].group);
        }
        json_object_set_new(group, facts[i].name, json_string(facts[i].value));
    }
    if (!root)
        return cs_fail_nomem(err, 1000, "the version record");
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
    return CS_OK;
}

const cs_command cs_command_version = {
    .name = "version",
    .usage = "cspeed version [--json]",
    .summary = "version, build options, libraries, CPU features and kernels",
    .run = run,
};
