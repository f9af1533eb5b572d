/* SPDX-License-Identifier: Apache-2.0 */
/* src/writer.c - who wrote an archive, from the marks that each writer leaves. All headers of an
 * archive must agree; where two writers leave the same marks both are named, and where the marks
 * are nobody's, or several archives were put together, the answer is "unknown".
 *
 * The marks were read off archives written by GNU tar 1.34, bsdtar 3.6.2, Python 3.11's tarfile,
 * busybox 1.35, Go 1.19's archive/tar (also through umoci) and node-tar 7.5;
 * tests/src/test_writer.c asks whichever of them are installed. */
#include "varve/tar.h"

/* GNU tar and Python write whole records of 20 blocks, and bsdtar does into a pipe. */
enum { RECORD_BYTES = 10240 };

struct guess {
    const char *writer;
    const char *evidence;
};

static const struct guess unknown = {"unknown", "no writer's marks, or those of several"};

/* True where all fields of a group are in one style; numbers too large for octal may be binary. */
static bool all_in_style(const struct varve_tar_traits *t, enum varve_tar_group group,
                         enum varve_tar_style style) {
    uint64_t sum = 0;
    for (int i = 0; i < VARVE_TAR_STYLE_COUNT; i++) {
        sum += t->style[group][i];
    }
    uint64_t same = t->style[group][style];
    return same && same + t->style[group][VARVE_TAR_STYLE_BASE256] == sum;
}

/* Mode, owner, size and mtime as zero-padded digits with one NUL, checksum as POSIX has it. */
static bool plain_numbers(const struct varve_tar_traits *t) {
    return all_in_style(t, VARVE_TAR_GROUP_MODE, VARVE_TAR_STYLE_DIGITS_NUL) &&
           all_in_style(t, VARVE_TAR_GROUP_OWNER, VARVE_TAR_STYLE_DIGITS_NUL) &&
           all_in_style(t, VARVE_TAR_GROUP_SIZE, VARVE_TAR_STYLE_DIGITS_NUL) &&
           all_in_style(t, VARVE_TAR_GROUP_MTIME, VARVE_TAR_STYLE_DIGITS_NUL) &&
           all_in_style(t, VARVE_TAR_GROUP_CHECKSUM, VARVE_TAR_STYLE_NUL_SPACE);
}

/* Padded to whole records, or certainly not; neither where the end happens to fall on one. */
static bool padded(const struct varve_tar_traits *t) {
    return t->eoa_blocks == 2 && t->eoa_padding && t->total_bytes % RECORD_BYTES == 0;
}
static bool not_padded(const struct varve_tar_traits *t) {
    return t->eoa_blocks == 2 && t->eoa_padding == 0 && t->total_bytes % RECORD_BYTES;
}

static struct guess guess_go(const struct varve_tar_traits *t, const char *evidence) {
    if (t->entry_mode_type == 0) {
        return (struct guess){"go", evidence};
    }
    if (t->entry_mode_type == t->entries) {
        return (struct guess){"go <1.9, or moby/containers-storage until 2022-23",
                              "Go's marks, and file type bits in every mode"};
    }
    return unknown;
}

static struct guess guess_gnu_format(const struct varve_tar_traits *t) {
    bool nul = t->plain_device_nul == t->plain;
    bool digits = t->plain_device_digits == t->plain;
    if (digits && t->extension_mode_0 == t->long_headers) {
        return guess_go(t, "GNU magic with device numbers filled in");
    }
    if (!nul) {
        return unknown;
    }
    if (t->long_headers == 0) {
        return padded(t) ? (struct guess){"gnu-tar, python-tarfile, or bsdtar",
                                          "GNU magic, whole records of 10240 bytes"}
               : not_padded(t)
                   ? (struct guess){"busybox, or bsdtar", "GNU magic, no padding at the end"}
                   : unknown;
    }
    if (t->long_wheel == t->long_headers) {
        return (struct guess){"bsdtar", "GNU magic, long names owned by group wheel"};
    }
    if (t->long_named == t->long_headers && t->extension_mode_0 == 0) {
        return (struct guess){"gnu-tar", "GNU magic, long names of mode 0644 with an owner"};
    }
    if (t->long_named == 0 && t->extension_mode_0 == t->long_headers) {
        return padded(t) ? (struct guess){"python-tarfile", "GNU magic, long names without owner, "
                                                            "whole records of 10240 bytes"}
               : not_padded(t)
                   ? (struct guess){"busybox", "GNU magic, long names without owner, no padding"}
                   : unknown;
    }
    return unknown;
}

/* ustar headers with pax headers: their names tell. */
static struct guess guess_pax(const struct varve_tar_traits *t) {
    const uint64_t *names = t->pax_name;
    uint64_t other = names[VARVE_TAR_PAX_NAME_OTHER]; /* cut names among known ones */
    bool nul = t->plain_device_nul == t->plain;
    bool digits = t->plain_device_digits == t->plain;
    if (names[VARVE_TAR_PAX_NAME_AT] == t->pax_headers) {
        return nul ? (struct guess){"python-tarfile", "pax headers named ././@PaxHeader"} : unknown;
    }
    if (!digits) {
        return unknown;
    }
    if (names[VARVE_TAR_PAX_NAME_ZERO] &&
        names[VARVE_TAR_PAX_NAME_ZERO] + other == t->pax_headers && t->pax_unsorted == 0 &&
        t->extension_mode_0 == t->pax_headers) {
        return guess_go(t, "pax headers named PaxHeaders.0, of mode 0, keys sorted");
    }
    uint64_t gnu = names[VARVE_TAR_PAX_NAME_PID] + names[VARVE_TAR_PAX_NAME_PLAIN];
    if (gnu && gnu + other == t->pax_headers && t->extension_mode_0 == 0) {
        return (struct guess){"gnu-tar", "pax headers named PaxHeaders, of mode 0644"};
    }
    return unknown;
}

static struct guess guess_ustar(const struct varve_tar_traits *t) {
    if (t->pax_headers) {
        return guess_pax(t);
    }
    if (t->plain_device_nul == t->plain) {
        return padded(t) ? (struct guess){"python-tarfile", "ustar without device numbers, whole "
                                                            "records of 10240 bytes"}
                         : unknown;
    }
    if (t->plain_device_digits != t->plain) {
        return unknown;
    }
    if (padded(t)) {
        return (struct guess){"gnu-tar", "ustar, whole records of 10240 bytes"};
    }
    return not_padded(t) ? guess_go(t, "ustar, numbers as GNU tar writes them, no padding")
                         : unknown;
}

static struct guess guess_of(const struct varve_tar_traits *t) {
    uint64_t ustar = t->dialect[VARVE_TAR_USTAR];
    bool spaced = all_in_style(t, VARVE_TAR_GROUP_MODE, VARVE_TAR_STYLE_SPACE_NUL);
    if (t->entries == 0 || t->global_headers) {
        return unknown;
    }
    if (spaced && ustar == t->headers &&
        all_in_style(t, VARVE_TAR_GROUP_CHECKSUM, VARVE_TAR_STYLE_SPACE_NUL)) {
        return (struct guess){"node-tar", "modes and checksums ended by a space and a NUL"};
    }
    if (spaced && (ustar == t->headers || t->dialect[VARVE_TAR_V7] == t->headers) &&
        all_in_style(t, VARVE_TAR_GROUP_OWNER, VARVE_TAR_STYLE_SPACE_NUL) &&
        all_in_style(t, VARVE_TAR_GROUP_SIZE, VARVE_TAR_STYLE_DIGITS_SPACE) &&
        all_in_style(t, VARVE_TAR_GROUP_MTIME, VARVE_TAR_STYLE_DIGITS_SPACE) &&
        all_in_style(t, VARVE_TAR_GROUP_CHECKSUM, VARVE_TAR_STYLE_NUL_SPACE)) {
        return (struct guess){"bsdtar", "modes ended by space and NUL, sizes by a space"};
    }
    if (!plain_numbers(t)) {
        return unknown;
    }
    if (t->plain && t->dialect[VARVE_TAR_GNU] == t->headers) {
        return guess_gnu_format(t);
    }
    if (t->plain && ustar == t->headers) {
        return guess_ustar(t);
    }
    if (t->dialect[VARVE_TAR_V7] == t->headers && padded(t)) {
        return (struct guess){"gnu-tar", "no magic, whole records of 10240 bytes"};
    }
    return unknown;
}

const char *varve_tar_writer(const struct varve_tar *tar, const char **evidence) {
    struct guess guess = guess_of(varve_tar_traits(tar));
    *evidence = guess.evidence;
    return guess.writer;
}
