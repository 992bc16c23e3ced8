/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/file.h"

#define STRANGER 4711
#define OWNER    4712

/* A folder of our own with the path of a file that is not there yet. */
typedef struct World {
    char *folder;
    char *path;
    mode_t old_umask;
} World;

static int make_world(void **state)
{
    World *world = g_new0(World, 1);

    world->folder = make_directory();
    world->path = g_build_filename(world->folder, "vm.order", NULL);
    world->old_umask = umask(022);
    *state = world;
    return 0;
}

static int free_world(void **state)
{
    World *world = *state;

    umask(world->old_umask);
    remove_directory(world->folder);
    g_free(world->path);
    g_free(world);
    return 0;
}

static void make_file(const char *path, const char *text)
{
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void assert_contents(const char *path, const char *text)
{
    g_autofree char *contents = NULL;

    assert_true(g_file_get_contents(path, &contents, NULL, NULL));
    assert_string_equal(contents, text);
}

static struct stat stat_of(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st;
}

static FilePlace *open_place(const char *path)
{
    GError *error = NULL;
    FilePlace *place = file_place_open(path, &error);

    assert_no_error(error);
    return place;
}

static void write_place(const FilePlace *place, const char *text)
{
    GError *error = NULL;

    assert_true(file_place_write(place, text, strlen(text), &error));
    assert_no_error(error);
}

static void write_path(const char *path, const char *text)
{
    g_autoptr(FilePlace) place = open_place(path);

    write_place(place, text);
}

static void refuse(const char *path, const char *reason)
{
    GError *error = NULL;

    assert_null(file_place_open(path, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, reason);
}

static void skip_unless_root(void)
{
    if (geteuid() != 0) {
        print_message("only root can make files of other users\n");
        skip();
    }
}

static void a_new_file_is_for_its_owner_alone(void **state)
{
    const World *world = *state;

    umask(0);
    write_path(world->path, "new");
    assert_contents(world->path, "new");
    assert_int_equal(stat_of(world->path).st_mode, S_IFREG | 0600);
}

static void a_place_may_be_written_again_and_leaves_one_file(void **state)
{
    const World *world = *state;
    g_autoptr(FilePlace) place = open_place(world->path);

    write_place(place, "first");
    write_place(place, "second");
    assert_contents(world->path, "second");
    g_autofree char *names = list_directory(world->folder);
    assert_string_equal(names, "vm.order");
}

static void opening_a_place_makes_nothing(void **state)
{
    const World *world = *state;

    file_place_free(open_place(world->path));
    assert_true(file_check_replaceable(world->path, NULL));
    g_autofree char *names = list_directory(world->folder);
    assert_string_equal(names, "");
}

static void a_file_that_was_there_keeps_its_mode(void **state)
{
    static const mode_t modes[] = {0600, 0640, 0664, 0444};
    const World *world = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
        make_file(world->path, "old");
        assert_int_equal(chmod(world->path, modes[i]), 0);
        write_path(world->path, "new");
        assert_int_equal(stat_of(world->path).st_mode, S_IFREG | modes[i]);
    }
}

static void a_set_user_bit_is_not_kept(void **state)
{
    const World *world = *state;

    make_file(world->path, "old");
    assert_int_equal(chmod(world->path, 06755), 0);
    write_path(world->path, "new");
    assert_int_equal(stat_of(world->path).st_mode, S_IFREG | 0755);
}

static void a_link_of_our_own_stays_and_its_target_is_written(void **state)
{
    const World *world = *state;
    g_autofree char *middle = g_build_filename(world->folder, "middle", NULL);
    g_autofree char *target = g_build_filename(world->folder, "target", NULL);

    make_file(target, "old");
    assert_int_equal(symlink("target", middle), 0);
    assert_int_equal(symlink(middle, world->path), 0);
    write_path(world->path, "new");
    assert_contents(target, "new");
    assert_true(S_ISLNK(stat_of(world->path).st_mode));
    assert_true(S_ISLNK(stat_of(middle).st_mode));
}

static void a_link_to_a_free_name_makes_the_file_there(void **state)
{
    const World *world = *state;
    g_autofree char *target = g_build_filename(world->folder, "target", NULL);

    assert_int_equal(symlink("target", world->path), 0);
    write_path(world->path, "new");
    assert_contents(target, "new");
}

static void links_in_a_circle_are_refused(void **state)
{
    const World *world = *state;

    assert_int_equal(symlink("vm.order", world->path), 0);
    refuse(world->path, "Too many levels of symbolic links");
}

static void a_strangers_link_is_not_followed(void **state)
{
    const World *world = *state;
    g_autofree char *target = g_build_filename(world->folder, "target", NULL);

    skip_unless_root();
    make_file(target, "root's own");
    assert_int_equal(symlink(target, world->path), 0);
    assert_int_equal(lchown(world->path, STRANGER, STRANGER), 0);
    refuse(world->path, "cannot write it: this is a symbolic link of another "
                        "user");
    assert_contents(target, "root's own");
}

static void a_link_planted_after_the_opening_is_not_followed(void **state)
{
    const World *world = *state;
    g_autofree char *target = g_build_filename(world->folder, "target", NULL);
    g_autoptr(FilePlace) place = open_place(world->path);
    GError *error = NULL;

    make_file(target, "root's own");
    assert_int_equal(symlink("target", world->path), 0);
    assert_false(file_place_write(place, "new", 3, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "not a regular file");
    assert_contents(target, "root's own");
}

static void a_folder_swapped_after_the_opening_is_not_written(void **state)
{
    const World *world = *state;
    g_autofree char *folder = g_build_filename(world->folder, "a", NULL);
    g_autofree char *moved = g_build_filename(world->folder, "b", NULL);
    g_autofree char *path = g_build_filename(folder, "vm.order", NULL);
    g_autofree char *moved_path = g_build_filename(moved, "vm.order", NULL);

    assert_int_equal(mkdir(folder, 0700), 0);
    g_autoptr(FilePlace) place = open_place(path);
    assert_int_equal(rename(folder, moved), 0);
    assert_int_equal(symlink("/nonexistent", folder), 0);
    write_place(place, "new");
    assert_contents(moved_path, "new");
    assert_int_equal(unlink(moved_path), 0);
    assert_int_equal(rmdir(moved), 0);
}

static void what_is_no_regular_file_is_left_alone(void **state)
{
    const World *world = *state;

    assert_int_equal(mkfifo(world->path, 0600), 0);
    refuse(world->path, "not a regular file");
    refuse(world->folder, "not a regular file");
    refuse("/dev/null", "not a regular file");
    assert_true(S_ISFIFO(stat_of(world->path).st_mode));
}

static void a_path_without_a_name_is_refused(void **state)
{
    refuse("", "this is a directory");
    refuse("/tmp/", "this is a directory");
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    refuse("/nonexistent/vm.order",
           "cannot write it: cannot open its directory: No such file");
}

static void a_file_keeps_the_owner_that_root_found(void **state)
{
    const World *world = *state;

    skip_unless_root();
    make_file(world->path, "old");
    assert_int_equal(chmod(world->path, 0640), 0);
    assert_int_equal(chown(world->path, OWNER, STRANGER), 0);
    write_path(world->path, "new");
    const struct stat st = stat_of(world->path);
    assert_int_equal(st.st_uid, OWNER);
    assert_int_equal(st.st_gid, STRANGER);
    assert_int_equal(st.st_mode, S_IFREG | 0640);
}

static void a_file_planted_in_everybodys_folder_hands_on_nothing(void **state)
{
    const World *world = *state;

    skip_unless_root();
    assert_int_equal(chmod(world->folder, 01777), 0);
    make_file(world->path, "planted");
    assert_int_equal(chmod(world->path, 0666), 0);
    assert_int_equal(chown(world->path, STRANGER, STRANGER), 0);
    write_path(world->path, "new");
    const struct stat st = stat_of(world->path);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
}

static void a_place_in_a_locked_folder_is_locked_when_that_is_over(void **state)
{
    const World *world = *state;
    g_autoptr(FilePlace) one = open_place(world->path);
    g_autoptr(FilePlace) other = open_place(world->path);
    GError *error = NULL;

    assert_true(file_place_lock(one, 0, NULL));
    assert_false(file_place_lock(other, 1, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "locked");
    file_place_unlock(one);
    assert_true(file_place_lock(other, 0, NULL));
}

static void what_is_at_a_place_is_read_but_no_link_is(void **state)
{
    const World *world = *state;
    g_autoptr(FilePlace) place = open_place(world->path);
    int fd;

    assert_true(file_place_read(place, &fd, NULL));
    assert_int_equal(fd, -1);
    make_file(world->path, "text");
    assert_true(file_place_read(place, &fd, NULL));
    assert_true(fd >= 0);
    close(fd);
    unlink(world->path);
    assert_int_equal(symlink("/etc/passwd", world->path), 0);
    assert_false(file_place_read(place, &fd, NULL));
}

static void a_file_is_hidden_like_another_but_not_from_its_owner(void **state)
{
    const World *world = *state;
    g_autofree char *like = g_strconcat(world->path, ".like", NULL);
    struct stat st;

    make_file(world->path, "text");
    make_file(like, "text");
    assert_int_equal(chmod(world->path, 0644), 0);
    assert_int_equal(chmod(like, 0440), 0);
    file_hide_like(world->path, like);
    assert_int_equal(stat(world->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(unlink(like), 0);
}

int main(void)
{
#define IN_A_WORLD(test)                                                       \
    cmocka_unit_test_setup_teardown(test, make_world, free_world)
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(a_new_file_is_for_its_owner_alone),
        IN_A_WORLD(a_place_may_be_written_again_and_leaves_one_file),
        IN_A_WORLD(opening_a_place_makes_nothing),
        IN_A_WORLD(a_file_that_was_there_keeps_its_mode),
        IN_A_WORLD(a_set_user_bit_is_not_kept),
        IN_A_WORLD(a_link_of_our_own_stays_and_its_target_is_written),
        IN_A_WORLD(a_link_to_a_free_name_makes_the_file_there),
        IN_A_WORLD(links_in_a_circle_are_refused),
        IN_A_WORLD(a_strangers_link_is_not_followed),
        IN_A_WORLD(a_link_planted_after_the_opening_is_not_followed),
        IN_A_WORLD(a_folder_swapped_after_the_opening_is_not_written),
        IN_A_WORLD(what_is_no_regular_file_is_left_alone),
        IN_A_WORLD(a_place_in_a_locked_folder_is_locked_when_that_is_over),
        IN_A_WORLD(what_is_at_a_place_is_read_but_no_link_is),
        IN_A_WORLD(a_file_is_hidden_like_another_but_not_from_its_owner),
        cmocka_unit_test(a_path_without_a_name_is_refused),
        cmocka_unit_test(a_folder_that_is_not_there_is_told),
        IN_A_WORLD(a_file_keeps_the_owner_that_root_found),
        IN_A_WORLD(a_file_planted_in_everybodys_folder_hands_on_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
