/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/json-line.h"

#define MAX_LINE_BYTES 64

typedef struct Pair {
    JsonLine *line;
    int other;
} Pair;

static int set_up(void **state)
{
    Pair *pair = g_new0(Pair, 1);
    int fd;

    make_sockets(&fd, &pair->other);
    pair->line = json_line_new(fd, MAX_LINE_BYTES);
    *state = pair;
    return 0;
}

static int tear_down(void **state)
{
    Pair *pair = *state;

    json_line_free(pair->line);
    if (pair->other >= 0) {
        close(pair->other);
    }
    g_free(pair);
    return 0;
}

static void other_says(Pair *pair, const char *text)
{
    ssize_t len = (ssize_t)strlen(text);

    assert_int_equal(write(pair->other, text, (size_t)len), len);
}

static void fill(Pair *pair)
{
    GError *error = NULL;

    json_line_fill(pair->line, &error);
    assert_no_error(error);
}

static void assert_takes_number(Pair *pair, int number)
{
    json_t *message = NULL;
    GError *error = NULL;

    json_line_take(pair->line, &message, &error);
    assert_no_error(error);
    assert_non_null(message);
    assert_int_equal(json_integer_value(json_object_get(message, "n")), number);
    json_decref(message);
}

static void assert_takes_nothing(Pair *pair)
{
    json_t *message = (json_t *)pair;
    GError *error = NULL;

    assert_true(json_line_take(pair->line, &message, &error));
    assert_no_error(error);
    assert_null(message);
}

static void assert_take_fails(Pair *pair, const char *text)
{
    json_t *message = NULL;
    GError *error = NULL;

    assert_false(json_line_take(pair->line, &message, &error));
    assert_util_error(error, UTIL_ERROR_PROTOCOL, text);
    assert_null(message);
}

static void a_line_in_pieces_is_taken_when_it_is_whole(void **state)
{
    Pair *pair = *state;

    other_says(pair, "{\"n\"");
    fill(pair);
    assert_takes_nothing(pair);
    other_says(pair, ": 7}");
    fill(pair);
    assert_takes_nothing(pair);
    other_says(pair, "\r\n");
    fill(pair);
    assert_takes_number(pair, 7);
    assert_takes_nothing(pair);
}

static void lines_that_come_together_are_taken_one_by_one(void **state)
{
    Pair *pair = *state;

    other_says(pair, "{\"n\": 1}\n{\"n\": 2}\n{\"n\"");
    fill(pair);
    assert_takes_number(pair, 1);
    assert_takes_number(pair, 2);
    assert_takes_nothing(pair);
    other_says(pair, ": 3}\n");
    fill(pair);
    assert_takes_number(pair, 3);
}

/* A line of len bytes, newline included. */
static char *line_of(size_t len)
{
    g_autofree char *blanks = g_strnfill(len - strlen("{\"n\": 5}\n"), ' ');

    return g_strconcat("{\"n\": 5}", blanks, "\n", NULL);
}

static void a_short_line_after_a_long_one_in_pieces_is_taken(void **state)
{
    Pair *pair = *state;

    other_says(pair, "{                    \"n\"");
    fill(pair);
    assert_takes_nothing(pair);
    other_says(pair, ": 1}\n{\"n\": 2}\n");
    fill(pair);
    assert_takes_number(pair, 1);
    assert_takes_number(pair, 2);
}

static void a_line_as_long_as_the_limit_is_taken(void **state)
{
    Pair *pair = *state;
    g_autofree char *text = line_of(MAX_LINE_BYTES);

    other_says(pair, text);
    fill(pair);
    assert_takes_number(pair, 5);
}

static void a_line_beyond_the_limit_is_an_error(void **state)
{
    Pair *pair = *state;
    g_autofree char *text = line_of(MAX_LINE_BYTES + 1);

    other_says(pair, text);
    fill(pair);
    assert_take_fails(pair, "longer than 64 bytes");
}

static void an_endless_line_is_an_error_before_it_ends(void **state)
{
    Pair *pair = *state;
    g_autofree char *text = g_strnfill(MAX_LINE_BYTES + 1, 'x');

    other_says(pair, text);
    fill(pair);
    assert_take_fails(pair, "longer than 64 bytes");
}

static void garbage_is_an_error(void **state)
{
    Pair *pair = *state;

    other_says(pair, "HTTP/1.1 400 Bad Request\n");
    fill(pair);
    assert_take_fails(pair, "invalid JSON");
}

static void json_that_is_no_object_is_an_error(void **state)
{
    Pair *pair = *state;

    other_says(pair, "[1, 2]\n");
    fill(pair);
    assert_take_fails(pair, "not an object");
}

static void a_peer_that_hangs_up_is_told_apart_from_a_failure(void **state)
{
    Pair *pair = *state;
    GError *error = NULL;

    close(pair->other);
    pair->other = -1;
    assert_false(json_line_fill(pair->line, &error));
    assert_util_error(error, UTIL_ERROR_CLOSED, "closed");
}

static void sending_to_a_peer_that_hung_up_raises_no_signal(void **state)
{
    Pair *pair = *state;
    json_t *message = json_pack("{s:i}", "n", 1);
    GError *error = NULL;

    close(pair->other);
    pair->other = -1;
    assert_false(json_line_send(pair->line, message, &error));
    assert_util_error(error, UTIL_ERROR_CLOSED, "closed");
    json_decref(message);
}

static void a_message_is_sent_as_one_line(void **state)
{
    Pair *pair = *state;
    json_t *message = json_pack("{s:s}", "text", "two\nlines");
    GError *error = NULL;
    char received[100] = "";

    json_line_send(pair->line, message, &error);
    assert_no_error(error);
    assert_true(read(pair->other, received, sizeof(received) - 1) > 0);
    assert_string_equal(received, "{\"text\":\"two\\nlines\"}\n");
    json_decref(message);
}

static void descriptors_go_with_the_first_byte_of_their_line(void **state)
{
    Pair *pair = *state;
    json_t *message = json_pack("{s:i}", "n", 1);
    const int fds[] = {pair->other, pair->other};
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(fds))];
    } room;
    struct msghdr received = {.msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = &room,
                              .msg_controllen = sizeof(room)};
    int got[2];
    GError *error = NULL;

    json_line_send_fds(pair->line, message, fds, G_N_ELEMENTS(fds), &error);
    assert_no_error(error);
    assert_int_equal(recvmsg(pair->other, &received, 0), 1);
    assert_int_equal(byte, '{');
    assert_int_equal(room.header.cmsg_type, SCM_RIGHTS);
    assert_int_equal(room.header.cmsg_len, CMSG_LEN(sizeof(fds)));
    memcpy(got, CMSG_DATA(&room.header), sizeof(got));
    close(got[0]);
    close(got[1]);
    json_decref(message);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_in_pieces_is_taken_when_it_is_whole),
        TEST(lines_that_come_together_are_taken_one_by_one),
        TEST(a_short_line_after_a_long_one_in_pieces_is_taken),
        TEST(a_line_as_long_as_the_limit_is_taken),
        TEST(a_line_beyond_the_limit_is_an_error),
        TEST(an_endless_line_is_an_error_before_it_ends),
        TEST(garbage_is_an_error),
        TEST(json_that_is_no_object_is_an_error),
        TEST(a_peer_that_hangs_up_is_told_apart_from_a_failure),
        TEST(sending_to_a_peer_that_hung_up_raises_no_signal),
        TEST(a_message_is_sent_as_one_line),
        TEST(descriptors_go_with_the_first_byte_of_their_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
