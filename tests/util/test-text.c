/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include "util/text.h"

static void assert_printable(const char *text, const char *expected)
{
    g_autofree char *printable = text_printable(text);

    assert_string_equal(printable, expected);
}

static void text_that_can_be_read_stays_as_it_is(void **state)
{
    assert_printable("", "");
    assert_printable("/srv/vm.snap: 3 %s \\x1b\n\tcafé 漢字",
                     "/srv/vm.snap: 3 %s \\x1b\n\tcafé 漢字");
}

static void what_would_control_the_terminal_is_escaped(void **state)
{
    assert_printable("\033[2Jgone\a\r", "\\x1b[2Jgone\\x07\\x0d");
    assert_printable("\177", "\\x7f");
    /* CSI as one character. */
    assert_printable("\xc2\x9b"
                     "31m",
                     "\\u{9b}31m");
}

static void what_would_turn_or_hide_text_is_escaped(void **state)
{
    assert_printable("vm\u202epans", "vm\\u{202e}pans");
    assert_printable("a\u200bb", "a\\u{200b}b");
}

static void bytes_that_are_not_utf_8_are_escaped(void **state)
{
    assert_printable("caf\xe9.snap", "caf\\xe9.snap");
    assert_printable("\x9b"
                     "31m",
                     "\\x9b31m");
    assert_printable("cut off \xe2\x82", "cut off \\xe2\\x82");
    /* "/" in more bytes than it needs, and half of a pair of surrogates. */
    assert_printable("\xc0\xaf \xed\xa0\x80", "\\xc0\\xaf \\xed\\xa0\\x80");
}

static void any_text_becomes_json(void **state)
{
    json_t *right = text_to_json("café");
    json_t *wrong = text_to_json("caf\xe9");

    assert_string_equal(json_string_value(right), "café");
    assert_string_equal(json_string_value(wrong), "caf\ufffd");
    json_decref(right);
    json_decref(wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_can_be_read_stays_as_it_is),
        cmocka_unit_test(what_would_control_the_terminal_is_escaped),
        cmocka_unit_test(what_would_turn_or_hide_text_is_escaped),
        cmocka_unit_test(bytes_that_are_not_utf_8_are_escaped),
        cmocka_unit_test(any_text_becomes_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
