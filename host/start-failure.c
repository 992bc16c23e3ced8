/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/start-failure.h"

#include "host/doctor.h"
#include "host/host-resource.h"

/* A wrapper may do anything when it is started a second time. */
static bool is_qemu(const char *program)
{
    g_autofree char *name = g_path_get_basename(program);

    return g_str_has_prefix(name, "qemu-system-");
}

/* What is wrong with the plugin in this QEMU; NULL: nothing. */
static char *try_plugin(const char *program, const char *plugin)
{
    g_autoptr(GPtrArray) findings = doctor_findings_new();
    const DoctorFinding *last;

    doctor_examine_qemu(findings, program, plugin);
    last = findings->pdata[findings->len - 1];
    return last->status == DOCTOR_FAILED
               ? g_strdup_printf("This QEMU does not load the plugin: %s",
                                 last->advice)
               : NULL;
}

char *start_failure_explain(char *const *argv, const char *plugin,
                            bool plugin_answered)
{
    g_autofree char *taken = host_resource_find_taken(argv + 1);

    if (taken) {
        return g_strdup_printf("The %s is taken: end the program that uses it, "
                               "or choose another one",
                               taken);
    }
    if (plugin_answered) {
        return NULL;
    }
    if (is_qemu(argv[0])) {
        return try_plugin(argv[0], plugin);
    }
    return g_strdup("If it refused the plugin: the plugin knows the versions 2 "
                    "(QEMU 9.0 to 10.2) and 7 (QEMU 11.1) of QEMU's plugin "
                    "API; try another one with --plugin-api N");
}
