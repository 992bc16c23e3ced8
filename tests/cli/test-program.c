/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The program itself: its commands, its exit statuses, and whether the manual
 * pages know its options.  $PREHEAT_PROGRAM is its path, $PREHEAT_MAN_DIR
 * where the manual pages are, $PREHEAT_PLOT where preheat-plot is installed.
 */
#include "tests/util/support.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "formats/manifest.h"
#include "formats/page-order.h"

typedef struct Run {
    int status; /* exit status; -1: died of a signal */
    char *out;
    char *err;
} Run;

static void run_clear(Run *run)
{
    g_free(run->out);
    g_free(run->err);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

/* arguments: separated by blanks. */
static Run preheat(const char *arguments)
{
    g_autofree char *line =
        g_strconcat(g_getenv("PREHEAT_PROGRAM"), " ", arguments, NULL);
    g_auto(GStrv) argv = g_strsplit(g_strchomp(line), " ", -1);
    GError *error = NULL;
    int wait_status;
    Run run = {0};

    g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &run.out,
                 &run.err, &wait_status, &error);
    assert_no_error(error);
    run.status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    return run;
}

static void assert_run(const char *arguments, int status, const char *err)
{
    g_auto(Run) run = preheat(arguments);

    if (run.status != status || !strstr(run.err, err)) {
        fail_msg("preheat %s: status %d, not %d; said \"%s\", not \"%s\"",
                 arguments, run.status, status, run.err, err);
    }
}

/* ---- help and manual ---- */

/* What the regular expression's first group matches in text, each once. */
static GPtrArray *find_all(const char *text, const char *pattern)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GRegex) regex =
        g_regex_new(pattern, G_REGEX_MULTILINE | G_REGEX_OPTIMIZE, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;

    assert_non_null(regex);
    g_regex_match(regex, text, 0, &match);
    while (g_match_info_matches(match)) {
        g_ptr_array_add(found, g_match_info_fetch(match, 1));
        g_match_info_next(match, NULL);
    }
    return found;
}

/* The manual page of a command ("order show"; "": the program's), without
 * roff's escapes of dashes. */
static char *manual_page(const char *command)
{
    g_autofree char *name = g_strconcat("preheat ", command, NULL);
    g_autofree char *file = NULL;
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    g_auto(GStrv) parts = NULL;
    GError *error = NULL;

    g_strdelimit(g_strchomp(name), " ", '-');
    file = g_strconcat(name, ".1", NULL);
    path = g_build_filename(g_getenv("PREHEAT_MAN_DIR"), file, NULL);
    g_file_get_contents(path, &text, NULL, &error);
    assert_no_error(error);
    parts = g_strsplit(text, "\\-", -1);
    return g_strjoinv("-", parts);
}

static void assert_page_has(const char *command, const char *word)
{
    g_autofree char *page = manual_page(command);

    if (!strstr(page, word)) {
        fail_msg("the manual page of preheat %s does not know %s", command,
                 word);
    }
}

static void check_options(const char *command, const char *help)
{
    g_autoptr(GPtrArray) options = find_all(help, "^  (?:-., )?(--[a-z-]+)");

    assert_true(options->len > 0);
    for (guint i = 0; i < options->len; i++) {
        if (strcmp(options->pdata[i], "--help") != 0) {
            assert_page_has(command, options->pdata[i]);
        }
    }
}

static void check_command(const char *command);

static void check_group(const char *command, const char *help)
{
    g_autoptr(GPtrArray) names = find_all(help, "^  ([a-z]+)  ");

    assert_true(names->len > 0);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *full =
            g_strconcat(command, command[0] ? " " : "", names->pdata[i], NULL);

        assert_page_has(command, names->pdata[i]);
        check_command(full);
    }
}

static void check_command(const char *command)
{
    g_autofree char *arguments = g_strconcat(command, " --help", NULL);
    g_auto(Run) run = preheat(g_strchug(arguments));

    assert_int_equal(run.status, 0);
    assert_non_null(strstr(run.out, "Usage:"));
    if (strstr(run.out, "\nCommands:\n")) {
        check_group(command, run.out);
    } else {
        check_options(command, run.out);
    }
}

static void the_manual_knows_every_command_and_option(void **state)
{
    check_command("");
}

static void the_version_is_told(void **state)
{
    g_auto(Run) run = preheat("--version");
    g_auto(Run) letter = preheat("-V");

    assert_int_equal(run.status, 0);
    assert_string_equal(run.out, "preheat " PREHEAT_VERSION "\n");
    assert_string_equal(letter.out, run.out);
}

static void help_is_a_command_as_well(void **state)
{
    g_auto(Run) all = preheat("help");
    g_auto(Run) option = preheat("--help");
    g_auto(Run) one = preheat("help order show");
    g_auto(Run) same = preheat("order show --help");

    assert_int_equal(all.status, 0);
    assert_string_equal(all.out, option.out);
    assert_int_equal(one.status, 0);
    assert_string_equal(one.out, same.out);
}

/* ---- what is in a file ---- */

static void a_disk_image_is_told_from_a_snapshot(void **state)
{
    char *directory = make_directory();
    g_autofree char *path = g_build_filename(directory, "d.qcow2", NULL);
    g_autofree char *plain = g_strdup_printf("snapshot info %s", path);
    g_autofree char *tagged = g_strdup_printf("snapshot info --tag x %s", path);

    assert_true(g_file_set_contents(path, "QFI\xfb....", 8, NULL));
    assert_run(plain, 1,
               "a qcow2 disk image, not a snapshot; name the snapshot in it");
    assert_run(tagged, 1, "d.qcow2: ");
    remove_directory(directory);
}

/* ---- exit statuses ---- */

static void a_mistyped_command_is_guessed(void **state)
{
    assert_run("lodvm", 2, "did you mean \"loadvm\"?");
    assert_run("savemv", 2, "did you mean \"savevm\"?");
    assert_run("order polt", 2, "did you mean \"plot\"?");
    assert_run("help ordre", 2, "did you mean \"order\"?");
}

static void a_missing_double_dash_is_told(void **state)
{
    assert_run("loadvm s qemu-system-x86_64 -m 1G", 2,
               "\"--\" is missing before QEMU's command line");
    assert_run("run /usr/bin/qemu-kvm", 2, "-- /usr/bin/qemu-kvm");
}

static void mistakes_in_the_command_line_have_status_2(void **state)
{
    assert_run("", 2, "a command is missing");
    assert_run("warm-up", 2, "unknown command \"warm-up\"");
    assert_run("order", 2, "Try \"preheat order --help\"");
    assert_run("order show", 2, "an argument is missing");
    assert_run("order show a b", 2, "unexpected argument \"b\"");
    assert_run("order show --colour a", 2, "--colour");
    assert_run("order plot a", 2, "Try \"preheat order plot --help\"");
    assert_run("savevm --qmp q", 2, "--output");
    assert_run("savevm --qmp q -o o --tag t", 2, "--output or --tag");
    assert_run("savevm --qmp q --tag t --disks leave", 2, "--disks");
    assert_run("prefetch --rate much vm", 2, "--rate");
    assert_run("run", 2, "after \"--\"");
    assert_run("control --qmp q --pid 1 retry", 2, "--qmp or --pid");
    assert_run("control --pid 1 retry []", 2, "not a JSON object");
    assert_run("snapshot info --offset 1X vm", 2, "\"1X\" is not a size");
}

static void a_load_that_cannot_be_has_status_2(void **state)
{
    assert_run("loadvm -- qemu", 2, "the snapshot is missing");
    assert_run("loadvm --snapshot /dev/null --", 2, "after \"--\"");
    assert_run("loadvm --snapshot s --policy best -- qemu", 2,
               "order, sequential, demand or full");
    assert_run("loadvm --snapshot s --policy order -- qemu", 2, "--order FILE");
    assert_run("loadvm --snapshot s --wait hot -- qemu", 2, "needs an order");
    assert_run("loadvm --snapshot s --policy demand --wait all -- qemu", 2,
               "forever");
    assert_run("loadvm --snapshot s --record r --wait all -- qemu", 2,
               "--record");
    assert_run("loadvm --snapshot s --record-for 0 -- qemu", 2, "--record-for");
    assert_run("loadvm s --start-fd 2 -- qemu", 2, "3 or larger, open");
    assert_run("loadvm s --start-fd 77 -- qemu", 2, "3 or larger, open");
    assert_run("loadvm s --start-fd 3 --qmp q", 2, "--start-fd is for a QEMU");
    assert_run("template take s --timeout 0", 2, "--timeout must be");
    assert_run("template start s --socket t --pool -1", 2, "--pool must be");
    assert_run("template start s --socket t --pool 257", 2, "--pool must be");
    assert_run("template start s --socket t --pool-set a=b", 2,
               "it needs --pool N");
    assert_run("loadvm --snapshot s --order o --rest now -- qemu", 2,
               "idle, eager or demand");
    assert_run("loadvm --snapshot s --rest demand -- qemu", 2, "an order");
    assert_run("loadvm --snapshot s --order o --rest demand --wait all -- qemu",
               2, "only pages that the guest touches");
    assert_run("loadvm --snapshot s --cache cold -- qemu", 2, "--cache");
    assert_run("loadvm --snapshot s --rest-rate fast -- qemu", 2,
               "--rest-rate");
    assert_run("loadvm s --snapshot s -- qemu", 2, "unexpected");
    assert_run("loadvm s --tag t --policy full -- qemu", 2, "-loadvm");
    assert_run("loadvm s --tag t --offset 1 -- qemu", 2, "--offset");
    assert_run("loadvm --snapshot s -- qemu -incoming x", 2, "-incoming");
    assert_run("loadvm s --set 1=2 -- qemu", 2, "without \"--\"");
    assert_run("loadvm s --keep-disks d --qmp q", 2, "without \"--\"");
    assert_run("loadvm s --snapshot t -- qemu", 2, "unexpected argument \"s\"");
    assert_run("loadvm s --qmp q -- qemu", 2, "--qmp SOCKET, for");
    assert_run("loadvm s --stay -- qemu", 2, "--stay needs --qmp");
    assert_run("loadvm s --qmp q --plugin-api 3", 2, "preheat run");
    assert_run("loadvm s --resume --paused -- qemu", 2, "--paused");
}

static void a_load_without_a_manifest_tells_what_is_missing(void **state)
{
    char *directory = make_directory();
    g_autofree char *file = g_build_filename(directory, "vm", NULL);
    g_autofree char *load = g_strconcat("loadvm ", file, NULL);

    assert_run(load, 1, "vm: cannot open it: No such file or directory");
    assert_true(g_file_set_contents(file, "QFI\xfb", 4, NULL));
    assert_run(load, 1, "vm: this is a qcow2 disk image, not a snapshot");
    assert_true(g_file_set_contents(file, "QEVM", 4, NULL));
    assert_run(load, 2, "There is no manifest ");
    remove_directory(directory);
}

static void what_a_load_cannot_write_is_told_before_it(void **state)
{
    assert_run("loadvm --snapshot /dev/null --record /dev/null -- qemu", 1,
               "/dev/null: cannot write it: this is not a regular file");
    assert_run("loadvm --snapshot /dev/null --stats /missing/s.json -- qemu", 1,
               "/missing/s.json: cannot write it");
    assert_run("loadvm --snapshot /dev/null --order /missing/o --learn -- qemu",
               1, "/missing/o: cannot write it");
}

static void failures_have_status_1(void **state)
{
    assert_run("snapshot info /missing/vm.snap", 1, "/missing/vm.snap");
    assert_run("order show /missing/vm.order", 1, "/missing/vm.order");
    assert_run("order plot /missing/vm.order -o p.svg", 1, "/missing/vm.order");
    assert_run("snapshot list /missing", 1, "/missing");
    assert_run("snapshot remove /dev/null", 1, "not a snapshot");
    assert_run("prefetch /missing/vm.snap", 1, "/missing/vm.snap");
    assert_run("loadvm /missing/vm.snap -- qemu", 1, "/missing/vm.snap");
    assert_run("savevm --qmp /missing/qmp -o o", 1, "/missing/qmp");
    assert_run("loadvm --snapshot /missing/vm.snap -- qemu", 1,
               "/missing/vm.snap");
    assert_run("control --pid 2147483647 retry", 1, "process 2147483647");
}

static void arguments_are_utf8_also_without_a_locale(void **state)
{
    g_autofree char *before = g_strdup(g_getenv("LC_ALL"));

    g_setenv("LC_ALL", "C", TRUE);
    assert_run("savevm --qmp /missing/qmp --tag \303\251", 1, "/missing/qmp");
    assert_run("savevm --qmp /missing/qmp --tag \351", 2, "Invalid");
    if (before) {
        g_setenv("LC_ALL", before, TRUE);
    } else {
        g_unsetenv("LC_ALL");
    }
}

/* QEMU would be asked only afterwards. */
static void a_save_replaces_no_other_file_beside_it(void **state)
{
    char *directory = make_directory();
    g_autofree char *manifest = g_build_filename(directory, "vm.json", NULL);
    g_autofree char *order = g_build_filename(directory, "it.order", NULL);
    g_autofree char *first =
        g_strdup_printf("savevm --qmp /missing/qmp -o %s/vm", directory);
    g_autofree char *second = g_strdup_printf(
        "savevm --qmp /missing/qmp --profile -o %s/it", directory);
    g_autofree char *third =
        g_strdup_printf("savevm --qmp /missing/qmp -o %s/it", directory);

    assert_true(g_file_set_contents(manifest, "{\"mine\": 1}", -1, NULL));
    assert_true(g_file_set_contents(order, "Two beers, please", -1, NULL));
    assert_run(first, 1, "vm.json: this is not a snapshot's manifest");
    assert_run(second, 1, "it.order: this is not a page-access order");
    assert_run(third, 1, "/missing/qmp");
    remove_directory(directory);
}

/* ---- orders ---- */

typedef struct Orders {
    char *directory;
    char *order;
    char *json;
    char *again;
} Orders;

static void save_sample(const char *path)
{
    g_autoptr(PageOrder) order = page_order_new();
    const PageExtent extents[] = {
        {.span = {0, 4, 2}, .time_us = 1500, .access = PAGE_ACCESS_WRITE},
        {.span = {0, 9, 1}, .time_us = 9000},
    };
    GError *error = NULL;

    page_order_add_block(order, "pc.ram", 1 << 20, 4096);
    page_order_append(order, &extents[0]);
    page_order_append(order, &extents[1]);
    page_order_save(order, path, &error);
    assert_no_error(error);
}

static int set_up_orders(void **state)
{
    Orders *orders = g_new0(Orders, 1);

    orders->directory = make_directory();
    orders->order = g_build_filename(orders->directory, "order", NULL);
    orders->json = g_build_filename(orders->directory, "json", NULL);
    orders->again = g_build_filename(orders->directory, "again", NULL);
    save_sample(orders->order);
    *state = orders;
    return 0;
}

static int tear_down_orders(void **state)
{
    Orders *orders = *state;

    g_free(orders->order);
    g_free(orders->json);
    g_free(orders->again);
    remove_directory(orders->directory);
    g_free(orders);
    return 0;
}

static Run preheat_order(const char *format, ...) G_GNUC_PRINTF(1, 2);

static Run preheat_order(const char *format, ...)
{
    g_autofree char *arguments = NULL;
    g_autofree char *full = NULL;
    va_list args;

    va_start(args, format);
    arguments = g_strdup_vprintf(format, args);
    va_end(args);
    full = g_strconcat("order ", arguments, NULL);
    return preheat(full);
}

static void assert_same_file(const char *a, const char *b)
{
    g_autofree char *a_bytes = NULL;
    g_autofree char *b_bytes = NULL;
    gsize a_len, b_len;

    assert_true(g_file_get_contents(a, &a_bytes, &a_len, NULL));
    assert_true(g_file_get_contents(b, &b_bytes, &b_len, NULL));
    assert_int_equal(a_len, b_len);
    assert_memory_equal(a_bytes, b_bytes, a_len);
}

static void an_exported_order_is_imported_without_loss(void **state)
{
    Orders *orders = *state;
    g_auto(Run) export =
        preheat_order("export %s -o %s", orders->order, orders->json);
    g_auto(Run) import =
        preheat_order("import %s -o %s", orders->json, orders->again);

    assert_string_equal(export.err, "");
    assert_string_equal(import.err, "");
    assert_same_file(orders->order, orders->again);
}

static void an_export_replaces_no_file_of_another_kind(void **state)
{
    Orders *orders = *state;
    g_auto(Run) run =
        preheat_order("export %s -o %s", orders->order, orders->order);
    g_auto(Run) check = preheat_order("check %s", orders->order);

    assert_int_equal(run.status, 1);
    assert_non_null(
        strstr(run.err, "a page-access order, which would be lost"));
    assert_int_equal(check.status, 0);
}

static void show_has_a_line_for_each_extent(void **state)
{
    Orders *orders = *state;
    g_auto(Run) run = preheat_order("show %s", orders->order);

    assert_int_equal(run.status, 0);
    assert_non_null(strstr(run.out, "total     2 extents, 3 pages, 12 KiB"));
    assert_non_null(strstr(run.out, "1.500  pc.ram"));
    assert_non_null(strstr(run.out, "write"));
}

static void show_as_json_is_the_export(void **state)
{
    Orders *orders = *state;
    g_auto(Run) show = preheat_order("show --json %s", orders->order);
    g_auto(Run) export = preheat_order("export %s", orders->order);

    assert_int_equal(show.status, 0);
    assert_string_equal(show.out, export.out);
}

static void runs_are_recordings_and_stretches_are_pages(void **state)
{
    Orders *orders = *state;
    g_auto(Run) text = preheat_order("stat %s", orders->order);
    g_auto(Run) json = preheat_order("stat --json %s", orders->order);

    assert_int_equal(text.status, 0);
    assert_non_null(strstr(text.out, "unknown, 1 run\n"));
    assert_non_null(strstr(text.out, "\nstretches   2, of 1 to 2 pages"));
    assert_null(strstr(text.out, "runs"));
    assert_non_null(strstr(json.out, "\"stretches\""));
    assert_null(strstr(json.out, "\"runs\""));
}

static void a_mistake_in_json_is_told_with_its_line(void **state)
{
    Orders *orders = *state;
    g_auto(Run) run = {0};

    assert_true(
        g_file_set_contents(orders->json, "{\n\"format\": ,\n}", -1, NULL));
    run = preheat_order("import %s -o %s", orders->json, orders->again);
    assert_int_equal(run.status, 1);
    assert_non_null(strstr(run.err, orders->json));
    assert_non_null(strstr(run.err, "line 2"));
    assert_false(g_file_test(orders->again, G_FILE_TEST_EXISTS));
}

/* In any locale: "LC_ALL=C" is what cron and SSH give. */
static void a_block_is_found_by_a_name_that_is_not_ascii(void **state)
{
    const Orders *orders = *state;
    g_autoptr(PageOrder) order = page_order_new();
    PageExtent extent = {.span.n_pages = 1};
    g_autofree char *old = g_strdup(g_getenv("LC_ALL"));

    page_order_add_block(order, "mémoire", 1 << 20, 4096);
    page_order_append(order, &extent);
    assert_true(page_order_save(order, orders->order, NULL));
    g_setenv("LC_ALL", "C", TRUE);
    g_auto(Run) run = preheat_order("drop %s --range mémoire -o %s",
                                    orders->order, orders->again);
    if (old) {
        g_setenv("LC_ALL", old, TRUE);
    } else {
        g_unsetenv("LC_ALL");
    }
    assert_string_equal(run.err, "");
    assert_int_equal(run.status, 0);
}

static void a_valid_order_is_told_to_be_one(void **state)
{
    Orders *orders = *state;
    g_auto(Run) run = preheat_order("check %s", orders->order);

    assert_int_equal(run.status, 0);
    assert_non_null(strstr(run.out, "valid order with 2 extents"));
}

static void a_torn_order_is_not_valid(void **state)
{
    Orders *orders = *state;
    g_autofree char *bytes = NULL;
    gsize len;
    g_auto(Run) run = {0};

    assert_true(g_file_get_contents(orders->order, &bytes, &len, NULL));
    assert_true(
        g_file_set_contents(orders->order, bytes, (gssize)len - 1, NULL));
    run = preheat_order("check %s", orders->order);
    assert_int_equal(run.status, 1);
    assert_non_null(strstr(run.err, orders->order));
}

static void an_order_is_drawn(void **state)
{
    Orders *orders = *state;
    g_autofree char *path =
        g_build_filename(orders->directory, "map.svg", NULL);
    g_autofree char *picture = NULL;
    g_auto(Run) run = preheat_order("plot %s -o %s", orders->order, path);

    assert_string_equal(run.err, "");
    assert_int_equal(run.status, 0);
    assert_true(g_file_get_contents(path, &picture, NULL, NULL));
    assert_non_null(strstr(picture, "<svg"));
}

static void copy_program(const char *from, const char *to)
{
    g_autofree char *bytes = NULL;
    gsize len_bytes;

    assert_true(g_file_get_contents(from, &bytes, &len_bytes, NULL));
    assert_true(g_file_set_contents(to, bytes, (gssize)len_bytes, NULL));
    assert_int_equal(g_chmod(to, 0755), 0);
}

static void a_missing_program_for_drawing_is_told(void **state)
{
    const char *installed = g_getenv("PREHEAT_PLOT");
    g_autofree char *program = g_strdup(g_getenv("PREHEAT_PROGRAM"));
    char *directory;
    g_autofree char *alone = NULL;

    if (access(installed, F_OK) == 0) {
        print_message("%s is installed here\n", installed);
        skip();
    }
    directory = make_directory();
    alone = g_build_filename(directory, "preheat", NULL);
    copy_program(program, alone);
    g_setenv("PREHEAT_PROGRAM", alone, TRUE);
    g_auto(Run) run = preheat("order plot a -o map.svg");
    g_setenv("PREHEAT_PROGRAM", program, TRUE);
    assert_int_equal(run.status, 1);
    assert_non_null(strstr(run.err, installed));
    assert_non_null(strstr(run.err, "install the package preheat-plot"));
    remove_directory(directory);
}

#define ORDER_TEST(name)                                                       \
    cmocka_unit_test_setup_teardown(name, set_up_orders, tear_down_orders)

/* A manifest may come from somebody else. */
static void what_would_control_a_terminal_is_not_printed(void **state)
{
    static const char *const no_arguments[] = {NULL};
    char *directory = make_directory();
    g_autofree char *path =
        g_build_filename(directory, "vm.snap" MANIFEST_SUFFIX, NULL);
    g_autofree char *show = g_strconcat("snapshot show ", path, NULL);
    g_autofree char *list = g_strconcat("snapshot list ", directory, NULL);
    g_autoptr(Manifest) manifest = manifest_new();

    manifest->created = g_strdup("\033[2J");
    manifest->identity = g_strdup("ab12");
    manifest->run_state = g_strdup("running");
    manifest->qemu_program = g_strdup("/usr/bin/qemu");
    manifest->qemu_version = g_strdup("10.0.2");
    manifest->qemu_directory = g_strdup("/\033[2J");
    manifest->qemu_arguments = g_strdupv((char **)no_arguments);
    manifest->machine_type = g_strdup("\033[2J");
    manifest->accelerator = g_strdup("tcg");
    manifest->cpu_model = g_strdup("none");
    assert_true(manifest_save(manifest, path, NULL));
    g_auto(Run) shown = preheat(show);
    g_auto(Run) listed = preheat(list);
    assert_int_equal(shown.status, 0);
    assert_int_equal(listed.status, 0);
    assert_non_null(strstr(shown.out, "machine    \\x1b[2J"));
    assert_null(strchr(shown.out, '\033'));
    assert_non_null(strstr(listed.out, "vm.snap"));
    assert_null(strchr(listed.out, '\033'));
    remove_directory(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_would_control_a_terminal_is_not_printed),
        cmocka_unit_test(the_manual_knows_every_command_and_option),
        cmocka_unit_test(the_version_is_told),
        cmocka_unit_test(help_is_a_command_as_well),
        cmocka_unit_test(a_mistyped_command_is_guessed),
        cmocka_unit_test(a_disk_image_is_told_from_a_snapshot),
        cmocka_unit_test(a_missing_double_dash_is_told),
        cmocka_unit_test(mistakes_in_the_command_line_have_status_2),
        cmocka_unit_test(a_load_that_cannot_be_has_status_2),
        cmocka_unit_test(a_load_without_a_manifest_tells_what_is_missing),
        cmocka_unit_test(what_a_load_cannot_write_is_told_before_it),
        cmocka_unit_test(failures_have_status_1),
        cmocka_unit_test(arguments_are_utf8_also_without_a_locale),
        cmocka_unit_test(a_save_replaces_no_other_file_beside_it),
        ORDER_TEST(an_exported_order_is_imported_without_loss),
        ORDER_TEST(an_export_replaces_no_file_of_another_kind),
        ORDER_TEST(show_has_a_line_for_each_extent),
        ORDER_TEST(show_as_json_is_the_export),
        ORDER_TEST(runs_are_recordings_and_stretches_are_pages),
        ORDER_TEST(a_mistake_in_json_is_told_with_its_line),
        ORDER_TEST(a_block_is_found_by_a_name_that_is_not_ascii),
        ORDER_TEST(a_valid_order_is_told_to_be_one),
        ORDER_TEST(a_torn_order_is_not_valid),
        ORDER_TEST(an_order_is_drawn),
        cmocka_unit_test(a_missing_program_for_drawing_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
