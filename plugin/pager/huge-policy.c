/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source: Linux, Documentation/admin-guide/mm/transhuge.rst and ksm.rst.
 */
#include "plugin/pager/huge-policy.h"

#include <string.h>
#include <sys/prctl.h>

/* NULL: there is no such setting; for g_free(). */
static char *read_setting(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? g_strchomp(text)
                                                        : NULL;
}

static uint64_t read_number(const char *folder, const char *name)
{
    g_autofree char *text = read_setting(folder, name);

    return text ? g_ascii_strtoull(text, NULL, 10) : 0;
}

/* The chosen one of "always [madvise] never"; NULL: there is no such setting;
 * for g_free(). */
static char *read_chosen(const char *folder, const char *name)
{
    g_autofree char *text = read_setting(folder, name);
    const char *from = text ? strchr(text, '[') : NULL;
    const char *to = from ? strchr(from, ']') : NULL;

    return to ? g_strndup(from + 1, (gsize)(to - from - 1)) : NULL;
}

/* The setting for huge pages of that size, or where there is none or it says
 * so, the one for all sizes. */
static char *read_for_size(const char *folder, uint64_t huge_bytes,
                           const char *name)
{
    g_autofree char *of_size = g_strdup_printf(
        "transparent_hugepage/hugepages-%" G_GUINT64_FORMAT "kB/%s",
        huge_bytes >> 10, name);
    g_autofree char *of_all = g_strdup_printf("transparent_hugepage/%s", name);
    char *chosen = read_chosen(folder, of_size);

    if (chosen && strcmp(chosen, "inherit") != 0) {
        return chosen;
    }
    g_free(chosen);
    return read_chosen(folder, of_all);
}

static HugeChoice choice_of(const char *word)
{
    static const char *const always[] = {"always", "within_size", "force",
                                         NULL};
    static const char *const advised[] = {"madvise", "advise", NULL};

    return !word                            ? HUGE_NEVER
           : g_strv_contains(always, word)  ? HUGE_ALWAYS
           : g_strv_contains(advised, word) ? HUGE_ADVISED
                                            : HUGE_NEVER;
}

bool huge_policy_read(const char *folder, HugePolicy *ret_policy)
{
    HugePolicy policy = {
        .huge_bytes =
            read_number(folder, "transparent_hugepage/hpage_pmd_size"),
        .merges = read_number(folder, "ksm/run") == 1,
    };

    if (policy.huge_bytes == 0 || prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) != 0) {
        return false;
    }
    g_autofree char *anonymous =
        read_for_size(folder, policy.huge_bytes, "enabled");
    g_autofree char *shared =
        read_for_size(folder, policy.huge_bytes, "shmem_enabled");
    g_autofree char *files =
        read_chosen(folder, "transparent_hugepage/shmem_enabled");
    policy.anonymous = choice_of(anonymous);
    policy.shared = choice_of(shared);
    policy.forces_files = g_strcmp0(files, "force") == 0;
    policy.denies_files = g_strcmp0(files, "deny") == 0;
    *ret_policy = policy;
    return true;
}

static bool has_word(const char *text, const char *separators, const char *word)
{
    g_auto(GStrv) words = g_strsplit_set(text, separators, 0);

    return g_strv_contains((const char *const *)words, word);
}

static HugeChoice choice_of_mount(const HugePolicy *policy, const char *options)
{
    if (policy->forces_files || policy->denies_files) {
        return policy->forces_files ? HUGE_ALWAYS : HUGE_NEVER;
    }
    return has_word(options, ",", "huge=always") ||
                   has_word(options, ",", "huge=within_size")
               ? HUGE_ALWAYS
           : has_word(options, ",", "huge=advise") ? HUGE_ADVISED
                                                   : HUGE_NEVER;
}

bool huge_policy_allows(const HugePolicy *policy, RamKind kind,
                        const char *flags, const char *mount_options)
{
    HugeChoice choice = kind == RAM_ANONYMOUS ? policy->anonymous
                        : !mount_options
                            ? policy->shared
                            : choice_of_mount(policy, mount_options);

    /* nh: asked for none; lo: locked; ht: hugetlb; mg: offered to KSM, as
     * QEMU does with all of its RAM. */
    if (has_word(flags, " ", "nh") || has_word(flags, " ", "lo") ||
        has_word(flags, " ", "ht") ||
        (policy->merges && has_word(flags, " ", "mg"))) {
        return false;
    }
    return choice == HUGE_ALWAYS ||
           (choice == HUGE_ADVISED && has_word(flags, " ", "hg"));
}
