/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugin/libvirt/restore-swap.h"

/* What QEMU inherits, and, as libvirt, who waits for it. */
typedef struct World {
    char *folder;
    RestoreArgs args;
    struct stat image;
    int libvirt;
} World;

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static int connect_to(int listener)
{
    struct sockaddr_un address;
    socklen_t len = sizeof(address);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len),
                     0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    return fd;
}

static World make_world(void)
{
    World world = {.folder = make_directory()};
    g_autofree char *image = g_build_filename(world.folder, "image", NULL);
    g_autofree char *monitor = g_build_filename(world.folder, "monitor", NULL);

    assert_true(g_file_set_contents(image, "image", -1, NULL));
    world.args.image_fds[0] = open(image, O_RDONLY);
    world.args.n_images = 1;
    assert_int_equal(fstat(world.args.image_fds[0], &world.image), 0);
    world.args.listener_fd = listen_at(monitor);
    world.libvirt = connect_to(world.args.listener_fd);
    return world;
}

static void clear_world(World *world, RestoreSwap *swap)
{
    restore_swap_free(swap);
    close(world->libvirt);
    close(world->args.image_fds[0]);
    close(world->args.listener_fd);
    remove_directory(world->folder);
}

static bool is_image(const World *world, int fd)
{
    struct stat found;

    return fstat(fd, &found) == 0 && found.st_ino == world->image.st_ino &&
           found.st_dev == world->image.st_dev;
}

/* QEMU accepts whoever comes first, and greets. */
static int accept_and_greet(const World *world)
{
    int fd = accept(world->args.listener_fd, NULL, NULL);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"QMP\": {}}\n", 12), 12);
    return fd;
}

static void qemu_finds_the_skeleton_in_the_images_place(void **state)
{
    World world = make_world();
    RestoreSwap *swap = restore_swap_new(&world.args, NULL);
    char read_back[8] = "";

    assert_non_null(swap);
    assert_true(is_image(&world, restore_swap_image(swap)));
    assert_false(is_image(&world, world.args.image_fds[0]));
    assert_int_equal(write(restore_swap_skeleton(swap), "bones", 5), 5);
    assert_int_equal(pread(world.args.image_fds[0], read_back, 8, 0), 5);
    assert_string_equal(read_back, "bones");
    /* As libvirt has opened it, or QEMU does not take it for a load. */
    assert_int_equal(fcntl(world.args.image_fds[0], F_GETFL) & O_ACCMODE,
                     O_RDONLY);
    assert_int_equal(fcntl(world.args.image_fds[0], F_GETFD), 0);
    restore_swap_drop_skeleton(swap);
    assert_int_equal(pread(world.args.image_fds[0], read_back, 8, 0), 0);
    clear_world(&world, swap);
}

static void the_image_comes_back_to_every_duplicate(void **state)
{
    World world = make_world();
    RestoreSwap *swap = restore_swap_new(&world.args, NULL);
    int own = fcntl(world.args.image_fds[0], F_DUPFD_CLOEXEC, 0);

    assert_true(restore_swap_give_back_image(swap, NULL));
    assert_true(is_image(&world, world.args.image_fds[0]));
    assert_true(is_image(&world, own));
    assert_int_equal(fcntl(world.args.image_fds[0], F_GETFD), 0);
    assert_int_equal(fcntl(own, F_GETFD), FD_CLOEXEC);
    close(own);
    clear_world(&world, swap);
}

static void libvirt_is_served_once_its_listener_is_back(void **state)
{
    World world = make_world();
    RestoreSwap *swap = restore_swap_new(&world.args, NULL);
    int holder = accept_and_greet(&world);
    char byte = 0;

    /* QEMU does so with what it takes for its listener. */
    assert_int_equal(fcntl(world.args.listener_fd, F_SETFL, O_NONBLOCK), 0);
    restore_swap_await_qemu(swap);
    assert_true(recv(world.libvirt, &byte, 1, MSG_DONTWAIT) < 0);
    restore_swap_give_back_listener(swap);
    /* QEMU hears that its client, which has not read all of the greeting, has
     * gone, and accepts the next one. */
    assert_true(read(holder, &byte, 1) <= 0);
    close(holder);
    assert_true(fcntl(world.args.listener_fd, F_GETFL) & O_NONBLOCK);
    int served = accept_and_greet(&world);
    assert_int_equal(read(world.libvirt, &byte, 1), 1);
    assert_int_equal(byte, '{');
    close(served);
    clear_world(&world, swap);
}

static void nobody_else_gets_to_qemu_first(void **state)
{
    World world = make_world();
    RestoreSwap *swap = restore_swap_new(&world.args, NULL);
    int stranger = connect_to(world.args.listener_fd);
    int served = accept_and_greet(&world);
    char byte = 0;

    restore_swap_await_qemu(swap);
    assert_true(recv(stranger, &byte, 1, MSG_DONTWAIT) < 0);
    close(served);
    close(stranger);
    clear_world(&world, swap);
}

static void what_is_not_open_changes_nothing(void **state)
{
    World world = make_world();
    RestoreArgs args = world.args;
    GError *error = NULL;

    args.listener_fd = 1000;
    assert_null(restore_swap_new(&args, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "libvirt's monitor");
    assert_true(is_image(&world, world.args.image_fds[0]));
    clear_world(&world, NULL);
}

static void our_monitor_is_the_other_end_of_qemus(void **state)
{
    World world = make_world();
    RestoreSwap *swap = restore_swap_new(&world.args, NULL);
    const char *argument = restore_swap_monitor_argument(swap);
    int ours = restore_swap_steal_monitor(swap);
    int theirs;
    char byte = 0;

    assert_true(g_str_has_prefix(argument, "socket,id=preheat-monitor,fd="));
    theirs = atoi(strrchr(argument, '=') + 1);
    assert_int_equal(write(theirs, "x", 1), 1);
    assert_int_equal(read(ours, &byte, 1), 1);
    close(ours);
    close(theirs);
    clear_world(&world, swap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qemu_finds_the_skeleton_in_the_images_place),
        cmocka_unit_test(the_image_comes_back_to_every_duplicate),
        cmocka_unit_test(libvirt_is_served_once_its_listener_is_back),
        cmocka_unit_test(nobody_else_gets_to_qemu_first),
        cmocka_unit_test(what_is_not_open_changes_nothing),
        cmocka_unit_test(our_monitor_is_the_other_end_of_qemus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
