/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/units.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "util/error.h"

static const char suffixes[] = "KMGT";

/* The power of 1024 that suffix stands for, or -1. */
static int suffix_power(const char *suffix)
{
    const char *known;

    if (g_ascii_strcasecmp(suffix, "") == 0 ||
        g_ascii_strcasecmp(suffix, "B") == 0) {
        return 0;
    }
    known = strchr(suffixes, g_ascii_toupper(suffix[0]));
    if (!known || (suffix[1] && g_ascii_strcasecmp(suffix + 1, "B") != 0 &&
                   g_ascii_strcasecmp(suffix + 1, "iB") != 0)) {
        return -1;
    }
    return (int)(known - suffixes) + 1;
}

bool units_parse_size(const char *text, uint64_t *ret_bytes, GError **error)
{
    char *end;
    uint64_t number;
    int power;

    errno = 0;
    number = g_ascii_strtoull(text, &end, 10);
    power = suffix_power(end);
    if (!g_ascii_isdigit(text[0]) || power < 0) {
        g_set_error(
            error, UTIL_ERROR, UTIL_ERROR_USAGE,
            "\"%s\" is not a size; write bytes, or a number with K, M, G or T",
            text);
        return false;
    }
    if (errno == ERANGE || number > UINT64_MAX >> (10 * power)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "\"%s\" is too large for a size", text);
        return false;
    }
    *ret_bytes = number << (10 * power);
    return true;
}

bool units_parse_time(const char *text, uint64_t *ret_us, GError **error)
{
    static const struct {
        const char *name;
        double us;
    } units[] = {{"s", 1e6}, {"ms", 1e3}, {"us", 1}};
    char *end;
    double number = g_ascii_strtod(text, &end);

    for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
        /* The comparison is false for what is not a number, too. */
        if (g_ascii_isdigit(text[0]) && strcmp(end, units[i].name) == 0 &&
            number * units[i].us < 0x1p63) {
            *ret_us = (uint64_t)(number * units[i].us + 0.5);
            return true;
        }
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                "\"%s\" is not a time; write a number with s, ms or us", text);
    return false;
}

char *units_format_size(uint64_t bytes)
{
    int power = 0;
    uint64_t unit = 1;

    while (power < 4 && bytes / unit >= 1024) {
        unit *= 1024;
        power++;
    }
    if (power == 0) {
        return g_strdup_printf("%" PRIu64 " bytes", bytes);
    }
    if (bytes % unit == 0) {
        return g_strdup_printf("%" PRIu64 " %ciB", bytes / unit,
                               suffixes[power - 1]);
    }
    return g_strdup_printf("%.1f %ciB", (double)bytes / (double)unit,
                           suffixes[power - 1]);
}

/* The largest power of 1024 by which bytes, not 0, can be divided. */
static int exact_power(uint64_t bytes)
{
    int power = 0;

    while (power < 4 && bytes % 1024 == 0) {
        bytes /= 1024;
        power++;
    }
    return power;
}

char *units_format_exact(uint64_t bytes)
{
    if (bytes == 0) {
        return g_strdup("0");
    }
    const int power = exact_power(bytes);
    if (power == 0) {
        return g_strdup_printf("%" PRIu64 " bytes", bytes);
    }
    return g_strdup_printf("%" PRIu64 " %ciB", bytes >> (10 * power),
                           suffixes[power - 1]);
}

char *units_format_option(uint64_t bytes)
{
    const int power = bytes > 0 ? exact_power(bytes) : 0;

    if (power == 0) {
        return g_strdup_printf("%" PRIu64, bytes);
    }
    return g_strdup_printf("%" PRIu64 "%c", bytes >> (10 * power),
                           suffixes[power - 1]);
}
