// The clock of the vDSO against that of the call, also after the clock was set, and the clocks that it leaves to the call.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
    printf("%s\n", what);
    exit(1);
}

static long long ns(struct timespec t) {
    if (t.tv_nsec < 0 || t.tv_nsec > 999999999) fail("not normalised");
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// What the library says lies between what the call says before and after.
static void compare(clockid_t clock) {
    struct timespec before, now, after;
    if (syscall(SYS_clock_gettime, clock, &before)) fail("call before");
    if (clock_gettime(clock, &now)) fail("library");
    if (syscall(SYS_clock_gettime, clock, &after)) fail("call after");
    if (ns(now) < ns(before) || ns(now) > ns(after)) fail("another time");
}

int main(void) {
    unsigned long object = getauxval(AT_SYSINFO_EHDR);
    if (!object || memcmp((void *)object, "\177ELF", 4)) fail("no vDSO");
    clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,
                          CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++) compare(clocks[i]);
    struct timespec nothing;
    if (clock_gettime(77, &nothing) != -1) fail("clock 77");
    struct timespec set = {2000000000, 5};
    if (clock_settime(CLOCK_REALTIME, &set)) fail("not set");
    compare(CLOCK_REALTIME);
    struct timeval of_day;
    if (gettimeofday(&of_day, 0) || of_day.tv_sec < 2000000000 || of_day.tv_sec > 2000000100)
        fail("gettimeofday");
    if (time(0) < 2000000000 || time(0) > 2000000100) fail("time");
    // It has its line among the mappings.
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[300];
    int found = 0;
    while (fgets(line, sizeof line, maps)) found += strstr(line, "[vdso]") != 0;
    if (found != 1) fail("not in maps");
    printf("same time\n");
    return 0;
}
