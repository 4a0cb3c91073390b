/* Refers to much of the C library, so that its calls are linked in. */
#define _GNU_SOURCE
#include <aio.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void getrandom_or_abort(void);

void *const all[] = {
    read, write, open, close, openat, pread, pwrite, readv, writev, lseek, stat, fstat, lstat, access,
    pipe, pipe2, dup, dup2, dup3, fcntl, poll, ppoll, select, pselect, epoll_wait, epoll_ctl, eventfd,
    mmap, munmap, mprotect, mremap, madvise, msync, brk, fork, vfork, execve, waitpid, wait4, kill, raise,
    sigaction, sigprocmask, sigsuspend, sigwaitinfo, sigtimedwait, pthread_create, pthread_join,
    pthread_cancel, pthread_kill, pthread_sigmask, pthread_cond_wait, pthread_cond_timedwait,
    pthread_rwlock_rdlock, pthread_barrier_wait, sem_wait, sem_timedwait, nanosleep, clock_nanosleep,
    clock_gettime, gettimeofday, times, getrusage, getrlimit, setrlimit, uname, sched_yield,
    sched_setaffinity, prctl, getcwd, chdir, fchdir, mkdir, rmdir, rename, link, symlink, readlink,
    unlink, chmod, chown, utimensat, truncate, ftruncate, fsync, fdatasync, sync, opendir, readdir,
    getpid, getppid, getuid, setuid, getgroups, setsid, setpgid, socket, connect, accept, sendmsg, recvmsg,
    sendto, recvfrom, shutdown, sendfile, syscall, alarm, setitimer, timer_create, posix_spawn, system,
    popen, aio_read, getrandom_or_abort, 0};

void getrandom_or_abort(void) { abort(); }

int main(void) {
    puts("calls");
    return all[0] == 0;
}
