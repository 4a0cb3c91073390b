/*
 * Work whose end is a power failure, and the look at what it left.
 *
 *   power_loss work FOLDER         works until it is killed; prints the number of each step that is durable
 *   power_loss check FOLDER LAST   says what is wrong after step LAST was printed
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS 16
#define LARGEST 60000

static uint64_t words[LARGEST / 8 + 2];

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static void wrong(const char *what, const char *name, long number)
{
    printf("wrong: %s, %s, %ld\n", what, name, number);
    exit(1);
}

/* The contents of step `number`: the number in each word. Answers their length in bytes. */
static size_t contents(long number)
{
    size_t count = 1 + number * 7919 % (LARGEST / 8);
    for (size_t index = 0; index < count; index++)
        words[index] = number;
    return count * 8;
}

/* A step: a file of contents is made, synced and renamed over an older one; a log grows. */
static void step(int folder, int log, long number)
{
    char name[32], other[32];
    snprintf(name, sizeof name, "f%ld", number % SLOTS);
    int fd = open("new", O_CREAT | O_TRUNC | O_WRONLY, 0644);
    size_t length = contents(number);
    if (fd < 0 || write(fd, words, length) != (ssize_t)length || fsync(fd))
        die("new");
    close(fd);
    if (rename("new", name) || fsync(folder))
        die("rename");
    uint64_t record = number;
    if (write(log, &record, sizeof record) != sizeof record || fdatasync(log))
        die("log");
    /* And what nobody syncs: it may be there or not, whole or in part, but never another's. */
    snprintf(name, sizeof name, "u%ld", number);
    fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
    if (fd < 0 || write(fd, words, length) != (ssize_t)length)
        die("unsynced");
    close(fd);
    snprintf(other, sizeof other, "u%ld", number - 8);
    /* A look after a power failure has removed some. */
    if (number >= 8 && unlink(other) && errno != ENOENT)
        die("unlink");
}

static void work(void)
{
    struct stat found;
    int folder = open(".", O_RDONLY | O_DIRECTORY);
    int log = open("log", O_CREAT | O_WRONLY | O_APPEND, 0644);
    if (folder < 0 || log < 0 || fstat(log, &found))
        die("folder");
    for (long number = found.st_size / 8;; number++) {
        step(folder, log, number);
        printf("%ld\n", number);
        fflush(stdout);
    }
}

static size_t take(const char *name)
{
    int fd = open(name, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, words, sizeof words);
    close(fd);
    if (length < 0)
        wrong("not there", name, 0);
    return length;
}

static void check_slots(long last)
{
    char name[32];
    for (long slot = 0; slot < SLOTS && slot <= last; slot++) {
        long oldest = last - (last - slot) % SLOTS;
        snprintf(name, sizeof name, "f%ld", slot);
        size_t length = take(name);
        long number = length < 8 ? -1 : (long)words[0];
        for (size_t index = 0; index < length / 8; index++)
            if ((long)words[index] != number)
                wrong("mixed contents", name, index);
        if (number < oldest || number % SLOTS != slot || number > last + SLOTS)
            wrong("contents of another step", name, number);
        if (length != contents(number))
            wrong("length", name, length);
    }
}

static void check_log(long last)
{
    uint64_t record;
    int log = open("log", O_RDONLY);
    long number = 0;
    while (read(log, &record, sizeof record) == sizeof record) {
        if ((long)record != number)
            wrong("record", "log", number);
        number++;
    }
    if (number <= last)
        wrong("records", "log", number);
    close(log);
}

static void check_unsynced(void)
{
    DIR *directory = opendir(".");
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] != 'u')
            continue;
        long number = atol(entry->d_name + 1);
        size_t length = take(entry->d_name);
        for (size_t index = 0; index < length / 8; index++)
            if (words[index] && (long)words[index] != number)
                wrong("another's bytes", entry->d_name, words[index]);
        if (unlink(entry->d_name))
            die("unlink");
    }
    closedir(directory);
}

int main(int count, char **arguments)
{
    if (count < 3 || (mkdir(arguments[2], 0755), chdir(arguments[2])))
        die("folder");
    if (!strcmp(arguments[1], "work"))
        work();
    long last = atol(arguments[3]);
    check_slots(last);
    check_log(last);
    check_unsynced();
    unlink("new");
    printf("sound\n");
    return 0;
}
