/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which pages are taken already.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>

#include "profiler/orders/page-cover.h"

#define N_PAGES 1000

static void assert_takes(PageCover *cover, uint64_t page, uint64_t end,
                         uint64_t first_page, uint64_t n_pages)
{
    PageSpan span = {.block = 7};

    assert_true(page_cover_take(cover, page, end, &span));
    assert_int_equal(span.block, 7);
    assert_int_equal(span.first_page, first_page);
    assert_int_equal(span.n_pages, n_pages);
}

static void assert_takes_nothing(PageCover *cover, uint64_t page, uint64_t end)
{
    PageSpan span;

    assert_false(page_cover_take(cover, page, end, &span));
}

static void what_is_taken_is_not_taken_again(void **state)
{
    PageCover *cover = page_cover_new(N_PAGES);

    (void)state;
    assert_takes(cover, 100, 300, 100, 200);
    assert_takes_nothing(cover, 100, 300);
    assert_takes_nothing(cover, 150, 151);
    assert_takes(cover, 50, 400, 50, 50);
    assert_takes(cover, 50, 400, 300, 100);
    assert_takes_nothing(cover, 50, 400);
    page_cover_free(cover);
}

static void nothing_can_be_taken_of_no_pages(void **state)
{
    PageCover *cover = page_cover_new(N_PAGES);

    (void)state;
    assert_takes_nothing(cover, 10, 10);
    assert_takes_nothing(cover, N_PAGES, N_PAGES);
    page_cover_free(cover);
}

static void a_whole_block_can_be_taken(void **state)
{
    (void)state;
    for (uint64_t n_pages = 1; n_pages <= 200; n_pages++) {
        PageCover *cover = page_cover_new(n_pages);

        assert_takes(cover, 0, n_pages, 0, n_pages);
        assert_takes_nothing(cover, 0, n_pages);
        assert_takes_nothing(cover, n_pages - 1, n_pages);
        page_cover_free(cover);
    }
}

/* What page_cover_take() should do. */
static bool take(bool *taken, uint64_t page, uint64_t end, PageSpan *ret_span)
{
    while (page < end && taken[page]) {
        page++;
    }
    ret_span->first_page = page;
    for (; page < end && !taken[page]; page++) {
        taken[page] = true;
    }
    ret_span->n_pages = page - ret_span->first_page;
    return ret_span->n_pages > 0;
}

static void stretches_may_lie_all_over_each_other(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 200; seed++) {
        GRand *random = g_rand_new_with_seed(seed);
        PageCover *cover = page_cover_new(N_PAGES);
        bool taken[N_PAGES] = {false};

        for (unsigned i = 0; i < 300; i++) {
            uint64_t page = (uint64_t)g_rand_int_range(random, 0, N_PAGES);
            uint64_t end = page + (uint64_t)g_rand_int_range(
                                      random, 0, (gint32)(N_PAGES - page) + 1);
            PageSpan expected;
            PageSpan span;
            bool any = take(taken, page, end, &expected);

            if (page_cover_take(cover, page, end, &span) != any ||
                (any && (span.first_page != expected.first_page ||
                         span.n_pages != expected.n_pages))) {
                fail_msg("seed %" PRIu32 ", stretch %u", seed, i);
            }
        }
        g_rand_free(random);
        page_cover_free(cover);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_not_taken_again),
        cmocka_unit_test(nothing_can_be_taken_of_no_pages),
        cmocka_unit_test(a_whole_block_can_be_taken),
        cmocka_unit_test(stretches_may_lie_all_over_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
