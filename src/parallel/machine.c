/* Machines and what transfers cost on them. Arithmetic, and one JSON file. */
#include "parallel/machine.h"

#include "fmt/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_BYTES = 1 << 16 };

static const struct {
    const char *key;
    size_t offset;
    double unit, lo, hi, def; /* field = value * unit; def < 0: must be there */
} rows[] = {
    {"gflops", offsetof(cs_machine, gflops), 1, 1e-3, 1e12, -1},
    {"attention_gflops", offsetof(cs_machine, attention_gflops), 1, 0, 1e12, 0},
    {"memory_gb_per_s", offsetof(cs_machine, memory_gbs), 1, 1e-3, 1e9, -1},
    {"host_gb_per_s", offsetof(cs_machine, host_gbs), 1, 1e-3, 1e9, -1},
    {"host_latency_us", offsetof(cs_machine, host_latency_s), 1e-6, 0, 1e9, -1},
    {"tensor_gb_per_s", offsetof(cs_machine, tensor_gbs), 1, 0, 1e9, 0},
    {"rows_gb_per_s", offsetof(cs_machine, rows_gbs), 1, 0, 1e9, 0},
    {"pack_gb_per_s", offsetof(cs_machine, pack_gbs), 1, 0, 1e9, 0},
    {"fresh_gb_per_s", offsetof(cs_machine, fresh_gbs), 1, 0, 1e9, 0},
    {"net_gb_per_s", offsetof(cs_machine, net_gbs), 1, 1e-3, 1e9, -1},
    {"net_latency_us", offsetof(cs_machine, net_latency_s), 1e-6, 0, 1e9, -1},
    {"host_overlap", offsetof(cs_machine, host_overlap), 1, 0, 1, 0},
    {"net_overlap", offsetof(cs_machine, net_overlap), 1, 0, 1, 1},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static double *field(cs_machine *m, int i)
{
    return (double *)(void *)((char *)m + rows[i].offset);
}

static void read_row(json_t *o, const char *path, int i, cs_machine *m, cs_error *err)
{
    const json_t *v = json_object_get(o, rows[i].key);
    double value = v ? json_number_value(v) : rows[i].def;
    if (!v && rows[i].def < 0)
        cs_fail_also(err, CS_E_FORMAT, "%s: \"%s\" is missing", path, rows[i].key);
    else if (v && (!json_is_number(v) || !(value >= rows[i].lo && value <= rows[i].hi)))
        cs_fail_also(err, CS_E_FORMAT, "%s: \"%s\": expected a number from %g to %g", path, rows[i].key, rows[i].lo, rows[i].hi);
    *field(m, i) = value * rows[i].unit;
}

static bool known(const char *key)
{
    bool found = strcmp(key, "name") == 0 || strcmp(key, "ranks_per_host") == 0;
    for (int i = 0; i < N_ROWS; i++)
        found |= strcmp(key, rows[i].key) == 0;
    return found;
}

cs_status cs_machine_load(const char *path, cs_machine *out, cs_error *err)
{
    json_t *o, *value;
    const char *key, *name = path;
    cs_error found = {0};
    CS_TRY(cs_json_load(path, MAX_BYTES, &o, err));
    *out = (cs_machine){.ranks_per_host = 0};
    if (!json_is_object(o)) {
        json_decref(o);
        return cs_fail(err, CS_E_FORMAT, "%s: expected an object that describes a machine", path);
    }
    json_object_foreach(o, key, value)
        if (!known(key))
            cs_fail_also(&found, CS_E_FORMAT, "%s: unknown key \"%s\"", path, key);
    for (int i = 0; i < N_ROWS; i++)
        read_row(o, path, i, out, &found);
    cs_error one = {0};
    if (cs_json_get_str(o, "name", path, &name, &one) != CS_OK || cs_json_get_int(o, "ranks_per_host", path, &out->ranks_per_host, &one) != CS_OK)
        cs_fail_also(&found, CS_E_FORMAT, "%s", one.msg);
    else if (out->ranks_per_host < 1 || out->ranks_per_host > 1 << 20)
        cs_fail_also(&found, CS_E_FORMAT, "%s: \"ranks_per_host\": expected an integer from 1 to %d", path, 1 << 20);
    snprintf(out->name, sizeof out->name, "%s", name);
    if (out->attention_gflops == 0)
        out->attention_gflops = out->gflops;
    json_decref(o);
    if (found.status != CS_OK)
        *err = found;
    return found.status;
}

json_t *cs_machine_to_json(const cs_machine *m)
{
    cs_machine copy = *m;
    json_t *o = json_pack("{s:s, s:I}", "name", m->name, "ranks_per_host", (json_int_t)m->ranks_per_host);
    for (int i = 0; i < N_ROWS && o; i++)
        json_object_set_new(o, rows[i].key, json_real(*field(&copy, i) / rows[i].unit));
    return o;
}

cs_sim_group cs_machine_group(const cs_machine *m, int64_t n, int64_t stride)
{
    int64_t per_host = m->ranks_per_host / stride;
    per_host = per_host < 1 ? 1 : per_host > n ? n : per_host;
    return (cs_sim_group){n, per_host};
}

cs_sim_time cs_machine_scatter(const cs_machine *m, cs_sim_group g, double bytes)
{
    double local = (double)g.per_host, hosts = ceil((double)g.n / local), in = 0, between = 0;
    if (local > 1)
        in = (local - 1) / local * bytes / (m->host_gbs * 1e9) + ceil(log2(local)) * m->host_latency_s;
    if (hosts > 1) {
        double rate = m->net_gbs * 1e9 / (double)m->ranks_per_host;
        between = (hosts - 1) / hosts * bytes / local / rate + ceil(log2(hosts)) * m->net_latency_s;
    }
    double beside = in * m->host_overlap + between * m->net_overlap;
    return (cs_sim_time){in + between - beside, beside};
}

cs_sim_time cs_machine_message(const cs_machine *m, bool same_host, double bytes)
{
    double rate = same_host ? m->host_gbs * 1e9 : m->net_gbs * 1e9 / (double)m->ranks_per_host;
    double overlap = same_host ? m->host_overlap : m->net_overlap;
    return (cs_sim_time){bytes / rate * (1 - overlap), bytes / rate * overlap + (same_host ? m->host_latency_s : m->net_latency_s)};
}
