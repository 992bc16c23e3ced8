/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/simulate/storage-model.h"

#include <math.h>
#include <string.h>

#define NS_PER_S 1000000000.0

/* Beyond these a simulated time in nanoseconds could overflow. */
#define MAX_TIME_S        3600.0
#define MIN_BANDWIDTH     65536.0
#define MAX_BANDWIDTH     1e15
#define MAX_REQUEST_BYTES (UINT64_C(1) << 33)

typedef struct Unit {
    const char *suffix;
    double factor;
} Unit;

static const Unit size_units[] = {
    {"", 1},         {"K", 0x1p10},   {"M", 0x1p20},   {"G", 0x1p30},
    {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {NULL, 0},
};

static const Unit time_units[] = {
    {"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {NULL, 0},
};

static bool parse_quantity(const char *text, const Unit *units,
                           double *ret_value)
{
    char *end = NULL;
    double value = g_ascii_strtod(text, &end);

    if (end == text || !isfinite(value) || value < 0) {
        return false;
    }
    for (size_t i = 0; units[i].suffix; i++) {
        if (g_str_equal(end, units[i].suffix)) {
            *ret_value = value * units[i].factor;
            return true;
        }
    }
    return false;
}

bool storage_time_parse(const char *name, const char *text, uint64_t *ret_ns,
                        GError **error)
{
    double seconds = 0;

    if (!parse_quantity(text, time_units, &seconds) || seconds > MAX_TIME_S) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "%s: \"%s\" is not a time up to an hour; write a number "
                    "with its unit, as in 150us, 1.5ms or 2s",
                    name, text);
        return false;
    }
    *ret_ns = (uint64_t)llround(seconds * NS_PER_S);
    return true;
}

static bool parse_bandwidth(const char *value, StorageSpec *spec,
                            GError **error)
{
    double bandwidth = 0;

    if (!parse_quantity(value, size_units, &bandwidth) ||
        bandwidth < MIN_BANDWIDTH || bandwidth > MAX_BANDWIDTH) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "bandwidth: \"%s\" is not a number of bytes a second "
                    "from 64K; write it as in 400M or 1.5G",
                    value);
        return false;
    }
    spec->bandwidth_bytes_s = (uint64_t)bandwidth;
    return true;
}

static bool parse_latency(const char *value, StorageSpec *spec, GError **error)
{
    return storage_time_parse("latency", value, &spec->latency_ns, error);
}

static bool parse_queue(const char *value, StorageSpec *spec, GError **error)
{
    guint64 queue = 0;

    if (!g_ascii_string_to_unsigned(value, 10, 1, STORAGE_MAX_QUEUE, &queue,
                                    NULL)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "queue: \"%s\" is not a number of requests from 1 to %d",
                    value, STORAGE_MAX_QUEUE);
        return false;
    }
    spec->queue = queue;
    return true;
}

static const struct {
    const char *key;
    bool (*parse)(const char *value, StorageSpec *spec, GError **error);
} spec_keys[] = {
    {"bandwidth", parse_bandwidth},
    {"latency", parse_latency},
    {"queue", parse_queue},
};

static bool parse_pair(const char *pair, StorageSpec *spec, GError **error)
{
    const char *equals = strchr(pair, '=');

    for (size_t i = 0; equals && i < G_N_ELEMENTS(spec_keys); i++) {
        size_t len_key = strlen(spec_keys[i].key);

        if ((size_t)(equals - pair) == len_key &&
            strncmp(pair, spec_keys[i].key, len_key) == 0) {
            return spec_keys[i].parse(equals + 1, spec, error);
        }
    }
    g_set_error(
        error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
        "storage: \"%s\" is not bandwidth=RATE, latency=TIME or queue=N", pair);
    return false;
}

bool storage_spec_parse(const char *text, StorageSpec *ret_spec, GError **error)
{
    StorageSpec spec = {.queue = 1};
    g_auto(GStrv) pairs = g_strsplit(text, ",", -1);

    for (size_t i = 0; pairs[i]; i++) {
        if (!parse_pair(pairs[i], &spec, error)) {
            return false;
        }
    }
    if (spec.bandwidth_bytes_s == 0) {
        g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                            "storage: the bandwidth is missing; write it as in "
                            "bandwidth=400M,latency=1ms,queue=8");
        return false;
    }
    *ret_spec = spec;
    return true;
}

void storage_model_init(StorageModel *model, const StorageSpec *spec)
{
    *model = (StorageModel){.spec = *spec};
}

uint64_t storage_model_slot(StorageModel *model, uint64_t now_ns)
{
    uint64_t first_end_ns = UINT64_MAX;
    size_t kept = 0;

    for (size_t i = 0; i < model->n; i++) {
        if (model->end_ns[i] > now_ns) {
            first_end_ns = MIN(first_end_ns, model->end_ns[i]);
            model->end_ns[kept++] = model->end_ns[i];
        }
    }
    model->n = kept;
    return model->n < model->spec.queue ? now_ns : first_end_ns;
}

static uint64_t transfer_ns(const StorageModel *model, uint64_t len_bytes)
{
    return (uint64_t)((double)len_bytes * NS_PER_S /
                      (double)model->spec.bandwidth_bytes_s);
}

uint64_t storage_model_read(StorageModel *model, uint64_t now_ns,
                            uint64_t len_bytes, bool is_urgent)
{
    uint64_t begin_ns = storage_model_slot(model, now_ns);
    uint64_t ready_ns = begin_ns + model->spec.latency_ns;
    uint64_t len_ns = transfer_ns(model, len_bytes);
    uint64_t end_ns = MAX(ready_ns, model->transfer_free_ns) + len_ns;

    g_assert(len_bytes <= MAX_REQUEST_BYTES);
    model->transfer_free_ns = end_ns;
    if (is_urgent) {
        end_ns = ready_ns + len_ns;
    }
    storage_model_slot(model, begin_ns);
    model->end_ns[model->n++] = end_ns;
    model->bytes_read += len_bytes;
    return end_ns;
}
