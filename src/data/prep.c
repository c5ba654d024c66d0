/* The pipeline. Batches sit in a ring; batch number q is in ring[q % n_ring]. The reader (the calling thread) fills them in order, any worker takes
 * the next full one, the writer takes them in order again. Invariant: filled - written <= n_ring, encoded ones are never reordered. */
#include "data/prep.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/prep_batch.h"
#include "data/feed.h"
#include "fmt/idxbin.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef struct pipeline {
    const cs_prep_config *cfg;
    cs_idxbin_writer *out; /* [outputs] */
    size_t n_open;
    cs_prep_batch *ring;
    bool *encoded; /* [n_ring] */
    int64_t n_ring, filled, taken, written;
    bool stop; /* nothing more is wanted: an error, or the end */
    pthread_mutex_t lock;
    pthread_cond_t change;
    cs_prep_counts total;
    int64_t shown, noted; /* skipped records shown; documents at the last line */
    cs_progress progress;
    double start;
    cs_status status; /* of the writer */
    cs_error err;
} pipeline;

static void wake(pipeline *p)
{
    pthread_cond_broadcast(&p->change);
    pthread_mutex_unlock(&p->lock);
}

static void *worker(void *arg)
{
    pipeline *p = arg;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        while (p->taken == p->filled && !p->stop)
            pthread_cond_wait(&p->change, &p->lock);
        if (p->stop) {
            pthread_mutex_unlock(&p->lock);
            return NULL;
        }
        int64_t at = p->taken++ % p->n_ring;
        pthread_mutex_unlock(&p->lock);
        cs_prep_batch_encode(&p->ring[at], p->cfg);
        pthread_mutex_lock(&p->lock);
        p->encoded[at] = true;
        wake(p);
    }
}

static cs_status write_batch(pipeline *p, cs_prep_batch *b, cs_error *err)
{
    for (size_t k = 0; k < p->cfg->outputs.n; k++) {
        const int32_t *ids = b->out[k].ids.data;
        for (size_t i = 0; i < b->out[k].n; i++) {
            CS_TRY(cs_idxbin_writer_add(&p->out[k], ids, b->out[k].seqs[i].n, err));
            if (b->out[k].seqs[i].ends_document)
                CS_TRY(cs_idxbin_writer_end_document(&p->out[k], err));
            ids += b->out[k].seqs[i].n;
        }
    }
    return CS_OK;
}

static void add_counts(cs_prep_counts *to, const cs_prep_counts *c)
{
    to->documents += c->documents;
    to->empty += c->empty;
    to->bad += c->bad;
    to->text_bytes += c->text_bytes;
    to->tokens += c->tokens;
    to->samples += c->samples;
    to->trained += c->trained;
    to->untrained += c->untrained;
    to->too_long += c->too_long;
}

static void report(pipeline *p, const cs_prep_batch *b)
{
    char extra[64];
    double spent = cs_clock_now() - p->start;
    add_counts(&p->total, &b->counts);
    const char *line = cs_str_cstr(&b->skipped);
    for (; *line && p->shown < CS_PREP_SKIPPED_SHOWN; p->shown++) {
        const char *end = strchr(line, '\n');
        cs_warn("skipped: %.*s", (int)(end - line), line);
        line = end + 1;
    }
    if (p->cfg->log_interval > 0) {
        if (p->total.documents / p->cfg->log_interval > p->noted / p->cfg->log_interval)
            cs_note("%lld documents, %.0f documents/s, %.2f MB/s", (long long)p->total.documents, (double)p->total.documents / spent,
                    (double)p->total.text_bytes / spent / 1e6);
        p->noted = p->total.documents;
        return;
    }
    snprintf(extra, sizeof extra, "%lld documents, %.2f MB/s", (long long)p->total.documents, (double)p->total.text_bytes / spent / 1e6);
    cs_progress_update(&p->progress, b->consumed, extra);
}

/* Batches in order, until the last one or the first error. */
static void *writer(void *arg)
{
    pipeline *p = arg;
    for (bool last = false; !last;) {
        int64_t at = p->written % p->n_ring;
        pthread_mutex_lock(&p->lock);
        while (!p->encoded[at])
            pthread_cond_wait(&p->change, &p->lock);
        pthread_mutex_unlock(&p->lock);
        cs_prep_batch *b = &p->ring[at];
        cs_status s = b->status;
        if (s != CS_OK)
            p->err = b->err;
        else if ((s = write_batch(p, b, &p->err)) == CS_OK && (s = b->read_status) != CS_OK)
            p->err = b->read_err;
        report(p, b);
        p->status = s;
        last = b->last || s != CS_OK;
        cs_prep_batch_clear(b, p->cfg->outputs.n);
        pthread_mutex_lock(&p->lock);
        p->encoded[at] = false;
        p->written++;
        p->stop = last;
        wake(p);
    }
    return NULL;
}

/* A free batch, or NULL when the writer has stopped. */
static cs_prep_batch *next_free(pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->filled - p->written == p->n_ring && !p->stop)
        pthread_cond_wait(&p->change, &p->lock);
    cs_prep_batch *b = p->stop ? NULL : &p->ring[p->filled % p->n_ring];
    pthread_mutex_unlock(&p->lock);
    return b;
}

static void hand_on(pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    p->filled++;
    wake(p);
}

static cs_status add_record(const pipeline *p, cs_prep_batch *b, const cs_record *r, cs_error *err)
{
    if (!r->json && !p->cfg->handler->plain_text)
        return cs_fail(err, CS_E_USAGE, "--handler-name %s: %s is a text file, and this handler takes records of JSON or tables",
                       p->cfg->handler->name, r->file);
    if (!r->json && (p->cfg->keys.n != 1 || strcmp(p->cfg->keys.items[0], "text") != 0))
        return cs_fail(err, CS_E_USAGE, "--json-keys %s: %s is a text file, whose one key is \"text\"", p->cfg->keys.items[0], r->file);
    return cs_prep_batch_add(b, r->text, r->len, r->line, r->file, r->json, err);
}

/* All records into batches, until the input ends, an error, or the writer has stopped. */
static void read_all(pipeline *p)
{
    cs_prep_batch *b = next_free(p);
    cs_feed *feed = NULL;
    cs_record record = {0};
    cs_error err = {0};
    bool lost;
    cs_status s = cs_feed_create(p->cfg->inputs, &feed, &err);
    if (s == CS_OK && p->cfg->handler->output == CS_HANDLER_KEYS)
        cs_feed_want(feed, &p->cfg->keys);
    for (int64_t n = 0; s == CS_OK && b && (p->cfg->max_records == 0 || n < p->cfg->max_records);) {
        s = cs_feed_next(feed, &record, &lost, &err);
        if (s == CS_E_FORMAT && p->cfg->skip_bad) {
            s = cs_prep_batch_skip(b, &err, lost ? "; nothing behind it in this file is read" : "");
            continue;
        }
        if (s != CS_OK || !record.text)
            break;
        s = add_record(p, b, &record, &err);
        n++;
        b->consumed = cs_feed_consumed(feed);
        if (s == CS_OK && (b->text.len >= CS_PREP_TEXT_BYTES || b->n >= CS_PREP_RECORDS)) {
            hand_on(p);
            b = next_free(p);
        }
    }
    cs_feed_destroy(feed);
    if (!b)
        return;
    b->read_status = s;
    b->read_err = err;
    b->last = true;
    hand_on(p);
}

cs_strlist cs_prep_outputs(const cs_handler *h, const cs_strlist *keys)
{
    static const char *text[] = {"text"};
    static const char *samples[CS_SAMPLE_OUTPUTS] = {"packed_input_ids", "packed_attention_mask", "packed_labels"};
    return h->output == CS_HANDLER_KEYS ? *keys : h->output == CS_HANDLER_TEXT ? (cs_strlist){text, 1} : (cs_strlist){samples, CS_SAMPLE_OUTPUTS};
}

cs_dtype cs_prep_dtype(const cs_prep_config *cfg)
{
    return cfg->handler->output == CS_HANDLER_SAMPLES ? CS_I32 : cs_idxbin_dtype_for(cs_tokenizer_vocab_size(cfg->rules.tokenizer));
}

static cs_status open_writers(pipeline *p, cs_dtype dtype, cs_error *err)
{
    const cs_prep_config *cfg = p->cfg;
    size_t n = cfg->outputs.n;
    cs_str *names = cs_calloc(n, sizeof *names);
    const char **prefixes = cs_calloc(n, sizeof *prefixes);
    cs_status s = names && prefixes ? CS_OK : cs_fail_nomem(err, n * sizeof *names, "the names of the outputs");
    for (size_t k = 0; k < n && s == CS_OK; k++) {
        cs_str_printf(&names[k], "%s_%s_document", cfg->prefix, cfg->outputs.items[k]);
        prefixes[k] = cs_str_cstr(&names[k]);
        s = cs_str_check(&names[k], err);
    }
    if (s == CS_OK)
        s = cs_idxbin_writers_init(p->out, prefixes, n, dtype, err);
    p->n_open = s == CS_OK ? n : 0;
    for (size_t k = 0; names && k < n; k++)
        cs_str_release(&names[k]);
    cs_free(names);
    cs_free(prefixes);
    return s;
}

static cs_status open_outputs(pipeline *p, cs_error *err)
{
    const cs_prep_config *cfg = p->cfg;
    cs_dtype dtype = cs_prep_dtype(cfg);
    p->out = cs_calloc(cfg->outputs.n, sizeof *p->out);
    p->ring = cs_calloc((size_t)p->n_ring, sizeof *p->ring);
    p->encoded = cs_calloc((size_t)p->n_ring, sizeof *p->encoded);
    if (!p->out || !p->ring || !p->encoded)
        return cs_fail_nomem(err, (size_t)p->n_ring * sizeof *p->ring, "the batches of texts");
    for (int64_t i = 0; i < p->n_ring; i++)
        CS_TRY(cs_prep_batch_init(&p->ring[i], cfg->outputs.n, err));
    return open_writers(p, dtype, err);
}

static bool start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
    return cs_failpoint_io("thread") == 0 && pthread_create(thread, NULL, run, arg) == 0;
}

/* Starts the threads, reads, and waits for all of them. Fewer workers than asked for is fine, none is not. */
static cs_status run_threads(pipeline *p, cs_error *err)
{
    pthread_t writes, *works = cs_calloc((size_t)p->cfg->workers, sizeof *works);
    int64_t n = 0;
    if (!works)
        return cs_fail_nomem(err, (size_t)p->cfg->workers * sizeof *works, "threads");
    while (n < p->cfg->workers && start_thread(&works[n], worker, p))
        n++;
    bool ok = n > 0 && start_thread(&writes, writer, p);
    if (ok) {
        read_all(p);
        pthread_join(writes, NULL);
    }
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    wake(p);
    for (int64_t i = 0; i < n; i++)
        pthread_join(works[i], NULL);
    cs_free(works);
    if (!ok)
        return cs_fail(err, CS_E_NOMEM, "cannot start a thread; use fewer --workers");
    if (p->status != CS_OK)
        *err = p->err;
    return p->status;
}

static cs_status finish(pipeline *p, cs_error *err)
{
    const cs_prep_config *cfg = p->cfg;
    const char *first = cfg->inputs->parts[0].files.items[0];
    for (size_t k = 0; k < cfg->outputs.n; k++)
        if (p->out[k].n_seq == 0 && cfg->handler->output != CS_HANDLER_KEYS)
            return cs_fail(err, CS_E_FORMAT, "%s%s: no documents for %s (%lld empty, %lld too long, %lld skipped); nothing is written",
                           first, cfg->inputs->n_files > 1 ? " and the other inputs" : "", cfg->handler->name, (long long)p->total.empty,
                           (long long)p->total.too_long, (long long)p->total.bad);
        else if (p->out[k].n_seq == 0)
            return cs_fail(err, CS_E_FORMAT, "%s%s: no documents under \"%s\" (%lld empty, %lld skipped); nothing is written", first,
                           cfg->inputs->n_files > 1 ? " and the other inputs" : "", cfg->outputs.items[k], (long long)p->total.empty,
                           (long long)p->total.bad);
    return cs_idxbin_writers_finish(p->out, cfg->outputs.n, err);
}

cs_status cs_preprocess_run(const cs_prep_config *cfg, cs_prep_counts *counts, cs_error *err)
{
    CS_ASSERT(cfg->workers >= 1 && cfg->outputs.n >= 1 && cfg->handler && cfg->inputs->n_files >= 1);
    pipeline p = {.cfg = cfg, .n_ring = 2 * cfg->workers + 2, .start = cs_clock_now()};
    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.change, NULL);
    cs_progress_init(&p.progress, "preprocess", "B", cfg->inputs->bytes);
    cs_status s = open_outputs(&p, err);
    if (s == CS_OK)
        s = run_threads(&p, err);
    if (s == CS_OK)
        s = finish(&p, err);
    if (cfg->log_interval == 0)
        cs_progress_finish(&p.progress, cfg->inputs->bytes);
    for (size_t k = 0; k < p.n_open; k++)
        cs_idxbin_writer_abort(&p.out[k]);
    for (int64_t i = 0; p.ring && i < p.n_ring; i++)
        cs_prep_batch_release(&p.ring[i], cfg->outputs.n);
    cs_free(p.out);
    cs_free(p.ring);
    cs_free(p.encoded);
    pthread_cond_destroy(&p.change);
    pthread_mutex_destroy(&p.lock);
    p.total.seconds = cs_clock_now() - p.start;
    *counts = p.total;
    return s;
}
