/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "host/qemu-command.h"
#include "tests/util/support.h"

static void options_are_told_from_their_values(void **state)
{
    static const char *const argv[] = {
        "-S", "-m", "1G",         "disk.img", "--serial", "stdio",
        "-",  "-s", "-daemonize", "-drive",   "file=-x",  NULL};
    static const QemuOption expected[] = {
        {"S", NULL, 0},         {"m", "1G", 2},
        {"", "disk.img", 3},    {"serial", "stdio", 5},
        {"", "-", 6},           {"s", NULL, 7},
        {"daemonize", NULL, 8}, {"drive", "file=-x", 10},
    };
    g_autoptr(GArray) options = qemu_command_options((char *const *)argv);

    assert_int_equal(options->len, G_N_ELEMENTS(expected));
    for (guint i = 0; i < options->len; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);

        assert_string_equal(option->name, expected[i].name);
        assert_owned_text(g_strdup(option->value), expected[i].value);
        assert_int_equal(option->argument, expected[i].argument);
    }
}

static void assert_disk(const char *name, const char *value,
                        const char *expected)
{
    const QemuOption option = {name, value, 0};

    assert_owned_text(qemu_command_disk_file(&option), expected);
}

static void the_file_of_a_disk_is_found_in_every_form(void **state)
{
    assert_disk("drive", "id=d,file=/a.qcow2,if=virtio", "/a.qcow2");
    assert_disk("drive", "if=none,driver=qcow2,file.filename=/b", "/b");
    assert_disk("blockdev", "driver=file,node-name=f,filename=/c", "/c");
    assert_disk("blockdev", "driver=qcow2,node-name=d,file=f", NULL);
    assert_disk("blockdev",
                "{\"driver\": \"qcow2\", \"node-name\": \"d\", \"file\": "
                "{\"driver\": \"file\", \"filename\": \"/d\"}}",
                "/d");
    assert_disk("hda", "e.img", "e.img");
    assert_disk("", "f.img", "f.img");
    assert_disk("device", "virtio-blk-pci,drive=d", NULL);
    assert_disk("S", NULL, NULL);
}

/* "kind value" of each, with commas between them. */
static char *resources_of(const char *option, const char *value)
{
    char *argv[] = {(char *)option, (char *)value, NULL};
    g_autoptr(GArray) resources = qemu_command_resources(argv);
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < resources->len; i++) {
        const ManifestResource *resource =
            &g_array_index(resources, ManifestResource, i);

        assert_int_equal(resource->argument, 1);
        g_ptr_array_add(
            texts, g_strdup_printf("%s %s",
                                   manifest_resource_kind_name(resource->kind),
                                   resource->value));
    }
    g_ptr_array_add(texts, NULL);
    return g_strjoinv(", ", (char **)texts->pdata);
}

static void what_two_machines_cannot_share_is_found(void **state)
{
    static const struct {
        const char *option;
        const char *value;
        const char *expected;
    } cases[] = {
        {"-qmp", "unix:/run/q,,1.sock,server=on,wait=off",
         "socket /run/q,1.sock"},
        {"-monitor", "tcp:127.0.0.1:4444,server=on", "port 4444"},
        {"-serial", "mon:unix:/run/s", "socket /run/s"},
        {"-serial", "file:/var/log/s.log", "file /var/log/s.log"},
        {"-serial", "file:/var/log/a,b", "file /var/log/a,b"},
        {"-serial", "mon:pipe:/run/a,b", "file /run/a,b"},
        {"-serial", "/dev/a,b", "file /dev/a,b"},
        {"-serial", "stdio", ""},
        {"-serial", "null", ""},
        {"-chardev", "socket,id=c,path=/run/c,server=on", "socket /run/c"},
        {"-chardev", "socket,id=c,host=::1,port=99,server=on", "port 99"},
        {"-chardev", "socket,id=c,host=far,port=99", ""},
        {"-chardev", "file,id=c,path=/tmp/c,logfile=/tmp/l",
         "file /tmp/c, log /tmp/l"},
        {"-netdev",
         "user,id=n,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp::53-:53",
         "port 2222, port 53"},
        {"-netdev", "tap,id=n,ifname=tap0,script=no", "interface tap0"},
        {"-nic", "user,hostfwd=tcp::8080-:80", "port 8080"},
        {"-vnc", "unix:/run/v", "socket /run/v"},
        {"-vnc", "127.0.0.1:5,password=on", "port 5"},
        {"-vnc", "none", ""},
        {"-pidfile", "/run/q.pid", "pid-file /run/q.pid"},
        {"-D", "/tmp/q.log", "log /tmp/q.log"},
        {"-object", "memory-backend-file,id=m,mem-path=/dev/shm/m,size=1G",
         "file /dev/shm/m"},
        {"-object", "memory-backend-memfd,id=m,size=1G", ""},
        {"-drive", "file=/a.qcow2", ""},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_owned_text(resources_of(cases[i].option, cases[i].value),
                          cases[i].expected);
    }
}

static void a_value_is_replaced_where_it_is_named(void **state)
{
    assert_owned_text(
        qemu_command_replace("unix:/run/q,server=on", "/run/q", "/tmp/a,b"),
        "unix:/tmp/a,,b,server=on");
    assert_owned_text(
        qemu_command_replace("file=/a,,b,if=virtio", "/a,b", "/c"),
        "file=/c,if=virtio");
    assert_owned_text(qemu_command_replace("/run/q.pid", "/run/q.pid", "/a,b"),
                      "/a,b");
    assert_owned_text(
        qemu_command_replace("user,hostfwd=tcp::2222-:22", "2222", "2223"),
        "user,hostfwd=tcp::2223-:22");
    assert_owned_text(
        qemu_command_replace("{\"filename\": \"/a,b\"}", "/a,b", "/c"),
        "{\"filename\": \"/c\"}");
}

/* QEMU takes all that follows for the path. */
static void the_path_of_a_short_form_has_its_commas_as_they_are(void **state)
{
    assert_owned_text(qemu_command_replace("file:/a,b", "/a,b", "/c,d"),
                      "file:/c,d");
    assert_owned_text(qemu_command_replace("mon:file:s.log", "s.log", "/c,d"),
                      "mon:file:/c,d");
    assert_owned_text(qemu_command_replace("pipe:/dev/p", "/dev/p", "/c,d"),
                      "pipe:/c,d");
    assert_owned_text(qemu_command_replace("mon:unix:/s", "/s", "/c,d"),
                      "mon:unix:/c,,d");
}

static void a_forwarded_port_is_the_hosts(void **state)
{
    assert_owned_text(qemu_command_replace("user,id=53,hostfwd=tcp::54-:53,"
                                           "hostfwd=udp::53-:53",
                                           "53", "1053"),
                      "user,id=53,hostfwd=tcp::54-:53,hostfwd=udp::1053-:53");
}

static void what_is_called_the_same_stays(void **state)
{
    assert_owned_text(
        qemu_command_replace("socket,id=q,path=q,server=on", "q", "/tmp/a,b"),
        "socket,id=q,path=/tmp/a,,b,server=on");
    assert_owned_text(qemu_command_replace("file,id=l,path=file", "file", "/f"),
                      "file,id=l,path=/f");
    assert_owned_text(qemu_command_replace("tap,id=t,ifname=t", "t", "u"),
                      "tap,id=t,ifname=u");
    assert_owned_text(qemu_command_replace("{\"id\": \"a\\\"b\", "
                                           "\"mem-path\": \"a\\\"b\"}",
                                           "a\"b", "c\"d"),
                      "{\"id\": \"a\\\"b\", \"mem-path\": \"c\\\"d\"}");
}

static void a_part_of_something_longer_is_not_replaced(void **state)
{
    assert_owned_text(
        qemu_command_replace("file=/a/disk,x=/disk", "/disk", "/c"),
        "file=/a/disk,x=/c");
    assert_owned_text(
        qemu_command_replace("path=/run/q.sock2", "/run/q.sock", "/c"), NULL);
    assert_owned_text(qemu_command_replace("path=/run/q-1", "/run/q", "/c"),
                      NULL);
    assert_owned_text(
        qemu_command_replace("hostfwd=tcp::22222-:22", "2222", "1"), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_told_from_their_values),
        cmocka_unit_test(the_file_of_a_disk_is_found_in_every_form),
        cmocka_unit_test(what_two_machines_cannot_share_is_found),
        cmocka_unit_test(a_value_is_replaced_where_it_is_named),
        cmocka_unit_test(the_path_of_a_short_form_has_its_commas_as_they_are),
        cmocka_unit_test(a_forwarded_port_is_the_hosts),
        cmocka_unit_test(what_is_called_the_same_stays),
        cmocka_unit_test(a_part_of_something_longer_is_not_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
