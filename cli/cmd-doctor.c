/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/commands.h"
#include "host/doctor.h"
#include "host/qemu-args.h"
#include "util/text.h"

static json_t *finding_to_json(const DoctorFinding *finding)
{
    json_t *json = json_pack("{s:s, s:s, s:o}", "name", finding->name, "status",
                             doctor_status_name(finding->status), "text",
                             text_to_json(finding->text));

    if (finding->advice) {
        json_object_set_new(json, "advice", text_to_json(finding->advice));
    }
    return json;
}

static int print_json(const GPtrArray *findings)
{
    json_t *list = json_array();

    for (guint i = 0; i < findings->len; i++) {
        json_array_append_new(list, finding_to_json(findings->pdata[i]));
    }
    return command_print_json(list);
}

static int print_text(const GPtrArray *findings)
{
    for (guint i = 0; i < findings->len; i++) {
        const DoctorFinding *finding = findings->pdata[i];

        command_print("%-8s %-20s %s", doctor_status_name(finding->status),
                      finding->name, finding->text);
        if (finding->advice) {
            command_print("%-8s %-20s -> %s", "", "", finding->advice);
        }
    }
    return command_flush();
}

static bool has_failed(const GPtrArray *findings)
{
    for (guint i = 0; i < findings->len; i++) {
        const DoctorFinding *finding = findings->pdata[i];

        if (finding->status == DOCTOR_FAILED) {
            return true;
        }
    }
    return false;
}

static int cmd_doctor_run(int argc, char **argv)
{
    g_autofree char *qemu = NULL;
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        {"qemu", 0, 0, G_OPTION_ARG_FILENAME, &qemu,
         "The QEMU to check (default: qemu-system-x86_64)", "PROGRAM"},
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    int status;

    if (!command_parse(&cmd_doctor, entries, 0, 0, &argc, &argv, &status)) {
        return status;
    }
    g_autofree char *plugin = qemu_args_find_plugin(NULL);
    g_autoptr(GPtrArray) findings =
        doctor_examine("", qemu ? qemu : "qemu-system-x86_64", plugin);
    status = json ? print_json(findings) : print_text(findings);
    return status == STATUS_OK && has_failed(findings) ? STATUS_FAILED : status;
}

const Command cmd_doctor = {
    .name = "doctor",
    .synopsis = "",
    .summary = "Check what this host can do for preheat",
    .run = cmd_doctor_run,
};
