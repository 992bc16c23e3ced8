/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/doctor.h"

const char *doctor_status_name(DoctorStatus status)
{
    static const char *const names[] = {
        [DOCTOR_OK] = "ok",
        [DOCTOR_NOTE] = "note",
        [DOCTOR_LIMITED] = "limited",
        [DOCTOR_FAILED] = "failed",
    };

    return names[status];
}

static void free_finding(gpointer data)
{
    DoctorFinding *finding = data;

    g_free(finding->text);
    g_free(finding->advice);
    g_free(finding);
}

GPtrArray *doctor_findings_new(void)
{
    return g_ptr_array_new_with_free_func(free_finding);
}

void doctor_add(GPtrArray *findings, const char *name, DoctorStatus status,
                char *text, char *advice)
{
    DoctorFinding *finding = g_new0(DoctorFinding, 1);

    finding->name = name;
    finding->status = status;
    finding->text = text;
    finding->advice = advice;
    g_ptr_array_add(findings, finding);
}

char *doctor_read(const char *root, const char *path)
{
    g_autofree char *full = g_strconcat(root, path, NULL);
    char *text;

    return g_file_get_contents(full, &text, NULL, NULL) ? g_strchomp(text)
                                                        : NULL;
}

GPtrArray *doctor_examine(const char *root, const char *qemu,
                          const char *plugin)
{
    GPtrArray *findings = doctor_findings_new();

    doctor_examine_kernel(findings, root);
    doctor_examine_qemu(findings, qemu, plugin);
    doctor_examine_libvirt(findings, root);
    return findings;
}
