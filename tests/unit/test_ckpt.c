/* Checkpoints: every precision there and back, equal bytes from any number of ranks and any optimizer sharding, damage found and named,
 * the newest complete one chosen. Failing calls are test_ckpt_faults.c. */
#include "ckpt_world.h"

#include "fmt/safetensors.h"

#include <omp.h>
#include <unistd.h>

static void check_round_trip(cs_dtype store, bool tied, size_t shard_bytes)
{
    char run[256], *dir;
    world a, b;
    cs_spec spec;
    cs_error err = {0};
    json_t *state;
    make_run(run, sizeof run);
    world_init(&a, small_spec(tied), store, 0, -1, 5, true);
    cs_ckpt_save_args args = save_args(&a, run, 100);
    args.max_shard_bytes = shard_bytes;
    must(save_over(&args, cs_comm_self(), &err), &err);
    must(cs_ckpt_resolve(run, true, &dir, &err), &err);
    assert_non_null(strstr(dir, "/iter_0000100"));
    must(cs_ckpt_read_spec(dir, &spec, &err), &err);
    assert_int_equal(spec.n_kv_heads, a.spec.n_kv_heads);
    assert_int_equal(spec.dtype, store);
    world_init(&b, spec, store, 0, -1, 0, false);
    must(cs_ckpt_load_weights(dir, &spec, &b.table, true, &err), &err);
    must(cs_ckpt_load_trainer(dir, &b.table, &b.opt, &state, &err), &err);
    assert_int_equal(json_integer_value(json_object_get(state, "step")), 7);
    world_equal(&a, &b);
    save(&b, run, 200); /* what was loaded is saved as the same bytes */
    json_decref(state);
    cs_free(dir);
    world_release(&a);
    world_release(&b);
    remove_run(run);
}

static void test_round_trip(void **unused)
{
    (void)unused;
    check_round_trip(CS_F32, false, 0);
    check_round_trip(CS_F64, false, 0);
    check_round_trip(CS_BF16, true, 0);
    check_round_trip(CS_BF16, false, 300); /* many shards and an index */
}

/* Saved in one precision, resumed in another: masters are found where they are. */
static void test_other_precision(void **unused)
{
    (void)unused;
    char run[256], dir[300];
    world a, b, c;
    cs_error err = {0};
    json_t *state;
    make_run(run, sizeof run);
    snprintf(dir, sizeof dir, "%s/iter_0000001", run);
    world_init(&a, small_spec(false), CS_BF16, 0, -1, 5, true);
    save(&a, run, 1);
    world_init(&b, a.spec, CS_F32, 0, -1, 0, false);
    must(cs_ckpt_load_weights(dir, &b.spec, &b.table, true, &err), &err);
    must(cs_ckpt_load_trainer(dir, &b.table, &b.opt, &state, &err), &err);
    json_decref(state);
    assert_memory_equal(b.table.store, a.opt.master, (size_t)a.table.n_elements * 4); /* f32 goes on from the masters, not from bf16 */
    save(&b, run, 2);
    snprintf(dir, sizeof dir, "%s/iter_0000002", run);
    world_init(&c, a.spec, CS_BF16, 64, 320, 0, false);
    must(cs_ckpt_load_weights(dir, &c.spec, &c.table, true, &err), &err);
    must(cs_ckpt_load_trainer(dir, &c.table, &c.opt, &state, &err), &err);
    json_decref(state);
    assert_memory_equal(c.opt.master, (float *)a.opt.master + 64, 256 * 4);
    assert_memory_equal(c.opt.m, (float *)a.opt.m + 64, 256 * 4);
    assert_memory_equal(c.table.store, a.table.store, (size_t)a.table.n_elements * 2);
    world_release(&a);
    world_release(&b);
    world_release(&c);
    remove_run(run);
}

typedef struct ranks_arg {
    const char *run;
    cs_dtype store;
    int64_t cut; /* first element of rank 1; 0 = both hold everything */
} ranks_arg;

static int save_ranks(cs_comm *world_comm, void *arg)
{
    const ranks_arg *r = arg;
    world probe, w;
    cs_error err = {0};
    int rank = cs_comm_rank(world_comm);
    world_init(&probe, small_spec(false), r->store, 0, -1, 3, true);
    world_init(&w, small_spec(false), r->store, r->cut && rank ? r->cut : 0, r->cut && !rank ? r->cut : -1, 3, true);
    memcpy(w.table.store, probe.table.store, (size_t)probe.table.n_elements * cs_dtype_size(r->store));
    cs_ckpt_save_args a = save_args(&w, r->run, 9);
    cs_status s = save_over(&a, world_comm, &err);
    if (s != CS_OK)
        cs_error_print(&err);
    world_release(&probe);
    world_release(&w);
    return (int)s;
}

static void test_ranks_equal_bytes(void **unused)
{
    (void)unused;
    const cs_dtype stores[] = {CS_F32, CS_BF16};
    const int64_t cuts[] = {0, 64, 37, 731, 832};
    for (size_t s = 0; s < 2; s++) {
        char run[256], dir[300];
        cs_str want = {0};
        ranks_arg arg = {run, stores[s], 0};
        make_run(run, sizeof run);
        snprintf(dir, sizeof dir, "%s/iter_0000009", run);
        assert_int_equal(save_ranks(cs_comm_self(), &arg), 0);
        snapshot(dir, &want);
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            remove_run(dir);
            arg.cut = cuts[i];
            assert_int_equal(cs_launch(2, save_ranks, &arg), 0);
            assert_same_snapshot(&want, dir);
        }
        assert_int_equal(cs_ckpt_verify(dir, NULL), CS_OK);
        cs_str_release(&want);
        remove_run(run);
    }
}

static void expect_damage(const char *dir, const char *file, const char *word)
{
    cs_error err = {0};
    assert_int_equal(cs_ckpt_verify(dir, &err), CS_E_CKPT);
    if (!strstr(err.msg, file) || !strstr(err.msg, word))
        fail_msg("message '%s' lacks '%s' or '%s'", err.msg, file, word);
}

static void check_file_damage(const char *dir, const char *file, world *w)
{
    char path[400];
    int64_t size = 0;
    cs_error err = {0};
    json_t *state;
    bool trainer = strncmp(file, "trainer/", 8) == 0, manifest = strcmp(file, "MANIFEST") == 0;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    assert_int_equal(cs_io_kind(path, &size), CS_FILE_REGULAR);
    uint8_t *data;
    size_t n;
    assert_int_equal(cs_io_read_all(path, 1 << 26, &data, &n, NULL), CS_OK);
    for (size_t k = 0; k < 150; k++) {
        size_t at = (k * 2654435761u) % n;
        flip_bit(path, at, (int)(k % 8));
        expect_damage(dir, file, manifest ? "" : "hash");
        if (!trainer)
            assert_int_equal(cs_ckpt_load_weights(dir, &w->spec, &w->table, true, &err), CS_E_CKPT);
        if (trainer || manifest)
            assert_int_equal(cs_ckpt_load_trainer(dir, &w->table, &w->opt, &state, &err), CS_E_CKPT);
        flip_bit(path, at, (int)(k % 8));
    }
    for (size_t k = 0; k < 64; k++) {
        must(cs_io_truncate(path, (int64_t)(n * k / 64), &err), &err);
        expect_damage(dir, file, "");
        must(cs_io_write_atomic(path, data, n, &err), &err);
    }
    cs_free(data);
    assert_int_equal(cs_ckpt_verify(dir, NULL), CS_OK);
}

static void test_damage(void **unused)
{
    (void)unused;
    char run[256], dir[300], path[400], other[400];
    const char *files[] = {"config.json", "generation_config.json", "model.safetensors", "trainer/optimizer.safetensors", "trainer/state.json",
                           "MANIFEST"};
    world w;
    make_run(run, sizeof run);
    world_init(&w, small_spec(false), CS_BF16, 0, -1, 1, true);
    save(&w, run, 1);
    snprintf(dir, sizeof dir, "%s/iter_0000001", run);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        check_file_damage(dir, files[i], &w);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    int64_t size = 0;
    cs_io_kind(path, &size);
    flip_bit(path, (size_t)size - 1, 0);
    expect_damage(dir, "model.safetensors", "tensor \"model.norm.weight\"");
    flip_bit(path, (size_t)size - 1, 0);
    flip_bit(path, 12, 0);
    expect_damage(dir, "model.safetensors", "the header");
    flip_bit(path, 12, 0);
    snprintf(other, sizeof other, "%s/model-00001-of-00002.safetensors", dir);
    assert_int_equal(cs_io_write_atomic(other, "x", 1, NULL), CS_OK);
    expect_damage(dir, "model-00001-of-00002.safetensors", "not in the manifest");
    remove_run(other);
    remove_run(path);
    expect_damage(dir, "model.safetensors", "missing");
    world_release(&w);
    remove_run(run);
}

static void expect_resolve(const char *run, bool fallback, const char *tail)
{
    char *dir;
    cs_error err = {0};
    must(cs_ckpt_resolve(run, fallback, &dir, &err), &err);
    assert_string_equal(dir + strlen(run), tail);
    cs_free(dir);
}

static void test_resolve(void **unused)
{
    (void)unused;
    char run[256], path[400], *dir, target[64];
    cs_error err = {0};
    world w;
    make_run(run, sizeof run);
    assert_int_equal(cs_ckpt_resolve(run, true, &dir, &err), CS_E_IO);
    world_init(&w, small_spec(true), CS_F32, 0, -1, 1, true);
    save(&w, run, 90);
    save(&w, run, 100);
    save(&w, run, 20000000);
    snprintf(path, sizeof path, "%s/latest", run);
    assert_true(cs_io_readlink(path, target, sizeof target));
    assert_string_equal(target, "iter_20000000");
    expect_resolve(run, true, "/iter_20000000");
    assert_int_equal(cs_io_symlink_atomic("iter_0000090", path, NULL), CS_OK); /* stale */
    expect_resolve(run, true, "/iter_20000000");
    assert_int_equal(cs_io_symlink_atomic("iter_0000777", path, NULL), CS_OK); /* to nowhere */
    expect_resolve(run, false, "/iter_20000000");
    snprintf(path, sizeof path, "%s/iter_20000000/model.safetensors", run);
    flip_bit(path, 3000, 1);
    expect_resolve(run, false, "/iter_20000000"); /* lengths are right: the load will say it */
    expect_resolve(run, true, "/iter_0000100");
    assert_int_equal(cs_io_truncate(path, 2000, NULL), CS_OK);
    expect_resolve(run, false, "/iter_0000100");
    snprintf(path, sizeof path, "%s/iter_0000100/MANIFEST", run);
    remove_run(path);
    expect_resolve(run, true, "/iter_0000090");
    snprintf(path, sizeof path, "%s/iter_0000090/trainer/state.json", run);
    remove_run(path);
    assert_int_equal(cs_ckpt_resolve(run, true, &dir, &err), CS_E_CKPT);
    snprintf(path, sizeof path, "%s/iter_0000900.tmp.77/trainer", run);
    assert_int_equal(cs_io_mkdirs(path, NULL), CS_OK);
    cs_ckpt_prune_temps(run);
    assert_int_equal(count_names(run, ".tmp."), 0);
    assert_int_equal(count_names(run, "iter_"), 3);
    snprintf(path, sizeof path, "%s/no/such", run);
    assert_int_equal(cs_ckpt_resolve(path, true, &dir, &err), CS_E_IO);
    snprintf(path, sizeof path, "%s/latest_checkpointed_iteration.txt", run);
    assert_int_equal(cs_ckpt_resolve(path, true, &dir, &err), CS_E_IO);
    world_release(&w);
    remove_run(run);
}

static void test_keep_and_replace(void **unused)
{
    (void)unused;
    char run[256], dir[300], path[400];
    cs_error err = {0};
    cs_str want = {0};
    world w, x;
    make_run(run, sizeof run);
    world_init(&w, small_spec(false), CS_F32, 0, -1, 1, true);
    world_init(&x, small_spec(false), CS_F32, 0, -1, 2, true);
    for (int64_t i = 1; i <= 5; i++) {
        cs_ckpt_save_args a = save_args(&w, run, i * 10);
        a.keep = 2;
        must(save_over(&a, cs_comm_self(), &err), &err);
    }
    assert_int_equal(count_names(run, "iter_"), 2);
    expect_resolve(run, true, "/iter_0000050");
    snprintf(dir, sizeof dir, "%s/iter_0000050", run);
    save(&x, run, 50); /* the same iteration again: the new bytes, nothing left of the old */
    snapshot(dir, &want);
    assert_int_equal(count_names(run, "iter_"), 2);
    remove_run(dir);
    save(&x, run, 50);
    assert_same_snapshot(&want, dir);
    cs_ckpt_save_args a = save_args(&x, run, 60);
    a.no_save_optim = true;
    must(save_over(&a, cs_comm_self(), &err), &err);
    snprintf(dir, sizeof dir, "%s/iter_0000060", run);
    snprintf(path, sizeof path, "%s/trainer/optimizer.safetensors", dir);
    assert_int_equal(cs_io_kind(path, NULL), CS_FILE_NONE);
    json_t *state;
    assert_int_equal(cs_ckpt_load_trainer(dir, &x.table, &x.opt, &state, &err), CS_E_CKPT);
    must(cs_ckpt_load_trainer(dir, &x.table, NULL, &state, &err), &err);
    json_decref(state);
    cs_str_release(&want);
    world_release(&w);
    world_release(&x);
    remove_run(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_equal_bytes), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_other_precision),
        cmocka_unit_test(test_damage),            cmocka_unit_test(test_resolve),    cmocka_unit_test(test_keep_and_replace),
    };
    omp_set_num_threads(1); /* ranks are forked from here: no threads before that */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
