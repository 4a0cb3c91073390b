/* 100,000 random Linux calls with random arguments, each in a child that may die of them. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CALLS = 100000, HIGHEST = 470 };

static volatile long *done;
static uint64_t state;

static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Calls that do what they are there for: to end, to signal the parent, to wait. */
static int is_left_out(long call) {
    static const short out[] = {
        SYS_exit, SYS_exit_group, SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo,
        SYS_rt_tgsigqueueinfo, SYS_pidfd_send_signal, SYS_pause, SYS_rt_sigsuspend,
        SYS_rt_sigtimedwait, SYS_nanosleep, SYS_clock_nanosleep, SYS_select, SYS_pselect6, SYS_poll,
        SYS_ppoll, SYS_epoll_wait, SYS_epoll_pwait, SYS_futex, SYS_reboot,
    };
    for (unsigned i = 0; i < sizeof out / sizeof *out; i++)
        if (out[i] == call)
            return 1;
    return 0;
}

static char buffer[1 << 16];

static uint64_t argument(void) {
    switch (next() % 8) {
    case 0: return next();
    case 1: return next() % 8;
    case 2: return (uint64_t)buffer + next() % sizeof buffer;
    case 3: return 0;
    case 4: return UINT64_MAX - next() % 4096;
    case 5: return 0x7f0000000000 + next() % 0x8000000000;
    case 6: return 1ULL << next() % 64;
    default: return next() % (1 << 20);
    }
}

/* A child's clone can make the parent a parent of more, with any signal at their end. */
static void set_signals(void (*to)(int)) {
    for (int number = 1; number < 65; number++)
        if (number != SIGCHLD)
            signal(number, to);
}

static void work(void) {
    set_signals(SIG_DFL);
    for (int i = 0; i < 64; i++)
        close(i);
    pid_t self = (pid_t)syscall(SYS_getpid);
    while (*done < CALLS) {
        long call = (long)(next() % HIGHEST);
        if (is_left_out(call))
            continue;
        *done = *done + 1;
        for (unsigned i = 0; i < sizeof buffer; i += 509)
            buffer[i] = (char)next();
        syscall(call, argument(), argument(), argument(), argument(), argument(), argument());
        /* A child of a random fork has nothing to do. */
        if ((pid_t)syscall(SYS_getpid) != self)
            _exit(0);
    }
    _exit(0);
}

int main(int count, char **words) {
    uint64_t seed = count > 1 ? strtoull(words[1], NULL, 0) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (done == MAP_FAILED)
        return 1;
    set_signals(SIG_IGN);
    int children = 0;
    while (*done < CALLS) {
        state = (seed + (uint64_t)children * 0x9e3779b97f4a7c15) | 1;
        pid_t child = fork();
        if (child < 0) {
            /* Frames and processes come back when others have ended. */
            usleep(10000);
            continue;
        }
        if (child == 0)
            work();
        children++;
        long seen = *done;
        for (int quiet = 0; quiet < 5;) {
            usleep(10000);
            if (waitpid(child, NULL, WNOHANG) == child) {
                child = 0;
                break;
            }
            quiet = *done == seen ? quiet + 1 : 0;
            seen = *done;
        }
        if (child != 0) {
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
        }
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
    printf("done %ld\n", *done);
    fprintf(stderr, "%d children\n", children);
    return 0;
}
