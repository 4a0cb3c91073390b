/* What pseudo-terminals, sessions and job control do, as a transcript that is the same on Linux. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { CASES = 24, STEPS = 10, QUIET_MS = 25, LIMIT = 100 };

static int master, slave;
static char name[64];

static void open_pair(void) {
    int unlock = 0, number;
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    ioctl(master, TIOCSPTLCK, &unlock);
    ioctl(master, TIOCGPTN, &number);
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    slave = open(name, O_RDWR | O_NOCTTY);
}

static void close_pair(void) {
    close(slave);
    close(master);
}

static void show(const char *what, const unsigned char *bytes, int count) {
    printf("%s %d", what, count < 0 ? -errno : count);
    for (int i = 0; i < count; i++)
        printf(bytes[i] > 32 && bytes[i] < 127 ? " %c" : " %02x", bytes[i]);
    printf("\n");
}

/* Waits until nothing more happens, and shows what came. */
static void settle(void) {
    static unsigned char seen[65536];
    int count = 0;
    struct pollfd end = { .fd = master, .events = POLLIN };
    while (poll(&end, 1, QUIET_MS) > 0 && end.revents & POLLIN)
        count += read(master, seen + count, sizeof seen - count);
    if (count > 0)
        show("  seen", seen, count);
    int waiting = -1;
    ioctl(slave, FIONREAD, &waiting);
    printf("  waiting %d\n", waiting);
}

static uint64_t state;

static unsigned next(unsigned below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 20) % below;
}

static unsigned bits(const unsigned *from, int count) {
    unsigned all = 0;
    for (int i = 0; i < count; i++)
        all |= next(2) ? from[i] : 0;
    return all;
}

static int random_bytes(unsigned char *into) {
    static const unsigned char usual[] = "\x03\x04\x08\x11\x13\x15\x16\x17\x1a\x12\t\n\r\x7f ab_.";
    int count = 1 + next(20);
    for (int i = 0; i < count; i++)
        into[i] = next(2) ? usual[next(sizeof usual - 1)] : 'a' + next(26);
    return count;
}

#define COUNT(list) (int)(sizeof list / sizeof *list)

static void random_settings(void) {
    static const unsigned input[] = { ISTRIP, INLCR, IGNCR, ICRNL, IUCLC, IXON, IXANY, IUTF8 };
    static const unsigned output[] = { OPOST, OLCUC, ONLCR, OCRNL, ONOCR, ONLRET };
    static const unsigned local[] = { ISIG, ICANON, ECHO, ECHOE, ECHOK, ECHONL, NOFLSH, ECHOCTL,
                                      ECHOPRT, ECHOKE, IEXTEN };
    struct termios settings;
    tcgetattr(slave, &settings);
    settings.c_iflag = bits(input, COUNT(input));
    settings.c_oflag = bits(output, COUNT(output));
    settings.c_lflag = bits(local, COUNT(local)) | (next(2) ? ECHO | ICANON : 0);
    int outcome = tcsetattr(slave, next(2) ? TCSANOW : TCSAFLUSH, &settings);
    printf(" set %o %o %o: %d\n", settings.c_iflag, settings.c_oflag, settings.c_lflag, outcome);
}

static void random_step(void) {
    unsigned char bytes[64];
    int count;
    switch (next(8)) {
    case 0:
        random_settings();
        break;
    case 1 ... 4:
        count = random_bytes(bytes);
        show(" type", bytes, write(master, bytes, count));
        break;
    case 5:
        count = random_bytes(bytes);
        count = write(slave, bytes, count);
        show(" write", bytes, count);
        break;
    default:
        count = read(slave, bytes, 1 + next(sizeof bytes));
        show(" read", bytes, count);
    }
    settle();
}

static void random_cases(void) {
    for (int number = 1; number <= CASES; number++) {
        printf("case %d\n", number);
        state = number * 0x9E3779B97F4A7C15ull;
        open_pair();
        fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK);
        for (int step = 0; step < STEPS; step++)
            random_step();
        close_pair();
    }
}

/* Reads while a child types, with pauses. */
static void timed(int least, int tenths, const char *first, const char *second) {
    unsigned char bytes[16];
    struct termios settings;
    fflush(stdout);
    open_pair();
    tcgetattr(slave, &settings);
    cfmakeraw(&settings);
    settings.c_cc[VMIN] = least;
    settings.c_cc[VTIME] = tenths;
    tcsetattr(slave, TCSANOW, &settings);
    if (fork() == 0) {
        write(master, first, strlen(first));
        usleep(600000);
        write(master, second, strlen(second));
        _exit(0);
    }
    usleep(100000);
    printf("least %d time %d:", least, tenths);
    show("", bytes, read(slave, bytes, sizeof bytes));
    wait(NULL);
    fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK);
    show(" rest", bytes, read(slave, bytes, sizeof bytes));
    close_pair();
}

static void packets(void) {
    int on = 1;
    unsigned char bytes[64];
    struct termios settings;
    open_pair();
    ioctl(master, TIOCPKT, &on);
    write(slave, "data", 4);
    show("packet", bytes, read(master, bytes, sizeof bytes));
    tcgetattr(slave, &settings);
    settings.c_iflag &= ~IXON;
    tcsetattr(slave, TCSANOW, &settings);
    show("packet", bytes, read(master, bytes, sizeof bytes));
    tcflush(slave, TCIFLUSH);
    show("packet", bytes, read(master, bytes, sizeof bytes));
    close_pair();
}

static void ends(void) {
    unsigned char bytes[16];
    struct stat status;
    struct pollfd end = { .events = POLLIN };
    open_pair();
    fstat(slave, &status);
    printf("isatty %d %d, named %d, mode %o, major %d\n", isatty(slave), isatty(master),
           strcmp(ttyname(slave), name), status.st_mode & S_IFMT, major(status.st_rdev));
    printf("group of nobody %d", tcgetpgrp(slave));
    printf(" %d\n", errno);
    int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    printf("peer %d, same terminal %d\n", peer >= 0, peer >= 0 && !strcmp(ttyname(peer), name));
    close(peer);
    write(slave, "last", 4);
    close(slave);
    end.fd = master;
    poll(&end, 1, 1000);
    printf("abandoned: poll %x\n", end.revents);
    show("", bytes, read(master, bytes, sizeof bytes));
    poll(&end, 1, 1000);
    printf("drained: poll %x\n", end.revents);
    show("", bytes, read(master, bytes, sizeof bytes));
    slave = open(name, O_RDWR | O_NOCTTY);
    close(master);
    end.fd = slave;
    poll(&end, 1, 1000);
    printf("hung up: poll %x\n", end.revents);
    show("", bytes, read(slave, bytes, sizeof bytes));
    show("", bytes, write(slave, "x", 1));
    printf("settings %d", tcgetattr(slave, &(struct termios){ 0 }));
    printf(" %d\n", errno);
    close(slave);
}

static void locked(void) {
    int lock = 1;
    open_pair();
    close(slave);
    ioctl(master, TIOCSPTLCK, &lock);
    slave = open(name, O_RDWR | O_NOCTTY);
    printf("locked: %d %d\n", slave, errno);
    printf("peer %d", ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    printf(" %d\n", errno);
    close(master);
}

static volatile sig_atomic_t got[65];

static void count_signal(int number) {
    got[number]++;
}

static void handle(int number) {
    struct sigaction action = { .sa_handler = count_signal };
    sigaction(number, &action, NULL);
}

static void ended(const char *what, pid_t child, int options) {
    int status = 0;
    pid_t found = waitpid(child, &status, options);
    printf("%s: %s %d\n", what,
           found != child        ? "nothing"
           : WIFCONTINUED(status) ? "continued"
           : WIFSTOPPED(status)  ? "stopped"
           : WIFSIGNALED(status) ? "killed"
                                 : "exited",
           WIFSTOPPED(status)    ? WSTOPSIG(status)
           : WIFSIGNALED(status) ? WTERMSIG(status)
                                 : WEXITSTATUS(status));
}

/* A child in a group of its own that does something to the terminal. */
static pid_t in_background(int (*what)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        _exit(what() == 0 ? 0 : errno);
    }
    setpgid(child, child);
    return child;
}

static int reads(void) {
    char byte;
    return read(slave, &byte, 1) < 0 ? -1 : 0;
}

static int writes(void) {
    return write(slave, "w", 1) < 0 ? -1 : 0;
}

static int sets(void) {
    struct termios settings;
    tcgetattr(slave, &settings);
    return tcsetattr(slave, TCSANOW, &settings);
}

static int ignores_and_reads(void) {
    signal(SIGTTIN, SIG_IGN);
    return reads();
}

static int ignores_and_sets(void) {
    signal(SIGTTOU, SIG_IGN);
    return sets();
}

static int sleeps(void) {
    sleep(20);
    return 0;
}

static void background(const char *what, int (*action)(void)) {
    pid_t child = in_background(action);
    ended(what, child, WUNTRACED);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void type_at(pid_t child, const char *keys, const char *what) {
    tcsetpgrp(slave, child);
    usleep(100000);
    write(master, keys, strlen(keys));
    ended(what, child, WUNTRACED);
}

/* A child whose parent ends while it is stopped: its group is orphaned. */
static void orphan(void) {
    int ends[2];
    pipe(ends);
    fflush(stdout);
    if (fork() == 0) {
        if (fork() == 0) {
            handle(SIGHUP);
            handle(SIGCONT);
            setpgid(0, 0);
            kill(getpid(), SIGSTOP);
            usleep(100000);
            char text[64];
            int read_errno = reads() == 0 ? 0 : errno;
            int count = snprintf(text, sizeof text, "orphan: HUP %d CONT %d, read %d\n",
                                 got[SIGHUP], got[SIGCONT], read_errno);
            write(ends[1], text, count);
            _exit(0);
        }
        usleep(300000);
        _exit(0);
    }
    wait(NULL);
    close(ends[1]);
    char text[64];
    int count = read(ends[0], text, sizeof text);
    printf("%.*s", count > 0 ? count : 0, text);
    close(ends[0]);
}

/* The leader of a session with a terminal. */
static void leader(void) {
    setsid();
    printf("no terminal: %d", open("/dev/tty", O_RDWR));
    printf(" %d\n", errno);
    close(slave);
    slave = open(name, O_RDWR);
    int again = open("/dev/tty", O_RDWR);
    printf("own terminal: %d, foreground %d, session %d\n", again >= 0,
           tcgetpgrp(again) == getpid(), tcgetsid(slave) == getpid());
    printf("a foreign group: %d", tcsetpgrp(slave, getppid()));
    printf(" %d\n", errno);
    signal(SIGTTOU, SIG_IGN);
    handle(SIGWINCH);
    background("background read", reads);
    background("background read, ignoring", ignores_and_reads);
    background("background write", writes);
    struct termios settings;
    tcgetattr(slave, &settings);
    settings.c_lflag |= TOSTOP;
    tcsetattr(slave, TCSANOW, &settings);
    signal(SIGTTOU, SIG_DFL);
    background("background write, TOSTOP", writes);
    background("background set", sets);
    background("background set, ignoring", ignores_and_sets);
    signal(SIGTTOU, SIG_IGN);
    orphan();
    pid_t child = in_background(sleeps);
    type_at(child, "\x1a", "Ctrl-Z");
    kill(-child, SIGCONT);
    ended("continued", child, WCONTINUED);
    type_at(child, "\x03", "Ctrl-C");
    type_at(in_background(sleeps), "\x1c", "Ctrl-\\");
    tcsetpgrp(slave, getpid());
    struct winsize size = { .ws_row = 7, .ws_col = 9 };
    ioctl(master, TIOCSWINSZ, &size);
    ioctl(master, TIOCSWINSZ, &size);
    ioctl(slave, TIOCGWINSZ, &size);
    printf("size %d %d, told %d\n", size.ws_row, size.ws_col, got[SIGWINCH]);
    child = in_background(sleeps);
    tcsetpgrp(slave, child);
    fflush(stdout);
    /* The end of the leader is SIGHUP to the foreground group, whose parent is then somebody else. */
    _exit(0);
}

static void jobs(void) {
    open_pair();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        leader();
    ended("leader", child, 0);
    settle();
    fflush(stdout);
    child = fork();
    if (child == 0) {
        setsid();
        struct sigaction action = { .sa_handler = count_signal, .sa_flags = SA_RESTART };
        sigaction(SIGHUP, &action, NULL);
        ioctl(slave, TIOCSCTTY, 0);
        close(master);
        char byte;
        int count = read(slave, &byte, 1);
        printf("hung up: read %d %d, HUP %d\n", count, count < 0 ? errno : 0, got[SIGHUP]);
        printf("then: read %zd\n", read(slave, &byte, 1));
        fflush(stdout);
        _exit(0);
    }
    usleep(200000);
    close_pair();
    ended("hung up", child, 0);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* A shell ignores them for what it starts in the background. */
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    alarm(LIMIT);
    random_cases();
    timed(0, 0, "", "x");
    timed(0, 2, "", "x");
    timed(0, 9, "", "x");
    timed(3, 0, "ab", "cde");
    timed(5, 2, "ab", "cd");
    timed(1, 0, "abc", "d");
    packets();
    ends();
    locked();
    jobs();
    return 0;
}
