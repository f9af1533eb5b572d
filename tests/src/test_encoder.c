/* SPDX-License-Identifier: Apache-2.0 */
/* Fingerprints of compressors, taken from the real programs. What is not installed is skipped
 * aloud.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "decode_run.h"

/* Each command reads `in` and writes `out` in the folder it runs in. */
static const struct program {
    const char *needs;
    const char *command;
    const char *encoder;
} programs[] = {
    {"gzip", "gzip -c in > out", "unix-gzip"},
    {"gzip", "gzip -9nc in > out", "unix-gzip"},
    {"gzip", "gzip -1 < in > out", "unix-gzip"},
    {"busybox", "busybox gzip -c in > out", "unix-gzip"},
    {"igzip", "igzip -c in > out", "unix-gzip"},
    {"zstd", "zstd -q --format=gzip < in > out", "unix-gzip"},
    {"bsdtar", "bsdtar -czf out in", "unix-gzip"},
    {"node",
     "node -e \"const f=require('fs');"
     "f.writeFileSync('out',require('zlib').gzipSync(f.readFileSync('in')))\"",
     "unix-gzip"},
    {"pigz", "pigz -c in > out", "pigz"},
    {"pigz", "pigz -1n < in > out", "pigz"},
    {"pigz", "pigz -9n -p1 < in > out", "pigz"},
    {"/usr/bin/python3",
     "/usr/bin/python3 -c \"import gzip,shutil;"
     "shutil.copyfileobj(open('in','rb'),gzip.open('out','wb'))\"",
     "python"},
    {"go",
     "printf 'package main\\nimport(\"compress/gzip\";\"io\";\"os\")\\nfunc main(){"
     "w:=gzip.NewWriter(os.Stdout);io.Copy(w,os.Stdin);w.Close()}\\n' > m.go && "
     "HOME=$PWD GOCACHE=$PWD/cache GOFLAGS=-modcacherw go run m.go < in > out",
     "go"},
    {"umoci",
     "umoci init --layout o 2>/dev/null && umoci new --image o:a 2>/dev/null && "
     "umoci insert --rootless --image o:a in /in 2>/dev/null && "
     "cp \"$(ls -S o/blobs/sha256/* | head -n 1)\" out",
     "pgzip"},
    {"skopeo",
     "test -d o && skopeo --insecure-policy copy -q --dest-decompress oci:o:a dir:p && "
     "skopeo --insecure-policy copy -q --dest-compress-format zstd dir:p oci:q:a && "
     "cp \"$(ls -S q/blobs/sha256/* | head -n 1)\" out",
     "containers-image"},
    {"zstd", "zstd -q -1 < in > out", "libzstd"},
    {"zstd", "zstd -q -3 -c in > out", "libzstd"},
    {"zstd", "zstd -q -19 < in > out", "unknown"},
};

static void write_input(void) {
    FILE *file = fopen("in", "wb");
    uint32_t random = 7;
    assert_non_null(file);
    for (size_t i = 0; i < 400000; i++) {
        random = random * 1664525 + 1013904223;
        fprintf(file, "%x ", random >> (random % 13 + 8));
    }
    fclose(file);
}

static void real_programs(void **state) {
    struct varve_decoder *decoder = *state;
    size_t ran = 0;
    write_input();
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        const struct program *p = &programs[i];
        char command[128];
        snprintf(command, sizeof command, "command -v %s > /dev/null", p->needs);
        if (system(command) != 0) {
            print_message("skipped: %s is not installed\n", p->needs);
            continue;
        }
        unlink("out");
        size_t bytes = 0;
        int status = system(p->command);
        uint8_t *blob = status == 0 ? decode_run_load("out", &bytes) : NULL;
        if (!blob) {
            print_message("skipped: does not run here: %s\n", p->command);
            continue;
        }
        struct decode_run run = decode_run(decoder, blob, bytes, 0, 0);
        assert_int_equal(run.state, VARVE_DECODE_END);
        print_message("%-16s %s: %s\n", run.info.encoder, p->needs, run.info.encoder_evidence);
        assert_string_equal(run.info.encoder, p->encoder);
        struct decode_run cut = decode_run(decoder, blob, bytes, 1013, 4096);
        assert_null(decode_run_differ(&run, &cut));
        decode_run_free(&run);
        decode_run_free(&cut);
        free(blob);
        ran++;
    }
    assert_true(ran > 0);
}

static int open_decoder(void **state) {
    struct varve_decoder *decoder;
    static char folder[] = "/tmp/varve-encoder-XXXXXX";
    if (varve_decoder_open(&decoder, NULL) != VARVE_OK || !mkdtemp(folder) || chdir(folder) != 0) {
        return -1;
    }
    *state = decoder;
    return 0;
}

static int close_decoder(void **state) {
    char command[4096 + 16];
    char folder[4096];
    varve_decoder_close(*state);
    if (!getcwd(folder, sizeof folder) || chdir("/") != 0) {
        return -1;
    }
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_programs),
    };
    return cmocka_run_group_tests(tests, open_decoder, close_decoder);
}
