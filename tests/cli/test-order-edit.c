/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "cli/commands.h"
#include "formats/page-order.h"

/* The order that is edited has one extent, of this page. */
#define PAGE "4711"

/* Where everything is written.  One for all tests, since GLib looks at TMPDIR
 * only once. */
static char directory[] = "/tmp/preheat-test-edit-XXXXXX";

typedef struct Fixture {
    char *path; /* of the order, in directory */
    PageOrder *order;
} Fixture;

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    PageExtent extent = {.span = {0, 4711, 1}};

    f->path = g_build_filename(directory, "a.order", NULL);
    f->order = page_order_new();
    page_order_add_block(f->order, "pc.ram", 1 << 30, 4096);
    page_order_append(f->order, &extent);
    assert_true(page_order_save(f->order, f->path, NULL));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    g_autofree char *names = list_directory(directory);
    g_auto(GStrv) list = g_strsplit(names, " ", -1);

    for (size_t i = 0; list[i]; i++) {
        g_autofree char *path = g_build_filename(directory, list[i], NULL);

        g_unlink(path);
    }
    g_free(f->path);
    page_order_free(f->order);
    g_free(f);
    return 0;
}

/* Edit with that editor, a shell command that gets the file as $1, and with
 * these answers on standard input. */
static int edit(const Fixture *f, const char *editor, const char *answers)
{
    char *argv[] = {(char *)"preheat order edit", f->path, NULL};
    g_autofree char *quoted = g_shell_quote(editor);
    g_autofree char *command = g_strdup_printf("sh -c %s sh", quoted);
    FILE *file = tmpfile();
    g_autofree char *file_path =
        g_strdup_printf("/proc/self/fd/%d", fileno(file));

    g_setenv("EDITOR", command, TRUE);
    fputs(answers, file);
    fflush(file);
    assert_non_null(freopen(file_path, "r", stdin));
    fclose(file);
    return cmd_order_edit.run(2, argv);
}

/* The same, and what it said on standard error; for g_free(). */
static char *edit_and_listen(const Fixture *f, const char *editor)
{
    FILE *file = tmpfile();
    int old_stderr = dup(STDERR_FILENO);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fileno(file));
    char *said = NULL;

    dup2(fileno(file), STDERR_FILENO);
    edit(f, editor, "d\n");
    dup2(old_stderr, STDERR_FILENO);
    close(old_stderr);
    assert_true(g_file_get_contents(path, &said, NULL, NULL));
    fclose(file);
    return said;
}

static uint64_t page_in_file(const Fixture *f)
{
    g_autoptr(PageOrder) order = page_order_load(f->path, NULL);

    assert_non_null(order);
    return page_order_extent(order, 0)->span.first_page;
}

static void assert_only_the_order(void)
{
    g_autofree char *names = list_directory(directory);

    assert_string_equal(names, "a.order");
}

/* The text that was left, for g_free(). */
static char *text_left(void)
{
    g_autofree char *names = list_directory(directory);
    g_auto(GStrv) list = g_strsplit(names, " ", -1);
    g_autofree char *path = NULL;
    char *text = NULL;

    assert_int_equal(g_strv_length(list), 2);
    path = g_build_filename(directory, list[1], NULL);
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static ino_t inode_of(const char *path)
{
    struct stat info;

    assert_int_equal(stat(path, &info), 0);
    return info.st_ino;
}

static void what_is_edited_is_written(void **state)
{
    Fixture *f = *state;

    assert_int_equal(edit(f, "sed -i s/" PAGE "/4712/ \"$1\"", ""), STATUS_OK);
    assert_int_equal(page_in_file(f), 4712);
    assert_only_the_order();
}

static void what_is_edited_is_for_its_owner_alone(void **state)
{
    const Fixture *f = *state;

    /* The editor fails if it is not. */
    assert_int_equal(edit(f, "test $(stat -c %a \"$1\") = 600", ""), STATUS_OK);
    assert_only_the_order();
}

static void an_unchanged_order_is_not_touched(void **state)
{
    Fixture *f = *state;
    ino_t before = inode_of(f->path);

    assert_int_equal(edit(f, "true", ""), STATUS_OK);
    assert_int_equal(inode_of(f->path), before);
    assert_int_equal(edit(f, "echo >>\"$1\"", ""), STATUS_OK);
    assert_int_equal(inode_of(f->path), before);
    assert_only_the_order();
}

static void after_a_mistake_one_can_edit_again(void **state)
{
    Fixture *f = *state;

    assert_int_equal(edit(f,
                          "grep -q x" PAGE " \"$1\" && "
                          "sed -i s/x" PAGE "/4713/ \"$1\" || "
                          "sed -i s/" PAGE "/x" PAGE "/ \"$1\"",
                          "what?\ne\n"),
                     STATUS_OK);
    assert_int_equal(page_in_file(f), 4713);
    assert_only_the_order();
}

static void a_mistake_is_told_with_its_place(void **state)
{
    Fixture *f = *state;
    g_autofree char *syntax =
        edit_and_listen(f, "printf '{\\n  \"a\" 1}' >\"$1\"");
    g_autofree char *meaning =
        edit_and_listen(f, "sed -i s/" PAGE ",/9999999,/ \"$1\"");

    assert_non_null(strstr(syntax, "line 2, column 7"));
    assert_non_null(strstr(meaning, "line 11, column "));
    assert_non_null(strstr(meaning, "extents[0].page: 9999999"));
}

static void what_follows_a_nul_is_a_mistake(void **state)
{
    Fixture *f = *state;
    g_autofree char *told = edit_and_listen(f, "printf '\\0x' >>\"$1\"");

    assert_non_null(strstr(told, "line "));
}

static void a_mistake_can_be_discarded(void **state)
{
    Fixture *f = *state;

    assert_int_equal(edit(f, "echo x >\"$1\"", "d\n"), STATUS_OK);
    assert_int_equal(page_in_file(f), 4711);
    assert_only_the_order();
}

static void a_mistake_can_be_kept(void **state)
{
    Fixture *f = *state;
    g_autofree char *text = NULL;

    assert_int_equal(edit(f, "echo x >\"$1\"", "k\n"), STATUS_FAILED);
    assert_int_equal(page_in_file(f), 4711);
    text = text_left();
    assert_string_equal(text, "x\n");
}

static void a_mistake_without_an_answer_loses_nothing(void **state)
{
    Fixture *f = *state;
    g_autofree char *text = NULL;

    assert_int_equal(edit(f, "echo x >\"$1\"", ""), STATUS_FAILED);
    assert_int_equal(page_in_file(f), 4711);
    text = text_left();
    assert_string_equal(text, "x\n");
}

static void an_editor_that_fails_changes_nothing(void **state)
{
    Fixture *f = *state;

    assert_int_equal(edit(f, "exit 3", ""), STATUS_FAILED);
    assert_int_equal(page_in_file(f), 4711);
    assert_only_the_order();
}

static void an_editor_that_fails_at_its_end_loses_nothing(void **state)
{
    Fixture *f = *state;
    g_autofree char *text = NULL;

    assert_int_equal(edit(f, "echo x >\"$1\"; exit 3", ""), STATUS_FAILED);
    assert_int_equal(page_in_file(f), 4711);
    text = text_left();
    assert_string_equal(text, "x\n");
}

static void what_somebody_else_wrote_meanwhile_stays(void **state)
{
    Fixture *f = *state;
    g_autofree char *other = g_strdup_printf("%s.json", f->path);
    g_autofree char *editor = g_strdup_printf(
        "cp '%s' '%s' && sed -i s/" PAGE "/4712/ \"$1\"", other, f->path);
    g_autofree char *text = NULL;

    page_order_add_block(f->order, "more", 4096, 4096);
    assert_true(page_order_save(f->order, other, NULL));
    assert_int_equal(edit(f, editor, ""), STATUS_FAILED);
    assert_int_equal(page_in_file(f), 4711);
    assert_int_equal(g_unlink(other), 0);
    text = text_left();
    assert_non_null(strstr(text, "4712"));
}

#define with_files(test)                                                       \
    cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_files(what_is_edited_is_written),
        with_files(what_is_edited_is_for_its_owner_alone),
        with_files(an_unchanged_order_is_not_touched),
        with_files(after_a_mistake_one_can_edit_again),
        with_files(a_mistake_is_told_with_its_place),
        with_files(what_follows_a_nul_is_a_mistake),
        with_files(a_mistake_can_be_discarded),
        with_files(a_mistake_can_be_kept),
        with_files(a_mistake_without_an_answer_loses_nothing),
        with_files(an_editor_that_fails_changes_nothing),
        with_files(an_editor_that_fails_at_its_end_loses_nothing),
        with_files(what_somebody_else_wrote_meanwhile_stays),
    };

    int n_failed;

    if (!mkdtemp(directory)) {
        return 1;
    }
    g_setenv("TMPDIR", directory, TRUE);
    g_unsetenv("VISUAL");
    n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    g_rmdir(directory);
    return n_failed;
}
