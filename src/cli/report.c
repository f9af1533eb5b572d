/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/report.c - what a scan reports, handed on to standard output and to the store. */
#include "cli.h"

static bool on_recall(void *cookie, struct varve_layer *layer, struct varve_findings *findings,
                      size_t blob) {
    const struct reporter *reporter = cookie;
    return varve_store_recall(reporter->store, layer, findings, blob);
}

static void on_done(void *cookie, const struct varve_layer *layer, size_t blob,
                    const struct varve_job *job) {
    const struct reporter *reporter = cookie;
    varve_store_done(reporter->store, layer, blob, job);
}

static void on_gone(void *cookie, size_t blob) {
    struct reporter *reporter = cookie;
    if (reporter->out->gone) {
        reporter->out->gone(reporter, blob);
    }
    if (reporter->store) {
        varve_store_gone(reporter->store, blob);
    }
}

static void on_layer(void *cookie, const struct varve_layer *layer, size_t blob,
                     const struct varve_job *job) {
    struct reporter *reporter = cookie;
    if (reporter->out->layer) {
        reporter->out->layer(reporter, layer, blob, job);
    }
    if (reporter->errors && has_failed(layer)) {
        json_layer(reporter->errors, reporter, layer, blob);
    }
}

static void on_image(void *cookie, const struct varve_image *image, enum varve_status status,
                     const struct varve_image_layer *layers) {
    struct reporter *reporter = cookie;
    if (reporter->out->image) {
        reporter->out->image(reporter, image, status, layers);
    }
    if (reporter->errors && status != VARVE_OK) {
        json_image(reporter->errors, reporter, image, status, layers);
    }
    if (reporter->store) {
        varve_store_image(reporter->store, image, status, layers);
    }
}

static void on_progress(void *cookie, const struct varve_progress *progress) {
    (void)cookie;
    fflush(stdout); /* who reads along should not wait for a buffer to be full */
    progress_show(progress);
}

const struct varve_report stored_report = {
    on_recall, on_done, on_gone, on_layer, on_image, on_progress,
};
const struct varve_report plain_report = {
    .gone = on_gone,
    .layer = on_layer,
    .image = on_image,
    .progress = on_progress,
};

void report_entries(const struct reporter *reporter, const struct varve_layer *layer, size_t blob,
                    const struct varve_job *job,
                    void (*each)(void *cookie, const struct varve_ladder_entry *entry),
                    void *cookie) {
    if (layer->cached) {
        varve_store_each_entry(reporter->store, blob, each, cookie);
    } else {
        varve_job_each_entry(job, each, cookie);
    }
}
