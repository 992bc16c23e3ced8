/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The storage here takes a millisecond before a read and a millisecond for
 * each page of it, so that every expected time can be counted on fingers.
 */
#include "tests/profiler/simulate/simulations.h"

#include "formats/error.h"

#define N_PAGES 8

static SimulateParams slow_params(void)
{
    SimulateParams params;

    simulate_params_init(&params);
    params.storage = (StorageSpec){
        .bandwidth_bytes_s = PAGE_BYTES * 1000,
        .latency_ns = MS,
        .queue = 2,
    };
    params.fault_ns = 0;
    params.trace_fault_ns = 0;
    params.piece_bytes = PAGE_BYTES;
    params.busy_piece_bytes = PAGE_BYTES;
    params.read_hole_bytes = 0;
    params.n_eager_threads = 1;
    return params;
}

static void add(PageOrder *order, uint64_t page, uint64_t n_pages,
                uint64_t time_ms)
{
    PageExtent extent = {.span = {0, page, n_pages}, .time_us = time_ms * 1000};

    page_order_append(order, &extent);
}

/* Touches of these pages, ending with -1, one every step_ms. */
static PageOrder *trace_of(const int *pages, uint64_t step_ms)
{
    PageOrder *trace = new_order(N_PAGES);

    for (size_t i = 0; pages[i] >= 0; i++) {
        add(trace, (uint64_t)pages[i], 1, i * step_ms);
    }
    return trace;
}

/* Every page, at once. */
static PageOrder *order_of_all(void)
{
    PageOrder *order = new_order(N_PAGES);

    add(order, 0, N_PAGES, 0);
    return order;
}

static void test_on_demand_each_touch_costs_latency_and_transfer(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = trace_of((int[]){5, 0, 3, -1}, 10);
    SimulateResult result = run(NULL, trace, &params, LOAD_POLICY_DEMAND);

    assert_int_equal(result.touches, 3);
    assert_int_equal(result.demand_faults, 3);
    assert_int_equal(result.blocked_ns, 6 * MS);
    assert_int_equal(result.max_blocked_ns, 2 * MS);
    assert_int_equal(result.compute_ns, 20 * MS);
    assert_int_equal(result.working_set_ns, 26 * MS);
    assert_int_equal(result.bytes_read, 3 * PAGE_BYTES);
    assert_true(result.loaded_ns == SIMULATE_NEVER);
    assert_true(result.order_done_ns == SIMULATE_NEVER);
}

static void test_fault_cost_is_added_to_each_fault(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = trace_of((int[]){5, 0, -1}, 10);
    SimulateResult result;

    params.fault_ns = MS / 2;
    result = run(NULL, trace, &params, LOAD_POLICY_DEMAND);
    assert_int_equal(result.blocked_ns, 5 * MS);
}

static void test_page_touched_again_costs_nothing(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = trace_of((int[]){5, 0, 5, 0, -1}, 10);

    assert_int_equal(
        run(NULL, trace, &params, LOAD_POLICY_DEMAND).demand_faults, 2);
}

static void test_what_the_recording_was_blocked_is_not_computing(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = new_order(N_PAGES);

    add(trace, 0, 1, 4);
    add(trace, 1, 2, 14);
    add(trace, 5, 1, 18);
    params.trace_fault_ns = 3 * MS;
    /* 4 before the first touch, 10 - 3 behind it, 4 - 2 * 3 is none. */
    assert_int_equal(run(NULL, trace, &params, LOAD_POLICY_DEMAND).compute_ns,
                     11 * MS);
}

static void test_sequential_load_is_ahead_of_a_slow_guest(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = trace_of((int[]){0, 1, 2, -1}, 10);
    SimulateResult result = run(NULL, trace, &params, LOAD_POLICY_SEQUENTIAL);

    assert_int_equal(result.demand_faults, 1);
    assert_int_equal(result.working_set_ns, 22 * MS);
    /* Page 1 waits for the transfer of page 0; the others take 2 each. */
    assert_int_equal(result.loaded_ns, 15 * MS);
    assert_int_equal(result.bytes_read, N_PAGES * PAGE_BYTES);
}

static void test_order_brings_far_pages_before_they_are_touched(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = trace_of((int[]){7, 5, 6, -1}, 3);

    params.head_start_ns = 3 * MS;
    assert_int_equal(
        run(trace, trace, &params, LOAD_POLICY_ORDER).demand_faults, 1);
    assert_int_equal(
        run(NULL, trace, &params, LOAD_POLICY_SEQUENTIAL).demand_faults, 3);
    params.head_start_ns = 6 * MS;
    assert_int_equal(
        run(trace, trace, &params, LOAD_POLICY_ORDER).demand_faults, 0);
}

static void test_only_the_order_has_a_head_start(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) order = trace_of((int[]){7, -1}, 0);
    g_autoptr(PageOrder) trace = trace_of((int[]){7, 0, -1}, 0);

    params.head_start_ns = 100 * MS;
    assert_int_equal(
        run(order, trace, &params, LOAD_POLICY_ORDER).demand_faults, 1);
    assert_int_equal(
        run(order, trace, &params, LOAD_POLICY_SEQUENTIAL).demand_faults, 2);
}

static void test_full_load_has_no_faults_and_starts_late(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = trace_of((int[]){7, 5, 6, -1}, 3);
    SimulateResult result;

    params.piece_bytes = N_PAGES * PAGE_BYTES;
    result = run(NULL, trace, &params, LOAD_POLICY_FULL);
    assert_int_equal(result.demand_faults, 0);
    assert_int_equal(result.loaded_ns, 9 * MS);
    assert_int_equal(result.working_set_ns, 15 * MS);
}

static void test_threads_wait_out_the_latency_side_by_side(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = new_order(N_PAGES);

    add(trace, 0, 1, 100);
    assert_int_equal(
        run(NULL, trace, &params, LOAD_POLICY_SEQUENTIAL).loaded_ns, 16 * MS);
    params.n_eager_threads = 2;
    assert_int_equal(
        run(NULL, trace, &params, LOAD_POLICY_SEQUENTIAL).loaded_ns, 9 * MS);
}

static void test_rest_waits_for_the_last_of_the_order(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) order = trace_of((int[]){7, -1}, 0);
    g_autoptr(PageOrder) trace = new_order(N_PAGES);
    SimulateResult result;

    add(trace, 0, 1, 100);
    params.n_eager_threads = 2;
    result = run(order, trace, &params, LOAD_POLICY_ORDER);
    assert_int_equal(result.order_done_ns, 2 * MS);
    /* The first of seven pages takes 2 more, each other one 1. */
    assert_int_equal(result.loaded_ns, 10 * MS);
}

static void test_page_that_is_being_read_is_waited_for(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) order = order_of_all();
    g_autoptr(PageOrder) trace = trace_of((int[]){0, -1}, 0);
    SimulateResult result;

    params.piece_bytes = N_PAGES * PAGE_BYTES;
    params.head_start_ns = MS;
    result = run(order, trace, &params, LOAD_POLICY_ORDER);
    /* The piece comes after 9, of which 1 is before the guest runs. */
    assert_int_equal(result.demand_faults, 1);
    assert_int_equal(result.blocked_ns, 8 * MS);
    assert_int_equal(result.bytes_read, N_PAGES * PAGE_BYTES);
}

static void
test_fault_goes_before_the_eager_threads_in_a_full_queue(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) order = order_of_all();
    g_autoptr(PageOrder) trace = trace_of((int[]){7, -1}, 0);
    SimulateResult result;

    params.storage.queue = 1;
    params.n_eager_threads = 2;
    params.head_start_ns = MS;
    result = run(order, trace, &params, LOAD_POLICY_ORDER);
    assert_int_equal(result.blocked_ns, 3 * MS);
}

static void test_pieces_are_small_while_faults_arrive(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = trace_of((int[]){7, 0, -1}, 2);

    params.piece_bytes = N_PAGES * PAGE_BYTES;
    params.busy_ns = 100 * MS;
    assert_int_equal(
        run(NULL, trace, &params, LOAD_POLICY_SEQUENTIAL).demand_faults, 1);
    params.busy_piece_bytes = params.piece_bytes;
    assert_int_equal(
        run(NULL, trace, &params, LOAD_POLICY_SEQUENTIAL).demand_faults, 2);
}

static void test_miss_moves_the_replay_to_where_the_guest_is(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) order = new_order(N_PAGES);
    g_autoptr(PageOrder) trace = trace_of((int[]){4, 5, -1}, 2);
    SimulateResult result;

    add(order, 0, 4, 0);
    add(order, 4, 4, 10000);
    result = run(order, trace, &params, LOAD_POLICY_ORDER);
    assert_int_equal(result.demand_faults, 1);
    /* What was skipped is read afterwards. */
    assert_int_equal(result.bytes_read, N_PAGES * PAGE_BYTES);
    assert_int_equal(result.order_done_ns, result.loaded_ns);
}

/* Pages 0 and 5 of eight are in the file. */
static RamImage snapshot_with_two_pages(RamImageBlock *block, uint64_t *bitmap)
{
    *bitmap = 1 << 0 | 1 << 5;
    *block = (RamImageBlock){
        .name = (char *)"ram",
        .len_bytes = N_PAGES * PAGE_BYTES,
        .page_bytes = PAGE_BYTES,
        .n_pages = N_PAGES,
        .n_pages_in_file = 2,
        .bitmap = bitmap,
    };
    return (RamImage){
        .path = (char *)"vm.snap", .blocks = block, .n_blocks = 1};
}

static void test_near_pages_of_a_phase_come_with_those_between(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) near = new_order(20);
    g_autoptr(PageOrder) far = new_order(20);
    g_autoptr(PageOrder) trace = new_order(20);

    add(near, 0, 1, 0);
    add(near, 9, 1, 0);
    add(far, 0, 1, 0);
    add(far, 10, 1, 0);
    add(trace, 0, 1, 100);
    params.piece_bytes = 20 * PAGE_BYTES;
    assert_int_equal(run(near, trace, &params, LOAD_POLICY_ORDER).order_done_ns,
                     11 * MS);
    assert_int_equal(run(far, trace, &params, LOAD_POLICY_ORDER).order_done_ns,
                     4 * MS);
}

static void test_page_that_is_there_already_is_read_along(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = trace_of((int[]){3, -1}, 0);

    params.piece_bytes = params.busy_piece_bytes = N_PAGES * PAGE_BYTES;
    assert_int_equal(
        run(NULL, trace, &params, LOAD_POLICY_SEQUENTIAL).bytes_read,
        (1 + N_PAGES) * PAGE_BYTES);
}

/* A sequential load of pages 0 and 5, in one piece but two requests: from 0
 * to 2 and from 2 to 4.  The guest touches page at time_ms. */
static SimulateResult run_two_requests(uint64_t page, uint64_t time_ms)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = new_order(N_PAGES);
    RamImageBlock block;
    uint64_t bitmap;
    RamImage snapshot = snapshot_with_two_pages(&block, &bitmap);
    SimulateResult result;

    add(trace, page, 1, time_ms);
    params.piece_bytes = N_PAGES * PAGE_BYTES;
    assert_true(simulate_load(NULL, trace, &snapshot, &params,
                              LOAD_POLICY_SEQUENTIAL, &result, NULL));
    return result;
}

static void test_page_of_a_later_request_is_read_at_once(void **state)
{
    SimulateResult result = run_two_requests(5, 1);

    assert_int_equal(result.demand_faults, 1);
    assert_int_equal(result.blocked_ns, 2 * MS);
    assert_int_equal(result.bytes_read, 3 * PAGE_BYTES);
}

static void test_page_of_an_earlier_request_need_not_be_read_again(void **state)
{
    SimulateResult result = run_two_requests(0, 3);

    assert_int_equal(result.demand_faults, 1);
    assert_int_equal(result.blocked_ns, 0);
    assert_int_equal(result.bytes_read, 2 * PAGE_BYTES);
}

static void test_piece_is_placed_when_its_last_request_ends(void **state)
{
    assert_int_equal(run_two_requests(0, 4).demand_faults, 0);
    assert_int_equal(run_two_requests(5, 4).demand_faults, 0);
}

static void test_blocks_are_loaded_as_they_lie_in_the_file(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = page_order_new();
    uint64_t bitmap = 1;
    RamImageBlock blocks[2];
    RamImage snapshot = snapshot_with_two_pages(&blocks[0], &bitmap);
    SimulateResult result;

    bitmap = 1;
    blocks[0].len_bytes = PAGE_BYTES;
    blocks[0].n_pages = blocks[0].n_pages_in_file = 1;
    blocks[1] = blocks[0];
    blocks[1].name = (char *)"second";
    snapshot.n_blocks = 2;
    page_order_add_block(trace, "second", PAGE_BYTES, PAGE_BYTES);
    page_order_add_block(trace, "ram", PAGE_BYTES, PAGE_BYTES);
    page_order_append(trace, &(PageExtent){.span = {1, 0, 1}, .time_us = 2000});
    page_order_append(trace, &(PageExtent){.span = {0, 0, 1}, .time_us = 3000});
    assert_true(simulate_load(NULL, trace, &snapshot, &params,
                              LOAD_POLICY_SEQUENTIAL, &result, NULL));
    assert_int_equal(result.demand_faults, 1);
    assert_int_equal(result.blocked_ns, MS);
}

static void test_pages_of_zeroes_between_others_are_read_along(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = trace_of((int[]){7, 3, -1}, 20);
    RamImageBlock block;
    uint64_t bitmap;
    RamImage snapshot = snapshot_with_two_pages(&block, &bitmap);
    SimulateResult result;

    params.piece_bytes = N_PAGES * PAGE_BYTES;
    params.read_hole_bytes = 4 * PAGE_BYTES;
    assert_true(simulate_load(NULL, trace, &snapshot, &params,
                              LOAD_POLICY_SEQUENTIAL, &result, NULL));
    assert_int_equal(result.bytes_read, 6 * PAGE_BYTES);
    assert_int_equal(result.zero_faults, 2);
    params.read_hole_bytes = 3 * PAGE_BYTES;
    assert_true(simulate_load(NULL, trace, &snapshot, &params,
                              LOAD_POLICY_SEQUENTIAL, &result, NULL));
    assert_int_equal(result.bytes_read, 2 * PAGE_BYTES);
}

static void test_order_without_a_page_is_a_sequential_load(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) order = new_order(N_PAGES);
    g_autoptr(PageOrder) trace = trace_of((int[]){7, 2, 5, -1}, 2);
    SimulateResult with = run(order, trace, &params, LOAD_POLICY_ORDER);
    SimulateResult without = run(NULL, trace, &params, LOAD_POLICY_SEQUENTIAL);

    assert_int_equal(with.demand_faults, without.demand_faults);
    assert_int_equal(with.working_set_ns, without.working_set_ns);
    assert_int_equal(with.loaded_ns, without.loaded_ns);
    assert_int_equal(with.order_done_ns, 0);
}

static void test_order_of_other_blocks_is_left_out(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) order = page_order_new();
    g_autoptr(PageOrder) trace = trace_of((int[]){0, 1, -1}, 10);

    page_order_add_block(order, "vga.vram", 64 * PAGE_BYTES, PAGE_BYTES);
    add(order, 0, 64, 0);
    assert_int_equal(run(order, trace, &params, LOAD_POLICY_ORDER).bytes_read,
                     N_PAGES * PAGE_BYTES);
}

static void test_order_in_other_pages_than_the_trace_is_left_out(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) order = page_order_new();
    g_autoptr(PageOrder) trace = trace_of((int[]){6, -1}, 0);
    SimulateResult result;

    page_order_add_block(order, "ram", N_PAGES * PAGE_BYTES, 1024);
    add(order, 6 * 4 + 3, 1, 0);
    params.head_start_ns = 2 * MS;
    result = run(order, trace, &params, LOAD_POLICY_ORDER);
    assert_int_equal(result.demand_faults, 1);
    assert_int_equal(result.order_done_ns, 0);
}

static void test_trace_without_a_touch_is_over_at_once(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(PageOrder) trace = new_order(N_PAGES);
    g_autoptr(PageOrder) nothing = page_order_new();

    assert_int_equal(
        run(NULL, trace, &params, LOAD_POLICY_SEQUENTIAL).working_set_ns, 0);
    assert_int_equal(
        run(nothing, nothing, &params, LOAD_POLICY_ORDER).bytes_read, 0);
}

static void test_page_not_in_the_file_is_never_read(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(GError) error = NULL;
    g_autoptr(PageOrder) trace = trace_of((int[]){5, 3, 3, 0, -1}, 10);
    RamImageBlock block;
    uint64_t bitmap;
    RamImage snapshot = snapshot_with_two_pages(&block, &bitmap);
    SimulateResult result;

    params.fault_ns = MS;
    assert_true(simulate_load(NULL, trace, &snapshot, &params,
                              LOAD_POLICY_SEQUENTIAL, &result, &error));
    assert_int_equal(result.demand_faults, 1);
    assert_int_equal(result.zero_faults, 1);
    assert_int_equal(result.blocked_ns, (2 + 1 + 1) * MS);
    assert_int_equal(result.bytes_read, 2 * PAGE_BYTES);
}

static void test_snapshot_of_another_machine_is_refused(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(GError) error = NULL;
    g_autoptr(PageOrder) trace = new_order(N_PAGES + 1);
    RamImageBlock block;
    uint64_t bitmap;
    RamImage snapshot = snapshot_with_two_pages(&block, &bitmap);
    SimulateResult result;

    assert_false(simulate_load(NULL, trace, &snapshot, &params,
                               LOAD_POLICY_DEMAND, &result, &error));
    assert_true(
        g_error_matches(error, FORMATS_ERROR, FORMATS_ERROR_UNSUPPORTED));
}

static void test_block_too_large_to_simulate_is_refused(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(GError) error = NULL;
    g_autoptr(PageOrder) trace = new_order(UINT64_C(1) << 40);
    SimulateResult result;

    assert_false(simulate_load(NULL, trace, NULL, &params, LOAD_POLICY_DEMAND,
                               &result, &error));
    assert_true(g_error_matches(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE));
}

static void test_pages_too_large_to_simulate_are_refused(void **state)
{
    SimulateParams params = slow_params();
    g_autoptr(GError) error = NULL;
    g_autoptr(PageOrder) trace = page_order_new();
    PageExtent extent = {.span.n_pages = 1};
    SimulateResult result;

    page_order_add_block(trace, "ram", UINT64_C(1) << 40, UINT64_C(1) << 40);
    page_order_append(trace, &extent);
    assert_false(simulate_load(NULL, trace, NULL, &params, LOAD_POLICY_DEMAND,
                               &result, &error));
    assert_true(g_error_matches(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE));
}

static void test_pages_of_very_different_sizes_can_be_simulated(void **state)
{
    SimulateParams params;
    g_autoptr(PageOrder) trace = page_order_new();
    PageExtent extent = {.span = {1, 0, 4096}};

    simulate_params_init(&params);
    params.storage = slow_params().storage;
    page_order_add_block(trace, "small", 512, 512);
    page_order_add_block(trace, "large", UINT64_C(8) << 30, 2 << 20);
    page_order_append(trace, &extent);
    assert_int_equal(run(trace, trace, &params, LOAD_POLICY_FULL).bytes_read,
                     (UINT64_C(8) << 30) + 512);
}

static void test_policies_are_known_by_name(void **state)
{
    LoadPolicy policy;

    for (int i = 0; i < N_LOAD_POLICIES; i++) {
        assert_true(
            load_policy_from_name(load_policy_name((LoadPolicy)i), &policy));
        assert_int_equal(policy, i);
    }
    assert_false(load_policy_from_name("none", &policy));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_demand_each_touch_costs_latency_and_transfer),
        cmocka_unit_test(test_fault_cost_is_added_to_each_fault),
        cmocka_unit_test(test_page_touched_again_costs_nothing),
        cmocka_unit_test(test_what_the_recording_was_blocked_is_not_computing),
        cmocka_unit_test(test_sequential_load_is_ahead_of_a_slow_guest),
        cmocka_unit_test(test_order_brings_far_pages_before_they_are_touched),
        cmocka_unit_test(test_only_the_order_has_a_head_start),
        cmocka_unit_test(test_full_load_has_no_faults_and_starts_late),
        cmocka_unit_test(test_threads_wait_out_the_latency_side_by_side),
        cmocka_unit_test(test_rest_waits_for_the_last_of_the_order),
        cmocka_unit_test(test_page_that_is_being_read_is_waited_for),
        cmocka_unit_test(
            test_fault_goes_before_the_eager_threads_in_a_full_queue),
        cmocka_unit_test(test_pieces_are_small_while_faults_arrive),
        cmocka_unit_test(test_miss_moves_the_replay_to_where_the_guest_is),
        cmocka_unit_test(test_near_pages_of_a_phase_come_with_those_between),
        cmocka_unit_test(test_page_that_is_there_already_is_read_along),
        cmocka_unit_test(test_page_of_a_later_request_is_read_at_once),
        cmocka_unit_test(
            test_page_of_an_earlier_request_need_not_be_read_again),
        cmocka_unit_test(test_piece_is_placed_when_its_last_request_ends),
        cmocka_unit_test(test_blocks_are_loaded_as_they_lie_in_the_file),
        cmocka_unit_test(test_pages_of_zeroes_between_others_are_read_along),
        cmocka_unit_test(test_order_without_a_page_is_a_sequential_load),
        cmocka_unit_test(test_order_of_other_blocks_is_left_out),
        cmocka_unit_test(test_order_in_other_pages_than_the_trace_is_left_out),
        cmocka_unit_test(test_trace_without_a_touch_is_over_at_once),
        cmocka_unit_test(test_page_not_in_the_file_is_never_read),
        cmocka_unit_test(test_snapshot_of_another_machine_is_refused),
        cmocka_unit_test(test_block_too_large_to_simulate_is_refused),
        cmocka_unit_test(test_pages_too_large_to_simulate_are_refused),
        cmocka_unit_test(test_pages_of_very_different_sizes_can_be_simulated),
        cmocka_unit_test(test_policies_are_known_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
