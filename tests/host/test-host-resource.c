/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/host-resource.h"
#include "tests/util/support.h"

/* A port of 127.0.0.1 that is held while the socket is open. */
static int hold_port(int type, unsigned *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, type, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    if (type == SOCK_STREAM) {
        assert_int_equal(listen(fd, 1), 0);
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* format has a %u for the port. */
static char *find_taken(const char *option, const char *format, unsigned port)
{
    g_auto(GStrv) parts = g_strsplit(format, "%u", 2);
    g_autofree char *value =
        g_strdup_printf("%s%u%s", parts[0], port, parts[1]);
    char *argv[] = {(char *)option, value, NULL};

    return host_resource_find_taken(argv);
}

static void assert_taken(const char *option, const char *format, unsigned port)
{
    g_autofree char *found = find_taken(option, format, port);
    g_autofree char *expected = g_strdup_printf("host port %u", port);

    assert_non_null(found);
    assert_string_equal(found, expected);
}

static void assert_free(const char *option, const char *format, unsigned port)
{
    g_autofree char *found = find_taken(option, format, port);

    assert_null(found);
}

static void a_port_that_somebody_listens_at_is_taken(void **state)
{
    unsigned port;
    int fd = hold_port(SOCK_STREAM, &port);

    assert_taken("-netdev", "user,id=n,hostfwd=tcp:127.0.0.1:%u-:22", port);
    assert_taken("-nic", "user,hostfwd=::%u-:22", port);
    assert_taken("-monitor", "tcp:127.0.0.1:%u,server=on,wait=off", port);
    assert_taken("-serial", "mon:telnet:127.0.0.1:%u,server", port);
    assert_taken("-chardev", "socket,id=c,host=127.0.0.1,port=%u,server=on",
                 port);
    assert_taken("-gdb", "tcp:127.0.0.1:%u", port);
    close(fd);
    assert_free("-netdev", "user,id=n,hostfwd=tcp:127.0.0.1:%u-:22", port);
}

static void another_protocol_or_address_is_free(void **state)
{
    unsigned port;
    int fd = hold_port(SOCK_STREAM, &port);

    assert_free("-netdev", "user,id=n,hostfwd=udp:127.0.0.1:%u-:22", port);
    assert_free("-netdev", "user,id=n,hostfwd=tcp:127.0.0.2:%u-:22", port);
    close(fd);
    fd = hold_port(SOCK_DGRAM, &port);
    assert_taken("-netdev", "user,id=n,hostfwd=udp:127.0.0.1:%u-:22", port);
    close(fd);
}

static void a_port_that_qemu_connects_to_is_not_taken(void **state)
{
    unsigned port;
    int fd = hold_port(SOCK_STREAM, &port);

    assert_free("-serial", "tcp:127.0.0.1:%u", port);
    close(fd);
}

static void a_port_that_need_not_be_that_one_is_free(void **state)
{
    unsigned port;
    int fd = hold_port(SOCK_STREAM, &port);

    assert_free("-chardev",
                "socket,id=c,host=127.0.0.1,port=%u,server=on,to=65535", port);
    assert_free("-monitor", "tcp:127.0.0.1:%u,to=65535,server=on", port);
    /* These only look alike. */
    assert_taken("-monitor", "tcp:127.0.0.1:%u,server=on,proto=tcp", port);
    assert_taken("-chardev",
                 "socket,id=into=1,host=127.0.0.1,port=%u,server=on", port);
    close(fd);
}

static void any_free_port_is_free(void **state)
{
    assert_free("-netdev", "user,id=n,hostfwd=tcp:127.0.0.1:%u-:22", 0);
}

static void assert_made(const char *name, const char *value, bool expected)
{
    const QemuOption option = {name, value, 1};

    assert_int_equal(host_resource_is_made(&option, MANIFEST_SOCKET), expected);
}

static void a_server_is_told_from_a_client(void **state)
{
    assert_made("qmp", "unix:/run/q,server=on,wait=off", true);
    assert_made("qmp", "unix:/run/q,server,nowait", true);
    assert_made("serial", "unix:/run/s", false);
    assert_made("chardev", "socket,id=c,path=/run/c,server=off", false);
    assert_made("vnc", "unix:/run/v", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_that_somebody_listens_at_is_taken),
        cmocka_unit_test(another_protocol_or_address_is_free),
        cmocka_unit_test(a_port_that_qemu_connects_to_is_not_taken),
        cmocka_unit_test(a_port_that_need_not_be_that_one_is_free),
        cmocka_unit_test(any_free_port_is_free),
        cmocka_unit_test(a_server_is_told_from_a_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
