/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "template/hot-runs.h"

#include "formats/template-protocol.h"
#include "profiler/orders/replay.h"

static Replay *make_replay(const PageOrder *order, const RamImage *image)
{
    g_autofree ReplayBlock *blocks = g_new0(ReplayBlock, image->n_blocks);

    for (size_t i = 0; i < image->n_blocks; i++) {
        const RamImageBlock *block = &image->blocks[i];

        blocks[i] = (ReplayBlock){block->name, block->page_bytes,
                                  block->n_pages, block->bitmap};
    }
    return replay_new(order, blocks, image->n_blocks);
}

/* What the replay gives may have pages in between that are not in the file. */
static void add_runs(GArray *runs, const RamImage *image, const PageSpan *span)
{
    const RamImageBlock *block = &image->blocks[span->block];
    uint64_t end = page_span_end(span);
    TemplateRun run = {.block = span->block};

    for (uint64_t page = span->first_page; page < end; page++) {
        if (ram_image_block_has_page(block, page)) {
            run.first_page = run.n_pages == 0 ? page : run.first_page;
            run.n_pages++;
        } else if (run.n_pages > 0) {
            g_array_append_val(runs, run);
            run.n_pages = 0;
        }
    }
    if (run.n_pages > 0) {
        g_array_append_val(runs, run);
    }
}

GArray *hot_runs_new(const PageOrder *order, const RamImage *image)
{
    GArray *runs = g_array_new(FALSE, FALSE, sizeof(TemplateRun));
    PageSpan span;

    if (order) {
        g_autoptr(Replay) replay = make_replay(order, image);

        while (replay_next(replay, UINT64_MAX, &span)) {
            add_runs(runs, image, &span);
        }
    }
    return runs;
}
