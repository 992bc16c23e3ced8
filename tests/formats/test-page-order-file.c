/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/support.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory of its own for each test, with a path in it. */
typedef struct Place {
    char *dir;
    char *path;
} Place;

static int make_place(void **state)
{
    Place *place = g_new0(Place, 1);

    place->dir = g_dir_make_tmp("preheat-test-XXXXXX", NULL);
    place->path = g_build_filename(place->dir, "vm.order", NULL);
    *state = place;
    return place->dir ? 0 : -1;
}

static int remove_place(void **state)
{
    Place *place = *state;

    unlink(place->path);
    int failed = rmdir(place->dir);
    g_free(place->path);
    g_free(place->dir);
    g_free(place);
    return failed;
}

static void save_sample(const char *path)
{
    g_autoptr(PageOrder) order = sample_order();
    GError *error = NULL;

    assert_true(page_order_save(order, path, &error));
    assert_no_error(error);
}

static void what_was_saved_is_loaded(void **state)
{
    const Place *place = *state;
    g_autoptr(PageOrder) order = sample_order();
    GError *error = NULL;

    save_sample(place->path);
    g_autoptr(PageOrder) loaded = page_order_load(place->path, &error);
    assert_no_error(error);
    assert_true(page_order_equal(order, loaded));
}

static size_t count_files(const char *path)
{
    GDir *dir = g_dir_open(path, 0, NULL);
    size_t n_files = 0;

    while (g_dir_read_name(dir)) {
        n_files++;
    }
    g_dir_close(dir);
    return n_files;
}

static void saving_replaces_the_file_and_leaves_no_other(void **state)
{
    const Place *place = *state;

    assert_true(g_file_set_contents(place->path, "old", 3, NULL));
    save_sample(place->path);
    assert_int_equal(count_files(place->dir), 1);

    g_autoptr(PageOrder) loaded = page_order_load(place->path, NULL);
    assert_non_null(loaded);
}

static void an_order_that_is_not_valid_is_not_saved(void **state)
{
    const Place *place = *state;
    g_autoptr(PageOrder) order = sample_order();
    GError *error = NULL;

    save_sample(place->path);
    order->n_runs = 0;
    assert_false(page_order_save(order, place->path, &error));
    assert_error(error, FORMATS_ERROR_MALFORMED, "vm.order: runs");

    g_autoptr(PageOrder) old = page_order_load(place->path, NULL);
    assert_non_null(old);
    assert_int_equal(old->n_runs, 300);
}

static void saving_where_there_is_no_directory_is_an_error(void **state)
{
    g_autoptr(PageOrder) order = sample_order();
    GError *error = NULL;

    assert_false(page_order_save(order, "/nonexistent/vm.order", &error));
    assert_util_error(error, "/nonexistent/vm.order: cannot write it");
}

static void saving_over_what_is_no_regular_file_leaves_it(void **state)
{
    const Place *place = *state;
    g_autoptr(PageOrder) order = sample_order();
    GError *error = NULL;
    struct stat st;

    assert_int_equal(mkfifo(place->path, 0600), 0);
    assert_false(page_order_save(order, place->path, &error));
    assert_util_error(error, "vm.order: cannot write it");
    assert_int_equal(lstat(place->path, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
}

static void saving_keeps_permissions(void **state)
{
    const Place *place = *state;
    struct stat st;

    static const mode_t modes[] = {0600, 0664};
    mode_t before = umask(022);

    assert_true(g_file_set_contents(place->path, "old", 3, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
        assert_int_equal(chmod(place->path, modes[i]), 0);
        save_sample(place->path);
        assert_int_equal(stat(place->path, &st), 0);
        assert_int_equal(st.st_mode & 0777, modes[i]);
    }
    umask(before);
}

static void saving_keeps_the_owner(void **state)
{
    const Place *place = *state;
    struct stat st;

    if (geteuid() != 0) {
        skip(); /* only root may give files away */
    }
    assert_true(g_file_set_contents(place->path, "old", 3, NULL));
    assert_int_equal(chown(place->path, 4711, 4712), 0);
    save_sample(place->path);
    assert_int_equal(stat(place->path, &st), 0);
    assert_int_equal(st.st_uid, 4711);
    assert_int_equal(st.st_gid, 4712);
}

static void saving_through_a_link_replaces_what_it_leads_to(void **state)
{
    const Place *place = *state;
    g_autofree char *target = g_build_filename(place->dir, "target", NULL);
    g_autoptr(PageOrder) loaded = NULL;

    assert_true(g_file_set_contents(target, "old", 3, NULL));
    assert_int_equal(symlink("target", place->path), 0);
    save_sample(place->path);
    assert_true(g_file_test(place->path, G_FILE_TEST_IS_SYMLINK));
    loaded = page_order_load(target, NULL);
    assert_non_null(loaded);
    unlink(target);
}

static void loading_a_missing_file_is_an_error(void **state)
{
    const Place *place = *state;
    GError *error = NULL;

    assert_null(page_order_load(place->path, &error));
    assert_util_error(error, "vm.order: cannot open it");
}

static void loading_an_empty_file_finds_it_empty(void **state)
{
    const Place *place = *state;
    GError *error = NULL;

    assert_true(g_file_set_contents(place->path, "", 0, NULL));
    assert_null(page_order_load(place->path, &error));
    assert_error(error, FORMATS_ERROR_NOT_THIS,
                 "vm.order: this is an empty file");
}

static void loading_a_huge_file_is_refused_unread(void **state)
{
    const Place *place = *state;
    GError *error = NULL;

    save_sample(place->path);
    assert_int_equal(truncate(place->path, (off_t)1 << 40), 0);
    assert_null(page_order_load(place->path, &error));
    assert_error(error, FORMATS_ERROR_TOO_LARGE, "vm.order: 1099511627776");
}

/* By which it is told what kind of file it is. */
static bool read_head(const ByteSource *source, void *buffer, size_t len_bytes,
                      uint64_t off_bytes, GError **error)
{
    if (off_bytes + len_bytes > 1024) {
        fail_msg("more than its head was read");
    }
    memset(buffer, 0, len_bytes);
    return true;
}

static void a_file_beyond_the_callers_limit_is_refused_by_its_head(void **state)
{
    static const ByteSourceOps ops = {.read_at = read_head};
    static const PageOrderLimits limits = {4096, 1000};
    ByteSource source;
    GError *error = NULL;

    byte_source_init(&source, &ops, "vm.order", 4097);
    assert_null(page_order_load_source(&source, &limits, &error));
    assert_error(error, FORMATS_ERROR_TOO_LARGE,
                 "vm.order: 4097 bytes, at most 4096");
    g_free(source.name);
}

static PageOrder *load_sample_within(uint64_t max_extents, bool break_checksum,
                                     GError **error)
{
    g_autoptr(PageOrder) order = sample_order();
    GByteArray *file = g_bytes_unref_to_array(page_order_encode(order));
    const PageOrderLimits limits = {file->len, max_extents};

    file->data[file->len - 1] ^= break_checksum;
    g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(file);
    g_autoptr(ByteSource) source = byte_source_new_memory(bytes, "vm.order");
    return page_order_load_source(source, &limits, error);
}

static void too_many_extents_are_refused_by_the_header(void **state)
{
    GError *error = NULL;

    /* Decoding would begin with the checksum, and find it wrong. */
    assert_null(load_sample_within(6, true, &error));
    assert_error(error, FORMATS_ERROR_TOO_LARGE,
                 "vm.order: 7 extents, at most 6");
    error = NULL;
    assert_null(load_sample_within(7, true, &error));
    assert_error(error, FORMATS_ERROR_CHECKSUM, "vm.order: ");
}

static void as_many_extents_as_the_limit_are_loaded(void **state)
{
    GError *error = NULL;
    g_autoptr(PageOrder) order = load_sample_within(7, false, &error);

    assert_no_error(error);
    assert_int_equal(order->extents->len, 7);
}

int main(void)
{
#define IN_A_PLACE(test)                                                       \
    cmocka_unit_test_setup_teardown(test, make_place, remove_place)
    const struct CMUnitTest tests[] = {
        IN_A_PLACE(what_was_saved_is_loaded),
        IN_A_PLACE(saving_replaces_the_file_and_leaves_no_other),
        IN_A_PLACE(an_order_that_is_not_valid_is_not_saved),
        cmocka_unit_test(saving_where_there_is_no_directory_is_an_error),
        IN_A_PLACE(saving_over_what_is_no_regular_file_leaves_it),
        IN_A_PLACE(saving_keeps_permissions),
        IN_A_PLACE(saving_keeps_the_owner),
        IN_A_PLACE(saving_through_a_link_replaces_what_it_leads_to),
        IN_A_PLACE(loading_a_missing_file_is_an_error),
        IN_A_PLACE(loading_an_empty_file_finds_it_empty),
        IN_A_PLACE(loading_a_huge_file_is_refused_unread),
        cmocka_unit_test(
            a_file_beyond_the_callers_limit_is_refused_by_its_head),
        cmocka_unit_test(too_many_extents_are_refused_by_the_header),
        cmocka_unit_test(as_many_extents_as_the_limit_are_loaded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
