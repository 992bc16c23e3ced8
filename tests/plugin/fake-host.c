/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loads a plugin as QEMU does:
 *   fake-host PLUGIN [--install [OPTION…]]
 * Prints the plugin's API version; with --install, goes on to call its entry
 * and, if that works, to live until its standard input ends.  Exits with what
 * the entry returned.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The beginning of QEMU's structure. */
struct info {
    const char *target_name;
    struct {
        int min;
        int cur;
    } version;
};

typedef int Install(uint64_t id, const struct info *info, int argc,
                    char **argv);

/* QEMU has had this one since 10.1. */
__attribute__((visibility("default"))) void
qemu_plugin_read_memory_hwaddr(void);

void qemu_plugin_read_memory_hwaddr(void)
{
}

#ifdef FAKE_HOST_IS_NEW
/* By this a plugin can tell QEMU 11.1 from 10.2. */
__attribute__((visibility("default"))) void qemu_plugin_set_pc(void);

void qemu_plugin_set_pc(void)
{
}
#endif

static int install(void *plugin, int argc, char **argv)
{
    const struct info info = {.target_name = "x86_64"};
    Install *entry = (Install *)dlsym(plugin, "qemu_plugin_install");

    if (!entry) {
        fprintf(stderr, "fake-host: no entry: %s\n", dlerror());
        return 99;
    }
    int rc = entry(1, &info, argc, argv);
    while (rc == 0 && getchar() != EOF) {
    }
    return rc;
}

int main(int argc, char **argv)
{
    void *plugin = argc > 1 ? dlopen(argv[1], RTLD_LAZY | RTLD_LOCAL) : NULL;
    const int *version = plugin ? dlsym(plugin, "qemu_plugin_version") : NULL;

    if (!version) {
        fprintf(stderr, "fake-host: no plugin: %s\n", dlerror());
        return 99;
    }
    printf("%d\n", *version);
    fflush(stdout);
    if (argc > 2 && strcmp(argv[2], "--install") == 0) {
        return install(plugin, argc - 3, argv + 3);
    }
    return 0;
}
