/* SPDX-License-Identifier: Apache-2.0 */
/* src/reader.c - a blob's stored bytes, front to back. */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "file.h"

/* Asked for at once. Two of these per blob in flight stay small against the page cache, and each is
 * 30 ms of a spinning disk's time against 10 ms of seeking. */
#define AHEAD_BYTES ((uint64_t)4 << 20)

uint64_t varve_reader_bytes(const struct varve_reader *reader) {
    if (!reader->seekable) {
        return 0;
    }
    return reader->whole_bytes != UINT64_MAX ? reader->whole_bytes
                                             : (uint64_t)reader->before.st_size;
}

bool varve_reader_begin(struct varve_reader *reader, int fd, uint64_t offset, uint64_t bytes,
                        const struct stat *seen) {
    *reader = (struct varve_reader){.fd = fd, .begin = offset, .whole_bytes = bytes};
    if (seen) {
        reader->before = *seen;
        reader->seekable = true;
    } else if (fstat(fd, &reader->before) != 0) {
        return false;
    } else {
        reader->seekable = S_ISREG(reader->before.st_mode) && lseek(fd, 0, SEEK_CUR) == 0;
    }
    if (varve_reader_bytes(reader) > AHEAD_BYTES) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    return true;
}

/* The next stretch, when half of the last one is used up. Small files need no advice: the first
 * read brings them whole. */
static void read_ahead(struct varve_reader *reader) {
    uint64_t size = varve_reader_bytes(reader);
    if (size <= AHEAD_BYTES || reader->advised_bytes >= size ||
        reader->read_bytes + AHEAD_BYTES / 2 < reader->advised_bytes) {
        return;
    }
    posix_fadvise(reader->fd, (off_t)(reader->begin + reader->advised_bytes), (off_t)AHEAD_BYTES,
                  POSIX_FADV_WILLNEED);
    reader->advised_bytes += AHEAD_BYTES;
}

/* A pipe or terminal may have nothing for a long time: who reads must be able to stop meanwhile. */
#define PATIENCE_MS 100

/* What is there, of something that cannot be read at an offset: waits a moment for the first bytes,
 * and for no more once it has some. */
static int64_t fill_from_stream(struct varve_reader *reader, uint8_t *data, size_t room) {
    size_t filled = 0;
    while (filled < room) {
        struct pollfd ready = {.fd = reader->fd, .events = POLLIN};
        if (poll(&ready, 1, filled ? 0 : PATIENCE_MS) <= 0) {
            break;
        }
        ssize_t n = read(reader->fd, data + filled, room - filled);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return -1;
        }
        if (n <= 0) {
            reader->ended = n == 0;
            break;
        }
        filled += (size_t)n;
    }
    reader->read_bytes += filled;
    return (int64_t)filled;
}

/* A file that says how long it is, is read no further: had it grown, varve_reader_unchanged would
 * see it. One of no length at all (procfs has such) is read to its end. */
int64_t varve_reader_fill(struct varve_reader *reader, uint8_t *data, size_t room) {
    if (!reader->seekable) {
        return fill_from_stream(reader, data, room);
    }
    read_ahead(reader);
    uint64_t size = varve_reader_bytes(reader);
    uint64_t left = (size ? size : reader->whole_bytes) - reader->read_bytes;
    size_t wanted = left < room ? (size_t)left : room;
    int64_t n = varve_file_fill(reader->fd, true, data, wanted, reader->begin + reader->read_bytes);
    if (n >= 0) {
        reader->read_bytes += (uint64_t)n;
        reader->ended = (size_t)n < room || (uint64_t)n == left;
    }
    return n;
}

bool varve_reader_unchanged(const struct varve_reader *reader) {
    struct stat now;
    const struct stat *before = &reader->before;
    if (!reader->seekable) {
        return true;
    }
    return fstat(reader->fd, &now) == 0 && now.st_size == before->st_size &&
           reader->read_bytes == varve_reader_bytes(reader) &&
           now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}
