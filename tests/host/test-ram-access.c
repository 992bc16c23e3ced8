/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/qmp.h"
#include "host/ram-access.h"
#include "tests/host/fake-peer.h"

/* What the fake QEMU answers.  Its process is the test's own. */
typedef struct Fake {
    const char *device;   /* QOM type in /machine/peripheral-anon */
    bool blob;            /* that device's property */
    const char *object;   /* QOM type in /objects */
    const char *driver;   /* of a block node */
    const char *network;  /* text of `info network`; NULL: no human monitor */
    const GArray *blocks; /* NULL: none */
    pid_t pid;            /* 0: the test's */
    GPtrArray *warnings;  /* may be NULL */
} Fake;

static const Fake harmless = {
    .device = "virtio-net-pci",
    .object = "memory-backend-memfd",
    .driver = "qcow2",
    .network = "virtio-net-pci.0: index=0,type=nic,model=virtio-net-pci\r\n"
               " \\ #net030: index=0,type=user,net=10.0.2.0,restrict=off\r\n",
};

static json_t *children(const char *type)
{
    return json_pack("[{s:s, s:s}, {s:s, s:o}]", "name", "type", "type",
                     "string", "name", "it", "type",
                     json_sprintf("child<%s>", type));
}

static json_t *list(const Fake *fake, const char *path)
{
    if (g_str_equal(path, "/machine/peripheral-anon")) {
        return children(fake->device);
    } else if (g_str_equal(path, "/objects")) {
        return children(fake->object);
    }
    return json_array();
}

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    const Fake *fake = opaque;
    const char *path = json_string_value(json_object_get(arguments, "path"));
    const char *property =
        json_string_value(json_object_get(arguments, "property"));

    if (g_str_equal(command, "human-monitor-command") && fake->network) {
        return json_string(fake->network);
    } else if (g_str_equal(command, "qom-list")) {
        return list(fake, path);
    } else if (g_str_equal(command, "qom-get") &&
               g_str_equal(path, "/machine/peripheral-anon/it") &&
               g_str_equal(property, "blob") &&
               g_str_has_prefix(fake->device, "virtio-gpu")) {
        return json_boolean(fake->blob);
    } else if (g_str_equal(command, "query-named-block-nodes")) {
        return json_pack("[{s:s, s:s}]", "node-name", "disk", "drv",
                         fake->driver);
    }
    *ret_refusal = "not found";
    return NULL;
}

static RamAccess find(Fake fake)
{
    g_autoptr(GArray) none = g_array_new(FALSE, FALSE, sizeof(RamBlock));
    int fd;
    FakePeer *peer = fake_peer_new_qmp(answer, &fake, &fd);
    g_autoptr(Rpc) qmp = qmp_new(fd);
    RamAccess access = {NULL, NULL};
    GError *error = NULL;
    json_t *greeting;

    assert_true(rpc_greeting(qmp, "QMP", -1, &greeting, NULL));
    json_decref(greeting);
    ram_access_find(qmp, fake.pid ? fake.pid : getpid(),
                    fake.blocks ? fake.blocks : none, fake.warnings, &access,
                    &error);
    assert_no_error(error);
    fake_peer_free(peer);
    return access;
}

static void assert_nobody(Fake fake)
{
    RamAccess access = find(fake);

    if (access.who) {
        fail_msg("%s: %s", access.who, access.why);
    }
}

static void assert_found(Fake fake, const char *who, const char *why)
{
    RamAccess access = find(fake);

    assert_non_null(access.who);
    assert_string_equal(access.who, who);
    assert_non_null(strstr(access.why, why));
    g_free(access.who);
}

/* ---- what QEMU says ---- */

static void an_ordinary_machine_has_none(void **state)
{
    assert_nobody(harmless);
}

static void devices_that_share_or_pin_guest_ram_are_found(void **state)
{
    static const struct {
        const char *type;
        const char *why;
    } devices[] = {
        {"vhost-user-blk-pci", "backend process"},
        {"vfio-pci", "pins"},
        {"vhost-vdpa-device-pci", "pins"},
        {"pvrdma", "pins"},
        {"ivshmem-plain", "other processes"},
        {"x-pci-proxy-dev", "remote process"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++) {
        g_autofree char *who = g_strdup_printf(
            "/machine/peripheral-anon/it (%s)", devices[i].type);
        Fake fake = harmless;

        fake.device = devices[i].type;
        assert_found(fake, who, devices[i].why);
    }
}

static void objects_that_share_guest_ram_are_found(void **state)
{
    Fake fake = harmless;

    fake.object = "cryptodev-vhost-user";
    assert_found(fake, "/objects/it (cryptodev-vhost-user)", "backend process");
}

static void a_gpu_is_found_only_if_it_has_blobs(void **state)
{
    Fake fake = harmless;

    fake.device = "virtio-gpu-pci";
    assert_nobody(fake);
    fake.blob = true;
    assert_found(fake, "/machine/peripheral-anon/it (virtio-gpu-pci)",
                 "udmabuf");
    fake.device = "virtio-vga"; /* of a QEMU that knows no blobs */
    assert_nobody(fake);
}

static void block_drivers_that_share_or_pin_guest_ram_are_found(void **state)
{
    static const char *const drivers[] = {"nvme", "virtio-blk-vfio-pci",
                                          "virtio-blk-vhost-vdpa",
                                          "virtio-blk-vhost-user"};

    for (size_t i = 0; i < G_N_ELEMENTS(drivers); i++) {
        g_autofree char *who =
            g_strdup_printf("block device disk (%s)", drivers[i]);
        Fake fake = harmless;

        fake.driver = drivers[i];
        assert_found(fake, who, "guest RAM");
    }
}

static void block_drivers_that_work_through_the_kernel_are_fine(void **state)
{
    Fake fake = harmless;

    fake.driver = "io_uring";
    assert_nobody(fake);
    fake.driver = "nvme-io_uring";
    assert_nobody(fake);
}

static void network_backends_that_share_guest_ram_are_found(void **state)
{
    Fake fake = harmless;

    fake.network = "virtio-net-pci.0: index=0,type=nic\r\n"
                   " \\ vun: index=0,type=vhost-user,vhost-user0 to \r\n";
    assert_found(fake, "network backend vun (vhost-user)", "other end");
    fake.network = "vdpa0: index=0,type=vhost-vdpa,\r\n";
    assert_found(fake, "network backend vdpa0 (vhost-vdpa)", "other end");
}

static void passt_is_found_only_if_it_is_a_vhost_user_backend(void **state)
{
    Fake fake = harmless;

    fake.network = " \\ p0: index=0,type=passt,stream,connected to pid 12\r\n";
    assert_nobody(fake);
    fake.network =
        " \\ p0: index=0,type=passt,vhost-user,connected to pid 12\r\n";
    assert_found(fake, "network backend p0 (passt,vhost-user)", "other end");
}

static void a_backend_that_is_only_named_like_one_is_fine(void **state)
{
    Fake fake = harmless;

    fake.network = "vhost-user: index=0,type=user,net=10.0.2.0\r\n"
                   "n1: index=0,type=af-xdp,ifname=vhost-user\r\n"
                   "n2: index=0,type=nic,model=e1000\r\n";
    assert_nobody(fake);
}

/* ---- without a human monitor ---- */

static void a_qemu_without_a_human_monitor_is_no_error(void **state)
{
    Fake fake = harmless;

    fake.network = NULL;
    assert_nobody(fake);
}

static const char *by_arguments(const char *option, const char *value)
{
    char *arguments[] = {(char *)"qemu", (char *)"-S", (char *)option,
                         (char *)value, NULL};

    return ram_access_by_arguments(arguments);
}

static void arguments_that_make_such_a_backend_are_found(void **state)
{
    static const char *const pairs[][2] = {
        {"-netdev", "vhost-user,id=n,chardev=c"},
        {"-netdev", "id=n,type=vhost-user,chardev=c"},
        {"--netdev", "vhost-vdpa,vhostdev=/dev/vhost-vdpa-0,id=n"},
        {"-nic", "vhost-user,chardev=c"},
        {"-netdev", "passt,id=n,vhost-user=on"},
        {"-netdev", "passt,id=n,vhost-user"},
        {"-netdev", "{\"type\": \"vhost-user\", \"id\": \"n\"}"},
        {"-netdev", "{\"type\": \"passt\", \"vhost-user\": true}"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
        const char *who = by_arguments(pairs[i][0], pairs[i][1]);

        assert_non_null(who);
        assert_string_equal(who, pairs[i][1]);
    }
}

static void arguments_that_make_another_backend_are_fine(void **state)
{
    static const char *const pairs[][2] = {
        {"-netdev", "user,id=vhost-user"},
        {"-netdev", "tap,id=n,vhost=on"},
        {"-netdev", "passt,id=n,vhost-user=off"},
        {"-netdev", "passt,id=n"},
        {"-netdev", "{\"type\": \"passt\", \"vhost-user\": false}"},
        {"-netdev", "{"},
        {"-name", "vhost-user"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
        assert_null(by_arguments(pairs[i][0], pairs[i][1]));
    }
}

/* ---- what the kernel says ---- */

static void open_files_of_devices_that_take_guest_ram_are_known(void **state)
{
    assert_non_null(ram_access_by_file("/dev/vfio/vfio"));
    assert_non_null(ram_access_by_file("/dev/vfio/devices/vfio0"));
    assert_non_null(ram_access_by_file("anon_inode:[vfio-device]"));
    assert_non_null(ram_access_by_file("/dev/vhost-vdpa-0"));
    assert_non_null(ram_access_by_file("/dev/udmabuf"));
}

static void open_files_whose_accesses_fault_are_fine(void **state)
{
    assert_null(ram_access_by_file("/dev/vhost-net"));
    assert_null(ram_access_by_file("/dev/vhost-vsock"));
    assert_null(ram_access_by_file("/dev/kvm"));
    assert_null(ram_access_by_file("socket:[4711]"));
}

static void locked_memory_is_found(void **state)
{
    const size_t len = 4096;
    void *page = mmap(NULL, len, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(page != MAP_FAILED);
    if (mlock(page, len) < 0) {
        munmap(page, len);
        print_message("mlock() is not allowed here\n");
        skip();
    }
    assert_found(harmless,
                 "4 KiB of QEMU's memory is locked (-overcommit mem-lock=on?)",
                 "discarded");
    munmap(page, len);
}

/* A file that this process, as its RAM, and another one map. */
typedef struct Sharing {
    char *directory;
    int fd;
    GArray *blocks;
    pid_t other;
} Sharing;

/* Run as "PROGRAM share FD SAID_FD": map the file, say so, and wait. */
static int share(int fd, int said_fd)
{
    void *at;

    /* It must not outlive a failed test. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED || write(said_fd, "x", 1) != 1) {
        return 1;
    }
    pause();
    return 0;
}

/* A process of its own, so that it has no memory of this one's. */
static pid_t start_sharer(int fd)
{
    g_autofree char *fd_text = g_strdup_printf("%d", fd);
    g_autofree char *said_text = NULL;
    int said[2];
    char byte;
    pid_t pid;

    assert_return_code(pipe(said), 0);
    said_text = g_strdup_printf("%d", said[1]);
    pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "test", "share", fd_text, said_text, NULL);
        _exit(127);
    }
    assert_int_equal(read(said[0], &byte, 1), 1);
    close(said[0]);
    close(said[1]);
    return pid;
}

/* flags: how this process maps it. */
static Sharing start_sharing(int flags)
{
    const size_t len = 4096;
    RamBlock block = {(char *)"mem", 4096, len, len, 0, true};
    Sharing sharing = {.directory = make_directory()};
    g_autofree char *path = g_build_filename(sharing.directory, "ram", NULL);
    void *at;

    sharing.fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_return_code(ftruncate(sharing.fd, (off_t)len), 0);
    at = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, sharing.fd, 0);
    assert_true(at != MAP_FAILED);
    block.host = (uint64_t)(uintptr_t)at;
    sharing.blocks = g_array_new(FALSE, FALSE, sizeof(RamBlock));
    g_array_append_val(sharing.blocks, block);
    sharing.other = start_sharer(sharing.fd);
    return sharing;
}

static void end_sharer(Sharing *sharing)
{
    kill(sharing->other, SIGKILL);
    waitpid(sharing->other, NULL, 0);
}

static void end_sharing(Sharing *sharing)
{
    RamBlock *block = &g_array_index(sharing->blocks, RamBlock, 0);

    munmap((void *)(uintptr_t)block->host, block->total_bytes);
    g_array_unref(sharing->blocks);
    close(sharing->fd);
    remove_directory(sharing->directory);
}

static void another_process_that_maps_guest_ram_is_found(void **state)
{
    Sharing sharing = start_sharing(MAP_SHARED);
    g_autofree char *who = g_strdup_printf(
        "process %d (exe), which maps RAM block mem", (int)sharing.other);
    Fake fake = harmless;

    fake.blocks = sharing.blocks;
    assert_found(fake, who, "zeroes");
    end_sharer(&sharing);
    assert_nobody(fake);
    end_sharing(&sharing);
}

static void private_ram_is_nobody_elses(void **state)
{
    Sharing sharing = start_sharing(MAP_PRIVATE);
    Fake fake = harmless;

    fake.blocks = sharing.blocks;
    assert_nobody(fake);
    end_sharer(&sharing);
    end_sharing(&sharing);
}

static void what_cannot_be_looked_at_is_told(void **state)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    Fake fake = harmless;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    fake.pid = pid; /* nobody's now */
    fake.warnings = warnings;
    assert_nobody(fake);
    assert_int_equal(warnings->len, 2);
    assert_non_null(strstr(warnings->pdata[0], "open files"));
    assert_non_null(strstr(warnings->pdata[1], "locked memory"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_machine_has_none),
        cmocka_unit_test(devices_that_share_or_pin_guest_ram_are_found),
        cmocka_unit_test(objects_that_share_guest_ram_are_found),
        cmocka_unit_test(a_gpu_is_found_only_if_it_has_blobs),
        cmocka_unit_test(block_drivers_that_share_or_pin_guest_ram_are_found),
        cmocka_unit_test(block_drivers_that_work_through_the_kernel_are_fine),
        cmocka_unit_test(network_backends_that_share_guest_ram_are_found),
        cmocka_unit_test(passt_is_found_only_if_it_is_a_vhost_user_backend),
        cmocka_unit_test(a_backend_that_is_only_named_like_one_is_fine),
        cmocka_unit_test(a_qemu_without_a_human_monitor_is_no_error),
        cmocka_unit_test(arguments_that_make_such_a_backend_are_found),
        cmocka_unit_test(arguments_that_make_another_backend_are_fine),
        cmocka_unit_test(open_files_of_devices_that_take_guest_ram_are_known),
        cmocka_unit_test(open_files_whose_accesses_fault_are_fine),
        cmocka_unit_test(locked_memory_is_found),
        cmocka_unit_test(another_process_that_maps_guest_ram_is_found),
        cmocka_unit_test(private_ram_is_nobody_elses),
        cmocka_unit_test(what_cannot_be_looked_at_is_told),
    };

    if (argc == 4) {
        return share(atoi(argv[2]), atoi(argv[3]));
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
