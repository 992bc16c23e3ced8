/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * This process is the clone.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "template/clone-memory.h"

#define LEN_BYTES (UINT64_C(16) << 20)

/* The kernel's count may lag behind by so much. */
#define SLACK_BYTES (UINT64_C(2) << 20)

static uint64_t shared_bytes;
static uint64_t own_bytes;

static void look(void)
{
    assert_true(clone_memory_read(getpid(), &shared_bytes, &own_bytes));
}

static void assert_about(uint64_t bytes, uint64_t wanted)
{
    assert_in_range(bytes + SLACK_BYTES, wanted, wanted + 2 * SLACK_BYTES);
}

static uint8_t *map(int flags, int fd)
{
    uint8_t *memory =
        mmap(NULL, LEN_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    (void)madvise(memory, LEN_BYTES, MADV_NOHUGEPAGE);
    return memory;
}

/* Touch what there is, as the kernel can, leaving out whatever watches over
 * this program's accesses in memory of its own. */
static void touch(uint8_t *memory, uint64_t len_bytes, int how)
{
    if (madvise(memory, len_bytes, how) < 0) {
        print_message("before Linux 5.14: %s\n", strerror(errno));
        skip();
    }
}

static void what_is_read_is_shared_and_what_is_written_its_own(void **state)
{
    (void)state;
    int fd = memfd_create("template", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, LEN_BYTES), 0);
    uint8_t *memory = map(MAP_PRIVATE, fd);
    look();
    uint64_t shared_before = shared_bytes;
    uint64_t own_before = own_bytes;
    touch(memory, LEN_BYTES, MADV_POPULATE_READ);
    look();
    assert_about(shared_bytes, shared_before + LEN_BYTES);
    assert_about(own_bytes, own_before);
    touch(memory, LEN_BYTES / 2, MADV_POPULATE_WRITE);
    look();
    assert_about(shared_bytes, shared_before + LEN_BYTES / 2);
    assert_about(own_bytes, own_before + LEN_BYTES / 2);
    munmap(memory, LEN_BYTES);
    close(fd);
}

/* The large zero parts of a clone's RAM are no mapping of the template's. */
static void memory_that_came_from_no_template_is_its_own(void **state)
{
    (void)state;
    uint8_t *memory = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);

    look();
    uint64_t own_before = own_bytes;
    touch(memory, LEN_BYTES, MADV_POPULATE_WRITE);
    look();
    assert_about(own_bytes, own_before + LEN_BYTES);
    munmap(memory, LEN_BYTES);
}

static void a_clone_that_has_gone_cannot_be_seen(void **state)
{
    (void)state;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    shared_bytes = own_bytes = 1;
    assert_false(clone_memory_read(pid, &shared_bytes, &own_bytes));
    assert_int_equal(shared_bytes, 1);
    assert_int_equal(own_bytes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_shared_and_what_is_written_its_own),
        cmocka_unit_test(memory_that_came_from_no_template_is_its_own),
        cmocka_unit_test(a_clone_that_has_gone_cannot_be_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
