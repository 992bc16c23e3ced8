/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/support.h"

#include "formats/page-span.h"

static void a_span_ends_behind_its_last_page(void **state)
{
    const PageSpan span = {1, 10, 5};

    assert_int_equal(page_span_end(&span), 15);
}

static void an_end_beyond_64_bits_is_the_largest_number(void **state)
{
    const PageSpan span = {0, 10, UINT64_MAX - 5};

    assert_true(page_span_end(&span) == UINT64_MAX);
}

static void spans_meet_where_one_begins_at_the_others_end(void **state)
{
    const PageSpan span = {1, 10, 5};

    assert_true(page_span_meets(&span, &(PageSpan){1, 15, 1}));
    assert_false(page_span_meets(&span, &(PageSpan){2, 15, 1}));
    assert_false(page_span_meets(&span, &(PageSpan){1, 14, 1}));
    assert_false(page_span_meets(&span, &(PageSpan){1, 16, 1}));
}

static void a_span_is_clipped_to_its_block(void **state)
{
    PageSpan span = {1, 10, 5};

    assert_true(page_span_clip(&span, 15));
    assert_int_equal(span.n_pages, 5);
    assert_true(page_span_clip(&span, 12));
    assert_int_equal(span.n_pages, 2);
    assert_false(page_span_clip(&span, 10));

    span = (PageSpan){0, 10, UINT64_MAX};
    assert_true(page_span_clip(&span, 11));
    assert_int_equal(span.n_pages, 1);
    span = (PageSpan){0, UINT64_MAX, 1};
    assert_false(page_span_clip(&span, 11));
    span = (PageSpan){0, 10, 0};
    assert_false(page_span_clip(&span, 11));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_ends_behind_its_last_page),
        cmocka_unit_test(an_end_beyond_64_bits_is_the_largest_number),
        cmocka_unit_test(spans_meet_where_one_begins_at_the_others_end),
        cmocka_unit_test(a_span_is_clipped_to_its_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
