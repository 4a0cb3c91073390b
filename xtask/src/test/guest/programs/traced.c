/* Calls whose arguments a trace has to name: `--strace` here and strace(1) on Linux must write the same of them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static void handle(int signal) { (void)signal; }

int main(int count, char **words)
{
    if (count != 2 || chdir(words[1]))
        return 1;
    char bytes[100], more[10];
    umask(022);
    access("begin", F_OK);
    open("missing", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    int file = open("file", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0640);
    write(file, "tab\t, quote \", back \\, zero \0" "1, high \377\n", 38);
    write(file, "0123456789012345678901234567890123456789", 40);
    struct iovec parts[2] = {{"one ", 4}, {"two\n", 4}};
    writev(file, parts, 2);
    lseek(file, 2, SEEK_SET);
    read(file, bytes, 5);
    struct iovec places[2] = {{bytes, 3}, {more, sizeof more}};
    readv(file, places, 2);
    pread(file, bytes, 4, 0);
    pwrite(file, "x", 1, 1000);
    fcntl(file, F_GETFL);
    fcntl(file, F_SETFD, FD_CLOEXEC);
    fcntl(file, F_GETFD);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 2};
    fcntl(file, F_SETLK, &lock);
    fcntl(file, F_DUPFD_CLOEXEC, 20);
    struct termios settings;
    tcgetattr(file, &settings);
    dup2(file, 30);
    dup3(file, 31, O_CLOEXEC);
    ftruncate(file, 10);
    fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 100);
    fchmod(file, 0600);
    mkdir("folder", 0700);
    rename("file", "folder/other");
    symlink("folder/other", "link");
    readlink("link", bytes, sizeof bytes);
    faccessat(AT_FDCWD, "folder", R_OK | X_OK, 0);
    struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
    utimensat(AT_FDCWD, "link", times, AT_SYMLINK_NOFOLLOW);
    unlinkat(AT_FDCWD, "folder/other", 0);
    unlink("link");
    rmdir("folder");
    rmdir("folder");
    int ends[2];
    pipe2(ends, O_NONBLOCK | O_CLOEXEC);
    read(ends[0], bytes, 1);
    struct pollfd polls[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT | POLLHUP, 0}};
    poll(polls, 2, 10);
    poll(polls, 1, 0);
    close(77);
    void *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(memory, 4096, PROT_NONE);
    madvise(memory, 8192, MADV_DONTNEED);
    munmap(memory, 8192);
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGUSR1, &action, NULL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigprocmask(SIG_SETMASK, NULL, &set);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit = {64, 128};
    setrlimit(RLIMIT_NOFILE, &limit);
    struct itimerval timer = {{0, 0}, {100, 5}};
    setitimer(ITIMER_REAL, &timer, NULL);
    struct timespec little = {0, 20000000};
    nanosleep(&little, NULL);
    waitpid(-1, NULL, WNOHANG | WUNTRACED);
    kill(1 << 30, SIGKILL);
    getpriority(PRIO_PROCESS, 0);
    flock(file, LOCK_EX | LOCK_NB);
    posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL);
    write(file, (void *)16, 5);
    access("end", F_OK);
    return 7;
}
