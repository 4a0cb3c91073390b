/* A program of musl: formatting, heap, files, a child, a pipe, a signal. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t seen;

static void handler(int number) { seen = number; }

int main(int count, char **words) {
    for (int i = 1; i < count; i++)
        printf("argument %d: %s\n", i, words[i]);
    char *block = malloc(3 << 20);
    memset(block, 7, 3 << 20);
    long sum = 0;
    for (int i = 0; i < 3 << 20; i += 4096)
        sum += block[i];
    printf("sum %ld, float %.6f\n", sum, 1.0 / 3.0);
    free(block);
    signal(SIGUSR1, handler);
    raise(SIGUSR1);
    printf("signal %d\n", (int)seen == SIGUSR1);
    int ends[2];
    if (pipe(ends) != 0)
        return 1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (write(ends[1], "from the child", 14) != 14)
            _exit(1);
        _exit(9);
    }
    char text[32] = {0};
    ssize_t length = read(ends[0], text, sizeof text - 1);
    int status = 0;
    waitpid(child, &status, 0);
    printf("%ld bytes: %s, status %d\n", (long)length, text, WEXITSTATUS(status));
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("zero %d\n", page != MAP_FAILED && *(char *)page == 0);
    errno = 0;
    printf("closed %d %d\n", (int)write(99, "x", 1), errno == EBADF);
    return 42;
}
