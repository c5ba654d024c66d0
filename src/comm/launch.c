/* Starting ranks: decides between the MPI job this process is in, forked ranks and running alone; watches over forked ranks.
 * The parent of forked ranks does nothing but wait, so that it can end them whatever they are doing. Ranks form a process group of
 * their own: a Ctrl-C of the terminal, or a signal sent to the parent's group, reaches each rank exactly once, through the parent. */
#include "comm/launch.h"

#include "comm/shm.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds that ranks get to leave by themselves after one has failed. */
static const double grace = 1.5;

typedef struct crew {
    cs_shm_region *region;
    pid_t *pid;  /* 0 = ended */
    pid_t group; /* process group of the ranks */
    int n, alive, exit_code;
    bool ending;
    double kill_at;
    int forwarded; /* last signal passed on */
} crew;

static int env_int(const char *name, int missing)
{
    const char *text = getenv(name);
    char *end = NULL;
    long value = text ? strtol(text, &end, 10) : -1;
    return text && end != text && *end == '\0' && value >= 0 && value <= INT32_MAX ? (int)value : missing;
}

static cs_launcher find_launcher(void)
{
    const int rank = env_int("SLURM_PROCID", 0), tasks = env_int("SLURM_STEP_NUM_TASKS", 0);
    if (getenv("OMPI_COMM_WORLD_RANK"))
        return (cs_launcher){"Open MPI's mpirun", env_int("OMPI_COMM_WORLD_SIZE", 1), env_int("OMPI_COMM_WORLD_RANK", 0)};
    if (getenv("PMI_RANK"))
        return (cs_launcher){"an mpirun of MPICH's kind (PMI)", env_int("PMI_SIZE", 1), env_int("PMI_RANK", 0)};
    if (getenv("SLURM_PROCID") && tasks > 1) /* a batch script has SLURM_PROCID, too, but no such step */
        return (cs_launcher){"srun", tasks, rank};
    return (cs_launcher){"PMIx", getenv("PMIX_RANK") ? 1 : 0, 0};
}

bool cs_launch_under_mpi(void)
{
    return find_launcher().size > 0;
}

const char *cs_launch_mpi_name(void)
{
#ifdef CS_HAVE_MPI
    return cs_mpi_name();
#else
    return NULL;
#endif
}

int cs_launch_rank(void)
{
    return find_launcher().rank;
}

static int report(const cs_error *err)
{
    cs_error_print(err);
    return err->status;
}

/* The signals the parent takes one by one instead of being interrupted by them. */
static void watched_signals(sigset_t *set)
{
    static const int list[] = {SIGCHLD, SIGTERM, SIGINT, SIGUSR1, SIGTSTP};
    sigemptyset(set);
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        sigaddset(set, list[i]);
}

static void signal_all(const crew *w, int sig)
{
    for (int r = 0; r < w->n; r++)
        if (w->pid[r] > 0)
            kill(w->pid[r], sig);
}

static void begin_end(crew *w, int exit_code)
{
    w->ending = true;
    w->exit_code = exit_code;
    w->kill_at = cs_clock_now() + grace;
    atomic_store(&w->region->failed, 1);
}

/* A rank's process ended with this wait status. */
static void note_end(crew *w, int rank, int status)
{
    pid_t pid = w->pid[rank];
    w->pid[rank] = 0;
    w->alive--;
    if (!w->ending && WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        begin_end(w, WEXITSTATUS(status));
    } else if (!w->ending && WIFSIGNALED(status)) {
        int sig = WTERMSIG(status);
        begin_end(w, sig == w->forwarded ? 128 + sig : CS_E_PEER);
        if (sig != w->forwarded && !atomic_exchange(&w->region->said, 1)) {
            cs_error err;
            cs_fail(&err, CS_E_PEER, "rank %d (process %d) was killed by signal %d (%s); the other ranks were ended; "
                    "start the run again with --resume", rank, (int)pid, sig, strsignal(sig));
            cs_error_print(&err);
        }
    }
    atomic_store(&w->region->gone[rank], 1);
}

static void reap(crew *w)
{
    for (int r = 0; r < w->n; r++) {
        int status;
        if (w->pid[r] > 0 && waitpid(w->pid[r], &status, WNOHANG) == w->pid[r])
            note_end(w, r, status);
    }
}

static void watch(crew *w, const sigset_t *set)
{
    while (w->alive > 0) {
        const struct timespec look = {.tv_nsec = 100 * 1000000L};
        int sig = sigtimedwait(set, NULL, &look);
        if (sig == SIGTSTP) { /* stop with the ranks, go on with them */
            signal_all(w, SIGSTOP);
            raise(SIGSTOP);
            signal_all(w, SIGCONT);
        } else if (sig > 0 && sig != SIGCHLD) {
            w->forwarded = sig;
            signal_all(w, sig);
        }
        reap(w);
        if (w->ending && cs_clock_now() >= w->kill_at)
            signal_all(w, SIGKILL);
    }
}

/* In the new process: never returns. */
static _Noreturn void be_rank(crew *w, int rank, pid_t parent, const sigset_t *old_mask, cs_rank_main rank_main, void *arg)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the line above */
        _exit(CS_E_PEER);
    setpgid(0, w->group);
    cs_failpoint_set_rank(rank);
    cs_error_share_last_words(&w->region->said);
    sigprocmask(SIG_SETMASK, old_mask, NULL);
    cs_comm *world = cs_shm_join(w->region, rank);
    if (!world) {
        cs_error err;
        cs_fail_nomem(&err, sizeof(cs_shm), "a rank");
        cs_error_print(&err);
        _exit(CS_E_NOMEM);
    }
    int code = rank_main(world, arg);
    cs_comm_destroy(world);
    fflush(NULL);
    _exit(code);
}

/* Forks the ranks; false with the reason in errno when one cannot be made. */
static bool start(crew *w, const sigset_t *old_mask, cs_rank_main rank_main, void *arg)
{
    pid_t parent = getpid();
    for (int r = 0; r < w->n; r++) {
        int fault = cs_failpoint_io("fork");
        pid_t pid = fault ? -1 : fork();
        if (fault)
            errno = fault;
        if (pid < 0)
            return false;
        if (pid == 0)
            be_rank(w, r, parent, old_mask, rank_main, arg);
        if (r == 0)
            w->group = pid;
        setpgid(pid, w->group); /* in both processes: neither may come too late; fails harmlessly when the rank has ended */
        w->pid[r] = pid;
        w->alive++;
    }
    return true;
}

static int launch_forked(int n, cs_rank_main rank_main, void *arg)
{
    cs_error err;
    crew w = {.n = n, .pid = cs_calloc((size_t)n, sizeof(pid_t))};
    cs_status s = w.pid ? cs_shm_region_create(n, &w.region, &err) : cs_fail_nomem(&err, (size_t)n * sizeof(pid_t), "the list of ranks");
    if (s != CS_OK) {
        cs_free(w.pid);
        return report(&err);
    }
    sigset_t set, old_mask;
    watched_signals(&set);
    sigprocmask(SIG_BLOCK, &set, &old_mask);
    struct sigaction child = {.sa_handler = SIG_DFL}, old_child; /* ignoring it would lose the exit codes */
    sigaction(SIGCHLD, &child, &old_child);
    fflush(NULL); /* or every rank prints what is buffered */
    if (!start(&w, &old_mask, rank_main, arg)) {
        begin_end(&w, CS_E_NOMEM);
        cs_fail(&err, CS_E_NOMEM, "cannot start rank %d of %d: %s", w.alive, n, strerror(errno));
        cs_error_print(&err);
        signal_all(&w, SIGKILL);
    }
    watch(&w, &set);
    sigaction(SIGCHLD, &old_child, NULL);
    sigprocmask(SIG_SETMASK, &old_mask, NULL);
    cs_shm_region_destroy(w.region);
    cs_free(w.pid);
    return w.exit_code;
}

int cs_launch(int64_t nproc, cs_rank_main rank_main, void *arg)
{
    cs_error err;
    if (nproc < 0 || nproc > CS_SHM_MAX_RANKS) {
        cs_fail(&err, CS_E_USAGE, "--nproc %lld: expected 1..%d", (long long)nproc, CS_SHM_MAX_RANKS);
        return report(&err);
    }
    const cs_launcher by = find_launcher();
#ifdef CS_HAVE_MPI
    if (by.size > 0)
        return cs_mpi_launch(&by, nproc, rank_main, arg);
#else
    if (by.size > 1) {
        cs_fail(&err, CS_E_USAGE, "started as one of %d processes of an MPI job, but this build has no MPI; use --nproc N, or build with MPI",
                by.size);
        return report(&err);
    }
#endif
    if (nproc > 1)
        return launch_forked((int)nproc, rank_main, arg);
    return rank_main(cs_comm_self(), arg);
}

#ifdef CS_HAVE_MPI
static int agree_on_failure(cs_comm *world, void *arg)
{
    cs_error err = *(const cs_error *)arg;
    cs_status s = cs_agree(world, err.status, &err);
    if (cs_comm_rank(world) == 0)
        cs_error_print(&err);
    return s;
}
#endif

int cs_launch_failed(const cs_error *err)
{
#ifdef CS_HAVE_MPI
    if (find_launcher().size > 1)
        return cs_launch(0, agree_on_failure, (void *)err);
#endif
    return cs_launch_rank() == 0 ? report(err) : (int)err->status;
}

void *cs_launch_share(size_t bytes)
{
    void *p = cs_failpoint_mem() ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void cs_launch_unshare(void *p, size_t bytes)
{
    if (p)
        munmap(p, bytes);
}
