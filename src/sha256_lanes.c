/* SPDX-License-Identifier: Apache-2.0 */
/* src/sha256_lanes.c - varve's own engine: streams in the lanes of the kernel that pays.
 *
 * Which kernel pays depends on the number of streams alive, n: it is the row that compresses most
 * blocks in the same time, min(n, lanes) / cost. Costs are measured (src/sha256_cost.c), as CPUs
 * differ: docs/sha256.md says what came out on some. As every choice is at least as good as the
 * single-lane row, no number of lanes is slower than hashing one after the other.
 *
 * Where more streams are alive than the chosen row has lanes, though too few for a wider one, the
 * longest take turns in slices: nine equal streams end together after nine eighths of the time, and
 * none is left to run alone.
 */
#include <assert.h>
#include <string.h>

#include "sha256_internal.h"

/* Moving a stream in and out of a lane costs about as much as a block of it (60 cycles); slices of
 * 64 blocks keep that below 2 %. */
#define SLICE_BLOCKS 64

/* Entering, ending and leaving a lane of two takes this part of a block of shani_x1 longer than
 * doing without lanes (70 of 131 cycles on Golden Cove; 40 of 130 on Zen 4). */
#define PAIRING_BLOCKS 0.5

/* A row with more lanes must be better by more than measurements err. */
#define WIDER_BY 1.02

/* True where `row` compresses more blocks in the same time than `than`, `alive` streams being there
 * for either. */
static bool better(const struct varve_sha256_row *row, const struct varve_sha256_row *than,
                   const struct varve_sha256_costs *costs, uint32_t alive) {
    double used = alive < row->lanes ? alive : row->lanes;
    double than_used = alive < than->lanes ? alive : than->lanes;
    double speed = used / costs->block[row - varve_sha256_rows];
    double than_speed = than_used / costs->block[than - varve_sha256_rows];
    return row->lanes > than->lanes ? speed > WIDER_BY * than_speed : speed > than_speed;
}

/* The fewest blocks for which it pays to take two streams side by side. */
static size_t shortest_paired(const struct varve_sha256_row *alone,
                              const struct varve_sha256_row *pair,
                              const struct varve_sha256_costs *costs) {
    double one = costs->block[alone - varve_sha256_rows];
    double saved = one - costs->block[pair - varve_sha256_rows] / 2.0;
    double blocks = saved > 0 ? PAIRING_BLOCKS * one / saved : 1;
    return blocks < 32 ? (size_t)blocks + 1 : 32;
}

/* What follows from the choices. */
static void take_choices(struct varve_sha256 *ctx, const struct varve_sha256_costs *costs) {
    ctx->alone = (size_t)(ctx->choice[1] - varve_sha256_rows);
    ctx->full = ctx->choice[VARVE_SHA256_MAX_LANES]->lanes;
    ctx->shortest_paired = shortest_paired(ctx->choice[1], ctx->choice[2], costs);
}

void varve_sha256_lanes_open(struct varve_sha256 *ctx, uint32_t cpu_bits,
                             const struct varve_sha256_costs *costs) {
    assert(varve_sha256_row_count <= SHA256_MAX_ROWS);
    for (uint32_t alive = 1; alive <= VARVE_SHA256_MAX_LANES; alive++) {
        const struct varve_sha256_row *best = &varve_sha256_rows[varve_sha256_row_count - 1];
        for (size_t i = varve_sha256_row_count - 1; i-- > 0;) {
            const struct varve_sha256_row *row = &varve_sha256_rows[i];
            if ((row->needs & cpu_bits) == row->needs && (alive > 1 || row->lanes == 1) &&
                better(row, best, costs, alive)) {
                best = row;
            }
        }
        ctx->choice[alive] = best;
    }
    take_choices(ctx, costs);
}

void varve_sha256_lanes_only(struct varve_sha256 *ctx, const struct varve_sha256_row *row,
                             const struct varve_sha256_costs *costs) {
    for (uint32_t alive = row->lanes == 1 ? 1 : 2; alive <= VARVE_SHA256_MAX_LANES; alive++) {
        ctx->choice[alive] = row;
    }
    take_choices(ctx, costs);
}

static void count(struct varve_sha256 *ctx, const struct varve_sha256_row *row, uint32_t used,
                  uint64_t blocks) {
    size_t index = (size_t)(row - varve_sha256_rows);
    ctx->blocks[index] += used * blocks;
    ctx->empty_lane_blocks[index] += (row->lanes - used) * blocks;
}

const uint32_t *varve_sha256_alone(struct varve_sha256 *ctx, struct varve_sha256_stream *stream) {
    const struct varve_sha256_row *row = ctx->choice[1];
    size_t blocks = 0;
    while (stream->run_blocks > 0 || varve_sha256_next_run(stream)) {
        row->compress(stream->state, &stream->run, stream->run_blocks);
        blocks += stream->run_blocks;
        stream->run_blocks = 0;
    }
    ctx->blocks[ctx->alone] += blocks;
    return stream->state;
}

static void enter(struct varve_sha256 *ctx, struct varve_sha256_stream *stream, uint32_t lane) {
    const uint32_t lanes = ctx->row->lanes;
    for (uint32_t w = 0; w < 8; w++) {
        ctx->state[w * lanes + lane] = stream->state[w];
    }
    ctx->stream[lane] = stream;
    ctx->data[lane] = stream->run;
    ctx->left[lane] = (int32_t)stream->run_blocks;
    ctx->used++;
}

/* Puts the streams in the lanes back into the queue. */
static void empty_lanes(struct varve_sha256 *ctx) {
    for (uint32_t lane = 0; ctx->used > 0; lane++) {
        struct varve_sha256_stream *stream = ctx->stream[lane];
        if (stream) {
            for (uint32_t w = 0; w < 8; w++) {
                stream->state[w] = ctx->state[w * ctx->row->lanes + lane];
            }
            stream->run = ctx->data[lane];
            stream->run_blocks = (size_t)ctx->left[lane];
            ctx->stream[lane] = NULL;
            ctx->used--;
            varve_sha256_push(ctx, stream);
        }
    }
}

/* Fills idle lanes from the queue; those that stay idle look at another's data. */
static void fill_lanes(struct varve_sha256 *ctx) {
    const uint32_t lanes = ctx->row->lanes;
    uint32_t busy = 0;
    for (uint32_t lane = 0; lane < lanes; lane++) {
        while (!ctx->stream[lane] && ctx->queued > 0) {
            struct varve_sha256_stream *stream = varve_sha256_pop(ctx);
            if (stream->run_blocks > 0 || varve_sha256_next_run(stream)) {
                enter(ctx, stream, lane);
            } else {
                varve_sha256_ended(stream, stream->state, 1);
            }
        }
        busy = ctx->stream[lane] ? lane : busy;
    }
    for (uint32_t lane = 0; lane < lanes && ctx->used < lanes; lane++) {
        if (!ctx->stream[lane]) {
            ctx->data[lane] = ctx->data[busy];
            ctx->left[lane] = INT32_MAX;
        }
    }
}

/* The lanes' runs are `blocks` shorter; those at their end go on to the next run, or leave. */
static void advance_lanes(struct varve_sha256 *ctx, int32_t blocks) {
    const uint32_t lanes = ctx->row->lanes;
    for (uint32_t lane = 0; lane < lanes; lane++) {
        ctx->data[lane] += (size_t)blocks * VARVE_SHA256_BLOCK_BYTES;
        ctx->left[lane] -= blocks;
    }
    for (uint32_t lane = 0; lane < lanes; lane++) {
        if (ctx->left[lane] == 0) {
            struct varve_sha256_stream *stream = ctx->stream[lane];
            if (varve_sha256_next_run(stream)) {
                ctx->data[lane] = stream->run;
                ctx->left[lane] = (int32_t)stream->run_blocks;
            } else {
                ctx->stream[lane] = NULL;
                ctx->used--;
                varve_sha256_ended(stream, ctx->state + lane, lanes);
            }
        }
    }
}

/* Where two lanes would be used, but for a few blocks each, the way in and out costs more. */
static bool too_short(const struct varve_sha256 *ctx) {
    return ctx->used == 0 && varve_sha256_top_list(ctx) + 1 < ctx->shortest_paired;
}

/* One call of the kernel that pays for so many streams alive. */
static void step(struct varve_sha256 *ctx) {
    size_t alive = ctx->used + ctx->queued;
    const struct varve_sha256_row *row =
        ctx->choice[alive < VARVE_SHA256_MAX_LANES ? alive : VARVE_SHA256_MAX_LANES];
    if (row != ctx->row) {
        empty_lanes(ctx);
        ctx->row = row;
        ctx->turn = SLICE_BLOCKS;
    }
    if (row->lanes == 1 || (row->lanes == 2 && too_short(ctx))) {
        struct varve_sha256_stream *stream = varve_sha256_pop(ctx);
        varve_sha256_ended(stream, varve_sha256_alone(ctx, stream), 1);
        return;
    }
    fill_lanes(ctx);
    if (ctx->used == 0) {
        return;
    }
    bool in_turns = ctx->queued > 0 && row->lanes < ctx->full;
    int32_t blocks = in_turns ? ctx->turn : INT32_MAX;
    for (uint32_t lane = 0; lane < row->lanes; lane++) {
        blocks = ctx->left[lane] < blocks ? ctx->left[lane] : blocks;
    }
    row->compress(ctx->state, ctx->data, (size_t)blocks);
    count(ctx, row, ctx->used, (uint64_t)blocks);
    advance_lanes(ctx, blocks);
    if (in_turns && (ctx->turn -= blocks) == 0) {
        empty_lanes(ctx);
        ctx->turn = SLICE_BLOCKS;
    }
}

void varve_sha256_lanes_run(struct varve_sha256 *ctx, const struct varve_sha256_stream *until,
                            size_t alive) {
    struct varve_sha256_stream *stream = ctx->lone;
    if (stream && alive == 1) {
        varve_sha256_take_out(ctx, stream);
        varve_sha256_ended(stream, varve_sha256_alone(ctx, stream), 1);
    }
    while (ctx->used + ctx->queued >= alive && !(until && !varve_sha256_busy(until))) {
        step(ctx);
    }
    empty_lanes(ctx);
}
