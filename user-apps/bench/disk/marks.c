/*
 * A plugin for QEMU's -plugin (API 1, QEMU 6 and later): counts the guest's instructions, and prints the count since the
 * last mark at each mark of file_rates.c. Unlike the clock of -icount it leaves out the time that a core waits.
 *
 *   cc -shared -fPIC -O2 -o marks.so marks.c
 *   qemu-system-x86_64 … -plugin ./marks.so,out=FILE[,profile=N,to=FILE]
 *
 * With profile=N, what ran before mark N is written as lines of: address of a block, its instructions, how often.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* What is used of QEMU's interface, whose header few distributions have. */
typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { ADD_U64 = 0, NO_REGISTERS = 0 };
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned, void *), int, void *);

EXPORT int qemu_plugin_version = 1;

/* A block of code, while profiling. */
struct block {
    uint64_t address, length, count;
    struct block *next;
};

static uint64_t executed, last;
static struct block *blocks;
static FILE *out;
static int profiled = -1;
static const char *profile = "profile.txt";

static void write_profile(void)
{
    FILE *file = fopen(profile, "w");
    for (struct block *block = blocks; file && block; block = block->next)
        if (block->count)
            fprintf(file, "%lx %lu %lu\n", (unsigned long)block->address, (unsigned long)block->length,
                    (unsigned long)block->count);
    if (file)
        fclose(file);
}

static void mark(unsigned core, void *number)
{
    (void)core;
    fprintf(out, "MARK %d %lu\n", (int)(intptr_t)number, (unsigned long)(executed - last));
    fflush(out);
    if ((int)(intptr_t)number == profiled)
        write_profile();
    for (struct block *block = blocks; block; block = block->next)
        block->count = 0;
    last = executed;
}

/* `nopl` with the displacement 0x5e81nnnn: nnnn, or -1. */
static int number_of(const struct qemu_plugin_insn *instruction)
{
    const uint8_t *bytes = qemu_plugin_insn_data(instruction);
    static const uint8_t begin[] = {0x0f, 0x1f, 0x84, 0x00};
    if (qemu_plugin_insn_size(instruction) != 8 || memcmp(bytes, begin, 4) || bytes[6] != 0x81 || bytes[7] != 0x5e)
        return -1;
    return bytes[4] | bytes[5] << 8;
}

static void translated(plugin_id id, struct qemu_plugin_tb *code)
{
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(code);
    qemu_plugin_register_vcpu_tb_exec_inline(code, ADD_U64, &executed, length);
    struct block *block = profiled < 0 ? NULL : malloc(sizeof *block);
    if (block) {
        uint64_t address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(code, 0));
        *block = (struct block){address, length, 0, blocks};
        blocks = block;
        qemu_plugin_register_vcpu_tb_exec_inline(code, ADD_U64, &block->count, 1);
    }
    for (size_t index = 0; index < length; index++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(code, index);
        int number = number_of(instruction);
        if (number >= 0)
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, mark, NO_REGISTERS, (void *)(intptr_t)number);
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const void *machine, int count, char **words)
{
    (void)machine;
    out = stderr;
    for (int index = 0; index < count; index++) {
        if (!strncmp(words[index], "out=", 4))
            out = fopen(words[index] + 4, "w");
        else if (!strncmp(words[index], "profile=", 8))
            profiled = atoi(words[index] + 8);
        else if (!strncmp(words[index], "to=", 3))
            profile = strdup(words[index] + 3);
        else
            return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return out ? 0 : -1;
}
