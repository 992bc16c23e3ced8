/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/host/fake-plugin.h"

#include "tests/util/support.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "formats/control-protocol.h"

struct FakePlugin {
    int listener;
    FakeAnswer *answer;
    void *opaque;
    GThread *thread;
};

static int listen_as_plugin(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat ns;

    assert_int_equal(stat("/proc/self/ns/pid", &ns), 0);
    int len = snprintf(address.sun_path + 1, sizeof address.sun_path - 1,
                       CONTROL_SOCKET_NAME_FORMAT, (uintmax_t)ns.st_ino,
                       (int)getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                      1 + (size_t)len)),
                     0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* Be the plugin for who connects.  A GThreadFunc. */
static void *serve(void *opaque)
{
    const FakePlugin *plugin = opaque;
    int fd = accept4(plugin->listener, NULL, NULL, SOCK_CLOEXEC);

    if (!plugin->answer) {
        close(fd);
        return NULL;
    }
    json_t *greeting = json_pack("{s:{s:s, s:i}}", "preheat", "version", "1",
                                 "pid", (int)getpid());
    return fake_peer_new(fd, greeting, plugin->answer, plugin->opaque);
}

FakePlugin *fake_plugin_new(FakeAnswer *answer, void *opaque)
{
    FakePlugin *plugin = g_new0(FakePlugin, 1);

    plugin->answer = answer;
    plugin->opaque = opaque;
    plugin->listener = listen_as_plugin();
    plugin->thread = g_thread_new("fake-plugin", serve, plugin);
    return plugin;
}

void fake_plugin_free(FakePlugin *plugin)
{
    FakePeer *peer = g_thread_join(plugin->thread);

    if (peer) {
        fake_peer_free(peer);
    }
    close(plugin->listener);
    g_free(plugin);
}
