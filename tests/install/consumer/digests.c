/* SPDX-License-Identifier: Apache-2.0 */
/* digests FILE...: the SHA-256 of each file, as sha256sum prints them. A stranger's program that
 * wants nothing of varve but fast digests of many things: a piece of every file is read, all pieces
 * are hashed side by side, and so on until the files end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <varve/sha256.h>

#define PIECE_BYTES 65536

struct file {
    const char *name;
    FILE *from; /* NULL: at its end, or could not be read */
    int failed;
    struct varve_sha256_stream stream;
    unsigned char digest[VARVE_SHA256_BYTES];
    unsigned char piece[PIECE_BYTES]; /* must stay as it is until the flush */
};

static void keep(void *cookie, const uint8_t digest[VARVE_SHA256_BYTES]) {
    memcpy(((struct file *)cookie)->digest, digest, VARVE_SHA256_BYTES);
}

/* Gives the next piece of a file to its stream; at its end, ends the stream. */
static void give_piece(struct varve_sha256 *ctx, struct file *file) {
    size_t bytes = fread(file->piece, 1, PIECE_BYTES, file->from);
    varve_sha256_update(ctx, &file->stream, file->piece, bytes);
    if (bytes < PIECE_BYTES) {
        file->failed = ferror(file->from);
        fclose(file->from);
        file->from = NULL;
        varve_sha256_final(ctx, &file->stream, keep, file);
    }
}

int main(int argc, char **argv) {
    size_t count = (size_t)argc - 1, open = 0;
    struct file *files = calloc(count ? count : 1, sizeof *files);
    struct varve_sha256 *ctx = NULL;
    int status = 0;
    if (!files || varve_sha256_open(&ctx, NULL) != VARVE_OK)
        return 2;
    for (size_t i = 0; i < count; i++) {
        files[i].name = argv[i + 1];
        files[i].from = fopen(files[i].name, "rb");
        files[i].failed = !files[i].from;
        varve_sha256_init(&files[i].stream);
        open += files[i].from != NULL;
    }
    while (open > 0) {
        open = 0;
        for (size_t i = 0; i < count; i++) {
            if (files[i].from)
                give_piece(ctx, &files[i]);
            open += files[i].from != NULL;
        }
        varve_sha256_flush(ctx); /* now the pieces may be overwritten */
    }
    for (size_t i = 0; i < count; i++) {
        if (files[i].failed) {
            fprintf(stderr, "digests: cannot read %s\n", files[i].name);
            status = 1;
            continue;
        }
        for (size_t b = 0; b < VARVE_SHA256_BYTES; b++)
            printf("%02x", files[i].digest[b]);
        printf("  %s\n", files[i].name);
    }
    varve_sha256_close(ctx);
    free(files);
    return status;
}
