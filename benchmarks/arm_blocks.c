/* A plugin of qemu 7.2's user-mode emulation (plugin interface, version 1) that counts executed instructions.
 *
 * Counting begins at the guest's first call of getppid, which nothing else makes, and ends at the second. Then a line
 * for each block of instructions that ran goes to the file of the argument out=FILE: its address in hexadecimal, how
 * many instructions it has, how often it ran. A block that was translated twice has two lines.
 *
 * Debian has no package with the interface's header, so what is used of it is declared here.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_info_t;
enum { INLINE_ADD_U64 = 0 };

typedef void translated_block(plugin_id, struct qemu_plugin_tb *);
typedef void system_call(plugin_id, unsigned int, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                         uint64_t, uint64_t);

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated_block *);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, system_call *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

static const int64_t GETPPID = 173; /* on aarch64 */

struct block {
    uint64_t address, instructions, runs;
    struct block *next;
};

static struct block *blocks;
static const char *out;
static int calls;

static void on_block(plugin_id id, struct qemu_plugin_tb *tb)
{
    struct block *block = calloc(1, sizeof *block);
    (void)id;
    if (block == NULL) {
        perror("arm_blocks");
        exit(1);
    }
    block->address = qemu_plugin_tb_vaddr(tb);
    block->instructions = qemu_plugin_tb_n_insns(tb);
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &block->runs, 1);
}

static void on_system_call(plugin_id id, unsigned int cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                           uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    struct block *block;
    FILE *file;
    (void)id, (void)cpu, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != GETPPID || ++calls > 2)
        return;
    if (calls == 1) {
        for (block = blocks; block != NULL; block = block->next)
            block->runs = 0;
        return;
    }
    file = fopen(out, "w");
    if (file == NULL) {
        perror(out);
        exit(1);
    }
    for (block = blocks; block != NULL; block = block->next)
        if (block->runs > 0)
            fprintf(file, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n", block->address, block->instructions, block->runs);
    if (fclose(file) != 0) {
        perror(out);
        exit(1);
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc,
                                                               char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0) {
        fprintf(stderr, "arm_blocks: expected one argument, out=FILE. Received: %d\n", argc);
        return -1;
    }
    out = strdup(argv[0] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
