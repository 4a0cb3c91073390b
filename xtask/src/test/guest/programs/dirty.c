/* 24 MiB of dirty pages and three forks: how many frames are gone after each, how many pages the
 * kernel has mapped for it, and how many faults it took. A page that is copied is mapped anew. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 24 << 20, PAGE = 4096 };

struct figures {
    long free, mapped, faults;
};

/* One of the kernel's counters. */
static long counter(const char *wanted) {
    FILE *file = fopen("/proc/serix/counters", "r");
    char name[64];
    long value, found = -1;
    while (file && fscanf(file, "%63s %ld", name, &value) == 2)
        if (strcmp(name, wanted) == 0)
            found = value;
    if (file)
        fclose(file);
    return found;
}

static struct figures figures(void) {
    struct sysinfo info;
    struct figures now = {.mapped = counter("pages_mapped"), .faults = counter("faults")};
    now.free = sysinfo(&info) != 0 ? -1 : (long)(info.freeram * info.mem_unit / PAGE);
    return now;
}

/* All bytes are there; then one page is copied, so that no figure is zero. */
static int child(char *block, int end) {
    for (long at = 0; at < SIZE; at += PAGE)
        if (block[at] != (char)(at >> 12))
            return 1;
    block[0] = 99;
    struct figures after = figures();
    return write(end, &after, sizeof after) != sizeof after;
}

int main(void) {
    char *block = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return 1;
    for (long at = 0; at < SIZE; at += PAGE)
        block[at] = (char)(at >> 12);
    for (int round = 0; round < 3; round++) {
        int ends[2];
        if (pipe(ends) != 0)
            return 2;
        struct figures before = figures(), after;
        pid_t pid = fork();
        if (pid < 0)
            return 3;
        if (pid == 0)
            _exit(child(block, ends[1]));
        if (read(ends[0], &after, sizeof after) != sizeof after)
            return 4;
        int status = 0;
        waitpid(pid, &status, 0);
        if (status != 0 || block[0] != 0)
            return 5;
        close(ends[0]);
        close(ends[1]);
        printf("taken %ld mapped %ld faults %ld\n", before.free - after.free,
               after.mapped - before.mapped, after.faults - before.faults);
        fflush(stdout);
    }
    return 0;
}
