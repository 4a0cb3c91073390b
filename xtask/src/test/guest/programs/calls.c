/* A little of each call that libos-posix promises, with results that do not depend on the machine:
 * the test compares what this prints on Linux and in the guest. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, long result) {
    printf("%s %ld %s\n", what, result, result == -1 ? strerror(errno) : "");
    fflush(stdout);
}

static int wait_for(pid_t pid) {
    int status = -1;
    pid_t ended = wait4(pid, &status, 0, NULL);
    return ended == pid ? status : -1;
}

static void processes(char **arguments) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    say("fork", wait_for(pid));
    pid = vfork();
    if (pid == 0) {
        execl(arguments[0], arguments[0], "again", NULL);
        _exit(9);
    }
    say("vfork", wait_for(pid));
    pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        syscall(SYS_exit_group, 4);
    say("clone", wait_for(pid));
    int script = open("script", O_CREAT | O_WRONLY | O_TRUNC, 0755);
    dprintf(script, "#!%s of script \n", arguments[0]);
    close(script);
    pid = fork();
    if (pid == 0) {
        execl("./script", "./script", "more", NULL);
        _exit(9);
    }
    say("script", wait_for(pid));
    say("wait4 without a child", wait4(-1, NULL, 0, NULL));
    say("execve of nothing", execl("/no/such/program", "x", NULL));
    say("execve of a folder", execl("/", "x", NULL));
}

static void descriptors(void) {
    int ends[2];
    char text[8] = "";
    say("pipe", pipe(ends));
    int copy = dup(ends[1]);
    say("write to a copy", write(copy, "ab", 2));
    say("dup2", dup2(ends[0], 40));
    say("dup3 onto itself", dup3(40, 40, 0));
    say("read", read(40, text, sizeof text));
    say("close-on-exec", fcntl(fcntl(40, F_DUPFD_CLOEXEC, 50), F_GETFD));
    say("flags", fcntl(ends[0], F_GETFL));
    say("set nonblock", fcntl(ends[0], F_SETFL, O_NONBLOCK));
    say("read of nothing", read(ends[0], text, 1));
    struct pollfd polled[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}};
    say("poll", poll(polled, 2, 10));
    say("revents", polled[0].revents * 1000 + polled[1].revents);
    close(ends[1]);
    close(copy);
    say("poll of an end", poll(polled, 1, 0) * 1000 + polled[0].revents);
    say("a bad descriptor", close(77));
}

static void files(void) {
    struct stat stat;
    struct statfs room;
    char text[64] = "";
    mkdir("d", 0755);
    int file = open("d/f", O_CREAT | O_RDWR | O_TRUNC, 0640);
    say("write", write(file, "hello, file", 11));
    say("lseek", lseek(file, 7, SEEK_SET));
    say("read", read(file, text, sizeof text));
    say("pread", pread(file, text, 5, 0));
    say("ftruncate", ftruncate(file, 5000));
    say("fstat", fstat(file, &stat) * 100000 + stat.st_size);
    say("mode", stat.st_mode);
    say("O_EXCL", open("d/f", O_CREAT | O_EXCL | O_RDWR, 0600));
    say("link", link("d/f", "d/g"));
    say("symlink", symlink("f", "d/s"));
    say("readlink", readlink("d/s", text, sizeof text));
    say("rename", rename("d/g", "d/h"));
    say("rmdir of what is full", rmdir("d"));
    int out = open("d/copy", O_CREAT | O_RDWR | O_TRUNC, 0600);
    off_t from = 0;
    say("sendfile", sendfile(out, file, &from, 12));
    say("statfs", statfs(".", &room) == 0 && room.f_bsize > 0 && room.f_bfree > 0);
    char names[6][256];
    int count = 0, folder = open("d", O_RDONLY | O_DIRECTORY);
    char entries[1024];
    for (long at = 0, size = syscall(SYS_getdents64, folder, entries, sizeof entries); at < size;) {
        struct dirent *entry = (struct dirent *)(entries + at);
        snprintf(names[count++ % 6], sizeof names[0], "%s", entry->d_name);
        at += entry->d_reclen;
    }
    qsort(names, (size_t)count, sizeof names[0], (int (*)(const void *, const void *))strcmp);
    for (int n = 0; n < count; n++)
        printf("entry %s\n", names[n]);
    for (const char **name = (const char *[]){"d/f", "d/h", "d/s", "d/copy", NULL}; *name; name++)
        say("unlink", unlink(*name));
    say("rmdir", rmdir("d"));
    say("stat of what is gone", lstat("d", &stat));
}

static void memory(void) {
    /* musl's own brk() refuses. */
    char *start = (char *)syscall(SYS_brk, 0);
    say("brk", syscall(SYS_brk, start + 8192) - (long)start);
    start[8191] = 1;
    char *pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("zeroed", pages[5000]);
    pages[5000] = 7;
    say("mprotect", mprotect(pages + 4096, 4096, PROT_READ));
    say("kept", pages[5000]);
    int ends[2];
    if (pipe(ends) == 0)
        say("a read to what is read-only", write(ends[1], "x", 1) + read(ends[0], pages + 4096, 1));
    say("munmap", munmap(pages + 4096, 4096));
    say("a write from what is not there", write(ends[1], pages + 4096, 1));
    pid_t pid = fork();
    if (pid == 0)
        pages[4096] = 1;
    say("a store there", wait_for(pid) & 0x7f);
    say("a bad address", munmap(pages + 1, 1));
}

static volatile sig_atomic_t handled;
static siginfo_t last;

static void handle(int signal, siginfo_t *info, void *context) {
    (void)context;
    handled = handled * 100 + signal;
    last = *info;
}

static void signals(void) {
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
    sigset_t set, before;
    sigaction(SIGUSR1, &action, NULL);
    /* A child's stop and end come while its parent waits, or before. */
    action.sa_flags |= SA_RESTART;
    sigaction(SIGCHLD, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    say("tgkill", syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGUSR1));
    say("handled", handled);
    say("from", last.si_pid == getpid() && last.si_code == SI_TKILL);
    handled = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &before);
    kill(getpid(), SIGUSR1);
    say("blocked", handled);
    sigpending(&set);
    say("pending", sigismember(&set, SIGUSR1));
    sigprocmask(SIG_SETMASK, &before, NULL);
    say("unblocked", handled);
    handled = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(5);
    int status = wait_for(pid);
    say("SIGCHLD", handled);
    say("its child", last.si_pid == pid && last.si_status == 5 && status == 5 << 8);
    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    if (pipe(ends) == 0)
        close(ends[0]);
    say("EPIPE", write(ends[1], "x", 1));
    int fatal[] = {SIGPIPE, SIGTERM, SIGKILL, SIGUSR2, SIGALRM};
    for (unsigned n = 0; n < sizeof fatal / sizeof *fatal; n++) {
        pid = fork();
        if (pid == 0) {
            signal(fatal[n], SIG_DFL);
            if (fatal[n] == SIGPIPE)
                (void)!write(ends[1], "x", 1);
            else
                raise(fatal[n]);
            _exit(0);
        }
        say("ended by", wait_for(pid) & 0x7f);
    }
    pid = fork();
    if (pid == 0) {
        raise(SIGSTOP);
        _exit(6);
    }
    say("stopped", waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    kill(pid, SIGCONT);
    say("continued", wait_for(pid));
}

/* struct rseq of <linux/rseq.h>, which is not everywhere. */
static struct {
    unsigned core_hint, core;
    unsigned long section;
    unsigned rest[4];
} area __attribute__((aligned(32)));

/* A critical section that a signal ends: it never comes to its own end. */
static void restartable(void) {
    say("rseq", syscall(SYS_rseq, &area, sizeof area, 0, 0x53053053));
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = {.it_value = {.tv_usec = 20000}};
    handled = 0;
    setitimer(ITIMER_REAL, &soon, NULL);
    long aborted = 0;
    __asm__ volatile(".pushsection .data.rseq, \"aw\"\n"
                     ".balign 32\n"
                     "9: .long 0, 0\n"
                     ".quad 1f, 2f - 1f, 4f\n"
                     ".popsection\n"
                     "leaq 9b(%%rip), %%rax\n"
                     "movq %%rax, %[section]\n"
                     "1: cmpl $0, %[handled]\n"
                     "je 1b\n"
                     "2: jmp 5f\n"
                     ".long 0x53053053\n"
                     "4: movl $1, %k[aborted]\n"
                     "5:\n"
                     : [aborted] "+r"(aborted), [section] "=m"(area.section)
                     : [handled] "m"(handled)
                     : "rax", "memory", "cc");
    say("aborted", aborted);
    say("the section is over", area.section == 0);
    say("rseq again", syscall(SYS_rseq, &area, sizeof area, 0, 0x53053053));
    say("rseq off", syscall(SYS_rseq, &area, sizeof area, 1, 0x53053053));
    say("no core", area.core == ~0u);
}

static long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void the_rest(void) {
    struct timespec pause = {0, 30000000};
    long start = milliseconds();
    say("nanosleep", nanosleep(&pause, NULL));
    say("slept", milliseconds() - start >= 30);
    say("time", time(NULL) > 1600000000);
    struct sysinfo info;
    say("sysinfo", sysinfo(&info) == 0 && info.totalram > 0 && info.freeram <= info.totalram);
    struct rlimit limit;
    say("prlimit64", prlimit(0, RLIMIT_NOFILE, NULL, &limit));
    limit.rlim_cur = 60;
    prlimit(0, RLIMIT_NOFILE, &limit, NULL);
    say("too many files", fcntl(1, F_DUPFD, 60));
    char name[16] = "";
    prctl(PR_SET_NAME, "a-name");
    prctl(PR_GET_NAME, name);
    printf("prctl %s\n", name);
    restartable();
    struct utsname names;
    uname(&names);
    printf("uname %s %s\n", names.sysname, names.machine);
    unsigned long random[2] = {0, 0};
    say("getrandom", getrandom(random, sizeof random, 0));
    say("not the same", random[0] != random[1]);
    say("an unknown call", syscall(999));
    say("an unknown call", syscall(999));
}

int main(int count, char **arguments) {
    if (count > 1 && strcmp(arguments[1], "again") == 0)
        return 11;
    if (count > 1 && strcmp(arguments[1], "of script") == 0) {
        printf("script %d %s %s\n", count, arguments[2], arguments[3]);
        return 12;
    }
    char folder[] = "/tmp/callsXXXXXX";
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return 1;
    umask(022);
    processes(arguments);
    descriptors();
    files();
    memory();
    signals();
    the_rest();
    unlink("script");
    return rmdir(folder);
}
