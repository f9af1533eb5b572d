/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/normalize_layout.c - `varve normalize` of an OCI image layout. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "interrupt.h"
#include "json.h"
#include "normalize.h"
#include "output_name.h"
#include "safe.h"
#include "varve/rewrite.h"

/* Images named in a message about a blob; the others are counted. */
#define NAMED_IMAGES 8

/* A blob at work: itself, its new file, the folder of that, its spool. */
#define BLOB_DESCRIPTORS 4

/* A blob's turn, and what came of it. */
struct job {
    size_t blob;
    uint64_t bytes;
    enum varve_status status;
    struct varve_fault fault;
    struct varve_normalized tar; /* of a layer that was written */
};

struct work {
    const struct settings *settings;
    const struct varve_normalize_options *options;
    struct varve_rewrite *rewrite;
    struct tree tree;
    struct job *jobs;
    size_t job_count;
};

/* ---- Blobs ---- */

static enum varve_status write_layer(struct work *work, struct job *job, struct output *output) {
    struct rewritten rewritten;
    uint64_t offset = 0;
    uint64_t bytes = 0;
    int fd = varve_rewrite_open_blob(work->rewrite, &offset, &bytes, &job->fault, job->blob);
    if (fd < 0) {
        return job->fault.status;
    }
    enum varve_status status = normalize_blob(&rewritten, output, fd, offset, bytes, work->options,
                                              &work->settings->encoding);
    close(fd);
    job->fault = rewritten.fault;
    if (status != VARVE_OK) {
        return status;
    }
    job->tar = rewritten.tar;
    struct varve_rewrite_layer layer = {.tar = &rewritten.tar, .bytes = rewritten.bytes};
    memcpy(layer.digest, rewritten.digest, sizeof layer.digest);
    status = varve_rewrite_set_layer(work->rewrite, &job->fault, job->blob, &layer);
    char path[96] = "blobs/";
    normalize_digest(path + 6, rewritten.digest);
    *strchr(path, ':') = '/';
    if (status == VARVE_OK && !output_commit_in(output, &work->tree, path)) {
        job->fault = normalize_write_fault(errno);
        status = VARVE_ERROR;
    }
    return status;
}

static bool write_copied(void *cookie, const void *data, size_t bytes) {
    return !interrupted() && output_write(cookie, data, bytes);
}

static enum varve_status copy_blob(struct work *work, struct job *job, struct output *output) {
    char path[192];
    enum varve_status status =
        varve_rewrite_copy(work->rewrite, &job->fault, job->blob, write_copied, output);
    snprintf(path, sizeof path, "blobs/%s", varve_rewrite_blob(work->rewrite, job->blob).name);
    *strchr(path, ':') = '/';
    if (status == VARVE_OK && !output_commit_in(output, &work->tree, path)) {
        job->fault = normalize_write_fault(errno);
        status = VARVE_ERROR;
    }
    return status;
}

/* One of the two things that are done with a blob, into a file of its own. */
static void do_with(struct work *work, struct job *job,
                    enum varve_status (*step)(struct work *work, struct job *job,
                                              struct output *output)) {
    struct output output;
    if (job->status != VARVE_OK) {
        return;
    }
    if (interrupted()) {
        job->status = VARVE_ERROR;
    } else if (!output_open_in(&output, &work->tree)) {
        job->fault = normalize_write_fault(errno);
        job->status = VARVE_ERROR;
    } else {
        job->status = step(work, job, &output);
        output_drop(&output);
    }
}

static void do_job(struct work *work, struct job *job) {
    struct varve_rewrite_blob blob = varve_rewrite_blob(work->rewrite, job->blob);
    job->status = VARVE_OK;
    job->fault.code = NULL;
    if (blob.layer) {
        do_with(work, job, write_layer);
    }
    if (blob.copied) {
        do_with(work, job, copy_blob);
    }
}

/* Largest first, so that no thread begins a large one when the others are done. */
static int compare_jobs(const void *a, const void *b) {
    const struct job *x = a;
    const struct job *y = b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes) - (x->bytes > y->bytes)
                                : (x->blob > y->blob) - (x->blob < y->blob);
}

static int compare_blobs(const void *a, const void *b) {
    const struct job *x = a;
    const struct job *y = b;
    return (x->blob > y->blob) - (x->blob < y->blob);
}

/* As many threads as were asked for, as there are blobs for, and as can be had. */
static unsigned team_of(const struct work *work) {
    unsigned asked = work->settings->scan.threads;
    unsigned wanted = asked ? asked : varve_thread_default();
    return varve_thread_team(wanted < work->job_count ? wanted : (unsigned)work->job_count,
                             BLOB_DESCRIPTORS);
}

/* All blobs on a team of threads. What found no room in the memory that all share has it to itself
 * afterwards: so it does not depend on the others whether it fits. */
static void do_jobs(struct work *work) {
    struct job *jobs = work->jobs;
    size_t count = work->job_count;
    qsort(jobs, count, sizeof *jobs, compare_jobs);
#pragma omp parallel for schedule(dynamic, 1) num_threads(team_of(work))
    for (size_t i = 0; i < count; i++) {
        do_job(work, &jobs[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (jobs[i].fault.code && strcmp(jobs[i].fault.code, "memory.budget") == 0) {
            do_job(work, &jobs[i]);
        }
    }
    qsort(jobs, count, sizeof *jobs, compare_blobs);
}

static bool list_jobs(struct work *work) {
    work->job_count = varve_rewrite_blob_count(work->rewrite);
    work->jobs = calloc(work->job_count + 1, sizeof *work->jobs);
    for (size_t i = 0; work->jobs && i < work->job_count; i++) {
        work->jobs[i].blob = i;
        work->jobs[i].bytes = varve_rewrite_blob(work->rewrite, i).size;
    }
    return work->jobs != NULL;
}

/* ---- What went wrong ---- */

/* Of two exit codes the one that goes before. */
static int worse(int a, int b) {
    static const int order[] = {EXIT_FATAL, 130, 143, EXIT_FOUND, EXIT_UNJUDGED};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (a == order[i] || b == order[i]) {
            return order[i];
        }
    }
    return a;
}

/* "app:1, app:2 and 3 more": the images that hold a blob, by tag, or else by digest. */
static char *name_images(const struct work *work, size_t blob) {
    char *text = NULL;
    size_t bytes = 0;
    size_t count = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) {
        return NULL;
    }
    for (size_t use = varve_rewrite_first_use(work->rewrite, blob); use != SIZE_MAX;
         use = varve_rewrite_next_use(work->rewrite, use)) {
        struct varve_rewrite_use it = varve_rewrite_use(work->rewrite, use);
        if (count++ < NAMED_IMAGES) {
            fprintf(out, "%s%s%s%s%s", count > 1 ? ", " : "", it.ref ? it.ref : "",
                    it.ref ? " (" : "", it.manifest, it.ref ? ")" : "");
        }
    }
    if (count > NAMED_IMAGES) {
        fprintf(out, " and %zu more", count - NAMED_IMAGES);
    }
    fclose(out);
    return text;
}

static void say_error(const struct settings *settings, const char *name, const char *images,
                      const struct varve_fault *fault) {
    char *text = NULL;
    if (images && *images && asprintf(&text, "%s, of %s", name, images) < 0) {
        text = NULL;
    }
    fault_say(text ? text : name, fault, NULL);
    free(text);
    if (settings->json) {
        struct json json;
        json_record_begin(&json, stdout, "error");
        json_text(&json, "name", name);
        json_text(&json, "code", fault->code);
        json_text(&json, "message", fault->message);
        if (images) {
            json_text(&json, "images", images);
        }
        json_record_end(&json);
    }
}

/* Errors of the documents, from the one on. */
static int say_document_errors(const struct work *work, size_t from) {
    int code = EXIT_WELL;
    for (size_t i = from; i < varve_rewrite_error_count(work->rewrite); i++) {
        struct varve_catalog_error error = varve_rewrite_error(work->rewrite, i);
        if (error.fault.status != VARVE_OK) {
            say_error(work->settings, error.name, NULL, &error.fault);
            code = worse(code, fault_exit(&error.fault, error.fault.status));
        }
    }
    return code;
}

static int say_blob_errors(const struct work *work) {
    int code = EXIT_WELL;
    for (size_t i = 0; i < work->job_count; i++) {
        const struct job *job = &work->jobs[i];
        if (job->status == VARVE_OK) {
            continue;
        }
        code = worse(code, fault_exit(&job->fault, job->status));
        if (job->fault.code && !interrupted()) {
            char *images = name_images(work, job->blob);
            say_error(work->settings, varve_rewrite_blob(work->rewrite, job->blob).name, images,
                      &job->fault);
            free(images);
        }
    }
    return interrupted() ? 128 + interrupt_signal() : code;
}

/* ---- What became of what ---- */

struct totals {
    size_t layers, changed_layers, images, changed_images, attestations, artifacts;
    uint64_t bytes_before, bytes_after;
    uint64_t links_overruled;
};

static bool changed(const struct varve_rewrite_mapping *mapping) {
    return strcmp(mapping->before, mapping->after) != 0;
}

static void count(struct totals *totals, const struct varve_rewrite_mapping *mapping) {
    totals->bytes_before += mapping->bytes_before;
    totals->bytes_after += mapping->bytes_after;
    if (mapping->kind == VARVE_REWRITE_LAYER) {
        totals->layers++;
        totals->changed_layers += changed(mapping);
    } else if (mapping->attestation) {
        totals->attestations++;
    } else if (mapping->artifact) {
        totals->artifacts++;
    } else if (mapping->kind == VARVE_REWRITE_MANIFEST) {
        totals->images++;
        totals->changed_images += changed(mapping);
    }
}

static void print_mapping(const struct varve_rewrite_mapping *mapping) {
    if (!changed(mapping)) {
        return;
    }
    printf("%-8s  %s -> %s", varve_rewrite_kind_name(mapping->kind), mapping->before,
           mapping->after);
    if (mapping->ref) {
        fputs("  ", stdout);
        put_safe_text(mapping->ref);
    }
    putchar('\n');
}

static void json_mapping(const struct varve_rewrite_mapping *mapping) {
    struct json json;
    json_record_begin(&json, stdout, "rewritten");
    json_text(&json, "kind", varve_rewrite_kind_name(mapping->kind));
    json_text(&json, "before", mapping->before);
    json_text(&json, "after", mapping->after);
    json_bool(&json, "changed", changed(mapping));
    json_unsigned(&json, "bytes_before", mapping->bytes_before);
    json_unsigned(&json, "bytes_after", mapping->bytes_after);
    if (mapping->has_diffids) {
        json_text(&json, "diffid_before", mapping->diffid_before);
        json_text(&json, "diffid_after", mapping->diffid_after);
    }
    if (mapping->ref) {
        json_bytes(&json, "ref", mapping->ref, strlen(mapping->ref));
    }
    if (mapping->kind == VARVE_REWRITE_MANIFEST) {
        json_bool(&json, "attestation", mapping->attestation);
        json_bool(&json, "artifact", mapping->artifact);
    }
    json_record_end(&json);
}

static void json_totals(const struct totals *totals, const char *to) {
    struct json json;
    json_record_begin(&json, stdout, "normalize-summary");
    json_text(&json, "output", to);
    json_unsigned(&json, "images", totals->images);
    json_unsigned(&json, "images_changed", totals->changed_images);
    json_unsigned(&json, "layers", totals->layers);
    json_unsigned(&json, "layers_changed", totals->changed_layers);
    json_unsigned(&json, "attestations", totals->attestations);
    json_unsigned(&json, "artifacts", totals->artifacts);
    json_unsigned(&json, "bytes_before", totals->bytes_before);
    json_unsigned(&json, "bytes_after", totals->bytes_after);
    json_unsigned(&json, "links_overruled", totals->links_overruled);
    json_record_end(&json);
}

static void report(const struct work *work, const char *to) {
    struct totals totals = {0};
    for (size_t i = 0; i < work->job_count; i++) {
        const struct job *job = &work->jobs[i];
        normalize_warn(varve_rewrite_blob(work->rewrite, job->blob).name, &job->tar);
        totals.links_overruled += job->tar.overruled_count;
    }
    for (size_t i = 0; i < varve_rewrite_mapping_count(work->rewrite); i++) {
        struct varve_rewrite_mapping mapping = varve_rewrite_mapping(work->rewrite, i);
        count(&totals, &mapping);
        if (work->settings->json) {
            json_mapping(&mapping);
        } else {
            print_mapping(&mapping);
        }
    }
    if (work->settings->json) {
        json_totals(&totals, to);
        return;
    }
    printf("%s: %zu images, %zu of them changed; %zu layers, %zu changed; %" PRIu64
           " bytes became %" PRIu64 "\n",
           to, totals.images, totals.changed_images, totals.layers, totals.changed_layers,
           totals.bytes_before, totals.bytes_after);
    if (totals.attestations + totals.artifacts > 0) {
        printf("%zu attestations and %zu other artifacts were copied: what they say or sign is "
               "about the old digests\n",
               totals.attestations, totals.artifacts);
    }
}

/* ---- All of it ---- */

static bool put(void *cookie, const char *path, const void *data, size_t bytes) {
    const struct work *work = cookie;
    return !interrupted() && tree_put(&work->tree, path, data, bytes);
}

/* With the documents read and the folder begun. */
static int write_layout(struct work *work, const char *to) {
    if (!list_jobs(work)) {
        complain("out of memory");
        return EXIT_FATAL;
    }
    do_jobs(work);
    int code = say_blob_errors(work);
    if (code != EXIT_WELL) {
        return code;
    }
    /* image-layout: the folder is there, if there is nothing to put into it. */
    if (!make_folders(work->tree.folder, "blobs/sha256/")) {
        complain("cannot write %s: %s", to, strerror(errno));
        return EXIT_FATAL;
    }
    enum varve_status status = varve_rewrite_documents(work->rewrite, put, work);
    if (interrupted()) {
        return 128 + interrupt_signal();
    }
    if (status != VARVE_OK) {
        code = say_document_errors(work, 0);
        if (code == EXIT_WELL) { /* there was no memory to keep an error in */
            complain("out of memory");
            code = EXIT_FATAL;
        }
        return code;
    }
    if (!tree_commit(&work->tree)) {
        return EXIT_FATAL;
    }
    report(work, to);
    return EXIT_WELL;
}

/* What the library wants to know. False, after a message. */
static bool read_options(struct varve_rewrite_options *to, const struct settings *settings,
                         const struct varve_normalize_options *options) {
    *to = (struct varve_rewrite_options){
        .compression = encoding_compression(&settings->encoding),
        .has_clamp = options->has_clamp,
        .same_times = options->strength == VARVE_RUNG_TIMES,
        .clamp_seconds = options->clamp_seconds,
    };
    if (to->has_clamp && (to->clamp_seconds < VARVE_REWRITE_TIME_MIN ||
                          to->clamp_seconds > VARVE_REWRITE_TIME_MAX)) {
        complain("the time asked for is none that a config can hold: %" PRId64, to->clamp_seconds);
        return false;
    }
    return true;
}

/* Whether what is to be written is named as a folder is. False, after a message. */
static bool is_folder_name(const char *to) {
    size_t end = strlen(to);
    while (end > 0 && to[end - 1] == '/') {
        end--;
    }
    const char *last = memrchr(to, '/', end);
    last = last ? last + 1 : to;
    if (!*to) {
        complain("-o oci: names no folder; try -o oci:OUT");
        return false;
    }
    if (memchr(last, ':', end > (size_t)(last - to) ? end - (size_t)(last - to) : 0)) {
        complain("-o oci:%s: a folder is wanted, without a tag; tags stay what they are", to);
        return false;
    }
    return true;
}

int normalize_layout(const struct settings *settings, const struct varve_normalize_options *options,
                     const char *from, const char *to) {
    /* Readers begin with index.json. */
    static const char *const parts[] = {"blobs", "oci-layout", "index.json"};
    struct work work = {.settings = settings, .options = options};
    struct varve_rewrite_options rewrite;
    if (!is_folder_name(to) || !read_options(&rewrite, settings, options)) {
        return EXIT_FATAL;
    }
    if (varve_rewrite_open(&work.rewrite, &rewrite, from) != VARVE_OK) {
        complain("out of memory");
        return EXIT_FATAL;
    }
    int code = say_document_errors(&work, 0);
    if (code == EXIT_WELL) {
        code = EXIT_FATAL;
        if (tree_open(&work.tree, to, parts, sizeof parts / sizeof *parts)) {
            code = write_layout(&work, to);
            tree_drop(&work.tree);
        }
    }
    free(work.jobs);
    varve_rewrite_close(work.rewrite);
    return code;
}
