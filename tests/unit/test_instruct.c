/* Instruction data: what becomes of records, the order of AscendSpeed, packed rows, and files that do not fit. And that leaving padding out, and
 * packing, change no loss and no gradient (f64, 1e-10); nor do borders in text. */
#include "base/log.h"
#include "base/mem.h"
#include "data/dataset.h"
#include "data/order.h"
#include "data/packing.h"
#include "model/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "data_path.h"

enum { SEQ = 12, VOCAB = 23, RECORDS = 20, PAD = 2 };
static char work[300];

static int64_t length_of(int64_t i)
{
    return i == 7 ? 1 : i == 8 ? 30 : 3 + i * 5 % 11;
}

/* Entry k of record i: id, mask, label. Record 3 has a hole in its mask, record 4 starts with padding, nothing of record 5 is trained. */
static void entry(int64_t i, int64_t k, int32_t out[3])
{
    out[0] = (int32_t)(3 + (i * 7 + k * 3 + k * k * i) % (VOCAB - 3));
    out[1] = !((i == 3 && k == 1) || (i == 4 && k < 2));
    out[2] = k <= i % 3 || i == 5 ? -100 : out[0];
}

static void write_field(const char *prefix, const char *field, int which, int64_t n, int64_t odd, int32_t odd_value)
{
    char name[400];
    cs_idxbin_writer w;
    cs_error err = {0};
    snprintf(name, sizeof name, "%s_packed_%s_document", prefix, field);
    assert_int_equal(cs_idxbin_writer_init(&w, name, CS_I32, &err), CS_OK);
    for (int64_t i = 0; i < n; i++) {
        int32_t row[64];
        for (int64_t k = 0; k < length_of(i); k++) {
            int32_t e[3];
            entry(i, k, e);
            row[k] = i == odd && k == 2 ? odd_value : e[which];
        }
        assert_int_equal(cs_idxbin_writer_add(&w, row, length_of(i), &err), CS_OK);
        assert_int_equal(cs_idxbin_writer_end_document(&w, &err), CS_OK);
    }
    assert_int_equal(cs_idxbin_writer_finish(&w, &err), CS_OK);
}

static void write_triple(const char *prefix)
{
    write_field(prefix, "input_ids", 0, RECORDS, -1, 0);
    write_field(prefix, "attention_mask", 1, RECORDS, -1, 0);
    write_field(prefix, "labels", 2, RECORDS, -1, 0);
}

static cs_data_config config(const char **path, const char *split)
{
    return (cs_data_config){.data_path = {path, 1}, .split = split, .seq_length = SEQ, .seed = 1234, .eod = -1, .instruct = true};
}

static cs_dataset *open_split(const cs_data_config *cfg, cs_split split, int64_t n)
{
    int64_t want[CS_SPLIT_COUNT] = {0};
    cs_dataset *d[CS_SPLIT_COUNT];
    cs_error err = {0};
    want[split] = n;
    if (cs_datasets_create(cfg, want, cs_comm_self(), d, &err) != CS_OK)
        fail_msg("%s", err.msg);
    return d[split];
}

/* numpy: g = RandomState(0); two times g.shuffle(arange(10)). */
static void order_is_numpys(void **state)
{
    (void)state;
    static const int64_t want[] = {2, 8, 4, 9, 1, 6, 7, 3, 0, 5};
    const cs_order_key key = {10, 10, 0, 0};
    cs_order o, again;
    cs_error err = {0};
    assert_int_equal(cs_order_build(&o, &key, &err), CS_OK);
    assert_int_equal(o.n, 20); /* more than 10 */
    assert_memory_equal(o.at, want, sizeof want);
    const char *prefix = test_path(work, "order");
    assert_int_equal(cs_order_save(&o, &key, prefix, "train", &err), CS_OK);
    assert_int_equal(cs_io_kind(test_path(work, "order_train_indexmap_10ns_0s_decoder_packed_shuffle_idx.npy"), NULL), CS_FILE_REGULAR);
    assert_int_equal(cs_order_load(&again, &key, prefix, "train", &err), CS_OK);
    assert_memory_equal(again.at, o.at, 160);
    cs_order_release(&again);
    o.owned[3] = o.owned[4];
    assert_int_equal(cs_order_save(&o, &key, prefix, "train", &err), CS_OK);
    assert_int_equal(cs_order_load(&again, &key, prefix, "train", &err), CS_E_FORMAT);
    cs_order_release(&o);
}

static void packing_fits(void **state)
{
    (void)state;
    int32_t length[500];
    cs_packing p, q;
    cs_error err = {0};
    int64_t sum = 0;
    for (int i = 0; i < 500; i++)
        sum += length[i] = i * 37 % 101;
    assert_int_equal(cs_packing_init(&p, length, 500, 100, 5, &err), CS_OK);
    assert_int_equal(cs_packing_init(&q, length, 500, 100, 5, &err), CS_OK);
    bool seen[500] = {false};
    for (int64_t r = 0; r < p.n_rows; r++) {
        int64_t used = 0;
        assert_true(p.start[r] < p.start[r + 1]);
        for (int64_t i = p.start[r]; i < p.start[r + 1]; i++) {
            assert_false(seen[p.record[i]]);
            seen[p.record[i]] = true;
            used += length[p.record[i]];
        }
        assert_true(used <= 100);
    }
    for (int i = 0; i < 500; i++)
        assert_int_equal(seen[i], length[i] > 0);
    assert_int_equal(p.filled, sum);
    assert_true((double)sum > 0.97 * 100 * (double)p.n_rows);
    assert_memory_equal(p.record, q.record, (size_t)p.n_records * 4);
    cs_packing_release(&p);
    cs_packing_release(&q);
}

/* Valid records are not train records: the order counts from the split's first one. */
static void splits_are_apart(void **state)
{
    (void)state;
    const char *a = test_path(work, "a");
    cs_data_config cfg = config(&a, "14,6,0");
    for (int split = 0; split < 2; split++) {
        cs_dataset *d = open_split(&cfg, (cs_split)split, 5);
        int64_t lo = split ? 14 : 0, hi = split ? 20 : 14;
        for (int64_t i = 0; i < cs_dataset_size(d); i++) {
            int32_t scratch[3 * SEQ], tokens[SEQ], labels[SEQ], pos[SEQ];
            float weights[SEQ];
            int64_t start[2];
            cs_batch_rows to = {0, 0, start, tokens, labels, pos, weights};
            cs_error err = {0};
            assert_int_equal(cs_dataset_append(d, i, VOCAB, scratch, &to, &err), CS_OK);
            bool found = to.n == 0;
            for (int64_t r = lo; r < hi && !found; r++) {
                int64_t k = 0;
                for (int32_t e[3]; k < to.n; k++) {
                    entry(r, pos[k], e);
                    if (pos[k] >= length_of(r) || tokens[k] != e[0])
                        break;
                }
                found = k == to.n;
            }
            assert_true(found);
        }
        cs_dataset_destroy(d);
    }
}

static cs_model *make_model(double **grad)
{
    const cs_spec spec = {.family = cs_families[0], .vocab_size = VOCAB, .hidden = 12, .ffn = 20, .n_layers = 2, .n_heads = 2, .n_kv_heads = 1,
                          .head_dim = 6, .max_pos = SEQ, .norm_eps = 1e-5, .rope_theta = 10000, .init_std = 0.3, .bos = -1, .eos = -1, .pad = -1};
    const cs_model_options opt = {.kernels = {CS_F64, "auto", "own"}, .training = true, .n_pos = SEQ};
    cs_error err = {0};
    cs_model *m;
    assert_int_equal(cs_model_create(&spec, &opt, &m, &err), CS_OK);
    cs_param_table_fill(&m->table, 7);
    *grad = cs_calloc((size_t)m->table.n_elements, sizeof(double));
    cs_model_bind_grad(m, *grad);
    return m;
}

static void compare(const cs_model *m, const double *x, const double *y, double loss, double other)
{
    double largest = 0, difference = 0;
    assert_true(loss > 0 && fabs(loss - other) <= 1e-10 * loss);
    for (int64_t i = 0; i < m->table.n_elements; i++) {
        largest = fmax(largest, fabs(y[i]));
        difference = fmax(difference, fabs(x[i] - y[i]));
    }
    assert_true(largest > 0 && difference <= 1e-10 * largest);
}

/* One record by the definition, padded to SEQ with PAD, 0, -100; no row of these records sees a hole. */
static double padded(cs_model *m, int64_t record, double scale)
{
    int32_t tokens[SEQ], labels[SEQ], pos[SEQ];
    float weights[SEQ];
    const int64_t start[] = {0, SEQ};
    for (int64_t i = 0; i < SEQ; i++) {
        int32_t e[3] = {PAD, 0, -100}, next[3] = {0, 0, -100};
        if (i + 1 < length_of(record)) {
            entry(record, i, e);
            entry(record, i + 1, next);
        }
        tokens[i] = e[0];
        labels[i] = next[2] < 0 ? 0 : next[2];
        weights[i] = next[2] >= 0;
        pos[i] = (int32_t)i;
    }
    const cs_batch b = {.rows = SEQ, .n_seq = 1, .seq_start = start, .tokens = tokens, .labels = labels, .weights = weights, .pos = pos};
    return cs_model_loss_backward(m, &b, scale);
}

/* All records of an epoch in micro-batches of mbs samples. */
static double epoch(cs_model *m, const cs_data_config *cfg, int64_t mbs, double scale, int64_t *rows)
{
    cs_dataset *d = open_split(cfg, CS_SPLIT_TRAIN, 1);
    cs_batcher *b;
    cs_error err = {0};
    double sum = 0;
    assert_int_equal(cs_batcher_create(d, cfg, VOCAB, 0, 1, &b, &err), CS_OK);
    *rows = 0;
    assert_int_equal(cs_dataset_size(d) % mbs, 0);
    for (int64_t at = 0; at < cs_dataset_size(d); at += mbs) {
        cs_batch x;
        if (cs_batcher_fill(b, 0, at, mbs, &x, &err) != CS_OK)
            fail_msg("%s", err.msg);
        assert_true(x.rows >= 1 && x.seq_start[x.n_seq] == x.rows);
        *rows += x.rows;
        sum += cs_model_loss_backward(m, &x, scale);
    }
    cs_batcher_destroy(b);
    cs_dataset_destroy(d);
    return sum;
}

static void padding_and_packing_change_nothing(void **state)
{
    (void)state;
    const char *plain = test_path(work, "plain"), *longer = test_path(work, "long");
    double *want, *got, loss = 0;
    int64_t rows, packed_rows;
    cs_model *m = make_model(&want);
    got = cs_calloc((size_t)m->table.n_elements, sizeof *got);
    for (int64_t i = 0; i < RECORDS; i++)
        if (i != 3 && i != 4) /* holes: see masked_rows */
            loss += padded(m, i, 0.01);
    cs_model_bind_grad(m, got);
    cs_data_config cfg = config(&plain, "1,0,0");
    compare(m, got, want, loss, epoch(m, &cfg, 3, 0.01, &rows));
    memset(got, 0, (size_t)m->table.n_elements * sizeof *got);
    cfg.packing = true;
    compare(m, got, want, loss, epoch(m, &cfg, 1, 0.01, &packed_rows));
    assert_true(packed_rows <= rows && rows < RECORDS * SEQ);
    memset(got, 0, (size_t)m->table.n_elements * sizeof *got);
    cfg.data_path.items = &longer; /* what pads the files takes no room in packed rows */
    compare(m, got, want, loss, epoch(m, &cfg, 1, 0.01, &rows));
    assert_int_equal(rows, packed_rows);
    cs_dataset *d = open_split(&cfg, CS_SPLIT_TRAIN, 1);
    assert_true(cs_dataset_size(d) < RECORDS - 4);
    cs_dataset_destroy(d);
    cfg.data_path.items = &plain;
    memset(got, 0, (size_t)m->table.n_elements * sizeof *got);
    cfg.packing = false;
    cfg.least_rows = 3; /* records without a trained token become rows that count nothing */
    compare(m, got, want, loss, epoch(m, &cfg, 1, 0.01, &rows));
    assert_true(rows > packed_rows);
    cs_model_destroy(m);
    cs_free(want);
    cs_free(got);
}

/* Losses of all trained tokens of an epoch, ascending; out [RECORDS * SEQ]. */
static int64_t token_losses(cs_model *m, const cs_data_config *cfg, double *out)
{
    double logits[SEQ * VOCAB], top[SEQ], sum[SEQ], picked[SEQ];
    cs_dataset *d = open_split(cfg, CS_SPLIT_TRAIN, 1);
    cs_batcher *b;
    cs_error err = {0};
    int64_t n = 0;
    assert_int_equal(cs_batcher_create(d, cfg, VOCAB, 0, 1, &b, &err), CS_OK);
    for (int64_t i = 0; i < cs_dataset_size(d); i++) {
        cs_batch x;
        assert_int_equal(cs_batcher_fill(b, 0, i, 1, &x, &err), CS_OK);
        cs_model_logits(m, &x, NULL, NULL, 0, logits);
        m->k->ce_stats(x.rows, VOCAB, logits, x.labels, x.weights, top, sum, picked);
        for (int64_t r = 0; r < x.rows; r++)
            if (x.weights[r] > 0)
                out[n++] = top[r] + log(sum[r]) - picked[r];
    }
    for (int64_t i = 1; i < n; i++)
        for (int64_t j = i; j > 0 && out[j - 1] > out[j]; j--) {
            double other = out[j];
            out[j] = out[j - 1];
            out[j - 1] = other;
        }
    cs_batcher_destroy(b);
    cs_dataset_destroy(d);
    return n;
}

static void packing_keeps_every_tokens_loss(void **state)
{
    (void)state;
    const char *a = test_path(work, "a");
    cs_data_config cfg = config(&a, "1,0,0");
    double *unused, alone[RECORDS * SEQ], packed[RECORDS * SEQ], total = 0;
    int64_t rows;
    cs_model *m = make_model(&unused);
    int64_t n = token_losses(m, &cfg, alone);
    cfg.packing = true;
    assert_int_equal(token_losses(m, &cfg, packed), n);
    for (int64_t i = 0; i < n; i++) {
        assert_true(fabs(alone[i] - packed[i]) <= 1e-10 * alone[i]);
        total += packed[i];
    }
    assert_true(n > 50 && alone[0] < alone[n - 1] && fabs(epoch(m, &cfg, 1, 1, &rows) - total) <= 1e-10 * total);
    cfg.keep_last_token = true; /* one row less of those that fill all */
    for (int64_t i = 0; i < RECORDS; i++)
        n -= length_of(i) > SEQ;
    assert_int_equal(token_losses(m, &cfg, packed), n);
    cs_model_destroy(m);
    cs_free(unused);
}

/* A document alone: positions from 0 on, its end-of-document token not trained. ids [n+1]. */
static double document_alone(cs_model *m, const int32_t *ids, int64_t n, int32_t eod)
{
    const int64_t start[] = {0, n};
    int32_t pos[SEQ];
    float weights[SEQ];
    for (int64_t i = 0; i < n; i++) {
        pos[i] = (int32_t)i;
        weights[i] = ids[i] != eod;
    }
    const cs_batch b = {.rows = n, .n_seq = 1, .seq_start = start, .tokens = ids, .labels = ids + 1, .weights = weights, .pos = pos};
    return cs_model_loss_backward(m, &b, 0.01);
}

/* Text under --reset-position-ids, --reset-attention-mask and --eod-mask-loss: losses and gradients are those of its documents one by one. */
static void text_is_its_documents(void **state)
{
    (void)state;
    enum { N = 8, EOD = 2 };
    const char *text = test_path(work, "text");
    int32_t ids[N * SEQ + 1], row[SEQ + 1];
    cs_idxbin_writer w;
    cs_error err = {0};
    double *want, *got, loss = 0, found;
    int64_t rows;
    for (int i = 0; i < N * SEQ + 1; i++)
        ids[i] = i * i % 11 == 4 || i % 17 == 3 ? EOD : 3 + i * 7 % (VOCAB - 3);
    assert_int_equal(cs_idxbin_writer_init(&w, text, CS_U16, &err), CS_OK);
    assert_int_equal(cs_idxbin_writer_add(&w, ids, N * SEQ + 1, &err), CS_OK);
    assert_int_equal(cs_idxbin_writer_finish(&w, &err), CS_OK);
    cs_data_config cfg = config(&text, "1,0,0");
    cfg.instruct = false;
    cs_model *m = make_model(&want);
    got = cs_calloc((size_t)m->table.n_elements, sizeof *got);
    cs_dataset *d = open_split(&cfg, CS_SPLIT_TRAIN, 1);
    assert_int_equal(cs_dataset_size(d), N);
    for (int64_t i = 0; i < N; i++) {
        assert_int_equal(cs_dataset_sample(d, i, VOCAB, row, &err), CS_OK);
        for (int64_t from = 0, end; from < SEQ; from = end) {
            for (end = from; end < SEQ && row[end] != EOD;)
                end++;
            end += end < SEQ;
            loss += document_alone(m, row + from, end - from, EOD);
        }
    }
    cs_dataset_destroy(d);
    cs_model_bind_grad(m, got);
    found = epoch(m, &cfg, 2, 0.01, &rows);
    assert_true(fabs(found - loss) > 1e-3 * loss); /* without the flags it is another loss */
    memset(got, 0, (size_t)m->table.n_elements * sizeof *got);
    cfg.eod = EOD;
    cfg.eod_mask_loss = cfg.reset_position_ids = cfg.reset_attention_mask = true;
    compare(m, got, want, loss, epoch(m, &cfg, 2, 0.01, &rows));
    assert_int_equal(rows, N * SEQ);
    cs_model_destroy(m);
    cs_free(want);
    cs_free(got);
}

/* The gradient of the logits of every row in an epoch: exactly zero where the file's label is -100, and nowhere else. */
static void only_responses_have_gradients(void **state)
{
    (void)state;
    const char *a = test_path(work, "a");
    cs_data_config cfg = config(&a, "1,0,0");
    cs_dataset *d = open_split(&cfg, CS_SPLIT_TRAIN, 1);
    cs_error err = {0};
    double *unused, logits[SEQ * VOCAB], grad[SEQ * VOCAB], top[SEQ], sum[SEQ], picked[SEQ], lse[SEQ];
    cs_model *m = make_model(&unused);
    cs_batcher *b;
    int64_t trained = 0, other = 0;
    assert_int_equal(cs_batcher_create(d, &cfg, VOCAB, 0, 1, &b, &err), CS_OK);
    cs_order order;
    assert_int_equal(cs_order_build(&order, &(cs_order_key){RECORDS, 1, 1234, 0}, &err), CS_OK);
    for (int64_t i = 0; i < RECORDS; i++) {
        cs_batch x;
        int64_t record = order.at[i];
        assert_int_equal(cs_batcher_fill(b, 0, i, 1, &x, &err), CS_OK);
        cs_model_logits(m, &x, NULL, NULL, 0, logits);
        m->k->ce_stats(x.rows, VOCAB, logits, x.labels, x.weights, top, sum, picked);
        for (int64_t r = 0; r < x.rows; r++)
            lse[r] = top[r] + log(sum[r]);
        m->k->ce_grad(x.rows, VOCAB, logits, x.labels, x.weights, 1, lse, grad, VOCAB);
        for (int64_t r = 0; r < x.rows; r++) {
            int32_t e[3] = {0, 0, -100};
            double largest = 0;
            if (x.pos[r] + 1 < length_of(record))
                entry(record, x.pos[r] + 1, e);
            for (int64_t v = 0; v < VOCAB; v++)
                largest = fmax(largest, fabs(grad[r * VOCAB + v]));
            assert_int_equal(largest != 0, e[2] != -100);
            *(e[2] != -100 ? &trained : &other) += 1;
        }
    }
    assert_true(trained > 20 && other > 5);
    cs_order_release(&order);
    cs_batcher_destroy(b);
    cs_dataset_destroy(d);
    cs_model_destroy(m);
    cs_free(unused);
}

/* Rows by the definition: masked ones are gone, the others keep their positions; the untrained end is gone. */
static void masked_rows(void **state)
{
    (void)state;
    const char *a = test_path(work, "a");
    int32_t scratch[3 * SEQ], tokens[3 * SEQ], labels[3 * SEQ], pos[3 * SEQ], e[3];
    float weights[3 * SEQ];
    int64_t start[4];
    cs_batch_rows to = {0, 0, start, tokens, labels, pos, weights};
    cs_instruct in;
    cs_error err = {0};
    assert_int_equal(cs_instruct_init(&in, a, &err), CS_OK);
    assert_int_equal(cs_instruct_append(&in, 3, SEQ, VOCAB, scratch, &to, &err), CS_OK);
    assert_int_equal(to.n, length_of(3) - 2);
    assert_int_equal(pos[1], 2);
    assert_true(weights[0] == 1);
    entry(3, 1, e);
    assert_int_equal(labels[0], e[0]);
    assert_int_equal(cs_instruct_append(&in, 5, SEQ, VOCAB, scratch, &to, &err), CS_OK); /* nothing trained */
    assert_int_equal(cs_instruct_append(&in, 7, SEQ, VOCAB, scratch, &to, &err), CS_OK); /* one token */
    assert_int_equal(to.n_seq, 1);
    assert_int_equal(cs_instruct_append(&in, 8, SEQ, VOCAB, scratch, &to, &err), CS_OK);
    assert_int_equal(to.n_seq, 2);
    assert_int_equal(to.n, length_of(3) - 2 + SEQ);
    cs_instruct_release(&in);
}

static void expect_failure(const cs_data_config *cfg, cs_status status, const char *text)
{
    const int64_t want[CS_SPLIT_COUNT] = {2 * RECORDS, 0, 0};
    cs_dataset *d[CS_SPLIT_COUNT];
    cs_batcher *b;
    cs_batch x;
    cs_error err = {0};
    cs_status s = cs_datasets_create(cfg, want, cs_comm_self(), d, &err);
    if (s == CS_OK) {
        assert_int_equal(cs_batcher_create(d[0], cfg, VOCAB, 0, 1, &b, &err), CS_OK);
        for (int64_t i = 0; i < RECORDS && s == CS_OK; i++)
            s = cs_batcher_fill(b, 0, i, 1, &x, &err);
        cs_batcher_destroy(b);
        cs_dataset_destroy(d[0]);
    }
    if (s != status || !strstr(err.msg, text))
        fail_msg("%d '%s', expected %d '%s'", s, err.msg, status, text);
}

static void bad_files(void **state)
{
    (void)state;
    const char *a = test_path(work, "bad"), *none = test_path(work, "none"), *good = test_path(work, "a");
    cs_data_config cfg = config(&a, "1,0,0");
    write_triple(a);
    write_field(a, "labels", 2, RECORDS - 1, -1, 0);
    expect_failure(&cfg, CS_E_FORMAT, "labels_document.idx: 19 records");
    write_field(a, "labels", 2, RECORDS, 6, VOCAB);
    expect_failure(&cfg, CS_E_FORMAT, "labels_document.bin: entry 2 of record 6 is 23");
    write_field(a, "labels", 2, RECORDS, 6, -1);
    expect_failure(&cfg, CS_E_FORMAT, "expected -100");
    write_field(a, "labels", 2, RECORDS, -1, 0);
    write_field(a, "attention_mask", 1, RECORDS, 6, 2);
    expect_failure(&cfg, CS_E_FORMAT, "attention_mask_document.bin: entry 2 of record 6 is 2");
    assert_int_equal(cs_io_remove_tree(test_path(work, "bad_packed_attention_mask_document.idx"), NULL), CS_OK);
    expect_failure(&cfg, CS_E_IO, "bad_packed_attention_mask_document.idx");
    cfg = config(&none, "1,0,0");
    expect_failure(&cfg, CS_E_IO, "none_packed_input_ids_document.idx");
    cfg = config(&good, "5,1,0"); /* text was meant, instruction data is there */
    cfg.instruct = false;
    expect_failure(&cfg, CS_E_USAGE, "add --is-instruction-dataset");
    const char *weighted = "X: 1 0.25:0.3 FILE";
    char text[500];
    snprintf(text, sizeof text, "X: 1 0.25:0.3 %s", good);
    weighted = text;
    cfg = config(&good, NULL);
    cfg.data_path.n = 0;
    cfg.weighted[CS_SPLIT_TRAIN] = (cs_strlist){&weighted, 1};
    expect_failure(&cfg, CS_E_FORMAT, "all labels are -100"); /* record 5 alone */
}

static void weighted_paths(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "A", "1 0:1 P", "A: 1 0:1", "A: 1 0:1 P Q", "A: 1 1:0 P", "A: 1 0:2 P", "A: -1 0:1 P", "A: 1 0:1 P,",
                                      "A: 0 0:1 P", "A: x 0:1 P"};
    cs_blend_spec s;
    cs_error err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (cs_blend_spec_parse(&s, bad[i], "--train-weighted-split-paths", &err) != CS_E_USAGE)
            fail_msg("'%s' passed", bad[i]);
    assert_int_equal(cs_blend_spec_parse(&s, "ABC: 0.6 0:0.6 A, 0.2 0:1 B", "", &err), CS_OK);
    assert_int_equal(s.n, 2);
    assert_string_equal(s.prefix[1], "B");
    assert_true(fabs(s.weight[0] - 0.75) < 1e-12 && s.to[0] == 0.6 && s.from[1] == 0);
    cs_blend_spec_release(&s);
    assert_int_equal(cs_blend_spec_parse(&s, "A,B: 1 0:1 P", "", &err), CS_OK); /* a comma in the name */
    assert_int_equal(s.n, 1);
    cs_blend_spec_release(&s);
}

/* The records without 3 and 4: their lengths and entries are those of records of one token. Padded to `least` entries. */
static bool write_plain(const char *prefix, int64_t least)
{
    const char *fields[] = {"input_ids", "attention_mask", "labels"};
    for (int f = 0; f < 3; f++) {
        char name[400];
        cs_idxbin_writer w;
        cs_error err = {0};
        snprintf(name, sizeof name, "%s/%s_packed_%s_document", work, prefix, fields[f]);
        if (cs_idxbin_writer_init(&w, name, CS_I32, &err) != CS_OK)
            return false;
        for (int64_t i = 0; i < RECORDS + 1; i++) {
            int32_t row[64];
            int64_t n = i == 3 || i == 4 || i == RECORDS ? 1 : length_of(i), k = 0;
            for (; k < n || k < least; k++) {
                int32_t e[3] = {PAD, 0, -100};
                if (k < n)
                    entry(i, k, e);
                row[k] = e[f];
            }
            if (cs_idxbin_writer_add(&w, row, k, &err) != CS_OK || cs_idxbin_writer_end_document(&w, &err) != CS_OK)
                return false;
        }
        if (cs_idxbin_writer_finish(&w, &err) != CS_OK)
            return false;
    }
    return true;
}

static int set_up(void **state)
{
    (void)state;
    cs_log_set(CS_LOG_QUIET);
    snprintf(work, sizeof work, "%s", test_make_dir());
    write_triple(test_path(work, "a"));
    return write_plain("plain", 0) && write_plain("long", 40) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return cs_io_remove_tree(work, NULL) == CS_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_numpys),
        cmocka_unit_test(packing_fits),
        cmocka_unit_test(splits_are_apart),
        cmocka_unit_test(padding_and_packing_change_nothing),
        cmocka_unit_test(packing_keeps_every_tokens_loss),
        cmocka_unit_test(text_is_its_documents),
        cmocka_unit_test(only_responses_have_gradients),
        cmocka_unit_test(masked_rows),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(weighted_paths),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
