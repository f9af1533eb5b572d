/* SPDX-License-Identifier: Apache-2.0 */
/* src/tar_split.c - a layer's archive put together again.
 *
 * The archive goes through a socket: a reader of a pipe could not be told that something is
 * missing, for all that a pipe can say is that it ends. A socket that is closed while a byte sent
 * to it was not read gives its other end ECONNRESET, behind all that was sent before (unix(7)). So
 * the reader's end is sent one byte's worth of credit at the beginning, and whoever writes takes it
 * in only when all went well. */
#include "tar_split.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codes.h"
#include "file.h"
#include "limits.h"
#include "oci_json.h"
#include "varve/decode.h"

#define CHUNK_BYTES 65536

struct replay {
    int split, folder, out;
    struct varve_decoder *decoder;
    uint8_t *line; /* that is being gathered */
    size_t line_bytes, line_room;
    uint8_t in[CHUNK_BYTES], made[CHUNK_BYTES];
};

static bool send_all(const struct replay *replay, const uint8_t *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t n = send(replay->out, data, bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        data += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* RFC 4648 with padding, in place. False: it is none. */
static bool decode_base64(uint8_t *data, size_t *bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t made = 0;
    size_t count = *bytes;
    uint32_t bits = 0;
    if (count % 4) {
        return false;
    }
    while (count > 0 && data[count - 1] == '=' && *bytes - count < 2) {
        count--;
    }
    for (size_t i = 0; i < count; i++) {
        const char *digit = data[i] ? strchr(digits, data[i]) : NULL;
        if (!digit) {
            return false;
        }
        bits = bits << 6 | (uint32_t)(digit - digits);
        if (i % 4) {
            data[made++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    *bytes = made;
    return true;
}

/* A member in base64 as malloc'ed bytes with a NUL behind them. NULL: there is none. */
static uint8_t *read_base64(size_t *bytes, json_t *object, const char *key) {
    json_t *member = json_object_get(object, key);
    if (!json_is_string(member)) {
        return NULL;
    }
    *bytes = json_string_length(member);
    uint8_t *data = malloc(*bytes + 1);
    if (data) {
        memcpy(data, json_string_value(member), *bytes);
        if (!decode_base64(data, bytes)) {
            free(data);
            return NULL;
        }
        data[*bytes] = 0;
    }
    return data;
}

/* An archive's path as one beneath its folder: without what stands before it, doubled slashes and
 * points; in place. */
static const char *clean(char *path) {
    char *to = path;
    for (const char *from = path; *from;) {
        size_t count = strcspn(from, "/");
        if (count > 0 && !(count == 1 && *from == '.')) {
            if (to > path) {
                *to++ = '/';
            }
            memmove(to, from, count);
            to += count;
        }
        from += count + (from[count] == '/');
    }
    *to = 0;
    return path;
}

static bool send_file(struct replay *replay, const char *path, uint64_t size) {
    struct varve_fault fault;
    uint64_t there = 0;
    int fd = varve_file_open(&fault, &there, replay->folder, path);
    bool good = fd >= 0 && there == size;
    for (uint64_t at = 0; good && at < size;) {
        int64_t n = varve_file_fill(fd, true, replay->in, sizeof replay->in, at);
        good = n > 0 && (uint64_t)n <= size - at && send_all(replay, replay->in, (size_t)n);
        at += n > 0 ? (uint64_t)n : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

static bool replay_entry(struct replay *replay, json_t *object) {
    json_t *size = json_object_get(object, "size");
    const char *text = varve_json_string(json_object_get(object, "name"));
    int64_t bytes = json_integer_value(size);
    size_t raw_bytes = 0;
    if (!json_is_integer(size) || bytes <= 0) {
        return !size || bytes == 0;
    }
    char *path = (char *)read_base64(&raw_bytes, object, "name_raw");
    if (!path && text) {
        path = strdup(text);
    }
    bool good = path && (!raw_bytes || strlen(path) == raw_bytes) &&
                send_file(replay, clean(path), (uint64_t)bytes);
    free(path);
    return good;
}

static bool replay_line(struct replay *replay) {
    json_t *object =
        json_loadb((const char *)replay->line, replay->line_bytes, JSON_REJECT_DUPLICATES, NULL);
    int64_t type = json_integer_value(json_object_get(object, "type"));
    bool good = false;
    if (type == 1) {
        good = replay_entry(replay, object);
    } else if (type == 2) {
        size_t bytes = 0;
        uint8_t *data = read_base64(&bytes, object, "payload");
        good = data && send_all(replay, data, bytes);
        free(data);
    }
    json_decref(object);
    replay->line_bytes = 0;
    return good;
}

/* Decoded bytes: lines, perhaps cut anywhere. */
static bool take_bytes(struct replay *replay, const uint8_t *data, size_t bytes) {
    while (bytes > 0) {
        const uint8_t *end = memchr(data, '\n', bytes);
        size_t count = end ? (size_t)(end - data) : bytes;
        size_t wanted = replay->line_bytes + count;
        if (wanted > VARVE_LIMIT_TAR_SPLIT_LINE_BYTES) {
            return false;
        }
        if (wanted > replay->line_room) {
            uint8_t *grown = realloc(replay->line, 2 * wanted);
            if (!grown) {
                return false;
            }
            replay->line = grown;
            replay->line_room = 2 * wanted;
        }
        if (count > 0) {
            memcpy(replay->line + replay->line_bytes, data, count);
            replay->line_bytes = wanted;
        }
        if (end && wanted > 0 && !replay_line(replay)) {
            return false;
        }
        count += end != NULL;
        data += count;
        bytes -= count;
    }
    return true;
}

static bool replay_all(struct replay *replay) {
    uint64_t at = 0;
    size_t have = 0;
    bool last = false;
    uint8_t *room = malloc(CHUNK_BYTES);
    bool good = room != NULL;
    varve_decoder_reset(replay->decoder, NULL);
    while (good) {
        if (!last && have < CHUNK_BYTES) {
            int64_t n = varve_file_fill(replay->split, true, room + have, CHUNK_BYTES - have, at);
            good = n >= 0;
            last = n < (int64_t)(CHUNK_BYTES - have);
            at += n > 0 ? (uint64_t)n : 0;
            have += n > 0 ? (size_t)n : 0;
        }
        struct varve_decode_turn turn = {.in = room,
                                         .in_bytes = have,
                                         .in_last = last,
                                         .out = replay->made,
                                         .out_bytes = sizeof replay->made};
        varve_decode(&replay->decoder, &turn, 1);
        good = good && turn.state != VARVE_DECODE_FAULT && turn.state != VARVE_DECODE_WAIT &&
               take_bytes(replay, turn.made, turn.made_bytes);
        memmove(room, room + turn.used_bytes, have - turn.used_bytes);
        have -= turn.used_bytes;
        if (turn.state == VARVE_DECODE_END) {
            break;
        }
    }
    free(room);
    return good && (replay->line_bytes == 0 || replay_line(replay));
}

static void free_replay(struct replay *replay) {
    varve_decoder_close(replay->decoder);
    close(replay->split);
    close(replay->folder);
    close(replay->out);
    free(replay->line);
    free(replay);
}

static void *run(void *cookie) {
    struct replay *replay = cookie;
    char credit;
    if (replay_all(replay)) {
        (void)!recv(replay->out, &credit, 1, MSG_DONTWAIT);
    }
    free_replay(replay);
    return NULL;
}

/* The thread, detached: it ends when the archive does, or when nobody reads any more. */
static bool start(struct replay *replay) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool started = pthread_create(&thread, &attributes, run, replay) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}

int varve_tar_split_open(struct varve_fault *fault, int root, const char *split,
                         const char *folder) {
    int sockets[2] = {-1, -1};
    struct replay *replay = calloc(1, sizeof *replay);
    *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
    if (!replay) {
        return -1;
    }
    replay->split = varve_file_open(fault, NULL, root, split);
    replay->folder = replay->split < 0 ? -1 : varve_directory_open(fault, root, folder);
    bool good = replay->folder >= 0;
    if (good && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
        *fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
        fault->os_errno = errno;
        good = false;
    }
    replay->out = sockets[1];
    if (good) {
        *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
        good = varve_decoder_open(&replay->decoder, NULL) == VARVE_OK &&
               send(sockets[0], "", 1, MSG_NOSIGNAL) == 1 && start(replay);
    }
    if (!good) {
        free_replay(replay);
        if (sockets[0] >= 0) {
            close(sockets[0]);
        }
        return -1;
    }
    return sockets[0];
}
