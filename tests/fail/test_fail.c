/* Commands whose n-th allocation or n-th file call fails, for n = 1, 2, .. until a run meets nothing. After every run: the right exit code, one
 * line that says why, all memory and files given back, nothing temporary left, old results as they were, and a run without failures afterwards
 * gives what it always gives. The commands run in forked children of this program without exec, so that a run takes milliseconds.
 * SOAK=1 in the environment tries every n; otherwise a stride is taken where a command has many points. FAIL_ONLY=NAME runs one row. */
#include "cli/commands.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <cmocka.h>

#include "data_path.h"

enum { MAX_ARGS = 64, BUDGET = 16, SIGNALLED = 1000 };

#define PRE "preprocess --quiet --tokenizer-name-or-path in/tok512.bin --append-eod "
#define TRAIN                                                                                                                                   \
    "train --quiet --model-config in/tiny.json --data-path in/old_data/p_text_document --seq-length 8 --micro-batch-size 1 --global-batch-size 2 " \
    "--lr 1e-3 --lr-decay-iters 8 --eval-iters 1 --eval-interval 2 --log-interval 1 --threads 1 --gemm own "

typedef struct row {
    const char *name;
    const char *command; /* arguments separated by spaces */
    const char *old;     /* folder copied to `out` before each run; NULL = `out` is missing */
    const char *judged;  /* only names that begin so are compared in `out`, separated by spaces; NULL = all */
    const char *again;   /* added to the command for the run after a failure */
    bool grows;          /* a failed run may leave some of the new files, each as in a good run */
    bool warns;          /* warnings may stand beside the error or the result */
    bool computes;       /* matrix products keep their working memory until the process ends */
    int ranks;           /* > 1: points are also tried in the last rank alone */
} row;

/* What a child reports, in shared memory. */
typedef struct shared {
    cs_failpoint_report points;
    int64_t held;
    int files; /* more open at the end than at the start */
} shared;

typedef struct outcome {
    int code;
    cs_str out, err, state;
} outcome;

static shared *seen;
static char base[64];
static int fd_out, fd_err;
static long n_runs;

static void release(outcome *o)
{
    cs_str_release(&o->out);
    cs_str_release(&o->err);
    cs_str_release(&o->state);
}

static int open_files(void)
{
    int n = 0;
    for (int fd = 0; fd < 64; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void slurp(int fd, cs_str *to)
{
    char buf[4096];
    ssize_t k;
    *to = (cs_str){0};
    for (off_t at = 0; (k = pread(fd, buf, sizeof buf, at)) > 0; at += k)
        cs_str_append(to, buf, (size_t)k);
    cs_str_putc(to, '\0');
}

static bool wanted(const row *r, const char *name)
{
    if (strstr(name, ".tmp"))
        return true;
    size_t n = strlen(name);
    if (n >= 5 && strcmp(name + n - 5, ".lock") == 0)
        return false;
    for (const char *w = r->judged; w && *w; w += strcspn(w, " "), w += *w == ' ') {
        size_t k = strcspn(w, " ");
        if (strncmp(name, w, k) == 0)
            return true;
    }
    return !r->judged;
}

/* Every name below `dir` with the hash of what it holds. */
static void describe(const row *r, const char *dir, const char *prefix, cs_str *to)
{
    char **names, path[512], link[256];
    size_t n;
    if (cs_io_kind(dir, NULL) != CS_FILE_DIR || cs_io_list(dir, &names, &n, NULL) != CS_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        if (!*prefix && !wanted(r, names[i]))
            continue;
        cs_str_printf(to, "%s%s", prefix, names[i]);
        if (cs_io_readlink(path, link, sizeof link)) {
            cs_str_printf(to, " -> %s\n", link);
        } else if (cs_io_kind(path, NULL) == CS_FILE_DIR) {
            char deeper[512];
            snprintf(deeper, sizeof deeper, "%s%s/", prefix, names[i]);
            cs_str_puts(to, "/\n");
            describe(r, path, deeper, to);
        } else {
            uint8_t *data = NULL;
            size_t size = 0;
            cs_io_read_all(path, (size_t)1 << 30, &data, &size, NULL);
            cs_str_printf(to, " %zu %016llx\n", size, (unsigned long long)XXH3_64bits(data, size));
            cs_free(data);
        }
    }
    cs_io_list_free(names, n);
}

/* In `.`, what a failed run may leave beside `out`. */
static void describe_all(const row *r, cs_str *to)
{
    char **names;
    size_t n;
    *to = (cs_str){0};
    if (cs_io_kind("out", NULL) == CS_FILE_DIR)
        cs_str_puts(to, "out/\n");
    describe(r, "out", "", to);
    assert_int_equal(cs_io_list(".", &names, &n, NULL), CS_OK);
    for (size_t i = 0; i < n; i++)
        if (strstr(names[i], ".tmp"))
            cs_str_printf(to, "%s beside the output\n", names[i]);
    cs_io_list_free(names, n);
    cs_str_putc(to, '\0');
}

static void shell(const char *line)
{
    if (system(line) != 0)
        fail_msg("%s failed", line);
}

static void restore(const row *r)
{
    char line[300];
    snprintf(line, sizeof line, "rm -rf out out.tmp* && { [ -z '%s' ] || cp -a '%s' out; }", r->old ? r->old : "", r->old ? r->old : "");
    shell(line);
}

/* The child: never returns. */
static _Noreturn void be_program(const char *command, const char *spec, const char *input)
{
    static char words[2000];
    char *argv[MAX_ARGS + 1] = {"cspeed"};
    int argc = 1;
    snprintf(words, sizeof words, "%s", command);
    for (char *w = strtok(words, " "); w && argc < MAX_ARGS; w = strtok(NULL, " "))
        if (strcmp(w, "<") != 0)
            argv[argc++] = w;
    int in = open(input ? input : "/dev/null", O_RDONLY);
    dup2(in, 0);
    close(in);
    dup2(fd_out, 1);
    dup2(fd_err, 2);
    close(fd_out);
    close(fd_err);
    const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}; /* not to cmocka */
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_DFL);
    cs_failpoint_watch(&seen->points);
    int64_t before = cs_mem_bytes();
    int files = open_files();
    int code = cs_program(argc, argv, spec);
    cs_failpoint_arm(NULL, NULL);
    seen->held = cs_mem_bytes() - before;
    seen->files = open_files() - files;
    fflush(NULL);
#ifdef __SANITIZE_ADDRESS__
    if (n_runs % 8 == 0)
        exit(code); /* looks for leaks of the libraries, too; slow */
#endif
    _exit(code);
}

static void run(const row *r, const char *command, const char *spec, outcome *o)
{
    int status;
    *seen = (shared){.files = 0};
    assert_int_equal(ftruncate(fd_out, 0) | ftruncate(fd_err, 0), 0);
    lseek(fd_out, 0, SEEK_SET);
    lseek(fd_err, 0, SEEK_SET);
    fflush(NULL);
    n_runs++;
    double start = cs_clock_now();
    pid_t pid = fork();
    if (pid == 0)
        be_program(command, spec, strstr(command, "<") ? "in/lines.txt" : NULL);
    assert_true(pid > 0);
    while (waitpid(pid, &status, 0) != pid)
        ;
    if (getenv("FAIL_SLOW") && cs_clock_now() - start > 0.2)
        fprintf(stderr, "%.2f s: %s %s\n", cs_clock_now() - start, spec, command);
    o->code = WIFEXITED(status) ? WEXITSTATUS(status) : SIGNALLED + WTERMSIG(status);
    slurp(fd_out, &o->out);
    slurp(fd_err, &o->err);
    describe_all(r, &o->state);
}

static void run_well(const row *r, const char *command, outcome *o)
{
    run(r, command, NULL, o);
    if (o->code != 0)
        fail_msg("%s without failures ended with %d: %s", command, o->code, o->err.data);
}

/* Lines of stderr: how many say an error of code `name`, and how many are anything else than a warning. */
static void count_lines(const char *text, const char *name, int *errors, int *warnings, int *others)
{
    char want[64];
    snprintf(want, sizeof want, "cspeed: error[%s]: ", name);
    *errors = *warnings = *others = 0;
    for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        if (strncmp(at, want, strlen(want)) == 0)
            ++*errors;
        else if (strncmp(at, "cspeed: warning: ", 17) == 0)
            ++*warnings;
        else
            ++*others;
    }
}

static const char *first_difference(const char *a, const char *b)
{
    static char text[600];
    size_t i = 0, line = 0;
    for (; a[i] && a[i] == b[i]; i++)
        line = a[i] == '\n' ? i + 1 : line;
    snprintf(text, sizeof text, "'%.*s', expected '%.*s'", (int)strcspn(a + line, "\n"), a + line, (int)strcspn(b + line, "\n"), b + line);
    return text;
}

typedef struct loop {
    const row *r;
    const outcome *clean;
    const char *old_state;
    int64_t kept;           /* bytes that a good run has at the end */
    bool memory, invisible; /* invisible: the failure must not show */
    int n_bad;
} loop;

static void complain(loop *l, const char *spec, const outcome *o, const char *fmt, ...)
{
    char why[900];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    if (l->n_bad++ < 12)
        print_error("%s, FAIL=%s: exit code %d, %s\n    stderr: %.400s\n", l->r->name, spec, o->code, why, o->err.data);
}

/* True when every line of `part` is a line of `whole`. */
static bool has_lines(const char *whole, const char *part)
{
    for (const char *at = part; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        char line[600];
        snprintf(line, sizeof line, "\n%.*s\n", (int)strcspn(at, "\n"), at);
        if (!strstr(whole, line) && strncmp(whole, line + 1, strlen(line + 1)) != 0)
            return false;
    }
    return true;
}

static bool clean_up_failed(void)
{
    unsigned mask = 0;
    const char *const names[] = {"unlink", "rmdir", "list", "open"};
    for (size_t i = 0; i < 4; i++)
        mask |= 1u << cs_failpoint_site(names[i]);
    return (atomic_load(&seen->points.sites) & mask) != 0;
}

static void check_lines(loop *l, const char *spec, bool sticky, const outcome *o)
{
    int errors, warnings, others;
    count_lines(o->err.data, cs_status_name((cs_status)o->code), &errors, &warnings, &others);
    if (others > 0 || errors != (o->code != 0))
        complain(l, spec, o, "%d error lines, %d unknown lines", errors, others);
    if (warnings > 0 && !l->r->warns && !(sticky && clean_up_failed()))
        complain(l, spec, o, "a warning that is not expected");
}

static void check(loop *l, const char *spec, bool sticky, const outcome *o)
{
    int want = l->memory ? CS_E_NOMEM : CS_E_IO;
    const char *state = o->state.data;
    bool is_new = strcmp(state, l->clean->state.data) == 0, is_old = strcmp(state, l->old_state) == 0;
    bool fired = atomic_load(&seen->points.fired) > 0;
    bool no_thread = (atomic_load(&seen->points.sites) & (1u << cs_failpoint_site("thread") | 1u << cs_failpoint_site("fork"))) != 0;
    if (o->code != 0 && ((o->code != want && !(no_thread && o->code == CS_E_NOMEM)) || !fired || l->invisible))
        complain(l, spec, o, "expected %d%s", l->invisible || !fired ? 0 : want, l->invisible ? ": must not show" : "");
    bool grown = l->r->grows && has_lines(state, l->old_state) && has_lines(l->clean->state.data, state);
    bool told = (sticky && clean_up_failed() && strstr(o->err.data, "cspeed: warning: ")) || (grown && strstr(o->err.data, "was not saved"));
    if (o->code == 0 && !is_new && !told)
        complain(l, spec, o, "the result differs: %s", first_difference(state, l->clean->state.data));
    if (o->code == 0 && strcmp(o->out.data, l->clean->out.data) != 0)
        complain(l, spec, o, "stdout differs: %s", first_difference(o->out.data, l->clean->out.data));
    if (o->code != 0 && !is_new && !is_old && !grown && !(sticky && clean_up_failed()))
        complain(l, spec, o, "what was there changed: %s", first_difference(state, l->old_state));
    check_lines(l, spec, sticky, o);
    if (seen->held < 0 || seen->held > l->kept)
        complain(l, spec, o, "%lld bytes are still held", (long long)seen->held);
    if (seen->files > 0)
        complain(l, spec, o, "%d files are still open", seen->files);
    if (o->code == 0 || (is_new && !is_old)) {
        restore(l->r);
        return;
    }
    char command[700];
    snprintf(command, sizeof command, "%s %s", l->r->command, l->r->again ? l->r->again : "");
    outcome again; /* over what the failed run left */
    run(l->r, command, NULL, &again);
    if (again.code != 0 || strcmp(again.out.data, l->clean->out.data) != 0 ||
        (strcmp(again.state.data, l->clean->state.data) != 0 && !(sticky && strstr(state, ".tmp"))))
        complain(l, spec, &again, "the run after it: %s", first_difference(again.state.data, l->clean->state.data));
    release(&again);
    restore(l->r);
}

/* One kind of failure at each n, once or from n on. Returns the number of points that a run without failures has. */
static long long sweep(loop *l, const char *kind, bool sticky, const char *rank, int index)
{
    bool soak = getenv("SOAK") != NULL;
    int budget = (l->r->computes ? BUDGET / 4 : BUDGET) / (getenv("CS_SANITIZED") ? 3 : 1); /* a run takes ten times as long there */
    char spec[80];
    outcome o;
    snprintf(spec, sizeof spec, "%s@1000000000%s", kind, rank);
    run(l->r, l->r->command, spec, &o);
    restore(l->r);
    long long points = atomic_load(&seen->points.calls);
    release(&o);
    long long stride = soak || points <= budget ? 1 : (points + budget - 1) / budget;
    for (long long n = 1 + index % stride; n <= points; n += stride) {
        snprintf(spec, sizeof spec, "%s@%lld%s%s", kind, n, sticky ? "+" : "", rank);
        run(l->r, l->r->command, spec, &o);
        check(l, spec, sticky, &o);
        release(&o);
    }
    return points;
}

static void try_row(const row *r)
{
    static const struct {
        const char *kind;
        bool memory, invisible, sticky;
    } kinds[] = {
        {"mem", true, false, false},       {"mem", true, false, true},        {"io:eio", false, false, false}, {"io:enospc", false, false, true}, {"io:eio", false, false, true},
        {"io:emfile:open", false, false, false}, {"io:eintr", false, true, false}, {"io:short", false, true, false}, {"io:short", false, true, true},
    };
    outcome clean;
    cs_str old_state;
    restore(r);
    describe_all(r, &old_state);
    run_well(r, r->command, &clean);
    loop l = {.r = r, .clean = &clean, .old_state = old_state.data, .kept = seen->held};
    if ((l.kept != 0 && !r->computes) || seen->files > 0)
        fail_msg("%s: a run without failures ends with %lld bytes and %d files", r->name, (long long)l.kept, seen->files);
    restore(r);
    long runs = n_runs;
    long long points[9];
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char last[16] = "";
        l.memory = kinds[k].memory;
        l.invisible = kinds[k].invisible;
        points[k] = sweep(&l, kinds[k].kind, kinds[k].sticky, "", (int)k * 7);
        if (r->ranks > 1) {
            snprintf(last, sizeof last, "#%d", r->ranks - 1);
            sweep(&l, kinds[k].kind, kinds[k].sticky, last, (int)k * 5 + 3);
        }
    }
    print_message("%-24s %6lld allocations, %4lld file calls, %4lld interruptible, %4lld transfers; %ld runs\n", r->name, points[0], points[2],
                  points[6], points[7], n_runs - runs);
    release(&clean);
    cs_str_release(&old_state);
    if (l.n_bad > 0)
        fail_msg("%s: %d complaints", r->name, l.n_bad);
}

static const row rows[] = {
    {.name = "preprocess text", .command = PRE "--input in/a.txt --output-prefix out/p", .old = "in/old_data"},
    {.name = "preprocess json", .command = PRE "--input in/a.jsonl --output-prefix out/p --json-keys text title", .old = "in/empty"},
    {.name = "preprocess gz", .command = PRE "--input in/a.jsonl.gz in/a.txt.gz --output-prefix out/p --workers 3", .old = "in/old_data"},
    {.name = "preprocess zst", .command = PRE "--input in/a.jsonl.zst --output-prefix out/p --workers 2", .old = "in/empty"},
    {.name = "convert llama2.c",
     .command = "convert --quiet --input in/stories260K.bin --tokenizer in/tok512.bin --output out/hf",
     .old = "in/empty"},
    {.name = "convert shards", .command = "convert --quiet --input in/hf --output out/hf --max-shard-size 20KB --dtype bf16", .old = "in/empty"},
    {.name = "convert to megatron",
     .command = "convert --quiet --input in/hf --output out/mg --tensor-model-parallel-size 1 --pipeline-model-parallel-size 2",
     .old = "in/empty"},
    {.name = "convert from megatron", .command = "convert --quiet --input in/mg --output out/hf", .old = "in/empty"},
    {.name = "convert to gguf", .command = "convert --quiet --input in/hf --output out/m.gguf --to gguf --dtype q8_0", .old = "in/empty"},
    {.name = "convert from gguf, its own tokenizer", .command = "convert --quiet --input in/m.gguf --output out/hf", .old = "in/empty"},
    {.name = "convert from gguf", .command = "convert --quiet --input in/m.gguf --tokenizer in/tok512.bin --output out/hf", .old = "in/empty"},
    {.name = "tokenize", .command = "tokenize --tokenizer in/tok512.bin <"},
    {.name = "tokenize json pieces", .command = "tokenize --tokenizer in/tok_tiny.json --pieces --jsonl <"},
    {.name = "generate", .command = "generate --quiet --load in/hf --prompt once --max-new-tokens 1", .computes = true},
    {.name = "generate sampled",
     .command = "generate --quiet --load in/hf --prompts in/prompts.jsonl --max-new-tokens 2 --do-sample --batch-size 2 --json",
     .computes = true},
    {.name = "score", .command = "score --quiet --load in/hf <", .computes = true},
    {.name = "inspect", .command = "inspect in/hf"},
    {.name = "inspect shards", .command = "inspect in/mg"},
    {.name = "inspect data", .command = "inspect in/old_data/p_text_document.idx"},
    {.name = "verify", .command = "verify in/run"},
    {.name = "train one step",
     .command = TRAIN "--save out --train-iters 1",
     .old = "in/empty",
     .judged = "iter_",
     .again = "--resume",
     .grows = true,
     .warns = true,
     .computes = true},
    {.name = "train goes on",
     .command = TRAIN "--save out --resume --train-iters 3 --save-interval 1",
     .old = "in/run",
     .judged = "iter_",
     .grows = true,
     .warns = true,
     .computes = true},
    {.name = "train two ranks",
     .command = TRAIN "--save out --nproc 2 --use-distributed-optimizer --train-iters 1",
     .old = "in/empty",
     .judged = "iter_",
     .again = "--resume",
     .grows = true,
     .warns = true,
     .computes = true,
     .ranks = 2},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static void put(const char *path, const char *text)
{
    assert_int_equal(cs_io_write_atomic(path, text, strlen(text), NULL), CS_OK);
}

/* Must work; makes what the rows start from. */
static void prepare(const char *command)
{
    outcome o;
    run_well(&rows[0], command, &o);
    release(&o);
}

static int set_up(void **state)
{
    (void)state;
    static const char jsonl[] = "{\"text\": \"once upon\", \"title\": \"a\"}\n{\"text\": \"a time\", \"title\": \"b c\"}\n";
    char data[PATH_MAX], line[4 * PATH_MAX];
    assert_non_null(realpath(TEST_DATA, data));
    snprintf(base, sizeof base, "%s/cspeed-fail-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(base));
    assert_int_equal(chdir(base), 0);
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(seen != MAP_FAILED);
    fd_out = memfd_create("stdout", MFD_CLOEXEC);
    fd_err = memfd_create("stderr", MFD_CLOEXEC);
    assert_true(fd_out > 2 && fd_err > 2);
    snprintf(line, sizeof line, "mkdir -p in/empty in/old_data && cp %s/tok512.bin %s/tok_tiny.json %s/stories260K.bin in", data, data, data);
    shell(line);
    put("in/tiny.json", "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"vocab_size\": 512, \"hidden_size\": 16, "
        "\"intermediate_size\": 24, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, "
        "\"max_position_embeddings\": 32, \"rms_norm_eps\": 1e-5}");
    put("in/a.txt", "Once upon a time there was a little dog.\n\nHe ran to the park.\nThe end of it all.\n");
    put("in/a.jsonl", jsonl);
    put("in/lines.txt", "{\"context\": \"once\", \"continuation\": \" upon\", \"text\": \"a dog\"}\n");
    put("in/prompts.jsonl", "{\"prompt\": \"once\"}\n{\"prompt\": \"\"}\n{\"prompt\": \"a dog\"}\n");
    put("in/b.txt",
        "Some other text that is longer than the one which comes after it: the dog ran and ran, and the cat sat on the mat all day long.\n");
    shell("gzip -k in/a.jsonl in/a.txt");
    size_t packed = ZSTD_compress(line, sizeof line, jsonl, strlen(jsonl), 3);
    assert_false(ZSTD_isError(packed));
    assert_int_equal(cs_io_write_atomic("in/a.jsonl.zst", line, packed, NULL), CS_OK);
    prepare(PRE "--input in/b.txt --output-prefix in/old_data/p");
    prepare(TRAIN "--save in/run --train-iters 1");
    prepare("convert --quiet --input in/run --tokenizer in/tok512.bin --output in/hf");
    prepare("convert --quiet --input in/hf --output in/mg --pipeline-model-parallel-size 2");
    prepare("convert --quiet --input in/hf --output in/m.gguf --to gguf");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char line[300];
    snprintf(line, sizeof line, "rm -rf '%s'", base);
    shell(line);
    return 0;
}

static void test_row(void **state)
{
    try_row(*state);
}

int main(void)
{
    struct CMUnitTest tests[N_ROWS];
    size_t n = 0;
    const char *only = getenv("FAIL_ONLY");
    for (size_t i = 0; i < N_ROWS; i++)
        if (!only || strcmp(only, rows[i].name) == 0)
            tests[n++] = (struct CMUnitTest){rows[i].name, test_row, NULL, NULL, (void *)&rows[i]};
    return _cmocka_run_group_tests("failures", tests, n, set_up, tear_down);
}
