/* Call sites of all kinds, each called often enough to be patched, with what a patch must not change. What this prints
   is the same on Linux; with the argument "patched" it tells which sites are. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define OFTEN 700
#define PAGE 4096
#define GLOBAL(name) ".globl " #name "\n.type " #name ", @function\n" #name ":\n"
#define END(name) ".size " #name ", .-" #name "\n"
/* Space that no function is in: padding, to whom may use it. */
#define GAP ".balign 16\n.skip 16, 0x90\n"

__asm__(
    ".text\n" GAP
    /* long plain(void): the usual wrapper. */
    GLOBAL(plain) "mov $39, %eax\nsyscall\nret\n" END(plain) GAP
    /* long padded(void): read(-1, 0, 0), with short instructions only. */
    GLOBAL(padded) "or $-1, %edi\nxor %esi, %esi\nxor %edx, %edx\nxor %eax, %eax\nsyscall\nret\n" END(padded) GAP
    /* long early(int times): the long instruction is not the last one, and is jumped behind. */
    GLOBAL(early)
    "xor %r9d, %r9d\nmov $77, %r8d\n1: mov %r8d, %edx\ninc %r9d\nxor %esi, %esi\nmov %r9d, %r10d\nor $-1, %rdi\nxor %eax, %eax\n"
    "syscall\nadd $8, %rax\ncmp %r9d, %edx\njne 1b\nlea (%r9,%rax), %rax\nret\n" END(early) GAP
    /* long canary(int number): how many of 16 words in the red zone are whole after the call. */
    GLOBAL(canary)
    "mov %edi, %r9d\n"
    ".set n, 0\n.rept 16\nmovabs $0x1122334455667700+n, %rax\nmov %rax, -8-8*n(%rsp)\n.set n, n+1\n.endr\n"
    "mov $39, %eax\nsyscall\n"
    "test %r9d, %r9d\nje 2f\nmov $-1, %rdi\nxor %eax, %eax\nsyscall\n2:\n"
    "xor %edx, %edx\n"
    ".set n, 0\n.rept 16\nmovabs $0x1122334455667700+n, %rax\ncmp %rax, -8-8*n(%rsp)\njne 3f\ninc %edx\n3:\n"
    ".set n, n+1\n.endr\n"
    "mov %rdx, %rax\nret\n" END(canary) GAP
    /* long back(int times): jumps back to the syscall bytes; adds up the results. */
    GLOBAL(back)
    "push %rbx\npush %r12\nmov %edi, %ebx\nxor %r12d, %r12d\n"
    "mov $39, %eax\n1: syscall\nadd %rax, %r12\nmov $39, %edx\nmov %edx, %eax\ndec %ebx\njnz 1b\n"
    "mov %r12, %rax\npop %r12\npop %rbx\nret\n" END(back) GAP
    /* long other(long *r8): the instruction before looks like another without its first byte. */
    GLOBAL(other)
    "mov %rdi, %r10\nmov $39, %eax\nmov $102, %r8d\nsyscall\nmov %r8, (%r10)\nret\n" END(other) GAP
    /* long relative(void): write(-1, address relative to rip, 1) tells the address by its own copy. */
    GLOBAL(relative)
    "mov $-1, %rdi\nmov $1, %edx\nmov $1, %eax\nlea plain(%rip), %rsi\nsyscall\nmov %rsi, %rax\nret\n" END(relative) GAP
    /* long loads(void *at): the instruction before loads, and may fault. */
    GLOBAL(loads)
    "mov $39, %eax\n.globl loads_load\nloads_load: mov 0x100(%rdi), %rsi\n.globl loads_site\nloads_site: syscall\n"
    "mov %rsi, %rax\nret\n" END(loads) GAP
    /* long flags(long set): the flags after a call made with these. */
    GLOBAL(flags)
    "push %rdi\npopfq\nmov $39, %eax\nsyscall\npushfq\npop %rax\npush $0x202\npopfq\nret\n" END(flags) GAP
    /* int registers(void): how many registers a call left alone, of 13. */
    GLOBAL(registers)
    "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
    ".set n, 1\n.irp reg, rbx, rbp, rdi, rsi, rdx, r8, r9, r10, r12, r13, r14, r15\nmov $n*0x1111, %\\reg\n.set n, n+1\n.endr\n"
    "mov $39, %eax\nsyscall\nxor %eax, %eax\n"
    ".set n, 1\n.irp reg, rbx, rbp, rdi, rsi, rdx, r8, r9, r10, r12, r13, r14, r15\ncmp $n*0x1111, %\\reg\njne 1f\ninc %eax\n1:\n.set n, n+1\n.endr\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n" END(registers) GAP
    /* Pages of their own, with functions that end at and go across their boundaries. */
    ".balign 4096\n.skip 4096-8, 0x90\n" GLOBAL(edge_ends) "mov $39, %eax\nsyscall\nret\n" END(edge_ends)
    ".balign 4096\n.skip 4096-6, 0x90\n" GLOBAL(edge_site) "mov $39, %eax\nsyscall\nret\n" END(edge_site)
    ".balign 4096\n.skip 4096-5, 0x90\n" GLOBAL(edge_between) "mov $39, %eax\nsyscall\nret\n" END(edge_between)
    ".balign 4096\n.skip 4096-2, 0x90\n" GLOBAL(edge_before) "mov $39, %eax\nsyscall\nret\n" END(edge_before)
    ".balign 4096\n" GLOBAL(edge_begins) "mov $39, %eax\nsyscall\nret\n" END(edge_begins)
    ".skip 4096-8, 0x90\n");

long plain(void), padded(void), early(void), canary(int), back(int), other(long *), relative(void), loads(void *), flags(long);
int registers(void);
long edge_ends(void), edge_site(void), edge_between(void), edge_before(void), edge_begins(void);
extern char loads_load[], loads_site[], __executable_start[], etext[];

static const unsigned char PLAIN[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};

static long often(long (*call)(void)) {
    long wrong = 0;
    for (int i = 0; i < OFTEN; i++)
        wrong += call() != getpid();
    return wrong;
}

static void red_zone(void) {
    long whole = 0;
    for (int i = 0; i < OFTEN; i++)
        whole += canary(i & 1);
    printf("red zone: %ld of %d words whole\n", whole, OFTEN * 16);
}

static void jumps_back(void) {
    printf("back to the bytes: %d\n", back(OFTEN) == (long)OFTEN * getpid() && back(OFTEN) == (long)OFTEN * getpid());
}

static void edges(void) {
    printf("edges: %ld %ld %ld %ld %ld wrong\n", often(edge_ends), often(edge_site), often(edge_between),
           often(edge_before), often(edge_begins));
}

static void before(void) {
    long wrong = 0, r8;
    for (int i = 0; i < OFTEN; i++) {
        r8 = 0;
        wrong += other(&r8) != getpid() || r8 != 102;
        wrong += relative() != (long)plain;
        wrong += padded() != -EBADF;
        wrong += i % 100 == 0 && early() != 77 + 8 - EBADF;
    }
    printf("what stands before: %ld wrong\n", wrong);
}

static int early_was_patched;

/* Code made at run time, changed, and made again. */
static void made(void) {
    unsigned char *page = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long wrong = 0;
    for (int round = 0; round < 4; round++) {
        mprotect(page, PAGE, PROT_READ | PROT_WRITE);
        memcpy(page, PLAIN, sizeof PLAIN);
        page[1] = round & 1 ? SYS_getppid : SYS_getpid;
        mprotect(page, PAGE, round & 2 ? PROT_READ | PROT_WRITE | PROT_EXEC : PROT_READ | PROT_EXEC);
        for (int i = 0; i < OFTEN; i++)
            wrong += ((long (*)(void))page)() != (round & 1 ? getppid() : getpid());
        wrong += memcmp(page + 2, PLAIN + 2, sizeof PLAIN - 2) != 0;
    }
    munmap(page, PAGE);
    printf("made at run time: %ld wrong\n", wrong);
}

/* The page of the program's file that `edge_begins` is on, mapped once more. */
static unsigned char *text_again(void *at, int flags, int protection) {
    int file = open("/proc/self/exe", O_RDONLY);
    long offset = (long)edge_begins - (long)__executable_start;
    unsigned char *page = mmap(at, PAGE, protection, flags, file, offset);
    close(file);
    return page;
}

static int is_plain(const unsigned char *at) { return memcmp(at, PLAIN, sizeof PLAIN) == 0; }

static int file_is_plain(void) {
    unsigned char bytes[sizeof PLAIN];
    int file = open("/proc/self/exe", O_RDONLY);
    long got = pread(file, bytes, sizeof bytes, (long)edge_begins - (long)__executable_start);
    close(file);
    return got == sizeof bytes && is_plain(bytes);
}

static void mapped(void) {
    unsigned char *page = text_again(0, MAP_PRIVATE, PROT_READ | PROT_EXEC);
    long wrong = often((long (*)(void))page);
    unsigned char *shared = text_again(0, MAP_SHARED, PROT_READ | PROT_EXEC);
    wrong += often((long (*)(void))shared);
    printf("mapped: %ld wrong; others as they were: %d %d\n", wrong, file_is_plain(), is_plain(shared));
    munmap(shared, PAGE);
    /* Unmapped, and something else mapped there. */
    munmap(page, PAGE);
    unsigned char *made = mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memcpy(made, PLAIN, sizeof PLAIN);
    made[1] = SYS_getppid;
    mprotect(made, PAGE, PROT_READ | PROT_EXEC);
    wrong = 0;
    for (int i = 0; i < OFTEN; i++)
        wrong += ((long (*)(void))made)() != getppid();
    /* The file anew in the same place, over and over. */
    for (int round = 0; round < 5; round++) {
        page = text_again(made, MAP_PRIVATE | MAP_FIXED, PROT_READ | PROT_EXEC);
        wrong += page != made;
        wrong += often((long (*)(void))page);
    }
    printf("mapped anew: %ld wrong\n", wrong);
    /* Written to: what is read is what the file has, and what is written is what runs. */
    mprotect(page, PAGE, PROT_READ | PROT_WRITE);
    int was_plain = is_plain(page);
    page[1] = SYS_getppid;
    mprotect(page, PAGE, PROT_READ | PROT_EXEC);
    wrong = 0;
    for (int i = 0; i < OFTEN; i++)
        wrong += ((long (*)(void))page)() != getppid();
    int kept = page[1];
    mprotect(page, PAGE, PROT_NONE);
    mprotect(page, PAGE, PROT_READ | PROT_EXEC);
    wrong += ((long (*)(void))page)() != getppid();
    printf("written: %d, %ld wrong; the file: %d\n", was_plain, wrong + (kept != SYS_getppid && kept == SYS_getpid), file_is_plain());
    munmap(page, PAGE);
}

/* Something else right below the program, where trampolines may be. */
static void below(void) {
    volatile long below = (long)__executable_start - PAGE;
    unsigned char *at = (unsigned char *)below;
    long wrong = often(plain);
    unsigned char *page = mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    memset(page, 0x5a, PAGE);
    wrong += often(plain) + (page != at);
    for (int i = 0; i < PAGE; i++)
        wrong += page[i] != 0x5a;
    munmap(page, PAGE);
    wrong += often(plain);
    munmap(page, PAGE);
    wrong += often(plain);
    printf("below the program: %ld wrong\n", wrong);
}

static volatile long faults, strange;
static char target[0x200];

static void on_fault(int signal, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    faults++;
    strange += registers[REG_RIP] != (long)loads_load || registers[REG_RAX] != SYS_getpid || info->si_addr != (void *)0x100;
    registers[REG_RDI] = (long)target;
}

static void faulting(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, 0);
    long wrong = 0;
    *(long *)(target + 0x100) = 77;
    for (int i = 0; i < OFTEN; i++)
        wrong += loads(i % 3 ? target : 0) != 77;
    printf("faults before a site: %ld, %ld strange, %ld wrong\n", faults, strange, wrong);
}

static volatile long ticks, outside, at_site;

static void on_tick(int signal, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    char *rip = (char *)registers[REG_RIP];
    ticks++;
    outside += rip < __executable_start || rip >= etext;
    /* On the site the number has to be in its place. */
    if (rip == (char *)plain + 5)
        at_site++, outside += registers[REG_RAX] != SYS_getpid;
    if (rip == (char *)padded + 9)
        at_site++, outside += registers[REG_RAX] != SYS_read;
}

static void interrupted(void) {
    struct sigaction action = {.sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGALRM, &action, 0);
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, 0);
    long wrong = 0;
    pid_t own = getpid();
    while (ticks < 400)
        for (int i = 0; i < 100; i++)
            wrong += (plain() != own) + (padded() != -EBADF);
    setitimer(ITIMER_REAL, &never, 0);
    printf("interrupted: %ld outside, %ld wrong\n", outside, wrong);
}

static void all_flags(void) {
    /* Carry, parity, adjust, zero, sign, direction, overflow, alignment check, identification. */
    static const long each[] = {0, 1, 4, 0x10, 0x40, 0x80, 0x400, 0x800, 0x40000, 0x200000, 0x2408d5};
    long wrong = 0;
    for (int i = 0; i < OFTEN; i++) {
        long set = each[i % (sizeof each / sizeof *each)] | 0x202;
        wrong += flags(set) != set;
    }
    printf("flags: %ld wrong\n", wrong);
}

static void all_registers(void) {
    long kept = 0;
    for (int i = 0; i < OFTEN; i++)
        kept += registers();
    printf("registers: %ld of %d\n", kept, OFTEN * 12);
}

static void on_user(int signal) { faults++; }

/* The code that handlers return to is read by unwinders. */
static void handlers_return(void) {
    struct { void *handler; unsigned long flags; unsigned char *restorer; unsigned long mask; } action;
    signal(SIGUSR1, on_user);
    faults = 0;
    for (int i = 0; i < OFTEN; i++)
        raise(SIGUSR1);
    syscall(SYS_rt_sigaction, SIGUSR1, 0, &action, 8);
    static const unsigned char expected[] = {0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05};
    printf("handlers: %ld returned, bytes as they were: %d\n", faults, memcmp(action.restorer, expected, sizeof expected) == 0);
}

static void *thread(void *wrong) {
    *(long *)wrong = often(plain) + often(edge_ends);
    return 0;
}

static void children(char *self) {
    int status;
    fflush(stdout);
    if (fork() == 0) {
        /* A site of its own, with trampolines on the same page as the parent's; the parent's stay. */
        long wrong = often(plain) + often(edge_site);
        for (int i = 0; i < OFTEN; i++)
            wrong += registers() != 12;
        if (fork() == 0) {
            mprotect((void *)((long)edge_begins & -PAGE), PAGE, PROT_READ | PROT_WRITE);
            wrong = !is_plain((void *)edge_begins);
            *((unsigned char *)edge_begins + 1) = SYS_getppid;
            mprotect((void *)((long)edge_begins & -PAGE), PAGE, PROT_READ | PROT_EXEC);
            for (int i = 0; i < OFTEN; i++)
                wrong += edge_begins() != getppid();
            _exit(wrong != 0);
        }
        wait(&status);
        wrong += status != 0;
        wrong += often(edge_begins);
        printf("forked: %ld wrong\n", wrong);
        fflush(stdout);
        execl("/proc/self/exe", self, "executed", (char *)0);
        _exit(1);
    }
    wait(&status);
    printf("child: %d, parent: %ld wrong\n", status, often(plain) + often(edge_begins));
    if (vfork() == 0) {
        for (int i = 0; i < OFTEN; i++)
            plain();
        execl("/proc/self/exe", self, "executed", (char *)0);
        _exit(1);
    }
    wait(&status);
    pthread_t other;
    long theirs = -1, ours;
    pthread_create(&other, 0, thread, &theirs);
    ours = often(plain) + often(edge_begins);
    pthread_join(other, 0);
    printf("borrower: %d, threads: %ld %ld wrong\n", status, ours, theirs);
}

static const char *state(void *function, long site) {
    const unsigned char *at = (const unsigned char *)function + site;
    return at[0] == 0xeb ? "padding" : at[0] == 0x0f && at[-5] == 0xe9 ? "before" : at[0] == 0x0f && at[-6] == 0xe9 ? "before 6"
         : at[0] == 0x0f && at[-7] == 0xe9 ? "before 7" : at[0] == 0x0f && at[1] == 0x05 ? "as it was" : "broken";
}

/* Which sites are patched, after each was called often. */
static void patched(void) {
    printf("plain: %s\n", state(plain, 5));
    printf("padded: %s\n", state(padded, 9));
    printf("early: %s\n", early_was_patched ? "before" : "as it was");
    printf("other: %s\n", state(other, 14));
    printf("relative: %s\n", state(relative, 24));
    printf("loads: %s\n", state(loads, 12));
    printf("edges: %s, %s, %s, %s, %s\n", state(edge_ends, 5), state(edge_site, 5), state(edge_between, 5),
           state(edge_before, 5), state(edge_begins, 5));
}

int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "executed")) {
        printf("executed: %ld wrong\n", often(plain) + often(edge_ends));
        return 0;
    }
    red_zone();
    jumps_back();
    before();
    /* Whoever jumps behind its jump still traps, so it would not be looked at again soon. */
    early_was_patched = *((unsigned char *)early + 3) == 0xe9;
    edges();
    made();
    mapped();
    below();
    faulting();
    all_flags();
    all_registers();
    handlers_return();
    interrupted();
    children(words[0]);
    /* What took patches away may have taken these. */
    before(), edges(), often(plain), back(OFTEN);
    if (count > 1 && !strcmp(words[1], "patched"))
        patched();
    return 0;
}
