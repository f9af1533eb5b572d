/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of public parsers' test suites and hostile ones, from ../shared/vectors: where four
 * readers agree varve agrees with them, where all reject it rejects, and where they differ it does
 * what docs/tar.md says. Skipped where the folder is absent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <isa-l.h>
#include <jansson.h>

#include "tar_reading.h"

#define VECTORS VARVE_SOURCE_DIR "/../shared/vectors/"

/* Gunzips what begins as gzip; else the data themselves. Frees `data`. */
static uint8_t *decoded(uint8_t *data, size_t *bytes) {
    if (*bytes < 2 || data[0] != 0x1f || data[1] != 0x8b) {
        return data;
    }
    struct inflate_state state;
    isal_inflate_init(&state);
    state.crc_flag = ISAL_GZIP;
    state.next_in = data;
    state.avail_in = (uint32_t)*bytes;
    size_t room = (size_t)1 << 28; /* larger than any of them; most pages are never touched */
    uint8_t *out = malloc(room);
    state.next_out = out;
    state.avail_out = (uint32_t)room;
    assert_int_equal(isal_inflate(&state), ISAL_DECOMP_OK);
    assert_true(state.avail_out > 0);
    *bytes = state.total_out;
    free(data);
    return out;
}

static struct reading read_vector(struct varve_tar *tar, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, VECTORS "%s", name);
    size_t bytes;
    uint8_t *data = read_file(path, &bytes);
    if (!data) {
        fail_msg("%s is missing", name);
    }
    data = decoded(data, &bytes);
    struct reading whole = read_tar(tar, data, bytes, cut_none, NULL);
    uint64_t state = 7;
    for (int round = 0; round < 4; round++) {
        bool ones = round == 0;
        if (ones && bytes > 500000) {
            continue;
        }
        struct reading pieces = ones ? read_tar(tar, data, bytes, cut_ones, NULL)
                                     : read_tar(tar, data, bytes, cut_random, &state);
        if (strcmp(whole.log, pieces.log) || strcmp(whole.findings, pieces.findings) ||
            memcmp(&whole.traits, &pieces.traits, sizeof whole.traits)) {
            fail_msg("%s: pieces differ\n%s%s\n%s%s", name, whole.log, whole.findings, pieces.log,
                     pieces.findings);
        }
        reading_free(&pieces);
    }
    free(data);
    return whole;
}

static void unhex(char *text, size_t *bytes, const char *hex) {
    *bytes = strlen(hex) / 2;
    for (size_t i = 0; i < *bytes; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        text[i] = (char)byte;
    }
}

static json_int_t number_of(json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

static int mismatches;
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            mismatches++;                                                                          \
            print_error(__VA_ARGS__);                                                              \
        }                                                                                          \
    } while (0)

/* What Go calls a type, as we do. */
static char go_type(const struct seen_entry *seen) {
    return (char)(seen->raw_typeflag == 0 ? seen->typeflag : seen->raw_typeflag);
}

static void check_entry(const char *file, const struct seen_entry *seen, json_t *go) {
    char text[65536];
    size_t bytes;
    unhex(text, &bytes, json_string_value(json_object_get(go, "n")));
    CHECK(bytes == seen->path_bytes && !memcmp(text, seen->path, bytes), "%s: path %s, not %.*s\n",
          file, seen->path, (int)bytes, text);
    const char *type = json_string_value(json_object_get(go, "t"));
    CHECK(go_type(seen) == type[0], "%s: %s: type %c, not %s\n", file, seen->path, go_type(seen),
          type);
    bool has_data = seen->typeflag < '1' || seen->typeflag > '6';
    CHECK(!has_data || (json_int_t)seen->size == number_of(go, "s"), "%s: %s: size %llu\n", file,
          seen->path, (unsigned long long)seen->size);
    json_t *link = json_object_get(go, "l");
    bytes = 0;
    if (link) {
        unhex(text, &bytes, json_string_value(link));
    }
    CHECK(bytes == seen->link_bytes && !memcmp(text, seen->link, bytes), "%s: %s: link %s\n", file,
          seen->path, seen->link);
    CHECK((json_int_t)seen->mode == number_of(go, "m"), "%s: %s: mode %llo\n", file, seen->path,
          (unsigned long long)seen->mode);
    CHECK(seen->uid == number_of(go, "u") && seen->gid == number_of(go, "g"),
          "%s: %s: owner %lld %lld\n", file, seen->path, (long long)seen->uid,
          (long long)seen->gid);
    CHECK(seen->mtime == number_of(go, "mt"), "%s: %s: mtime %lld\n", file, seen->path,
          (long long)seen->mtime);
    const char *hash = json_string_value(json_object_get(go, "h"));
    if (hash && seen->complete) {
        CHECK(!strcmp(hash, seen->sha256), "%s: %s: content %s, not %s\n", file, seen->path,
              seen->sha256, hash);
    }
    json_t *xattrs = json_object_get(go, "x");
    CHECK(json_object_size(xattrs) == seen->xattrs || !xattrs, "%s: %s: %zu attributes\n", file,
          seen->path, seen->xattrs);
}

/* Go lists global headers and Solaris' extension headers as entries; we do not. */
static void check_entries(const char *file, const struct reading *reading, json_t *go) {
    json_t *entries = json_object_get(go, "entries");
    size_t index, at = 0;
    bool extended = false; /* by an X header, which Go does not apply */
    json_t *entry;
    json_array_foreach(entries, index, entry) {
        char type = json_string_value(json_object_get(entry, "t"))[0];
        if (type == 'g' || type == 'X') {
            extended = type == 'X';
            continue;
        }
        if (at == reading->entry_count) {
            CHECK(false, "%s: only %zu entries\n", file, at);
            return;
        }
        if (!extended) {
            check_entry(file, &reading->entries[at], entry);
        }
        extended = false;
        at++;
    }
    CHECK(at == reading->entry_count, "%s: %zu entries, not %zu\n", file, reading->entry_count, at);
}

/* Where varve departs from Go 1.19 on purpose (docs/tar.md), or Go is one of two camps. */
static const struct {
    const char *file; /* end of the name */
    const char *code; /* the fault, or NULL where varve reads on and Go does too, otherwise */
} departures[] = {
    {"pax-path-hdr.tar", "tar.dangling"},
};

static void oracle_is_met(void **state) {
    struct varve_tar *tar = *state;
    FILE *file = fopen(VECTORS "ORACLE.jsonl", "r");
    char *line = NULL;
    size_t room = 0;
    size_t judged = 0;
    mismatches = 0;
    while (getline(&line, &room, file) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        assert_non_null(row);
        const char *name = json_string_value(json_object_get(row, "file"));
        const char *agree = json_string_value(json_object_get(row, "agree"));
        if (!strcmp(json_string_value(json_object_get(row, "comp")), "bzip2")) {
            print_message("skipped: %s (bzip2)\n", name);
            json_decref(row);
            continue;
        }
        struct reading reading = read_vector(tar, name);
        json_t *go = json_object_get(row, "go");
        bool go_fails = *json_string_value(json_object_get(go, "err")) != 0;
        const char *code = reading.end == VARVE_TAR_FAULT ? reading.fault.code : NULL;
        bool departs = false;
        for (size_t i = 0; i < sizeof departures / sizeof departures[0]; i++) {
            if (strstr(name, departures[i].file)) {
                departs = true;
                CHECK(code && !strcmp(code, departures[i].code), "%s: %s\n", name,
                      code ? code : "no fault");
            }
        }
        if (!departs) {
            if (!strcmp(agree, "ERR-ALL")) {
                CHECK(code, "%s: not rejected\n", name);
            } else {
                CHECK(go_fails == (code != NULL), "%s: %s, Go %s\n", name, code ? code : "read",
                      go_fails ? "fails" : "reads");
            }
            check_entries(name, &reading, go);
        }
        judged++;
        reading_free(&reading);
        json_decref(row);
    }
    free(line);
    fclose(file);
    print_message("%zu archives judged\n", judged);
    assert_true(judged > 60);
    assert_int_equal(mismatches, 0);
}

/* What is expected of each hostile archive: "ok" or the fault's code, how many entries are read,
 * and findings that must be there. */
static const struct {
    const char *file;
    const char *end;
    size_t entries;
    const char *findings[4];
} hostile[] = {
#include "tar_hostile.inc"
};

static void hostile_archives_end_as_written(void **state) {
    struct varve_tar *tar = *state;
    mismatches = 0;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        char name[256];
        snprintf(name, sizeof name, "hostile-synthetic/%s.tar", hostile[i].file);
        struct reading reading = read_vector(tar, name);
        const char *end = reading.end == VARVE_TAR_FAULT ? reading.fault.code : "ok";
        CHECK(!strcmp(end, hostile[i].end), "%s: %s, not %s\n%s", hostile[i].file, end,
              hostile[i].end, reading.log);
        CHECK(reading.entry_count == hostile[i].entries, "%s: %zu entries\n%s", hostile[i].file,
              reading.entry_count, reading.log);
        for (size_t f = 0; f < 4 && hostile[i].findings[f]; f++) {
            CHECK(has_finding(&reading, hostile[i].findings[f]), "%s: no %s\n%s%s", hostile[i].file,
                  hostile[i].findings[f], reading.log, reading.findings);
        }
        reading_free(&reading);
    }
    assert_int_equal(mismatches, 0);
}

static int open_parser(void **state) {
    struct varve_tar *tar;
    assert_int_equal(varve_tar_open(&tar, NULL), VARVE_OK);
    *state = tar;
    return 0;
}

static int close_parser(void **state) {
    varve_tar_close(*state);
    return 0;
}

int main(void) {
    FILE *there = fopen(VECTORS "ORACLE.jsonl", "r");
    if (!there) {
        print_message("skipped: no folder ../shared/vectors\n");
        return 77;
    }
    fclose(there);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oracle_is_met),
        cmocka_unit_test(hostile_archives_end_as_written),
    };
    return cmocka_run_group_tests(tests, open_parser, close_parser);
}
