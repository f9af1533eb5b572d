/* SPDX-License-Identifier: Apache-2.0 */
/* Fingerprints of compressors, taken from the real programs, the same however the blob is cut and
 * whichever engine inflates it: the kernels count blocks in passing, what igzip decoded is read
 * again by other code. What is not installed is skipped aloud.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "decode_run.h"
#include "encoder_blocks.h"

/* Each command reads `in` and writes `out` in the folder it runs in. */
#define GO                                                                                         \
    "HOME=$PWD GOCACHE=$PWD/cache GO111MODULE=off GOPATH=/usr/share/gocode go build -o m m.go"
#define GO_PROGRAM                                                                                 \
    "printf 'package main\\nimport(\"compress/gzip\";\"io\";\"os\")\\nfunc main(){"                \
    "w:=gzip.NewWriter(os.Stdout);io.Copy(w,os.Stdin);w.Close()}\\n' > m.go && " GO
#define KLAUSPOST_PROGRAM                                                                          \
    "printf 'package main\\nimport(\"io\";\"os\";\"github.com/klauspost/compress/gzip\";"          \
    "\"github.com/klauspost/compress/zstd\";\"github.com/klauspost/pgzip\")\\nfunc main(){"        \
    "var w io.WriteCloser\\nif os.Args[1]==\"zstd\"{w,_=zstd.NewWriter(os.Stdout)}else "           \
    "if os.Args[1]==\"pgzip\"{w=pgzip.NewWriter(os.Stdout)}else{w=gzip.NewWriter(os.Stdout)}\\n"   \
    "io.Copy(w,os.Stdin)\\nw.Close()}\\n' > m.go && " GO
#define PYTHON(line) "/usr/bin/python3 -c \"import gzip,shutil;" line "\""
static const struct program {
    const char *needs;
    const char *command;
    const char *encoder;
} programs[] = {
    {"gzip", "gzip -c in > out", "gzip"},
    {"gzip", "gzip -9nc in > out", "gzip"},
    {"gzip", "gzip -1 < in > out", "unix-gzip"}, /* zlib with memLevel 9 cuts the same */
    {"gzip", "gzip -1c in > out", "gzip"},
    {"gzip", "head -c 100000 in | gzip > out", "gzip"},
    {"gzip", "head -c 2000 in | gzip > out", "unix-gzip"},
    {"busybox", "busybox gzip -c in > out", "gzip"}, /* GNU gzip's code */
    {"igzip", "igzip -c in > out", "igzip"},
    {"igzip", "igzip -0 -c in > out", "igzip"},
    {"igzip", "igzip -3 < in > out", "igzip"},
    {"zstd", "zstd -q --format=gzip < in > out", "zlib"},
    {"bsdtar", "bsdtar -czf out in", "zlib"},
    {"node",
     "node -e \"const f=require('fs');"
     "f.writeFileSync('out',require('zlib').gzipSync(f.readFileSync('in')))\"",
     "zlib"},
    {"pigz", "pigz -c in > out", "pigz"},
    {"pigz", "pigz -1n < in > out", "pigz"},
    {"pigz", "pigz -9n -p1 < in > out", "pigz"},
    {"pigz", "head -c 300000 in | pigz > out", "pigz"},
    {"pigz", "head -c 100000 in | pigz > out", "unix-gzip"}, /* less than a piece */
    {"pigz", "head -c 700000 in | pigz -11 -I 1 -n > out", "pigz"},
    {"zopfli", "head -c 700000 in > s && zopfli --i1 -c s > out", "zopfli"},
    {"7z", "head -c 700000 in | 7z a -tgzip -si x.gz > log && mv x.gz out", "unix-gzip"},
    {"7z", "head -c 700000 in | 7z a -tgzip -mx=9 -si y.gz > log && mv y.gz out", "unix-gzip"},
    {"libdeflate-gzip", "libdeflate-gzip -c in > out", "libdeflate"},
    {"libdeflate-gzip", "libdeflate-gzip -1 -c in > out", "libdeflate"},
    {"libdeflate-gzip", "head -c 700000 in > s && libdeflate-gzip -12 -c s > out", "libdeflate"},
    {"libdeflate-gzip", "head -c 2000 in > s && libdeflate-gzip -c s > out", "unknown"},
    {"/usr/bin/python3", PYTHON("shutil.copyfileobj(open('in','rb'),gzip.open('out','wb'))"),
     "python"},
    {"/usr/bin/python3", PYTHON("open('out','wb').write(gzip.compress(open('in','rb').read(),6))"),
     "python"},
    {"/usr/bin/python3", PYTHON("open('out','wb').write(gzip.compress(open('in','rb').read(),0))"),
     "unknown"},
    {"/usr/bin/python3",
     PYTHON("open('out','wb').write(gzip.compress(open('in','rb').read(),9,mtime=0))"), "zlib"},
    {"/usr/bin/python3",
     "/usr/bin/python3 -c \"import zlib\nz=zlib.compressobj(9,8,31,9)\n"
     "d=open('in','rb').read()\nopen('out','wb').write(z.compress(d)+z.flush())\"",
     "unix-gzip"}, /* zlib with memLevel 9: GNU gzip cuts the same */
    {"/usr/bin/python3",
     "/usr/bin/python3 -c \"import zlib\nz=zlib.compressobj(9,8,31)\no=open('out','wb')\n"
     "d=open('in','rb').read()\nfor i in range(0,len(d),30000):\n"
     " o.write(z.compress(d[i:i+30000])+z.flush(zlib.Z_SYNC_FLUSH))\no.write(z.flush())\"",
     "unix-gzip"}, /* flushed after each write, as servers do */
    {"go", GO_PROGRAM " && ./m < in > out", "go"},
    {"/usr/share/gocode/src/github.com/klauspost/pgzip",
     KLAUSPOST_PROGRAM " && ./m pgzip < in > out", "pgzip"},
    {"/usr/share/gocode/src/github.com/klauspost/pgzip", "./m gzip < in > out", "klauspost"},
    {"/usr/share/gocode/src/github.com/klauspost/pgzip", "./m zstd < in > out", "unknown"},
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
    {"zstd", "zstd -q --long=27 < in > out", "libzstd"},
    {"zstd", "head -c 300000 in | zstd -q -19 > out", "unknown"},
    {"pzstd", "pzstd -q -c in > out", "pzstd"},
};

/* Headers and text as in a layer, and noise between. */
static void write_input(void) {
    static const char *const words[] = {"usr/share", "change", "0000644", "copyright",
                                        "lib",       "ustar",  "root",    "section"};
    FILE *file = fopen("in", "wb");
    uint32_t random = 7;
    assert_non_null(file);
    for (size_t i = 0; i < 130000; i++) {
        random = random * 1664525 + 1013904223;
        if (i / 4000 % 3) {
            fprintf(file, "%x ", random >> (random % 13 + 8));
        } else {
            fprintf(file, "%s%x%48s\n", words[random >> 29], random * 2654435761u, "");
        }
    }
    fclose(file);
}

struct decoders {
    struct varve_decoder *each[2]; /* the kernels' and igzip's */
};

static void real_programs(void **state) {
    const struct decoders *decoders = *state;
    struct varve_decoder *decoder = decoders->each[0];
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
        print_message("%-16s %.60s: %s\n", run.info.encoder, p->command, run.info.encoder_evidence);
        assert_string_equal(run.info.encoder, p->encoder);
        struct decode_run cut = decode_run(decoder, blob, bytes, 1013, 4096);
        assert_null(decode_run_differ(&run, &cut));
        struct decode_run other = decode_run(decoders->each[1], blob, bytes, 0, 0);
        assert_null(decode_run_differ(&run, &other));
        decode_run_free(&other);
        decode_run_free(&run);
        decode_run_free(&cut);
        free(blob);
        ran++;
    }
    assert_true(ran > 0);
}

static int open_decoder(void **state) {
    static struct decoders decoders;
    static char folder[] = "/tmp/varve-encoder-XXXXXX";
    static const enum varve_inflate_engine engines[] = {VARVE_INFLATE_OWN, VARVE_INFLATE_IGZIP};
    for (size_t i = 0; i < 2; i++) {
        const struct varve_decode_options options = {.inflate_engine = engines[i]};
        if (varve_decoder_open(&decoders.each[i], &options) != VARVE_OK) {
            return -1;
        }
    }
    if (!mkdtemp(folder) || chdir(folder) != 0) {
        return -1;
    }
    *state = &decoders;
    return 0;
}

static int close_decoder(void **state) {
    char command[4096 + 16];
    char folder[4096];
    const struct decoders *decoders = *state;
    varve_decoder_close(decoders->each[0]);
    varve_decoder_close(decoders->each[1]);
    if (!getcwd(folder, sizeof folder) || chdir("/") != 0) {
        return -1;
    }
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* Bits in the order in which deflate takes them. */
struct bit_writer {
    uint8_t bytes[64];
    size_t count;
};

static void put_bits(struct bit_writer *to, unsigned value, unsigned count) {
    for (unsigned i = 0; i < count; i++, to->count++) {
        to->bytes[to->count / 8] |= (uint8_t)((value >> i & 1) << (to->count % 8));
    }
}

/* A Huffman code: its highest bit first. */
static void put_code(struct bit_writer *to, unsigned code, unsigned count) {
    while (count-- > 0) {
        put_bits(to, code >> count & 1, 1);
    }
}

/* A dynamic block's beginning, whose lengths are told by two symbols of one bit each: 0 is the
 * length 0, 1 is `other` (its place in the order of RFC 1951, 3.2.7: 16, 17, 18, 0). */
static void begin_dynamic(struct bit_writer *to, unsigned other) {
    put_bits(to, 1 | 2 << 1, 3);
    put_bits(to, 0, 5); /* 257 literals */
    put_bits(to, 0, 5); /* one distance */
    put_bits(to, 0, 4); /* four lengths of lengths */
    for (unsigned place = 0; place < 4; place++) {
        put_bits(to, place == other || place == 3, 3);
    }
}

/* No decoder lets them through; should one ever do, nothing is read beyond, and no block is made
 * up. */
static void blocks_without_sense(void **state) {
    struct bit_writer streams[5] = {{{0}, 0}};
    struct varve_inflate_log log;
    (void)state;
    begin_dynamic(&streams[0], 0);
    put_bits(&streams[0], 1, 1); /* the length before the first one, again */
    begin_dynamic(&streams[1], 2);
    for (int i = 0; i < 2; i++) {
        put_bits(&streams[1], 1, 1); /* 138 lengths of 0: twice that is more than there are */
        put_bits(&streams[1], 127, 7);
    }
    put_bits(&streams[2], 1 | 1 << 1, 3);
    put_code(&streams[2], 0xc6, 8); /* fixed: 286, which is no length */
    put_bits(&streams[3], 1 | 1 << 1, 3);
    put_code(&streams[3], 1, 7);  /* 257, a length of 3 */
    put_code(&streams[3], 30, 5); /* and no distance */
    put_bits(&streams[4], 1 | 3 << 1, 3);
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        for (size_t count = 0; count <= sizeof streams[i].bytes; count++) {
            varve_encoder_blocks_read(&log, streams[i].bytes, count);
            assert_int_equal(log.count, 0);
        }
    }
    /* With a distance it is a block. */
    struct bit_writer sound = {{0}, 0};
    put_bits(&sound, 1 | 1 << 1, 3);
    put_code(&sound, 1, 7);
    put_code(&sound, 29, 5);
    put_bits(&sound, 0, 13);
    put_code(&sound, 0, 7); /* the end */
    varve_encoder_blocks_read(&log, sound.bytes, sizeof sound.bytes);
    assert_int_equal(log.count, 1);
    assert_int_equal(log.each[0].matches, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_without_sense),
        cmocka_unit_test(real_programs),
    };
    return cmocka_run_group_tests(tests, open_decoder, close_decoder);
}
