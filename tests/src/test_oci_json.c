/* SPDX-License-Identifier: Apache-2.0 */
/* OCI documents: every way in which one can be wrong, told by its code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "oci_json.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LAYER "\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\""
#define DESCRIPTOR(digest, size) "{" LAYER ",\"digest\":" digest ",\"size\":" size "}"
#define GOOD DESCRIPTOR("\"sha256:" HEX64 "\"", "12")
#define MANIFEST(layers) "{\"schemaVersion\":2,\"config\":" GOOD ",\"layers\":[" layers "]}"

/* The code a document is refused with, or "ok"; with it, the code of its first child. */
static const char *verdict(const char *text, size_t bytes, const char **child) {
    struct varve_document document;
    struct varve_fault fault = {0};
    *child = NULL;
    if (!varve_document_parse(&document, &fault, (const uint8_t *)text, bytes)) {
        return fault.code;
    }
    if (document.child_count) {
        *child = document.children[0].fault.code;
    }
    varve_document_free(&document);
    return "ok";
}

static void documents_are_judged(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *code;
    } cases[] = {
        {MANIFEST(GOOD), "ok"},
        {MANIFEST(""), "ok"},
        {"{\"manifests\":[]}", "ok"},
        {"", "oci.json"},
        {"{", "oci.json"},
        {"{} {}", "oci.json"},
        {"{\"manifests\":[],\"manifests\":[]}", "oci.json"},
        {"[]", "oci.shape"},
        {"{}", "oci.shape"},
        {"{\"layers\":{}}", "oci.shape"},
        {"{\"mediaType\":7,\"manifests\":[]}", "oci.shape"},
        {"{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"manifests\":[]}",
         "oci.shape"},
        {"{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"layers\":[]}", "oci.shape"},
        {"{\"manifests\":[],\"layers\":[]}", "oci.ambiguous"},
        {"{\"manifests\":[],\"config\":{}}", "oci.ambiguous"},
        {"{\"layers\":[],\"Layers\":[]}", "oci.ambiguous"},
        {"{\"manifests\":[],\"MEDIATYPE\":\"x\"}", "oci.ambiguous"},
        {"{\"layers\":[],\"layer\\u017f\":[]}", "oci.ambiguous"},
        {"{\"layers\":[],\"layer\xc5\xbf\":[]}", "oci.ambiguous"},
        {"{\"manifests\":[],\"manife\\u017ft\\u017f\":[]}", "oci.ambiguous"},
        {"{\"manifests\":[],\"Annotations\":{}}", "oci.ambiguous"},
        {"{\"layers\":[],\"Subject\":{}}", "oci.ambiguous"},
        {"{\"layers\":[],\"subject\":{\"dige\\u017ft\":1}}", "oci.ambiguous"},
        {"{\"layers\":[],\"ARTIFACTTYPE\":\"x\"}", "oci.ambiguous"},
        {"{\"layers\":[],\"schemaversion\":1}", "oci.ambiguous"},
        {"{\"layers\":[],\"Other\":1,\"other\":2}", "ok"},
        {"{\"layers\":[],\"annotations\":{\"Digest\":\"x\",\"digest\":\"y\"}}", "ok"},
        {"{\"Subject\":1,\"Annotations\":[]}", "oci.shape"},
        {"{\"mediaType\":\"text/html\",\"layers\":[]}", "ok"},
        {"{\"schemaVersion\":1,\"fsLayers\":[]}", "oci.schema1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *child = NULL;
        const char *code = verdict(cases[i].text, strlen(cases[i].text), &child);
        if (strcmp(code, cases[i].code) != 0) {
            print_message("%s\n", cases[i].text);
        }
        assert_string_equal(code, cases[i].code);
    }
}

static void descriptors_are_judged(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *code; /* NULL: good */
    } cases[] = {
        {GOOD, NULL},
        {DESCRIPTOR("\"sha256:" HEX64 "\"", "0"), NULL},
        {DESCRIPTOR("\"sha512:" HEX64 HEX64 "\"", "9223372036854775807"), NULL},
        {DESCRIPTOR("\"sha256:" HEX64 "\"", "-1"), "oci.descriptor"},
        {DESCRIPTOR("\"sha256:" HEX64 "\"", "10.5"), "oci.descriptor"},
        {DESCRIPTOR("\"sha256:" HEX64 "\"", "1e1"), "oci.descriptor"},
        {DESCRIPTOR("\"sha256:" HEX64 "\"", "\"10\""), "oci.descriptor"},
        {DESCRIPTOR("\"sha256:" HEX64 "\"", "null"), "oci.descriptor"},
        {DESCRIPTOR("\"sha256:../../../../../../../../../../../../../../etc/passwd\"", "1"),
         "oci.descriptor"},
        {DESCRIPTOR("\"sha256:" HEX64 "0\"", "1"), "oci.descriptor"},
        {DESCRIPTOR("\"sha256:\\u0000" HEX64 "\"", "1"), "oci.descriptor"},
        {DESCRIPTOR("7", "1"), "oci.descriptor"},
        {DESCRIPTOR("\"blake3:" HEX64 "\"", "1"), "oci.algorithm"},
        {"{\"digest\":\"sha256:" HEX64 "\",\"size\":1}", "oci.descriptor"},
        {"{" LAYER ",\"Digest\":\"x\",\"digest\":\"sha256:" HEX64 "\",\"size\":1}",
         "oci.ambiguous"},
        {"{" LAYER ",\"dige\\u017ft\":\"x\",\"digest\":\"sha256:" HEX64 "\",\"size\":1}",
         "oci.ambiguous"},
        {"{" LAYER ",\"digest\":\"sha256:" HEX64 "\",\"size\":1,\"Annotations\":{}}",
         "oci.ambiguous"},
        {"{" LAYER ",\"digest\":\"sha256:" HEX64 "\",\"size\":1,\"URLs\":[]}", "oci.ambiguous"},
        {"{" LAYER ",\"digest\":\"sha256:" HEX64 "\",\"size\":1,\"Data\":\"\"}", "oci.ambiguous"},
        {"{" LAYER ",\"digest\":\"sha256:" HEX64 "\",\"size\":1,\"platform\":{\"o\\u017f\":\"x\"}}",
         "oci.ambiguous"},
        {"{" LAYER ",\"digest\":\"sha256:" HEX64 "\",\"size\":1,\"platform\":{\"os\":\"x\"},"
         "\"annotations\":{\"OS\":\"\",\"os\":\"\"},\"unknown\":1,\"Unknown\":2}",
         NULL},
        {"7", "oci.descriptor"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[2048] = "{\"layers\":[";
        const char *child = NULL;
        strcat(strcat(text, cases[i].text), "]}");
        assert_string_equal(verdict(text, strlen(text), &child), "ok");
        if ((child != NULL) != (cases[i].code != NULL)) {
            print_message("%s\n", text);
        }
        assert_int_equal(child != NULL, cases[i].code != NULL);
        if (child) {
            assert_string_equal(child, cases[i].code);
        }
    }
}

static void size_beyond_int64_is_refused(void **state) {
    (void)state;
    const char *child = NULL;
    const char text[] =
        "{\"layers\":[" DESCRIPTOR("\"sha256:" HEX64 "\"", "9223372036854775808") "]}";
    assert_string_equal(verdict(text, sizeof text - 1, &child), "oci.json");
}

static void nesting_does_not_use_up_the_stack(void **state) {
    (void)state;
    enum { DEPTH = 200000 };
    const char *child = NULL;
    char *text = malloc(2 * DEPTH);
    assert_non_null(text);
    memset(text, '[', DEPTH);
    memset(text + DEPTH, ']', DEPTH);
    assert_string_equal(verdict(text, 2 * DEPTH, &child), "oci.json");
    free(text);
}

static void annotations_and_platform_are_read(void **state) {
    (void)state;
    struct varve_document document;
    struct varve_fault fault;
    const char text[] =
        "{\"manifests\":[{" LAYER ",\"digest\":\"sha256:" HEX64 "\",\"size\":5,"
        "\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"},"
        "\"annotations\":{\"org.opencontainers.image.ref.name\":\"a tag\","
        "\"vnd.docker.reference.type\":\"attestation-manifest\",\"x\":\"\\u0000\"}}]}";
    assert_true(varve_document_parse(&document, &fault, (const uint8_t *)text, sizeof text - 1));
    assert_int_equal(document.kind, VARVE_DOCUMENT_INDEX);
    assert_string_equal(document.children[0].platform, "linux/arm64/v8");
    assert_string_equal(document.children[0].ref, "a tag");
    assert_true(document.children[0].attestation);
    assert_int_equal(document.children[0].size, 5);
    assert_true(document.holds_nul);
    varve_document_free(&document);
}

static const char *config_verdict(const char *text, struct varve_config *config) {
    struct varve_fault fault = {0};
    return varve_config_parse(config, &fault, (const uint8_t *)text, strlen(text)) ? "ok"
                                                                                   : fault.code;
}

static void configs_are_judged(void **state) {
    (void)state;
    struct varve_config config;
    assert_string_equal(config_verdict("{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":"
                                       "{\"diff_ids\":[\"sha256:" HEX64 "\"]}}",
                                       &config),
                        "ok");
    assert_int_equal(config.diffid_count, 1);
    assert_int_equal(config.diffids[0].bytes[1], 0x23);
    assert_string_equal(config.platform, "linux/amd64");
    varve_config_free(&config);
    assert_string_equal(config_verdict("{}", &config), "oci.config");
    assert_string_equal(config_verdict("{\"rootfs\":{\"diff_ids\":[\"" HEX64 "\"]}}", &config),
                        "oci.config");
    assert_string_equal(config_verdict("{\"rootfs\":{\"diff_ids\":[],\"Diff_IDs\":[]}}", &config),
                        "oci.ambiguous");
    static const char *const ambiguous[] = {
        "{\"rootfs\":{\"diff_ids\":[],\"diff_id\\u017f\":[]}}",
        "{\"rootfs\":{\"diff_ids\":[]},\"rootf\\u017f\":{}}",
        "{\"Rootfs\":{\"diff_ids\":[]}}",
        "{\"rootfs\":{\"diff_ids\":[],\"TYPE\":\"layers\"}}",
        "{\"rootfs\":{\"diff_ids\":[]},\"OS\":\"linux\"}",
        "{\"rootfs\":{\"diff_ids\":[]},\"Config\":{}}",
        "{\"rootfs\":{\"diff_ids\":[]},\"hi\\u017ftory\":[]}",
    };
    for (size_t i = 0; i < sizeof ambiguous / sizeof ambiguous[0]; i++) {
        assert_string_equal(config_verdict(ambiguous[i], &config), "oci.ambiguous");
    }
    assert_string_equal(config_verdict("{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Env\":[],"
                                       "\"env\":[]},\"container_config\":{},\"Size\":0}",
                                       &config),
                        "ok");
    assert_false(config.holds_nul);
    varve_config_free(&config);
    assert_string_equal(
        config_verdict("{\"rootfs\":{\"diff_ids\":[]},\"author\":\"\\u0000\"}", &config), "ok");
    assert_true(config.holds_nul);
    varve_config_free(&config);
    assert_string_equal(config_verdict("nonsense", &config), "oci.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_judged),
        cmocka_unit_test(descriptors_are_judged),
        cmocka_unit_test(size_beyond_int64_is_refused),
        cmocka_unit_test(nesting_does_not_use_up_the_stack),
        cmocka_unit_test(annotations_and_platform_are_read),
        cmocka_unit_test(configs_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
