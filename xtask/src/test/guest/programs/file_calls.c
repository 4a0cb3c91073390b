/* File calls and what Linux answers on ext4. Prints each answer that differs, then how many were tried. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NO_REPLACE 1
#define EXCHANGE 2
#define ZERO_RANGE 0x10

static int tried, failed;

/* The answer must be `value`, or fail with `error`. */
static void check(int line, const char *what, long answer, long value, int error)
{
    int got = answer == -1 ? errno : 0;
    tried++;
    if (error ? answer == -1 && got == error : answer == value)
        return;
    failed++;
    printf("line %d: %s is %ld (%s), expected %ld (%s)\n", line, what, answer, strerror(got),
           error ? -1L : value, strerror(error));
}

#define IS(value, call) check(__LINE__, #call, (long)(call), (value), 0)
#define FAILS(error, call) check(__LINE__, #call, (long)(call), -1, (error))

static int rename2(const char *from, const char *to, unsigned flags)
{
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static int make(const char *name, const char *text)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return -1;
    return close(fd);
}

/* Whether a file holds exactly this text. */
static int holds(const char *name, const char *text)
{
    char bytes[256];
    int fd = open(name, O_RDONLY);
    ssize_t len = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    close(fd);
    return len == (ssize_t)strlen(text) && !memcmp(bytes, text, len);
}

static struct stat of(const char *name)
{
    struct stat found;
    memset(&found, 0, sizeof found);
    lstat(name, &found);
    return found;
}

static void renames(void)
{
    IS(0, make("a", "first"));
    IS(0, make("b", "second"));
    FAILS(EEXIST, rename2("a", "b", NO_REPLACE));
    IS(0, rename2("a", "c", NO_REPLACE));
    FAILS(ENOENT, rename2("b", "none", EXCHANGE));
    FAILS(EINVAL, rename2("b", "c", EXCHANGE | NO_REPLACE));
    FAILS(EINVAL, rename2("b", "c", 64));
    IS(0, rename2("b", "c", EXCHANGE));
    IS(1, holds("b", "first"));
    IS(1, holds("c", "second"));
    IS(0, mkdir("d", 0755));
    IS(0, mkdir("d/e", 0755));
    IS(0, rename2("d/e", "c", EXCHANGE));
    IS(1, holds("d/e", "second"));
    IS(3, of("c").st_nlink + 1);
    IS(2, of("d").st_nlink);
    FAILS(EINVAL, rename("d", "d/f"));
    FAILS(EISDIR, rename("b", "d"));
    FAILS(ENOTDIR, rename("d", "b"));
    FAILS(ENOTEMPTY, rename("c", "d"));
    FAILS(ENOTEMPTY, rmdir("d"));
    IS(0, rename("d/e", "b"));
    IS(0, rename("c", "d"));
    IS(1, holds("b", "second"));
    IS(0, rmdir("d"));
    IS(0, link("b", "h"));
    IS(0, rename("b", "h"));
    IS(2, of("b").st_nlink);
    IS(0, unlink("b"));
    IS(0, unlink("h"));
}

static void names(void)
{
    char longest[300], path[5000];
    memset(longest, 'n', sizeof longest);
    longest[255] = 0;
    IS(0, make(longest, ""));
    IS(0, unlink(longest));
    longest[255] = 'n';
    longest[256] = 0;
    FAILS(ENAMETOOLONG, make(longest, ""));
    FAILS(ENAMETOOLONG, unlink(longest));
    FAILS(ENAMETOOLONG, mkdir(longest, 0755));
    /* What is missing before the name comes first. */
    snprintf(path, sizeof path, "none/%s", longest);
    FAILS(ENOENT, unlink(path));
    FAILS(ENOENT, open(path, O_CREAT | O_WRONLY, 0644));
    IS(0, make("file", "x"));
    snprintf(path, sizeof path, "file/%s", longest);
    FAILS(ENOTDIR, open(path, O_RDONLY));
    memset(path, 'p', sizeof path);
    path[4096] = 0;
    FAILS(ENAMETOOLONG, open(path, O_RDONLY));
    FAILS(EISDIR, open("new/", O_CREAT | O_WRONLY, 0644));
    FAILS(EISDIR, open(".", O_CREAT | O_WRONLY, 0644));
    FAILS(ENOTDIR, open("file/", O_RDONLY));
    FAILS(ENOENT, open("", O_CREAT | O_WRONLY, 0644));
    FAILS(ENOTDIR, unlink("file/"));
    FAILS(EEXIST, mkdir("file", 0755));
    IS(0, mkdir("made/", 0755));
    FAILS(EISDIR, unlink("made"));
    FAILS(EINVAL, rmdir("made/."));
    IS(0, rmdir("made"));
    IS(0, unlink("file"));
}

static void links(void)
{
    char target[4096], read[4096];
    memset(target, 't', sizeof target);
    for (int len = 1; len <= 4095; len += len < 64 ? 1 : 1343) {
        target[len] = 0;
        IS(0, symlink(target, "l"));
        IS(len, readlink("l", read, sizeof read));
        IS(0, memcmp(read, target, len));
        IS(len, of("l").st_size);
        IS(0, unlink("l"));
        target[len] = 't';
    }
    FAILS(ENOENT, symlink("", "l"));
    IS(0, symlink("l", "l"));
    FAILS(ELOOP, open("l", O_RDONLY));
    FAILS(EEXIST, link("l", "l"));
    IS(0, unlink("l"));
}

static void sizes(void)
{
    int fd = open("s", O_CREAT | O_EXCL | O_RDWR, 0600);
    char byte = 0;
    IS(0, of("s").st_blocks);
    IS(5, pwrite(fd, "hello", 5, 0));
    IS(1, of("s").st_blocks > 0);
    IS(0, fsync(fd));
    IS(1, of("s").st_blocks > 0);
    IS(0, ftruncate(fd, 1L << 33));
    IS(1L << 33, of("s").st_size);
    IS(1, pread(fd, &byte, 1, (1L << 33) - 1));
    IS(0, byte);
    IS(1, pwrite(fd, "z", 1, 5L << 30));
    IS(0, fsync(fd));
    IS(1, of("s").st_blocks < 100);
    IS(5L << 30, lseek(fd, 1 << 20, SEEK_DATA));
    IS(1 << 20, lseek(fd, 1 << 20, SEEK_HOLE));
    FAILS(ENXIO, lseek(fd, 1L << 33, SEEK_DATA));
    IS(0, ftruncate(fd, 3));
    IS(0, ftruncate(fd, 8));
    IS(1, holds("s", "hel\0\0\0\0\0") || of("s").st_size == 8);
    FAILS(EINVAL, ftruncate(fd, -1));
    FAILS(EFBIG, ftruncate(fd, 1L << 45));
    /* Nothing is written by a write of nothing. */
    struct stat before = of("s");
    int end = open("s", O_WRONLY | O_APPEND);
    IS(0, write(end, "", 0));
    IS(8, of("s").st_size);
    IS(0, lseek(end, 0, SEEK_CUR));
    IS(before.st_mtim.tv_nsec, of("s").st_mtim.tv_nsec);
    IS(2, write(end, "ab", 2));
    IS(10, lseek(end, 0, SEEK_CUR));
    close(end);
    close(fd);
    IS(0, unlink("s"));
}

static void allocations(void)
{
    int fd = open("f", O_CREAT | O_EXCL | O_RDWR, 0600);
    char block[4096], byte;
    memset(block, 'b', sizeof block);
    FAILS(EINVAL, fallocate(fd, 0, 0, 0));
    FAILS(EINVAL, fallocate(fd, 0, -1, 1));
    FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096));
    FAILS(EOPNOTSUPP, fallocate(fd, 0x4000, 0, 4096));
    /* To collapse and to insert a range, which Linux can and we say that we cannot. */
    FAILS(EOPNOTSUPP, fallocate(fd, 0x08, 0, 4096));
    FAILS(EOPNOTSUPP, fallocate(fd, 0x20, 0, 4096));
    IS(0, fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20));
    IS(0, of("f").st_size);
    IS(2048, of("f").st_blocks);
    IS(0, fallocate(fd, 0, 0, 1 << 16));
    IS(1 << 16, of("f").st_size);
    for (int index = 0; index < 16; index++)
        IS(4096, write(fd, block, sizeof block));
    IS(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4000, 8192));
    IS(1, pread(fd, &byte, 1, 4000));
    IS(0, byte);
    IS(1, pread(fd, &byte, 1, 3999));
    IS('b', byte);
    IS(1, pread(fd, &byte, 1, 12192));
    IS('b', byte);
    IS(0, fallocate(fd, ZERO_RANGE, 20000, 1 << 17));
    IS(20000 + (1 << 17), of("f").st_size);
    IS(1, pread(fd, &byte, 1, 20000));
    IS(0, byte);
    IS(1, pread(fd, &byte, 1, 19999));
    IS('b', byte);
    close(fd);
    int readable = open("f", O_RDONLY);
    FAILS(EBADF, fallocate(readable, 0, 0, 1));
    close(readable);
    IS(0, unlink("f"));
}

static void times(void)
{
    struct timespec set[2] = {{1234567890, 123456789}, {-5, 999999999}};
    struct timespec leave[2] = {{0, UTIME_OMIT}, {4000000000, 1}};
    struct timespec wrong[2] = {{0, 1000000000}, {0, 0}};
    IS(0, make("t", ""));
    IS(0, utimensat(AT_FDCWD, "t", set, 0));
    IS(123456789, of("t").st_atim.tv_nsec);
    IS(-5, of("t").st_mtim.tv_sec);
    IS(999999999, of("t").st_mtim.tv_nsec);
    IS(0, utimensat(AT_FDCWD, "t", leave, 0));
    IS(1234567890, of("t").st_atim.tv_sec);
    IS(4000000000, of("t").st_mtim.tv_sec);
    FAILS(EINVAL, utimensat(AT_FDCWD, "t", wrong, 0));
    IS(0, chmod("t", 04751));
    IS(0104751, of("t").st_mode);
    IS(0, chown("t", 70000, 80000));
    IS(70000, of("t").st_uid);
    IS(80000, of("t").st_gid);
    IS(0100751, of("t").st_mode);
    IS(0, unlink("t"));
}

static void attributes(void)
{
    char value[5000], names[100];
    memset(value, 'v', sizeof value);
    IS(0, make("x", ""));
    FAILS(ENODATA, getxattr("x", "user.a", names, sizeof names));
    IS(0, setxattr("x", "user.a", "one", 3, XATTR_CREATE));
    FAILS(EEXIST, setxattr("x", "user.a", "two", 3, XATTR_CREATE));
    FAILS(ENODATA, setxattr("x", "user.b", "two", 3, XATTR_REPLACE));
    IS(0, setxattr("x", "user.b", value, 3000, 0));
    IS(3000, getxattr("x", "user.b", NULL, 0));
    FAILS(ERANGE, getxattr("x", "user.b", names, 10));
    IS(3, getxattr("x", "user.a", names, sizeof names));
    IS(14, listxattr("x", names, sizeof names));
    FAILS(ERANGE, listxattr("x", names, 3));
    FAILS(EOPNOTSUPP, setxattr("x", "strange.a", "", 0, 0));
    FAILS(EINVAL, setxattr("x", "user.", "", 0, 0));
    IS(0, setxattr("x", "trusted.t", "", 0, 0));
    IS(0, removexattr("x", "user.a"));
    FAILS(ENODATA, removexattr("x", "user.a"));
    IS(0, unlink("x"));
}

static void open_files(void)
{
    char text[8];
    struct stat found;
    int fd = open("o", O_CREAT | O_RDWR, 0600);
    IS(5, write(fd, "hello", 5));
    IS(0, unlink("o"));
    IS(0, fsync(fd));
    IS(0, fstat(fd, &found));
    IS(0, found.st_nlink);
    IS(5, pread(fd, text, 8, 0));
    FAILS(ENOENT, open("o", O_RDONLY));
    close(fd);
    IS(0, mkdir("gone", 0755));
    int directory = open("gone", O_RDONLY | O_DIRECTORY);
    IS(0, rmdir("gone"));
    FAILS(ENOENT, openat(directory, "new", O_CREAT | O_WRONLY, 0600));
    close(directory);
    FAILS(EEXIST, mknod(".", S_IFIFO | 0600, 0));
    IS(0, mknod("pipe", S_IFIFO | 0600, 0));
    IS(0, mknod("device", S_IFCHR | 0600, 0x40107));
    IS(0x40107, of("device").st_rdev);
    IS(S_IFIFO | 0600, of("pipe").st_mode);
    IS(0, unlink("pipe"));
    IS(0, unlink("device"));
}

/* A listing finds each name once, and `.` and `..`. */
static void listings(void)
{
    char name[64];
    IS(0, mkdir("many", 0755));
    for (int number = 0; number < 700; number++) {
        snprintf(name, sizeof name, "many/name-%d", number);
        if (make(name, ""))
            IS(0, number + 1);
    }
    unsigned char seen[700] = {0};
    int others = 0, again = 0;
    DIR *directory = opendir("many");
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (strncmp(entry->d_name, "name-", 5)) {
            others++;
            continue;
        }
        unsigned char *once = &seen[atoi(entry->d_name + 5) % 700];
        again += *once;
        *once = 1;
        IS(0, unlinkat(dirfd(directory), entry->d_name, 0));
    }
    closedir(directory);
    IS(2, others);
    IS(0, again);
    IS(0, rmdir("many"));
}

int main(int count, char **words)
{
    struct statvfs space;
    umask(022);
    if (count < 2 || chdir(words[1]) || mkdir("calls", 0755) || chdir("calls")) {
        perror("folder");
        return 2;
    }
    renames();
    names();
    links();
    sizes();
    allocations();
    times();
    attributes();
    open_files();
    listings();
    IS(0, statvfs(".", &space));
    IS(255, space.f_namemax);
    IS(4096, space.f_bsize);
    IS(1, space.f_bfree > 0 && space.f_ffree > 0 && space.f_bavail <= space.f_bfree);
    printf("%d tried, %d failed\n", tried, failed);
    return failed != 0;
}
