/* SPDX-License-Identifier: Apache-2.0 */
/* tests/src/test_rewrite.c - a layout's documents written anew: what follows what, what is an
 * error, what is read how often. Whole layouts with real layers:
 * tests/cli/test_normalize_layout.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "rewrite_run.h"

/* ---- Layouts ---- */

#define MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define INDEX "application/vnd.oci.image.index.v1+json"
#define CONFIG "application/vnd.oci.image.config.v1+json"
#define LAYER "application/vnd.oci.image.layer.v1.tar"

/* A descriptor of the blob that a letter stands for, with more members. */
#define TO(type, letter, more)                                                                     \
    "{\"mediaType\":\"" type "\",\"digest\":\"@" letter "\",\"size\":#" letter more "}"
#define NOTES(key, value) ",\"annotations\":{\"" key "\":\"" value "\"}"
#define REFERENCE(to) NOTES("vnd.docker.reference.digest", to)
#define TAG(tag) NOTES("org.opencontainers.image.ref.name", tag)
#define CONFIG_OF(letter, more)                                                                    \
    "{\"architecture\":\"x\",\"rootfs\":{\"diff_ids\":[\"@" letter "\"]}" more "}"
#define IMAGE(config, layer, more)                                                                 \
    "{\"schemaVersion\":2,\"config\":" TO(CONFIG, config, "") ",\"layers\":[" TO(LAYER, layer,     \
                                                                                 "") "]" more "}"
#define ARTIFACT(config, more)                                                                     \
    "{\"schemaVersion\":2,\"artifactType\":\"application/x\",\"config\":" TO(                      \
        "application/x", config, "") ",\"layers\":[]" more "}"
#define SUBJECT(letter, more) ",\"subject\":" TO(MANIFEST, letter, more)
#define MANIFESTS(list) "{\"schemaVersion\":2,\"manifests\":[" list "]}"

/* A layout, and what came of it. */
struct run {
    struct layout in, out;
    struct input input;
    struct varve_rewrite *rewrite;
};

static struct varve_rewrite_options plain;

static void begin_options(struct run *run, const struct varve_rewrite_options *options,
                          const char *tag, const char *const *blobs) {
    char from[128];
    memset(run, 0, sizeof *run);
    for (size_t i = 0; blobs[i]; i++) {
        read_blob(&run->input, (const uint8_t *)blobs[i], strlen(blobs[i]));
    }
    make_layout(&run->in);
    make_layout(&run->out);
    write_input(&run->in, &run->input);
    snprintf(from, sizeof from, "%s%s", run->in.path, tag);
    assert_int_equal(varve_rewrite_open(&run->rewrite, options, from), VARVE_OK);
}

#define BEGIN(run, tag, ...)                                                                       \
    begin_options(run, &plain, tag, (const char *const[]){__VA_ARGS__, NULL})

/* Goes on to the end, which is expected to be good. */
static void finish(struct run *run) {
    if (varve_rewrite_error_count(run->rewrite)) {
        struct varve_catalog_error error = varve_rewrite_error(run->rewrite, 0);
        fail_msg("%s: %s", error.name, error.fault.code);
    }
    assert_true(do_blobs(run->rewrite, &run->out));
    assert_int_equal(varve_rewrite_documents(run->rewrite, put, &run->out), VARVE_OK);
}

static void end(struct run *run) {
    varve_rewrite_close(run->rewrite);
    free_input(&run->input);
    remove_layout(&run->in);
    remove_layout(&run->out);
}

/* What became of the blob that a letter stands for, NULL where it is not told of. */
static const char *after(const struct run *run, char letter) {
    for (size_t i = 0; i < varve_rewrite_mapping_count(run->rewrite); i++) {
        struct varve_rewrite_mapping mapping = varve_rewrite_mapping(run->rewrite, i);
        if (strcmp(mapping.before, run->input.names[letter - 'A']) == 0) {
            return mapping.after;
        }
    }
    return NULL;
}

/* A document of the new layout; "": index.json. */
static json_t *document(const struct run *run, const char *name) {
    char path[128] = "index.json";
    if (*name) {
        snprintf(path, sizeof path, "blobs/sha256/%s", name + 7);
    }
    struct bytes whole = read_file(run->out.folder, path);
    assert_non_null(whole.at);
    json_t *root = json_loadb((const char *)whole.at, whole.count, 0, NULL);
    free(whole.at);
    assert_non_null(root);
    return root;
}

/* A string by a path of keys and numbers, in a document. */
static void assert_text(const json_t *root, const char *path, const char *expected) {
    char copy[256];
    char *rest = NULL;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *word = strtok_r(copy, "/", &rest); word; word = strtok_r(NULL, "/", &rest)) {
        root = json_is_array(root) ? json_array_get(root, (size_t)atoi(word))
                                   : json_object_get(root, word);
    }
    assert_non_null(root);
    assert_string_equal(json_string_value(root), expected);
}

/* One whose code begins so, of what has that in its name. */
static void assert_error(const struct run *run, const char *code, const char *name) {
    for (size_t i = 0; i < varve_rewrite_error_count(run->rewrite); i++) {
        struct varve_catalog_error error = varve_rewrite_error(run->rewrite, i);
        if (strncmp(error.fault.code, code, strlen(code)) == 0 && strstr(error.name, name)) {
            return;
        }
    }
    fail_msg("no %s of %s among %zu errors", code, name, varve_rewrite_error_count(run->rewrite));
}

/* ---- What follows what ---- */

static void an_image_follows_its_layer(void **state) {
    struct run run;
    (void)state;
    BEGIN(&run, "", "layer", CONFIG_OF("A", ",\"created\":\"2020-01-01T00:00:00Z\""),
          IMAGE("B", "A", ""), MANIFESTS(TO(MANIFEST, "C", TAG("t"))));
    finish(&run);
    assert_int_equal(varve_rewrite_mapping_count(run.rewrite), 3);
    struct varve_rewrite_mapping layer = varve_rewrite_mapping(run.rewrite, 0);
    assert_int_equal(layer.kind, VARVE_REWRITE_LAYER);
    assert_int_equal(layer.bytes_before, 5);
    assert_int_equal(layer.bytes_after, 6);
    assert_string_equal(layer.diffid_before, run.input.names[0]);
    assert_string_equal(layer.diffid_after, layer.after);
    struct varve_rewrite_mapping image = varve_rewrite_mapping(run.rewrite, 2);
    assert_int_equal(image.kind, VARVE_REWRITE_MANIFEST);
    assert_string_equal(image.ref, "t");
    json_t *config = document(&run, after(&run, 'B'));
    assert_text(config, "rootfs/diff_ids/0", layer.after);
    assert_text(config, "created", "2020-01-01T00:00:00Z");
    json_t *manifest = document(&run, image.after);
    assert_text(manifest, "config/digest", after(&run, 'B'));
    assert_text(manifest, "layers/0/digest", layer.after);
    json_t *index = document(&run, "");
    assert_text(index, "manifests/0/digest", image.after);
    json_decref(config);
    json_decref(manifest);
    json_decref(index);
    end(&run);
}

/* An image's own annotation leads to another image, wherever that stands in index.json. */
static void references_are_followed_in_any_order(void **state) {
    (void)state;
    static const char *const lists[] = {
        MANIFESTS(TO(MANIFEST, "C", "") "," TO(MANIFEST, "D", "")),
        MANIFESTS(TO(MANIFEST, "D", "") "," TO(MANIFEST, "C", "")),
        MANIFESTS(TO(MANIFEST, "D", "")), /* and where nothing else leads to it */
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct run run;
        BEGIN(&run, "", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""),
              IMAGE("B", "A", REFERENCE("@C")), lists[i]);
        finish(&run);
        const char *to = after(&run, 'C');
        assert_non_null(to);
        assert_string_not_equal(to, run.input.names[2]);
        json_t *image = document(&run, after(&run, 'D'));
        assert_text(image, "annotations/vnd.docker.reference.digest", to);
        json_decref(image);
        end(&run);
    }
}

/* Annotations of a subject, of an artifact, of a layer's and a config's descriptor, of an entry of
 * index.json. */
static void references_are_followed_everywhere(void **state) {
    struct run run;
    (void)state;
    BEGIN(&run, "", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""), "{}",
          ARTIFACT("D", SUBJECT("C", REFERENCE("@C")) REFERENCE("@C")),
          "{\"schemaVersion\":2,\"config\":" TO(CONFIG, "B", REFERENCE("@C")) ",\"layers\":[" TO(
              LAYER, "A", REFERENCE("@C")) "]" SUBJECT("C", REFERENCE("@C")) "}",
          MANIFESTS(TO(MANIFEST, "F", "") "," TO(MANIFEST, "E", REFERENCE("@C"))));
    finish(&run);
    static const char reference[] = "annotations/vnd.docker.reference.digest";
    static const char *const places[][2] = {{"E", ""},         {"E", "subject/"},
                                            {"F", "config/"},  {"F", "layers/0/"},
                                            {"F", "subject/"}, {"", "manifests/1/"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", places[i][1], reference);
        json_t *root = document(&run, *places[i][0] ? after(&run, *places[i][0]) : "");
        assert_text(root, path, after(&run, 'C'));
        json_decref(root);
    }
    json_t *artifact = document(&run, after(&run, 'E'));
    assert_text(artifact, "subject/digest", after(&run, 'C'));
    json_decref(artifact);
    end(&run);
}

/* What a subject or a reference leads to need not be there, nor be a document. */
static void what_is_no_document_stays(void **state) {
    (void)state;
    static const char *const others[] = {"{\"predicate\":1}", "{broken", "text", "[1]",
                                         "{\"schemaVersion\":1,\"fsLayers\":[]}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct run run;
        BEGIN(&run, "", "layer", CONFIG_OF("A", ""), others[i],
              IMAGE("B", "A", SUBJECT("C", "") REFERENCE("@C")),
              MANIFESTS(TO(MANIFEST, "D", REFERENCE("@C"))));
        finish(&run);
        assert_null(after(&run, 'C'));
        json_t *image = document(&run, after(&run, 'D'));
        assert_text(image, "subject/digest", run.input.names[2]);
        assert_text(image, "annotations/vnd.docker.reference.digest", run.input.names[2]);
        json_decref(image);
        end(&run);
        /* As an index's child it must be one, whatever else led to it before. */
        BEGIN(&run, "", "layer", CONFIG_OF("A", ""), others[i], IMAGE("B", "A", SUBJECT("C", "")),
              MANIFESTS(TO(MANIFEST, "D", "") "," TO(MANIFEST, "C", TAG("t"))));
        assert_int_equal(varve_rewrite_error_count(run.rewrite), 1);
        assert_error(&run, "oci.", "(t)");
        end(&run);
    }
}

static void what_is_two_things_does_not(void **state) {
    struct run run;
    (void)state;
    BEGIN(&run, "", "layer", CONFIG_OF("A", ""), "{\"manifests\":[],\"layers\":[]}",
          IMAGE("B", "A", SUBJECT("C", "")), MANIFESTS(TO(MANIFEST, "D", "")));
    assert_error(&run, "oci.ambiguous", run.input.names[2]);
    end(&run);
    /* Nor what is not as large as is said. */
    BEGIN(&run, "", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""),
          IMAGE("B", "A",
                ",\"subject\":{\"mediaType\":\"" MANIFEST "\",\"digest\":\"@C\",\"size\":7}"),
          MANIFESTS(TO(MANIFEST, "D", "")));
    assert_error(&run, "claim.size", run.input.names[2]);
    end(&run);
}

static void what_is_no_index_does_not_go_for_one(void **state) {
    struct run run;
    (void)state;
    BEGIN(&run, "", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""),
          MANIFESTS(TO(INDEX, "C", TAG("t"))));
    assert_error(&run, "oci.ambiguous", "(t)");
    end(&run);
    BEGIN(&run, "", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""),
          MANIFESTS(TO(MANIFEST, "C", "")), MANIFESTS(TO(MANIFEST, "D", TAG("t"))));
    assert_error(&run, "oci.ambiguous", "(t)");
    end(&run);
    /* Whether the right descriptor comes before or behind the wrong one. */
    BEGIN(&run, "", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""),
          MANIFESTS(TO(INDEX, "C", TAG("t")) "," TO(MANIFEST, "C", TAG("u"))));
    assert_int_equal(varve_rewrite_error_count(run.rewrite), 1);
    assert_error(&run, "oci.ambiguous", "(t)");
    end(&run);
    BEGIN(&run, "", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""), MANIFESTS(TO(INDEX, "C", "")),
          MANIFESTS(TO(MANIFEST, "C", TAG("t")) "," TO(INDEX, "D", TAG("u"))));
    assert_error(&run, "oci.ambiguous", "(t)");
    end(&run);
}

/* ---- Media types, tags ---- */

static void media_types_may_be_long(void **state) {
    struct run run;
    (void)state;
    const struct varve_rewrite_options options = {.compression = VARVE_COMPRESSION_ZSTD};
    char *manifest = NULL;
    char filler[4097];
    memset(filler, 'x', sizeof filler - 1);
    filler[sizeof filler - 1] = 0;
    assert_true(asprintf(&manifest,
                         "{\"config\":%s,\"layers\":[{\"mediaType\":\"%s+gzip; a=%s\","
                         "\"digest\":\"@A\",\"size\":#A}]}",
                         TO(CONFIG, "B", ""), LAYER, filler) > 0);
    begin_options(&run, &options, "",
                  (const char *const[]){"layer", CONFIG_OF("A", ""), manifest,
                                        MANIFESTS(TO(MANIFEST, "C", "")), NULL});
    finish(&run);
    json_t *image = document(&run, after(&run, 'C'));
    char expected[4200];
    snprintf(expected, sizeof expected, "%s+zstd; a=%s", LAYER, filler);
    assert_text(image, "layers/0/mediaType", expected);
    json_decref(image);
    end(&run);
    free(manifest);
}

static size_t count_tags(const json_t *index, const char *tag) {
    json_t *entry = NULL;
    size_t i = 0;
    size_t count = 0;
    json_array_foreach(json_object_get(index, "manifests"), i, entry) {
        const char *found = json_string_value(json_object_get(json_object_get(entry, "annotations"),
                                                              "org.opencontainers.image.ref.name"));
        count += found && strcmp(found, tag) == 0;
    }
    return count;
}

/* C and D are one image, spelled in two ways: they become the same. */
static void images_that_become_one_give_no_tag_twice(void **state) {
    struct run run;
    char new_tag[128];
    char list[4096];
    (void)state;
    /* Tags hold digests with '-': they are known once the blobs are. */
    BEGIN(&run, "", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""), IMAGE("B", "A", " "), "{}",
          ARTIFACT("E", ""), ARTIFACT("E", " "), MANIFESTS(""));
    end(&run);
    const char *const names[2] = {run.input.names[2] + 7, run.input.names[3] + 7};
    assert_string_not_equal(names[0], names[1]);
    *new_tag = 0;
    for (int taken = 0; taken < 2; taken++) {
        snprintf(list, sizeof list,
                 "{\"manifests\":[" TO(MANIFEST, "C", "") "," TO(MANIFEST, "D", "") "," TO(
                     MANIFEST, "F", TAG("sha256-%s.sig")) "," TO(MANIFEST, "G",
                                                                 TAG("sha256-%s.sig")) "%s%s%s]}",
                 names[0], names[1],
                 taken ? ",{\"mediaType\":\"" MANIFEST "\",\"digest\":\"@F\",\"size\":#F,"
                         "\"annotations\":{\"org.opencontainers.image.ref.name\":\""
                       : "",
                 new_tag, taken ? "\"}}" : "");
        BEGIN(&run, "", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""), IMAGE("B", "A", " "),
              "{}", ARTIFACT("E", ""), ARTIFACT("E", " "), list);
        finish(&run);
        assert_string_equal(after(&run, 'C'), after(&run, 'D'));
        json_t *index = document(&run, "");
        snprintf(new_tag, sizeof new_tag, "sha256-%s.sig", after(&run, 'C') + 7);
        assert_int_equal(count_tags(index, new_tag), 1);
        for (int i = 0; i < 2; i++) {
            char old_tag[128];
            snprintf(old_tag, sizeof old_tag, "sha256-%s.sig", names[i]);
            assert_int_equal(count_tags(index, old_tag), i == 1 || taken);
        }
        json_decref(index);
        end(&run);
    }
}

/* ---- Tags that are asked for ---- */

/* Entries that refer to the tag's image by a subject, by an annotation, by their own tag; those
 * that refer to these; and nothing else. */
static void a_tag_brings_what_refers_to_it(void **state) {
    struct run run;
    (void)state;
    BEGIN(
        &run, ":t", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""), "{}",
        ARTIFACT("D", SUBJECT("C", "")), ARTIFACT("D", SUBJECT("E", "")), ARTIFACT("D", " "),
        ARTIFACT("D", "  "), IMAGE("B", "A", "  "),
        MANIFESTS(TO(MANIFEST, "F", "") "," TO(MANIFEST, "E", "") "," TO(
            MANIFEST, "G", REFERENCE("@E")) "," TO(MANIFEST, "H",
                                                   "") "," TO(MANIFEST, "I",
                                                              "") "," TO(MANIFEST, "C", TAG("t"))));
    finish(&run);
    for (const char *kept = "CEFG"; *kept; kept++) {
        assert_non_null(after(&run, *kept));
    }
    assert_null(after(&run, 'H'));
    assert_null(after(&run, 'I'));
    json_t *index = document(&run, "");
    assert_int_equal(json_array_size(json_object_get(index, "manifests")), 4);
    json_decref(index);
    end(&run);
    BEGIN(&run, ":nothing", "layer", MANIFESTS(""));
    assert_error(&run, "source.tag", "nothing");
    end(&run);
}

/* ---- How often things are read ---- */

/* Bytes that this process asked for so far, or 0 where that is not told. */
static unsigned long long bytes_read(void) {
    unsigned long long bytes = 0;
    FILE *in = fopen("/proc/self/io", "r");
    if (in) {
        if (fscanf(in, "rchar: %llu", &bytes) != 1) {
            bytes = 0;
        }
        fclose(in);
    }
    return bytes;
}

enum { LARGE_BYTES = 900000, MANY = 400 };

/* Many entries of one large document that nobody asked for: read once, all the same. */
static void documents_are_read_once(void **state) {
    struct run run;
    (void)state;
    char *large = malloc(LARGE_BYTES + 200);
    char *index = malloc(MANY * 300 + 300);
    assert_true(large && index);
    int n = sprintf(large, "{\"subject\":{\"digest\":\"@C\"},\"layers\":[],\"x\":\"");
    memset(large + n, 'x', LARGE_BYTES);
    strcpy(large + n + LARGE_BYTES, "\"}");
    char *to = index + sprintf(index, "{\"manifests\":[" TO(MANIFEST, "C", TAG("t")));
    for (int i = 0; i < MANY; i++) {
        to += sprintf(to, "," TO(MANIFEST, "D", TAG("x%d")), i);
    }
    strcpy(to, "]}");
    unsigned long long before = bytes_read();
    if (!before) {
        skip();
    }
    BEGIN(&run, ":t", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""), large, index);
    assert_true(bytes_read() - before < 4 * LARGE_BYTES);
    end(&run);
    free(large);
    free(index);
}

/* Many images with one large config: it is read and written once for all. */
static void configs_are_read_once(void **state) {
    struct run run;
    (void)state;
    const char *blobs[MOST_BLOBS] = {"layer"};
    char *config = malloc(LARGE_BYTES + 200);
    char index[MOST_BLOBS * 200] = "{\"manifests\":[";
    char manifests[MOST_BLOBS][400];
    assert_non_null(config);
    int n = sprintf(config, "{\"rootfs\":{\"diff_ids\":[\"@A\"]},\"x\":\"");
    memset(config + n, 'x', LARGE_BYTES);
    strcpy(config + n + LARGE_BYTES, "\"}");
    blobs[1] = config;
    for (int i = 2; i + 2 < MOST_BLOBS; i++) {
        snprintf(manifests[i], sizeof manifests[i], IMAGE("B", "A", ",\"x\":%d"), i);
        blobs[i] = manifests[i];
        sprintf(index + strlen(index),
                "%s{\"mediaType\":\"" MANIFEST "\",\"digest\":\"@%c\",\"size\":#%c}",
                i > 2 ? "," : "", 'A' + i, 'A' + i);
        blobs[i + 1] = index;
    }
    strcat(index, "]}");
    unsigned long long before = bytes_read();
    if (!before) {
        skip();
    }
    begin_options(&run, &plain, "", blobs);
    finish(&run);
    assert_true(bytes_read() - before < 4 * LARGE_BYTES);
    assert_int_equal(varve_rewrite_mapping_count(run.rewrite), 1 + 1 + MOST_BLOBS - 4);
    end(&run);
    free(config);
}

/* A tag is shown with every document beneath it: so it is not shown whole, however long. */
static void long_tags_are_cut(void **state) {
    struct run run;
    (void)state;
    char *index = malloc(100000);
    assert_non_null(index);
    int n = sprintf(index, "{\"manifests\":[{\"mediaType\":\"" MANIFEST
                           "\",\"digest\":\"@C\",\"size\":#C,\"annotations\":{"
                           "\"org.opencontainers.image.ref.name\":\"");
    memset(index + n, 't', 90000);
    strcpy(index + n + 90000, "\"}}]}");
    BEGIN(&run, "", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""), index);
    finish(&run);
    assert_int_equal(strlen(varve_rewrite_mapping(run.rewrite, 2).ref), 1024 + 3);
    json_t *root = document(&run, "");
    assert_int_equal(
        strlen(json_string_value(json_object_get(
            json_object_get(json_array_get(json_object_get(root, "manifests"), 0), "annotations"),
            "org.opencontainers.image.ref.name"))),
        90000);
    json_decref(root);
    end(&run);
    free(index);
}

/* ---- Times ---- */

static void times_are_rfc_3339s(void **state) {
    (void)state;
    static const struct {
        const char *text, *becomes; /* NULL: it is none */
    } cases[] = {
        {"2023-11-14T22:13:20Z", "2023-11-14T22:13:20Z"}, /* the clamp: 1700000000 */
        {"2023-11-14T22:13:19Z", "2023-11-14T22:13:19Z"},
        {"2023-11-14T22:13:19.999999999Z", "2023-11-14T22:13:19.999999999Z"},
        {"2023-11-14T22:13:21Z", "2023-11-14T22:13:20Z"},
        {"2023-11-14T23:13:19+01:00", "2023-11-14T23:13:19+01:00"},
        {"2023-11-14T23:13:21+01:00", "2023-11-14T22:13:20Z"},
        {"2023-11-14t22:13:19z", "2023-11-14t22:13:19z"},
        {"2023-11-14 22:43:21+00:30", "2023-11-14T22:13:20Z"},
        {"2023-11-14T21:43:19-00:30", "2023-11-14T21:43:19-00:30"},
        {"0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"},
        {"9999-12-31T23:59:60Z", "2023-11-14T22:13:20Z"},
        {"1900-02-28T12:00:00Z", "1900-02-28T12:00:00Z"},
        {"2023-13-14T22:13:20Z", NULL},
        {"2023-11-14T24:13:20Z", NULL},
        {"2023-11-14T22:13:20", NULL},
        {"2023-11-14T22:13:20.Z", NULL},
        {"2023-11-14T22:13:20+0100", NULL},
        {"2023-11-14T22:13:20+24:00", NULL},
        {"2023-11-14", NULL},
        {"", NULL},
        {"yesterday", NULL},
    };
    const struct varve_rewrite_options options = {.has_clamp = true, .clamp_seconds = 1700000000};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run run;
        char config[256];
        snprintf(config, sizeof config, CONFIG_OF("A", ",\"created\":\"%s\""), cases[i].text);
        begin_options(&run, &options, "",
                      (const char *const[]){"layer", config, IMAGE("B", "A", ""),
                                            MANIFESTS(TO(MANIFEST, "C", "")), NULL});
        if (cases[i].becomes) {
            finish(&run);
            json_t *root = document(&run, after(&run, 'B'));
            assert_text(root, "created", cases[i].becomes);
            json_decref(root);
        } else {
            assert_true(do_blobs(run.rewrite, &run.out));
            assert_int_equal(varve_rewrite_documents(run.rewrite, put, &run.out), VARVE_MALFORMED);
            assert_error(&run, "oci.created", run.input.names[2]);
        }
        end(&run);
    }
}

/* ---- What is not as it is called ---- */

static bool refuse(void *cookie, const void *data, size_t bytes) {
    (void)cookie;
    (void)data;
    (void)bytes;
    errno = ENOSPC;
    return false;
}

static bool refuse_file(void *cookie, const char *path, const void *data, size_t bytes) {
    (void)path;
    return refuse(cookie, data, bytes);
}

static void what_cannot_be_written_is_told(void **state) {
    struct run run;
    struct varve_fault fault;
    (void)state;
    BEGIN(&run, "", "layer", "odd", CONFIG_OF("A", ""),
          "{\"config\":" TO(CONFIG, "C", "") ",\"layers\":[" TO(LAYER, "A", "") "]}",
          MANIFESTS(TO(MANIFEST, "D", "") "," TO("text/plain", "B", "")));
    assert_int_equal(varve_rewrite_blob_count(run.rewrite), 2);
    assert_string_equal(varve_rewrite_blob(run.rewrite, 1).name, run.input.names[1]);
    assert_true(varve_rewrite_blob(run.rewrite, 1).copied);
    assert_false(varve_rewrite_blob(run.rewrite, 1).layer);
    assert_true(varve_rewrite_first_use(run.rewrite, 1) == SIZE_MAX); /* index.json's own */
    size_t use = varve_rewrite_first_use(run.rewrite, 0);
    assert_string_equal(varve_rewrite_use(run.rewrite, use).manifest, run.input.names[3]);
    assert_null(varve_rewrite_use(run.rewrite, use).ref);
    assert_true(varve_rewrite_next_use(run.rewrite, use) == SIZE_MAX);
    assert_int_equal(varve_rewrite_copy(run.rewrite, &fault, 1, refuse, NULL), VARVE_ERROR);
    assert_string_equal(fault.code, "io.write");
    assert_int_equal(fault.os_errno, ENOSPC);
    assert_true(do_blobs(run.rewrite, &run.out));
    assert_int_equal(varve_rewrite_documents(run.rewrite, refuse_file, NULL), VARVE_ERROR);
    assert_error(&run, "io.write", run.input.names[3]);
    end(&run);
}

static void a_blob_must_be_what_it_is_called(void **state) {
    struct run run;
    struct varve_fault fault;
    struct varve_normalized tar = {.stored_bytes = 5};
    struct varve_rewrite_layer layer = {.tar = &tar};
    (void)state;
    BEGIN(&run, "", "layer", CONFIG_OF("A", ""), IMAGE("B", "A", ""),
          MANIFESTS(TO(MANIFEST, "C", "")));
    assert_int_equal(varve_rewrite_set_layer(run.rewrite, &fault, 0, &layer), VARVE_MISMATCH);
    assert_string_equal(fault.code, "claim.name");
    SHA256((const uint8_t *)"layer", 5, tar.blob);
    tar.stored_bytes = 6;
    assert_int_equal(varve_rewrite_set_layer(run.rewrite, &fault, 0, &layer), VARVE_MISMATCH);
    assert_string_equal(fault.code, "claim.size");
    /* A diffID that the config does not promise is found when the config is written. */
    tar.stored_bytes = 5;
    assert_int_equal(varve_rewrite_set_layer(run.rewrite, &fault, 0, &layer), VARVE_OK);
    assert_int_equal(varve_rewrite_documents(run.rewrite, put, &run.out), VARVE_MISMATCH);
    assert_error(&run, "claim.diffid", run.input.names[2]);
    end(&run);
}

static void no_layout_is_an_error(void **state) {
    struct varve_rewrite *rewrite = NULL;
    (void)state;
    assert_int_equal(varve_rewrite_open(&rewrite, &plain, "/nowhere/at/all"), VARVE_OK);
    assert_int_equal(varve_rewrite_error_count(rewrite), 1);
    assert_string_equal(varve_rewrite_error(rewrite, 0).fault.code, "io.missing");
    varve_rewrite_close(rewrite);
    varve_rewrite_close(NULL);
    assert_string_equal(varve_rewrite_kind_name(VARVE_REWRITE_INDEX), "index");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_follows_its_layer),
        cmocka_unit_test(references_are_followed_in_any_order),
        cmocka_unit_test(references_are_followed_everywhere),
        cmocka_unit_test(what_is_no_document_stays),
        cmocka_unit_test(what_is_two_things_does_not),
        cmocka_unit_test(what_is_no_index_does_not_go_for_one),
        cmocka_unit_test(media_types_may_be_long),
        cmocka_unit_test(images_that_become_one_give_no_tag_twice),
        cmocka_unit_test(a_tag_brings_what_refers_to_it),
        cmocka_unit_test(documents_are_read_once),
        cmocka_unit_test(configs_are_read_once),
        cmocka_unit_test(long_tags_are_cut),
        cmocka_unit_test(times_are_rfc_3339s),
        cmocka_unit_test(what_cannot_be_written_is_told),
        cmocka_unit_test(a_blob_must_be_what_it_is_called),
        cmocka_unit_test(no_layout_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
