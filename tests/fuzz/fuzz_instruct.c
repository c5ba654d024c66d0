/* The six files of instruction data, and the text of weighted split paths. What is read obeys the rules of data/instruct.h; the rest is refused with a
 * message. The first byte chooses: 'w' a text, else three .idx and three .bin (ids, mask, labels). */
// seeds: tests/fuzz/corpus/instruct/*
#include "fuzz/fuzz.h"

#include "data/blend.h"
#include "data/instruct.h"

#include <math.h>
#include <string.h>

enum { LIMIT = 16, VOCAB = 300 };

static void weighted(const uint8_t *data, size_t size)
{
    char text[512];
    cs_blend_spec s;
    cs_error err = {0};
    double sum = 0;
    if (size >= sizeof text)
        return;
    memcpy(text, data, size);
    text[size] = '\0';
    cs_status status = cs_blend_spec_parse(&s, text, "flag", &err);
    FUZZ_CHECK(status == CS_OK || fuzz_refused(status, CS_E_USAGE, &err));
    for (size_t i = 0; i < s.n && status == CS_OK; i++) {
        FUZZ_CHECK(s.weight[i] >= 0 && s.from[i] >= 0 && s.from[i] < s.to[i] && s.to[i] <= 1 && s.prefix[i][0] && !strpbrk(s.prefix[i], ", \t\r\n"));
        sum += s.weight[i];
    }
    FUZZ_CHECK(status != CS_OK || fabs(sum - 1) < 1e-9);
    cs_blend_spec_release(&s);
}

static void read_record(const cs_instruct *in, int64_t record)
{
    int32_t work[3 * LIMIT], tokens[LIMIT], labels[LIMIT], pos[LIMIT];
    float weights[LIMIT];
    int64_t start[2];
    cs_batch_rows to = {0, 0, start, tokens, labels, pos, weights};
    cs_error err = {0};
    cs_status status = cs_instruct_append(in, record, LIMIT, VOCAB, work, &to, &err);
    FUZZ_CHECK(status == CS_OK || fuzz_refused(status, CS_E_FORMAT, &err));
    if (status != CS_OK)
        return;
    int64_t trained = -1;
    FUZZ_CHECK(cs_instruct_trained_rows(in, record, LIMIT, &trained, &err) == CS_OK && trained <= cs_instruct_rows(in, record, LIMIT));
    FUZZ_CHECK(to.n <= trained && (to.n > 0) == (trained > 0) && to.n_seq == (to.n > 0) && (to.n == 0 || weights[to.n - 1] == 1));
    for (int64_t r = 0; r < to.n; r++)
        FUZZ_CHECK(tokens[r] >= 0 && tokens[r] < VOCAB && labels[r] >= 0 && labels[r] < VOCAB && pos[r] < LIMIT && (r == 0 || pos[r] > pos[r - 1]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"p_packed_input_ids_document", "p_packed_attention_mask_document", "p_packed_labels_document"};
    fuzz_part part[6];
    char prefix[4096], name[96];
    cs_instruct in;
    cs_error err = {0};
    if (size > 0 && data[0] == 'w') {
        weighted(data + 1, size - 1);
        return 0;
    }
    fuzz_split(data + (size > 0), size - (size > 0), part, 6);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%s.%s", names[i % 3], i < 3 ? "idx" : "bin");
        fuzz_file(name, part[i].bytes, part[i].n);
    }
    snprintf(prefix, sizeof prefix, "%s/p", fuzz_dir());
    cs_status status = cs_instruct_init(&in, prefix, &err);
    FUZZ_CHECK(status == CS_OK || fuzz_refused(status, CS_E_FORMAT, &err));
    if (status != CS_OK)
        return 0;
    for (int64_t i = 0; i < in.ids.idx.n_seq && i < 64; i++)
        read_record(&in, i);
    cs_instruct_release(&in);
    return 0;
}
