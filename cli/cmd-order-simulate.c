/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/image-choice.h"
#include "cli/order-set.h"
#include "formats/ram-image.h"
#include "profiler/plot/plot-stats.h"
#include "profiler/simulate/simulate.h"
#include "util/error.h"
#include "util/units.h"

#define NS_PER_US 1000
#define NS_PER_MS 1e6

typedef struct SimulateOptions {
    char *trace_path;
    char *storage;
    ImageChoice image;
    char **policies;
    char *fault;
    char *trace_fault;
    char *trace_stats_path;
    char *head_start;
    gboolean force;
    gboolean json;
} SimulateOptions;

/* What is simulated; params.storage and the policies come from options. */
typedef struct Task {
    GPtrArray *orders;  /* the order, and the trace */
    RamImage *snapshot; /* or NULL */
    SimulateParams params;
    size_t n_policies;
    LoadPolicy policies[N_LOAD_POLICIES];
    SimulateResult results[N_LOAD_POLICIES];
} Task;

static void task_clear(Task *task)
{
    g_clear_pointer(&task->orders, g_ptr_array_unref);
    ram_image_free(task->snapshot);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Task, task_clear)

static void options_clear(SimulateOptions *options)
{
    g_free(options->trace_path);
    g_free(options->storage);
    image_choice_clear(&options->image);
    g_strfreev(options->policies);
    g_free(options->fault);
    g_free(options->trace_fault);
    g_free(options->trace_stats_path);
    g_free(options->head_start);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SimulateOptions, options_clear)

static bool parse_time(const char *name, const char *text, uint64_t *time_ns,
                       GError **error)
{
    return !text || storage_time_parse(name, text, time_ns, error);
}

/* The cost of a fault while the trace was recorded: as given, as the
 * recording's statistics tell, or what a fault costs anyway. */
static bool parse_trace_fault(const SimulateOptions *options,
                              SimulateParams *params, GError **error)
{
    g_autoptr(PlotStats) stats = NULL;

    params->trace_fault_ns = params->fault_ns;
    if (options->trace_stats_path) {
        stats = plot_stats_load(options->trace_stats_path, error);
        if (!stats) {
            return false;
        }
        params->trace_fault_ns =
            (uint64_t)(plot_stats_mean_fault_us(stats) * 1000);
    }
    return parse_time("--trace-fault", options->trace_fault,
                      &params->trace_fault_ns, error);
}

static bool parse_policies(char **names, Task *task, GError **error)
{
    static const LoadPolicy usual[] = {
        LOAD_POLICY_ORDER, LOAD_POLICY_SEQUENTIAL, LOAD_POLICY_DEMAND};
    bool seen[N_LOAD_POLICIES] = {false};

    for (size_t i = 0; !names && i < G_N_ELEMENTS(usual); i++) {
        task->policies[task->n_policies++] = usual[i];
    }
    for (size_t i = 0; names && names[i]; i++) {
        LoadPolicy policy;

        if (!load_policy_from_name(names[i], &policy)) {
            g_set_error(
                error, UTIL_ERROR, UTIL_ERROR_USAGE,
                "--policy: \"%s\" is not order, sequential, demand or full",
                names[i]);
            return false;
        }
        if (!seen[policy]) {
            seen[policy] = true;
            task->policies[task->n_policies++] = policy;
        }
    }
    return true;
}

static bool parse_options(const SimulateOptions *options, Task *task,
                          GError **error)
{
    SimulateParams *params = &task->params;

    simulate_params_init(params);
    return storage_spec_parse(options->storage, &params->storage, error) &&
           parse_time("--fault", options->fault, &params->fault_ns, error) &&
           parse_time("--head-start", options->head_start,
                      &params->head_start_ns, error) &&
           parse_trace_fault(options, params, error) &&
           parse_policies(options->policies, task, error);
}

static bool load_inputs(const char *path, const SimulateOptions *options,
                        Task *task, GError **error)
{
    char *paths[] = {(char *)path, options->trace_path};

    task->orders = order_set_load(paths, 2, options->force, error);
    if (!task->orders) {
        return false;
    }
    if (!image_choice_open(&options->image, &task->snapshot, error)) {
        return false;
    }
    if (!task->snapshot) {
        command_warn("without --snapshot every page of the trace's blocks "
                     "counts as in the file");
    }
    return true;
}

static bool simulate(const char *path, const SimulateOptions *options,
                     Task *task, GError **error)
{
    if (!parse_options(options, task, error) ||
        !load_inputs(path, options, task, error)) {
        return false;
    }
    for (size_t i = 0; i < task->n_policies; i++) {
        if (!simulate_load(task->orders->pdata[0], task->orders->pdata[1],
                           task->snapshot, &task->params, task->policies[i],
                           &task->results[i], error)) {
            return false;
        }
    }
    return true;
}

/* "1.234 s", right-aligned; "-" if it never happens. */
static void print_time(uint64_t time_ns)
{
    if (time_ns == SIMULATE_NEVER) {
        printf(" %12s", "-");
    } else {
        printf(" %10.3f s", (double)time_ns / 1e9);
    }
}

static void print_size(uint64_t bytes)
{
    g_autofree char *size = units_format_size(bytes);

    printf(" %12s", size);
}

static void print_row(LoadPolicy policy, const SimulateResult *result)
{
    printf("%-11s", load_policy_name(policy));
    print_time(result->working_set_ns);
    printf(" %10" PRIu64, result->demand_faults);
    print_time(result->blocked_ns);
    print_time(result->max_blocked_ns);
    print_size(result->working_set_bytes_read);
    print_time(result->order_done_ns);
    print_time(result->loaded_ns);
    printf("\n");
}

static int print_table(const Task *task)
{
    const StorageSpec *storage = &task->params.storage;
    const SimulateResult *first = &task->results[0];
    g_autofree char *bandwidth = units_format_size(storage->bandwidth_bytes_s);

    printf("storage  %s/s, %g ms a request, %zu at once\n", bandwidth,
           (double)storage->latency_ns / NS_PER_MS, storage->queue);
    printf("trace    %" PRIu64 " touches, %.3f s without its faults\n\n",
           first->touches, (double)first->compute_ns / 1e9);
    printf("%-11s %12s %10s %12s %12s %12s %12s %12s\n", "policy",
           "working set", "faults", "blocked", "longest", "read",
           "order loaded", "all loaded");
    for (size_t i = 0; i < task->n_policies; i++) {
        print_row(task->policies[i], &task->results[i]);
    }
    return command_flush();
}

static json_t *time_to_json(uint64_t time_ns)
{
    return time_ns == SIMULATE_NEVER
               ? json_null()
               : json_integer((json_int_t)(time_ns / NS_PER_US));
}

static json_t *result_to_json(LoadPolicy policy, const SimulateResult *result)
{
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:o, s:o}",
                     "policy", load_policy_name(policy), "demand-faults",
                     (json_int_t)result->demand_faults, "zero-on-fault",
                     (json_int_t)result->zero_faults, "blocktime-us",
                     time_to_json(result->blocked_ns), "longest-fault-us",
                     time_to_json(result->max_blocked_ns), "working-set-us",
                     time_to_json(result->working_set_ns),
                     "working-set-bytes-read",
                     (json_int_t)result->working_set_bytes_read, "bytes-read",
                     (json_int_t)result->bytes_read, "order-done-us",
                     time_to_json(result->order_done_ns), "loaded-us",
                     time_to_json(result->loaded_ns));
}

static int print_json(const Task *task)
{
    json_t *policies = json_array();

    for (size_t i = 0; i < task->n_policies; i++) {
        json_array_append_new(
            policies, result_to_json(task->policies[i], &task->results[i]));
    }
    return command_print_json(json_pack(
        "{s:I, s:o, s:o}", "touches", (json_int_t)task->results[0].touches,
        "compute-us", time_to_json(task->results[0].compute_ns), "policies",
        policies));
}

static int cmd_order_simulate_run(int argc, char **argv)
{
    g_auto(SimulateOptions) options = {0};
    g_auto(Task) task = {0};
    const GOptionEntry entries[] = {
        {"trace", 0, 0, G_OPTION_ARG_FILENAME, &options.trace_path,
         "The order of first touches to replay, as recorded", "FILE"},
        {"storage", 0, 0, G_OPTION_ARG_STRING, &options.storage,
         "bandwidth=RATE[,latency=TIME][,queue=N]", "MODEL"},
        IMAGE_CHOICE_OPTIONS(&options.image,
                             "The snapshot, which says which pages are stored"),
        {"policy", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.policies,
         "order, sequential, demand or full; may be repeated", "NAME"},
        {"fault", 0, 0, G_OPTION_ARG_STRING, &options.fault,
         "Cost of a fault, not counting the read (default: 20us)", "TIME"},
        {"trace-fault", 0, 0, G_OPTION_ARG_STRING, &options.trace_fault,
         "Cost of a fault while the trace was recorded", "TIME"},
        {"trace-stats", 0, 0, G_OPTION_ARG_FILENAME, &options.trace_stats_path,
         "Take that cost from the statistics of the recording load", "FILE"},
        {"head-start", 0, 0, G_OPTION_ARG_STRING, &options.head_start,
         "How long prefetching runs before the guest (default: 0s)", "TIME"},
        {"force", 'f', 0, G_OPTION_ARG_NONE, &options.force,
         "Accept an order and a trace of different snapshots", NULL},
        COMMAND_JSON_OPTION(&options.json),
        {NULL},
    };
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_order_simulate, entries, 1, 1, &argc, &argv,
                       &status)) {
        return status;
    }
    if (!options.trace_path || !options.storage) {
        return command_usage_error("simulate needs --trace and --storage");
    }
    if (!simulate(argv[1], &options, &task, &error)) {
        return command_fail(error);
    }
    return options.json ? print_json(&task) : print_table(&task);
}

const Command cmd_order_simulate = {
    .name = "simulate",
    .synopsis = "FILE --trace FILE --storage MODEL",
    .summary = "Predict how a load with an order performs",
    .run = cmd_order_simulate_run,
};
