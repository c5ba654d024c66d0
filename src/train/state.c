/* trainer/state.json. No time, host or path in it: equal states are equal bytes. */
#include "train/state.h"

#include "base/mem.h"
#include "fmt/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct int_row {
    const char *key;
    size_t offset;
} int_row;

static const int_row state_rows[] = {
    {"iteration", offsetof(cs_train_state, step)},
    {"consumed_samples", offsetof(cs_train_state, consumed_samples)},
    {"consumed_valid_samples", offsetof(cs_train_state, consumed_valid)},
    {"lr_samples", offsetof(cs_train_state, lr_samples)},
    {"optimizer_updates", offsetof(cs_train_state, updates)},
    {"skipped_iterations", offsetof(cs_train_state, skipped)},
    {"nan_iterations", offsetof(cs_train_state, nan_steps)},
    {"bad_in_a_row", offsetof(cs_train_state, bad_in_a_row)},
    {"losses_since_row", offsetof(cs_train_state, loss_count)},
};

static const int_row identity_rows[] = {
    {"seed", offsetof(cs_train_identity, seed)},
    {"seq_length", offsetof(cs_train_identity, seq_length)},
    {"global_batch_size", offsetof(cs_train_identity, global_batch)},
    {"micro_batch_size", offsetof(cs_train_identity, micro_batch)},
    {"data_parallel_size", offsetof(cs_train_identity, world)},
    {"threads", offsetof(cs_train_identity, threads)},
};

static void put_ints(json_t *o, const int_row *rows, size_t n, const void *base)
{
    for (size_t i = 0; i < n; i++)
        json_object_set_new(o, rows[i].key, json_integer(*(const int64_t *)((const char *)base + rows[i].offset)));
}

static void put_hash(json_t *o, const char *key, uint64_t hash)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    json_object_set_new(o, key, json_string(text));
}

cs_status cs_train_state_to_json(const cs_train_state *st, const cs_train_identity *id, cs_str *out, cs_error *err)
{
    int64_t failures = cs_mem_failures();
    json_t *o = json_object();
    put_ints(o, state_rows, sizeof state_rows / sizeof *state_rows, st);
    json_object_set_new(o, "loss_sum_since_row", json_real(st->loss_sum));
    put_ints(o, identity_rows, sizeof identity_rows / sizeof *identity_rows, id);
    if (st->scaler.scale != 1 || st->scaler.good > 0)
        json_object_set_new(o, "loss_scaler", json_pack("{s:f, s:I, s:I}", "scale", st->scaler.scale, "good_steps", (json_int_t)st->scaler.good,
                                                        "hysteresis", (json_int_t)st->scaler.hysteresis));
    json_object_set_new(o, "dtype", json_string(id->dtype));
    json_object_set_new(o, "isa", json_string(id->isa));
    json_object_set_new(o, "gemm", json_string(id->gemm));
    json_object_set_new(o, "optimizer", json_string(id->optimizer));
    json_object_set_new(o, "use_distributed_optimizer", json_boolean(id->dist_optimizer));
    put_hash(o, "data_hash", id->data_hash);
    put_hash(o, "tokenizer_hash", id->tokenizer_hash);
    json_t *lr = json_pack("{s:s, s:f, s:f, s:f, s:f}", "style", cs_lr_style_name(id->schedule.style), "lr", id->schedule.lr, "min_lr",
                           id->schedule.min_lr, "warmup_samples", id->schedule.warmup, "decay_samples", id->schedule.decay);
    cs_status status = CS_OK;
    if (!lr || json_object_set_new(o, "lr_schedule", lr) != 0 || cs_mem_failures() != failures)
        status = cs_fail_nomem(err, 1024, "trainer/state.json");
    if (status == CS_OK)
        status = cs_json_dump(o, 2, out, err);
    json_decref(o);
    return status;
}

static cs_status get_ints(const json_t *o, const int_row *rows, size_t n, const char *name, void *base, cs_error *err)
{
    for (size_t i = 0; i < n; i++) {
        int64_t value = INT64_MIN;
        CS_TRY(cs_json_get_int(o, rows[i].key, name, &value, err));
        if (value < 0)
            return cs_fail(err, CS_E_CKPT, "%s: \"%s\" is missing or negative", name, rows[i].key);
        *(int64_t *)((char *)base + rows[i].offset) = value;
    }
    return CS_OK;
}

static cs_status get_hash(const json_t *o, const char *key, const char *name, uint64_t *out, cs_error *err)
{
    const char *text = "0";
    CS_TRY(cs_json_get_str(o, key, name, &text, err));
    *out = strtoull(text, NULL, 16);
    return CS_OK;
}

static cs_status get_schedule(const json_t *o, const char *name, cs_lr_schedule *s, cs_error *err)
{
    const char *style = "";
    const json_t *lr = json_object_get(o, "lr_schedule");
    if (!json_is_object(lr))
        return cs_fail(err, CS_E_CKPT, "%s: \"lr_schedule\" is missing", name);
    CS_TRY(cs_json_get_real(lr, "lr", name, &s->lr, err));
    CS_TRY(cs_json_get_real(lr, "min_lr", name, &s->min_lr, err));
    CS_TRY(cs_json_get_real(lr, "warmup_samples", name, &s->warmup, err));
    CS_TRY(cs_json_get_real(lr, "decay_samples", name, &s->decay, err));
    CS_TRY(cs_json_get_str(lr, "style", name, &style, err));
    for (int i = CS_LR_CONSTANT; i <= CS_LR_INVERSE_SQRT; i++)
        if (strcmp(style, cs_lr_style_name((cs_lr_style)i)) == 0) {
            s->style = (cs_lr_style)i;
            return CS_OK;
        }
    return cs_fail(err, CS_E_CKPT, "%s: \"lr_schedule\" has the unknown style \"%s\"", name, style);
}

static cs_status get_scaler(const json_t *o, const char *name, cs_scaler *s, cs_error *err)
{
    const json_t *v = json_object_get(o, "loss_scaler");
    *s = (cs_scaler){.scale = 1};
    if (!v)
        return CS_OK;
    CS_TRY(cs_json_get_real(v, "scale", name, &s->scale, err));
    CS_TRY(cs_json_get_int(v, "good_steps", name, &s->good, err));
    CS_TRY(cs_json_get_int(v, "hysteresis", name, &s->hysteresis, err));
    return s->scale > 0 ? CS_OK : cs_fail(err, CS_E_CKPT, "%s: \"loss_scaler\" has the scale %g", name, s->scale);
}

cs_status cs_train_state_from_json(const json_t *o, const char *name, cs_train_state *st, cs_train_identity *id, cs_error *err)
{
    *st = (cs_train_state){0};
    *id = (cs_train_identity){.dtype = "", .isa = "auto", .gemm = "auto", .optimizer = "adam"}; /* the only one that older checkpoints know */
    CS_TRY(get_ints(o, state_rows, sizeof state_rows / sizeof *state_rows, name, st, err));
    CS_TRY(get_ints(o, identity_rows, sizeof identity_rows / sizeof *identity_rows, name, id, err));
    CS_TRY(cs_json_get_real(o, "loss_sum_since_row", name, &st->loss_sum, err));
    CS_TRY(get_scaler(o, name, &st->scaler, err));
    CS_TRY(cs_json_get_str(o, "dtype", name, &id->dtype, err));
    CS_TRY(cs_json_get_str(o, "isa", name, &id->isa, err));
    CS_TRY(cs_json_get_str(o, "gemm", name, &id->gemm, err));
    CS_TRY(cs_json_get_str(o, "optimizer", name, &id->optimizer, err));
    CS_TRY(cs_json_get_bool(o, "use_distributed_optimizer", name, &id->dist_optimizer, err));
    CS_TRY(get_hash(o, "data_hash", name, &id->data_hash, err));
    CS_TRY(get_hash(o, "tokenizer_hash", name, &id->tokenizer_hash, err));
    return get_schedule(o, name, &id->schedule, err);
}
