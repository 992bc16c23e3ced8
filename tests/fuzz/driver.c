/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Runs a fuzz target without libFuzzer: on every file of the corpus, then on
 * a fixed number of mutations of them, the same ones in each run.
 *
 *     fuzz-TARGET CORPUS-DIRECTORY MUTATIONS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "tests/fuzz/fuzz.h"

#define SEED          1
#define MAX_MUTATIONS 4
#define MAX_RUN_BYTES 16

static const uint64_t numbers[] = {0,          1,
                                   127,        128,
                                   255,        4096,
                                   1 << 20,    INT32_MAX,
                                   UINT32_MAX, INT64_MAX,
                                   511,        UINT64_MAX,
                                   0xfffff000, UINT64_C(1) << 63};

static int compare_paths(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted: a directory has another sequence on another machine. */
static GPtrArray *list_paths(const char *directory)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(directory, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_ptr_array_add(paths, g_build_filename(directory, name, NULL));
    }
    g_clear_pointer(&dir, g_dir_close);
    g_ptr_array_sort(paths, compare_paths);
    return paths;
}

static GPtrArray *read_corpus(const char *directory)
{
    g_autoptr(GPtrArray) paths = list_paths(directory);
    GPtrArray *corpus =
        g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);

    for (guint i = 0; i < paths->len; i++) {
        char *text;
        gsize len_bytes;
        if (g_file_get_contents(paths->pdata[i], &text, &len_bytes, NULL)) {
            g_ptr_array_add(corpus,
                            g_byte_array_new_take((guint8 *)text, len_bytes));
        }
    }
    return corpus;
}

static guint pick(GRand *random, guint end)
{
    return end > 0 ? (guint)g_rand_int_range(random, 0, (gint32)end) : 0;
}

static void change_byte(GByteArray *input, GRand *random)
{
    if (input->len > 0) {
        input->data[pick(random, input->len)] = (guint8)g_rand_int(random);
    }
}

static void flip_bit(GByteArray *input, GRand *random)
{
    if (input->len > 0) {
        input->data[pick(random, input->len)] ^= (guint8)(1 << pick(random, 8));
    }
}

static void put_number(GByteArray *input, GRand *random)
{
    const guint len_bytes = 1u << pick(random, 4);
    const uint64_t number = GUINT64_TO_BE(
        numbers[pick(random, G_N_ELEMENTS(numbers))] << (64 - 8 * len_bytes));

    if (input->len >= len_bytes) {
        memcpy(&input->data[pick(random, input->len - len_bytes + 1)], &number,
               len_bytes);
    }
}

static void cut_out(GByteArray *input, GRand *random)
{
    const guint start = pick(random, input->len);
    const guint len_bytes = 1 + pick(random, MAX_RUN_BYTES);

    g_byte_array_remove_range(input, start, MIN(input->len - start, len_bytes));
}

/* Twice the same run of bytes: also what repeats a name or an extent. */
static void repeat(GByteArray *input, GRand *random)
{
    const guint start = pick(random, input->len);
    const guint max_bytes = 1 + pick(random, 8 * MAX_RUN_BYTES);
    const guint len_bytes = MIN(input->len - start, max_bytes);
    const guint old_len_bytes = input->len;

    g_byte_array_set_size(input, old_len_bytes + len_bytes);
    memmove(&input->data[start + len_bytes], &input->data[start],
            old_len_bytes - start);
}

static void truncate_it(GByteArray *input, GRand *random)
{
    g_byte_array_set_size(input, pick(random, input->len + 1));
}

static void mutate(GByteArray *input, GRand *random)
{
    static void (*const mutations[])(GByteArray * input, GRand * random) = {
        change_byte, flip_bit, put_number, cut_out, repeat, truncate_it,
    };
    const guint n_mutations = 1 + pick(random, MAX_MUTATIONS);

    for (guint i = 0; i < n_mutations; i++) {
        mutations[pick(random, G_N_ELEMENTS(mutations))](input, random);
    }
}

static void run(const GByteArray *input)
{
    /* A copy of the exact length, so that ASan sees a byte too many read. */
    uint8_t *data = g_malloc(input->len);

    if (input->len > 0) {
        memcpy(data, input->data, input->len);
    }
    LLVMFuzzerTestOneInput(data, input->len);
    g_free(data);
}

static void run_mutation(const GPtrArray *corpus, GRand *random)
{
    const GByteArray *seed = corpus->pdata[pick(random, corpus->len)];
    g_autoptr(GByteArray) input = g_byte_array_new();

    g_byte_array_append(input, seed->data, seed->len);
    mutate(input, random);
    run(input);
}

int main(int argc, char **argv)
{
    g_autoptr(GPtrArray) corpus = argc == 3 ? read_corpus(argv[1]) : NULL;
    g_autoptr(GRand) random = g_rand_new_with_seed(SEED);

    if (!corpus || corpus->len == 0) {
        fprintf(stderr, "usage: %s CORPUS-DIRECTORY MUTATIONS\n", argv[0]);
        return EXIT_FAILURE;
    }
    const long n_mutations = strtol(argv[2], NULL, 10);
    for (guint i = 0; i < corpus->len; i++) {
        run(corpus->pdata[i]);
    }
    for (long i = 0; i < n_mutations; i++) {
        run_mutation(corpus, random);
    }
    printf("%u files, %ld mutations\n", corpus->len, n_mutations);
    return EXIT_SUCCESS;
}
