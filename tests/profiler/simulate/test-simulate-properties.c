/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What holds of every load, on random traces.
 */
#include "tests/profiler/simulate/simulations.h"

/* A guest of 64 MiB that touches bursts of neighbours, with pauses. */
static PageOrder *random_trace(GRand *rand, size_t n_bursts)
{
    uint64_t n_pages = 16384;
    PageOrder *trace = new_order(n_pages);
    uint64_t time_us = 0;

    for (size_t i = 0; i < n_bursts; i++) {
        PageExtent extent = {
            .span = {0, (uint64_t)g_rand_int_range(rand, 0, 16000),
                     (uint64_t)g_rand_int_range(rand, 1, 40)},
            .time_us = time_us,
        };

        page_order_append(trace, &extent);
        time_us += (uint64_t)g_rand_int_range(rand, 50, 4000);
    }
    return trace;
}

static SimulateParams disk_params(uint64_t bandwidth_bytes_s,
                                  uint64_t latency_ns)
{
    SimulateParams params;

    simulate_params_init(&params);
    params.storage = (StorageSpec){bandwidth_bytes_s, latency_ns, 4};
    return params;
}

/* Only where every page is read for itself, or before the guest runs, is it
 * strictly so that a faster storage is never slower: what an eager thread reads
 * may come to end just before a touch instead of just after it. */
static uint64_t tolerance_ns(int policy, uint64_t time_ns)
{
    bool is_eager =
        policy == LOAD_POLICY_ORDER || policy == LOAD_POLICY_SEQUENTIAL;

    return is_eager ? time_ns / 50 : 0;
}

static void test_more_bandwidth_is_never_slower(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    for (int round = 0; round < 20; round++) {
        g_autoptr(PageOrder) trace = random_trace(rand, 300);

        for (int policy = 0; policy < N_LOAD_POLICIES; policy++) {
            uint64_t last_ns = UINT64_MAX / 2;

            for (uint64_t mib = 8; mib <= 2048; mib *= 2) {
                SimulateParams params = disk_params(mib << 20, MS / 4);
                SimulateResult result =
                    run(trace, trace, &params, (LoadPolicy)policy);

                assert_true(result.working_set_ns <=
                            last_ns + tolerance_ns(policy, last_ns));
                last_ns = result.working_set_ns;
            }
        }
    }
}

/* With pieces of one size: where reads take longer than the time for which a
 * fault keeps the pieces small, they are large while the guest waits. */
static void test_less_latency_is_never_slower(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);

    for (int round = 0; round < 20; round++) {
        g_autoptr(PageOrder) trace = random_trace(rand, 300);

        for (int policy = 0; policy < N_LOAD_POLICIES; policy++) {
            uint64_t last_ns = 0;

            for (uint64_t us = 20; us <= 10000; us *= 2) {
                SimulateParams params = disk_params(400 << 20, us * 1000);
                params.piece_bytes = params.busy_piece_bytes;
                SimulateResult result =
                    run(trace, trace, &params, (LoadPolicy)policy);

                assert_true(result.working_set_ns >=
                            last_ns - tolerance_ns(policy, last_ns));
                last_ns = result.working_set_ns;
            }
        }
    }
}

static void test_own_order_never_faults_more_than_demand(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);

    for (int round = 0; round < 50; round++) {
        g_autoptr(PageOrder) trace = random_trace(rand, 200);
        SimulateParams params = disk_params(100 << 20, MS);
        SimulateResult order = run(trace, trace, &params, LOAD_POLICY_ORDER);
        SimulateResult demand = run(trace, trace, &params, LOAD_POLICY_DEMAND);

        assert_true(order.demand_faults <= demand.demand_faults);
        assert_int_equal(order.compute_ns, demand.compute_ns);
        assert_int_equal(order.working_set_ns,
                         order.compute_ns + order.blocked_ns);
    }
}

static void test_same_input_gives_the_same_result(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(4);
    g_autoptr(PageOrder) trace = random_trace(rand, 500);
    SimulateParams params = disk_params(100 << 20, MS);
    SimulateResult first = run(trace, trace, &params, LOAD_POLICY_ORDER);
    SimulateResult second = run(trace, trace, &params, LOAD_POLICY_ORDER);

    assert_memory_equal(&first, &second, sizeof(first));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_more_bandwidth_is_never_slower),
        cmocka_unit_test(test_less_latency_is_never_slower),
        cmocka_unit_test(test_own_order_never_faults_more_than_demand),
        cmocka_unit_test(test_same_input_gives_the_same_result),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
