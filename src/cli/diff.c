/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/diff.c - `varve diff`: finds the two things that are meant, compares them, shows it. */
#include "diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool begins(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_digest(const char *text) {
    return begins(text, "sha256:") || begins(text, "sha512:");
}

/* Whether an operand names a source: KIND:PLACE, or a folder. */
static bool is_source(const char *text) {
    struct stat status;
    const char *kind = source_kind_of(text);
    if (kind && strcmp(kind, "blob") != 0) {
        return true;
    }
    return stat(text, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Says what is wrong with a source. */
static void complain_of(const struct diff_operand *operand) {
    for (size_t i = 0; i < varve_catalog_error_count(operand->catalog); i++) {
        struct varve_catalog_error error = varve_catalog_error(operand->catalog, i);
        if (error.fault.status != VARVE_OK) {
            complain("%s: %s", error.name, error.fault.message);
        }
    }
}

static bool is_meant(const struct varve_image *image, const char *platform) {
    return !image->attestation && !image->artifact &&
           (!platform || (image->platform && strcmp(image->platform, platform) == 0));
}

/* Whether what was found is all that there may be: what could not be read may be meant as well. */
static bool is_sure(const struct diff_operand *operand) {
    if (!varve_catalog_is_unread(operand->catalog)) {
        return true;
    }
    complain_of(operand);
    complain("%s: not all of it could be read, so that it is not known what is meant",
             operand->text);
    return false;
}

/* The one image of a source that is meant. */
static bool find_image(struct diff_operand *operand, const char *platform) {
    size_t found = 0;
    for (size_t i = 0; i < varve_catalog_image_count(operand->catalog); i++) {
        struct varve_image image = varve_catalog_image(operand->catalog, i);
        if (is_meant(&image, platform)) {
            operand->number = i;
            found++;
        }
    }
    operand->image = true;
    if (found == 1) {
        return is_sure(operand);
    }
    complain_of(operand);
    if (found == 0) {
        complain("%s: no image%s%s", operand->text, platform ? " for " : "",
                 platform ? platform : "");
        return false;
    }
    complain("%s: %zu images; say which with a tag, a digest or --platform:", operand->text, found);
    for (size_t i = 0; i < varve_catalog_image_count(operand->catalog); i++) {
        struct varve_image image = varve_catalog_image(operand->catalog, i);
        if (is_meant(&image, platform)) {
            complain("  %s %s %s", image.digest, image.platform ? image.platform : "-",
                     image.ref ? image.ref : "");
        }
    }
    return false;
}

/* What a digest, or its beginning, names in a source: an image by its manifest, or a blob. */
static bool find_digest(struct diff_operand *operand, const char *digest) {
    size_t found = 0;
    const char *name = NULL;
    for (size_t i = 0; i < varve_catalog_image_count(operand->catalog); i++) {
        struct varve_image image = varve_catalog_image(operand->catalog, i);
        if (begins(image.digest, digest) && (!name || strcmp(name, image.digest) != 0)) {
            name = image.digest;
            operand->image = true;
            operand->number = i;
            found++;
        }
    }
    for (size_t i = 0; i < varve_catalog_blob_count(operand->catalog); i++) {
        struct varve_blob blob = varve_catalog_blob(operand->catalog, i);
        if (begins(blob.name, digest) && (!name || strcmp(name, blob.name) != 0)) {
            name = blob.name;
            operand->image = false;
            operand->number = i;
            found++;
        }
    }
    if (found != 1) {
        complain_of(operand);
        complain("%s: %s digest that begins with %s", operand->text, found ? "more than one" : "no",
                 digest);
    }
    return found == 1 && (strcmp(name, digest) == 0 || is_sure(operand));
}

/* Fills the operand's catalog and finds what is meant in it. */
static bool find(struct diff_operand *operand, const struct settings *settings) {
    const char *text = operand->text;
    const char *at = strstr(text, "@sha");
    operand->fd = -1;
    if (varve_catalog_open(&operand->catalog) != VARVE_OK) {
        complain("out of memory");
        return false;
    }
    varve_catalog_keep_documents(operand->catalog);
    if (is_digest(text)) {
        if (!settings->diff_source) {
            complain("%s: a digest; say with --source where it is to be looked for", text);
            return false;
        }
        varve_catalog_add(operand->catalog, settings->diff_source);
        return find_digest(operand, text);
    }
    if (at && is_digest(at + 1)) {
        char *source = strndup(text, (size_t)(at - text));
        if (source) {
            varve_catalog_add(operand->catalog, source);
        }
        free(source);
        return find_digest(operand, at + 1);
    }
    if (is_source(text)) {
        varve_catalog_add(operand->catalog, text);
        return find_image(operand, settings->diff_platform);
    }
    text += begins(text, "blob:") ? strlen("blob:") : 0;
    if (varve_catalog_add_file(operand->catalog, text) != VARVE_OK) {
        complain("out of memory");
        return false;
    }
    return true;
}

bool diff_open_side(struct varve_diff_side *side, struct diff_operand *operand, size_t number) {
    struct varve_fault fault;
    struct varve_blob blob = varve_catalog_blob(operand->catalog, number);
    *side = (struct varve_diff_side){.name = blob.name, .source = blob.source};
    side->fd = operand->fd =
        varve_catalog_open_blob(operand->catalog, &side->offset, &side->bytes, &fault, number);
    if (side->fd < 0) {
        complain("%s: %s%s%s", blob.name, fault.message, fault.os_errno ? ": " : "",
                 fault.os_errno ? strerror(fault.os_errno) : "");
    }
    return side->fd >= 0;
}

int diff_exit_code(enum varve_diff_relation relation) {
    return relation == VARVE_DIFF_EQUAL     ? EXIT_WELL
           : relation == VARVE_DIFF_UNEQUAL ? EXIT_FOUND
                                            : EXIT_FATAL;
}

bool diff_show_layers(struct diff_view *view, const struct varve_diff_side *left,
                      const struct varve_diff_side *right) {
    if (varve_diff_layers(view->diff, left, right) != VARVE_OK) {
        complain("out of memory");
        return false;
    }
    view->relation =
        varve_diff_relation(&varve_diff_layer(view->diff, 0)->rungs,
                            &varve_diff_layer(view->diff, 1)->rungs, view->settings->diff_rung);
    bool good = view->settings->json ? diff_show_json(view) : diff_show_text(view);
    if (!good) {
        complain("out of memory: some differences are left out");
    }
    return good;
}

bool diff_show_security(struct diff_view *view, const struct varve_diff_side *left,
                        const struct varve_diff_side *right) {
    bool good = varve_diff_layers(view->diff, left, right) == VARVE_OK &&
                varve_diff_verdict(view->diff).entries_compared &&
                (view->settings->json ? diff_show_kind_json(view, VARVE_DIFF_SECURITY)
                                      : diff_show_kind_text(view, VARVE_DIFF_SECURITY));
    if (!good) {
        complain("%s: its entries could not be read again, so that differences are left out",
                 *left->name ? left->name : right->name);
    }
    return good;
}

/* Two blobs that are operands themselves. */
static int show_blobs(struct diff_view *view, struct diff_operand operands[2]) {
    struct varve_diff_side sides[2];
    if (!diff_open_side(&sides[0], &operands[0], operands[0].number) ||
        !diff_open_side(&sides[1], &operands[1], operands[1].number) ||
        !diff_show_layers(view, &sides[0], &sides[1])) {
        return EXIT_FATAL;
    }
    return diff_exit_code(view->relation);
}

static bool wants_color(const struct settings *settings) {
    const char *no_color = getenv("NO_COLOR");
    if (settings->color != COLOR_AUTO) {
        return settings->color == COLOR_ALWAYS;
    }
    return isatty(STDOUT_FILENO) && !(no_color && *no_color);
}

/* One is an image, the other a layer; or a path where nothing lies, "DIR:TAG" without "oci:" say.
 */
static void complain_of_kinds(struct diff_operand operands[2]) {
    unsigned layer = operands[0].image ? 1 : 0;
    struct varve_diff_side side;
    if (diff_open_side(&side, &operands[layer], operands[layer].number)) {
        complain("%s is an image and %s is a layer", operands[1 - layer].text,
                 operands[layer].text);
    }
}

struct varve_diff_options diff_options(const struct settings *settings) {
    return (struct varve_diff_options){
        .tier = settings->scan.tier,
        .engine = settings->scan.engine,
        .memory_bytes = settings->scan.memory_bytes,
        .max_decoded_bytes = settings->scan.max_decoded_bytes,
        .chunk_bytes = settings->scan.chunk_bytes,
    };
}

static int compare(const struct settings *settings, struct diff_operand operands[2]) {
    struct diff_view view = {.settings = settings,
                             .indent = "",
                             .color = wants_color(settings),
                             .limit = settings->diff_limit,
                             .pair = -1};
    const struct varve_diff_options options = diff_options(settings);
    if (!view.limit) {
        view.limit = settings->json ? UINT64_MAX : DIFF_SHOWN;
    }
    view.field_limit = view.limit > DIFF_SHOWN ? view.limit : DIFF_SHOWN;
    if (operands[0].image != operands[1].image) {
        complain_of_kinds(operands);
        return EXIT_FATAL;
    }
    enum varve_status status = varve_diff_open(&view.diff, &options);
    if (status != VARVE_OK) {
        complain(status == VARVE_UNSUPPORTED
                     ? "this CPU or build has not the tier or engine asked for"
                     : "out of memory");
        return EXIT_FATAL;
    }
    int code = operands[0].image ? diff_show_images(&view, operands) : show_blobs(&view, operands);
    varve_diff_close(view.diff);
    return code;
}

int run_diff(const struct settings *settings) {
    struct diff_operand operands[2] = {{.text = settings->operands[0]},
                                       {.text = settings->operands[1]}};
    int code = EXIT_FATAL;
    if (strcmp(operands[0].text, "-") == 0 && strcmp(operands[1].text, "-") == 0) {
        complain("standard input can be one side only");
        return EXIT_FATAL;
    }
    if (find(&operands[0], settings) && find(&operands[1], settings)) {
        code = compare(settings, operands);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (operands[i].catalog && operands[i].fd >= 0) {
            close(operands[i].fd);
        }
        varve_catalog_close(operands[i].catalog);
    }
    return code;
}
