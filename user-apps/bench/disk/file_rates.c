/*
 * File operations on a disk, measured: `file_rates FOLDER COLD`, COLD a large file that nobody has read yet,
 * and `file_rates mark N` for what a script does between two marks.
 *
 * Each row prints its name, how often it was done and nanoseconds for one; around each there is a mark, an
 * instruction that does nothing, at which the plugin `marks.c` prints how many instructions were executed since the
 * last one.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* `nopl` with a displacement that nobody else uses. Mark 1 is a beginning. */
#define MARK(n) __asm__ volatile(".byte 0x0f,0x1f,0x84,0x00\n.long %c0" ::"i"(0x5e810000 + (n)) : "memory")
#define FILES 2000
#define FOLDERS 500
#define MIB 32
#define PAGES 1000
#define SYNCS 200

static struct timespec began;
static char buffer[1 << 20];
static char names[FILES][16], others[FILES][16], absent[FILES][16];

static void need(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static void end(const char *row, long count)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double ns = (now.tv_sec - began.tv_sec) * 1e9 + (now.tv_nsec - began.tv_nsec);
    printf("ROW %s %ld %.0f\n", row, count, ns / count);
}

#define ROW(mark, name, count, each)                  \
    do {                                              \
        clock_gettime(CLOCK_MONOTONIC, &began);       \
        MARK(1);                                      \
        for (long i = 0; i < (count); i++)            \
            need(each, name);                         \
        MARK(mark);                                   \
        end(name, count);                             \
    } while (0)

/* The same sequence in each run. */
static unsigned long below(unsigned long bound)
{
    static unsigned long state = 88172645463325252UL;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % bound;
}

static int make(const char *name)
{
    int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
    return fd >= 0 && !close(fd);
}

static int look(const char *name)
{
    int fd = open(name, O_RDONLY);
    return fd >= 0 && !close(fd);
}

static int put(int fd, long page)
{
    return pwrite(fd, buffer, 4096, page * 4096) == 4096;
}

static void mark(int number)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (number == 1)
        MARK(1);
    else if (number == 30)
        MARK(30);
    else
        MARK(31);
    printf("TIME %d %ld.%09ld\n", number, (long)now.tv_sec, now.tv_nsec);
}

int main(int count, char **words)
{
    struct stat found;
    need(count == 3, "usage: file_rates FOLDER COLD");
    if (!strcmp(words[1], "mark")) {
        mark(atoi(words[2]));
        return 0;
    }
    need(!chdir(words[1]) && !mkdir("rates", 0755) && !chdir("rates"), words[1]);
    for (int i = 0; i < FILES; i++) {
        sprintf(names[i], "file-%05d", i);
        sprintf(others[i], "renamed-%05d", i);
        sprintf(absent[i], "absent-%05d", i);
    }
    need(make("warm") && !unlink("warm"), "warm");
    sync();
    ROW(10, "create+close", FILES, make(names[i]));
    ROW(11, "stat", FILES, !stat(names[i], &found));
    ROW(12, "open+close", FILES, look(names[i]));
    ROW(13, "lookup-absent", FILES, stat(absent[i], &found));
    ROW(14, "rename", FILES, !rename(names[i], others[i]));
    ROW(15, "sync-after", 1, (sync(), 1));
    ROW(16, "unlink", FILES, !unlink(others[i]));
    ROW(17, "mkdir", FOLDERS, !mkdir(names[i], 0755));
    ROW(18, "rmdir", FOLDERS, !rmdir(names[i]));
    memset(buffer, 'x', sizeof buffer);
    int fd = open("big", O_CREAT | O_RDWR, 0644);
    ROW(19, "write-1M", MIB, write(fd, buffer, sizeof buffer) == sizeof buffer && (i < MIB - 1 || !fsync(fd)));
    lseek(fd, 0, SEEK_SET);
    ROW(20, "read-1M-cached", MIB, read(fd, buffer, sizeof buffer) == sizeof buffer);
    ROW(21, "write-4K-random", PAGES, put(fd, below(MIB * 256)) && (i < PAGES - 1 || !fsync(fd)));
    ROW(22, "overwrite-4K-fsync", SYNCS, put(fd, i) && !fsync(fd));
    close(fd);
    fd = open("small", O_CREAT | O_RDWR, 0644);
    ROW(23, "append-4K-fsync", SYNCS, put(fd, i) && !fsync(fd));
    close(fd);
    fd = open(words[2], O_RDONLY);
    need(fd >= 0 && !fstat(fd, &found), words[2]);
    long half = found.st_size >> 21;
    ROW(24, "read-4K-random", PAGES,
        pread(fd, buffer, 4096, half * (1 << 20) + (long)below(half * 256) * 4096) == 4096);
    ROW(25, "read-1M", half, read(fd, buffer, sizeof buffer) == sizeof buffer);
    return 0;
}
