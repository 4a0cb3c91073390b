/* 24 MiB of dirty pages, three forks, and how many frames each takes. */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 24 << 20, PAGE = 4096 };

static long free_frames(void) {
    struct sysinfo info;
    if (sysinfo(&info) != 0)
        return -1;
    return (long)(info.freeram * info.mem_unit / PAGE);
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
        long before = free_frames();
        pid_t child = fork();
        if (child < 0)
            return 3;
        if (child == 0) {
            for (long at = 0; at < SIZE; at += PAGE)
                if (block[at] != (char)(at >> 12))
                    _exit(1);
            /* One page is copied, so the count is not zero. */
            block[0] = 99;
            long after = free_frames();
            _exit(write(ends[1], &after, sizeof after) != sizeof after);
        }
        long after = 0;
        if (read(ends[0], &after, sizeof after) != sizeof after)
            return 4;
        int status = 0;
        waitpid(child, &status, 0);
        if (status != 0 || block[0] != 0)
            return 5;
        close(ends[0]);
        close(ends[1]);
        printf("taken %ld\n", before - after);
        fflush(stdout);
    }
    return 0;
}
