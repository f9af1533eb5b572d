/* SPDX-License-Identifier: Apache-2.0 */
/* src/tar_header.c - what one header block says, and what becomes of an entry once its extension
 * headers, its header and its sparse map are read. The rules where readers differ: docs/tar.md. */
#include <string.h>

#include "tar_internal.h"

enum { TYPE_BITS = 0170000, PERMISSION_BITS = 07777 };
/* What an octal size field of 11 digits can hold; writers put it, or 0, where a pax size is larger.
 */
static const uint64_t octal_size_max = 077777777777;

bool varve_tar_checksum_holds(const struct varve_header_numbers *numbers) {
    uint8_t style = numbers->style[VARVE_HEADER_CHECKSUM];
    int64_t value = numbers->value[VARVE_HEADER_CHECKSUM];
    if (style == VARVE_TAR_STYLE_BAD || style == VARVE_TAR_STYLE_BASE256) {
        return false;
    }
    return value == numbers->sum || value == numbers->signed_sum;
}

/* Where the first NUL is in a text field, or its length. */
static size_t field_length(const struct varve_header_numbers *numbers, size_t at, size_t bytes) {
    size_t length = 0;
    while (length < bytes) {
        size_t bit = (at + length) & 63;
        uint64_t zeros = ~(numbers->nonzero[(at + length) / 64] >> bit);
        size_t run = zeros ? (size_t)__builtin_ctzll(zeros) : 64;
        if (run < 64 - bit) {
            length += run;
            break;
        }
        length += 64 - bit;
    }
    return length < bytes ? length : bytes;
}

/* Whether any byte of [at, at + bytes) is not NUL. */
static bool any_nonzero(const struct varve_header_numbers *numbers, size_t at, size_t bytes) {
    size_t end = at + bytes;
    while (at < end) {
        size_t bit = at & 63;
        size_t here = 64 - bit < end - at ? 64 - bit : end - at;
        uint64_t mask = here == 64 ? UINT64_MAX : ((uint64_t)1 << here) - 1;
        if (numbers->nonzero[at / 64] >> bit & mask) {
            return true;
        }
        at += here;
    }
    return false;
}

/* The bits of `bytes` (1 to 64) bytes from `at` on: set where a byte is not NUL. */
static uint64_t nonzero_bits(const struct varve_header_numbers *numbers, size_t at, size_t bytes) {
    size_t word = at / 64, bit = at % 64;
    uint64_t bits = numbers->nonzero[word] >> bit;
    if (bit + bytes > 64) {
        bits |= numbers->nonzero[word + 1] << (64 - bit);
    }
    return bytes == 64 ? bits : bits & ((UINT64_C(1) << bytes) - 1);
}

/* A text field up to its NUL; notes what stands behind. */
static struct varve_bytes text_field(struct varve_tar *tar, size_t at, size_t bytes) {
    size_t first = bytes < 64 ? bytes : 64;
    uint64_t bits = nonzero_bits(&tar->numbers, at, first);
    size_t length = bits == UINT64_MAX ? field_length(&tar->numbers, at, bytes)
                                       : (size_t)__builtin_ctzll(~bits);
    /* Nothing behind, or in the first 64 bytes; the rest is looked at where there is one. */
    bool behind = length < 64 ? bits >> length != 0 : false;
    size_t seen = length < 64 ? first : length;
    behind = behind || (seen < bytes && any_nonzero(&tar->numbers, at + seen, bytes - seen));
    if (behind) {
        varve_tar_note(tar, VARVE_CODE_NAME_AFTER_NUL, tar->block_offset + at + length);
    }
    return (struct varve_bytes){tar->block + at, length};
}

static enum varve_tar_dialect dialect_of(const uint8_t *block) {
    if (memcmp(block + AT_MAGIC, "ustar ", 6) == 0 && memcmp(block + AT_VERSION, " \0", 2) == 0) {
        return VARVE_TAR_GNU;
    }
    if (memcmp(block + AT_MAGIC, "ustar\0", 6) != 0) {
        return VARVE_TAR_V7;
    }
    if (memcmp(block + AT_STAR_SUFFIX, "tar\0", 4) == 0) {
        return VARVE_TAR_STAR;
    }
    return memcmp(block + AT_VERSION, "00", 2) == 0 ? VARVE_TAR_USTAR : VARVE_TAR_USTAR_VERSION;
}

static void note_dialect(struct varve_tar *tar) {
    static const enum varve_code codes[VARVE_TAR_DIALECT_COUNT] = {
        [VARVE_TAR_V7] = VARVE_CODE_HEADER_V7,
        [VARVE_TAR_USTAR_VERSION] = VARVE_CODE_HEADER_VERSION,
        [VARVE_TAR_GNU] = VARVE_CODE_HEADER_GNU,
        [VARVE_TAR_STAR] = VARVE_CODE_HEADER_STAR,
    };
    uint64_t seen = tar->traits.dialect[tar->dialect]++;
    if (tar->dialect != VARVE_TAR_USTAR) {
        varve_tar_note(tar, codes[tar->dialect], tar->block_offset + AT_MAGIC);
    }
    /* Once for the first header of each further kind. */
    if (seen == 0 && tar->traits.headers > 1) {
        varve_tar_note(tar, VARVE_CODE_HEADER_MIXED, tar->block_offset + AT_MAGIC);
    }
    if (tar->dialect == VARVE_TAR_USTAR_VERSION) {
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, tar->block_offset + AT_VERSION);
    }
}

/* What a style other than the usual one is reported as. */
static enum varve_code style_code(uint8_t style) {
    switch (style) {
    case VARVE_TAR_STYLE_BASE256:
        return VARVE_CODE_NUMBER_BASE256;
    case VARVE_TAR_STYLE_SPACE_PADDED:
    case VARVE_TAR_STYLE_SHORT:
        return VARVE_CODE_NUMBER_PADDING;
    case VARVE_TAR_STYLE_NUL:
    case VARVE_TAR_STYLE_SPACES:
        return VARVE_CODE_NUMBER_BLANK;
    case VARVE_TAR_STYLE_ODD:
        return VARVE_CODE_NUMBER_ODD;
    default:
        return VARVE_CODE_NUMBER_TERMINATOR;
    }
}

static const struct {
    uint16_t at;
    uint8_t group;
} fields[VARVE_HEADER_FIELD_COUNT] = {
    [VARVE_HEADER_MODE] = {AT_MODE, VARVE_TAR_GROUP_MODE},
    [VARVE_HEADER_UID] = {AT_UID, VARVE_TAR_GROUP_OWNER},
    [VARVE_HEADER_GID] = {AT_GID, VARVE_TAR_GROUP_OWNER},
    [VARVE_HEADER_SIZE] = {AT_SIZE, VARVE_TAR_GROUP_SIZE},
    [VARVE_HEADER_MTIME] = {AT_MTIME, VARVE_TAR_GROUP_MTIME},
    [VARVE_HEADER_DEVMAJOR] = {AT_DEVMAJOR, VARVE_TAR_GROUP_DEVICE},
    [VARVE_HEADER_DEVMINOR] = {AT_DEVMINOR, VARVE_TAR_GROUP_DEVICE},
    [VARVE_HEADER_CHECKSUM] = {AT_CHECKSUM, VARVE_TAR_GROUP_CHECKSUM},
};

/* Each way of writing numbers is one finding per header, however many fields have it. */
struct noted {
    enum varve_code codes[VARVE_HEADER_FIELD_COUNT + 1];
    size_t count;
};

static void note_once(struct varve_tar *tar, struct noted *noted, enum varve_code code,
                      uint64_t offset) {
    for (size_t i = 0; i < noted->count; i++) {
        if (noted->codes[i] == code) {
            return;
        }
    }
    noted->codes[noted->count++] = code;
    varve_tar_note(tar, code, offset);
}

/* Whether other readers stop at this number without a word, or step to another place: Python knows
 * base-256 by a first byte of 0x80 or 0xff alone, and ends its list at numbers that it cannot read,
 * in V7's unused bytes too; a size behind a NUL is 0 for it and for libarchive. */
static bool read_otherwise(const struct varve_tar *tar, int field) {
    const uint8_t *text = tar->block + fields[field].at;
    uint8_t style = tar->numbers.style[field];
    if (style == VARVE_TAR_STYLE_ODD && field == VARVE_HEADER_SIZE) {
        while (*text == ' ') {
            text++;
        }
        return *text == 0 && tar->numbers.value[field] != 0;
    }
    return style == VARVE_TAR_STYLE_BASE256 ? *text != 0x80 && *text != 0xff
                                            : style == VARVE_TAR_STYLE_BAD;
}

static bool check_numbers(struct varve_tar *tar) {
    const struct varve_header_numbers *numbers = &tar->numbers;
    int count = tar->dialect == VARVE_TAR_V7 ? VARVE_HEADER_DEVMAJOR : VARVE_HEADER_CHECKSUM;
    struct noted noted = {.count = 0};
    for (int field = 0; field < count; field++) {
        uint8_t style = numbers->style[field];
        uint64_t offset = tar->block_offset + fields[field].at;
        if (style == VARVE_TAR_STYLE_BAD) {
            return varve_tar_fail(tar, VARVE_CODE_TAR_NUMBER, offset);
        }
        tar->traits.style[fields[field].group][style]++;
        /* Empty device numbers are device.blank, with the entry. */
        bool blank_device = field >= VARVE_HEADER_DEVMAJOR && style == VARVE_TAR_STYLE_NUL;
        if (style != VARVE_TAR_STYLE_DIGITS_NUL && !blank_device) {
            note_once(tar, &noted, style_code(style), offset);
            if (read_otherwise(tar, field)) {
                note_once(tar, &noted, VARVE_CODE_PARSER_DIFFERENTIAL, offset);
            }
        }
    }
    for (int field = count; field < VARVE_HEADER_CHECKSUM; field++) {
        if (read_otherwise(tar, field)) {
            note_once(tar, &noted, VARVE_CODE_PARSER_DIFFERENTIAL,
                      tar->block_offset + fields[field].at);
        }
    }
    if (numbers->value[VARVE_HEADER_SIZE] < 0) {
        return varve_tar_fail(tar, VARVE_CODE_TAR_SIZE, tar->block_offset + AT_SIZE);
    }
    uint8_t style = numbers->style[VARVE_HEADER_CHECKSUM];
    tar->traits.style[VARVE_TAR_GROUP_CHECKSUM][style]++;
    if (style != VARVE_TAR_STYLE_NUL_SPACE) {
        varve_tar_note(tar, VARVE_CODE_HEADER_CHECKSUM_STYLE, tar->block_offset + AT_CHECKSUM);
    }
    if (numbers->value[VARVE_HEADER_CHECKSUM] != numbers->sum) {
        varve_tar_note(tar, VARVE_CODE_HEADER_CHECKSUM_SIGNED, tar->block_offset + AT_CHECKSUM);
    }
    return true;
}

/* How a pax or global header is named. */
static enum varve_tar_pax_name pax_name_of(struct varve_bytes name) {
    static const char at_name[] = "././@PaxHeader";
    if (name.count == sizeof at_name - 1 && memcmp(name.bytes, at_name, name.count) == 0) {
        return VARVE_TAR_PAX_NAME_AT;
    }
    static const char head[] = "PaxHeader";
    const uint8_t *found =
        name.count ? memmem(name.bytes, name.count, head, sizeof head - 1) : NULL;
    const uint8_t *end = name.bytes + name.count;
    if (!found || (found > name.bytes && found[-1] != '/')) {
        return VARVE_TAR_PAX_NAME_OTHER;
    }
    found += sizeof head - 1;
    if (found < end && *found == '/') {
        return VARVE_TAR_PAX_NAME_BSD;
    }
    if (found == end || *found++ != 's') {
        return VARVE_TAR_PAX_NAME_OTHER;
    }
    if (found < end && *found == '/') {
        return VARVE_TAR_PAX_NAME_PLAIN;
    }
    if (found == end || *found++ != '.') {
        return VARVE_TAR_PAX_NAME_OTHER;
    }
    const uint8_t *digits = found;
    while (found < end && *found >= '0' && *found <= '9') {
        found++;
    }
    if (found == digits || (found < end && *found != '/')) {
        return VARVE_TAR_PAX_NAME_OTHER;
    }
    return found == digits + 1 && *digits == '0' ? VARVE_TAR_PAX_NAME_ZERO : VARVE_TAR_PAX_NAME_PID;
}

static void note_pax_header(struct varve_tar *tar, struct varve_bytes name) {
    uint8_t type = tar->extension_type;
    if (type == 'g') {
        tar->traits.global_headers++;
        varve_tar_note(tar, VARVE_CODE_PAX_GLOBAL, tar->block_offset);
        if (memmem(name.bytes, name.count, "GlobalHead.", 11)) {
            tar->traits.global_head++;
            varve_tar_note(tar, VARVE_CODE_PAX_PID, tar->block_offset);
        }
    } else {
        tar->traits.pax_headers++;
        enum varve_tar_pax_name kind = pax_name_of(name);
        tar->traits.pax_name[kind]++;
        varve_tar_note(tar, VARVE_CODE_PAX_HEADER, tar->block_offset);
        if (kind == VARVE_TAR_PAX_NAME_PID) {
            varve_tar_note(tar, VARVE_CODE_PAX_PID, tar->block_offset);
        }
    }
    if (type == 'X') {
        varve_tar_note(tar, VARVE_CODE_EXT_SOLARIS, tar->block_offset + AT_TYPEFLAG);
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, tar->block_offset + AT_TYPEFLAG);
    }
    if (tar->dialect == VARVE_TAR_V7 || tar->dialect == VARVE_TAR_GNU) {
        varve_tar_note(tar, VARVE_CODE_EXT_OLD_HEADER, tar->block_offset + AT_MAGIC);
    }
}

static void note_long_header(struct varve_tar *tar) {
    tar->traits.long_headers++;
    tar->traits.long_named += tar->block[AT_UNAME] != 0;
    tar->traits.long_wheel += memcmp(tar->block + AT_GNAME, "wheel", 6) == 0;
}

/* An extension header: its body follows. The last of a kind replaces the one before. */
static bool begin_extension(struct varve_tar *tar, struct varve_bytes name) {
    uint8_t type = tar->block[AT_TYPEFLAG];
    if (type == 'g' && tar->extensions) {
        return varve_tar_fail(tar, VARVE_CODE_TAR_DANGLING, tar->first_offset);
    }
    if (++tar->extensions > VARVE_LIMIT_EXTENSIONS) {
        return varve_tar_fail(tar, VARVE_CODE_TAR_EXTENSIONS, tar->block_offset);
    }
    if (tar->extensions == VARVE_LIMIT_EXTENSIONS_NOTED + 1) {
        varve_tar_note(tar, VARVE_CODE_EXT_MANY, tar->block_offset);
    }
    tar->extension_type = type;
    tar->extension_left = (uint64_t)tar->numbers.value[VARVE_HEADER_SIZE];
    tar->extension_padding = (0 - tar->extension_left) & (BLOCK - 1);
    tar->state = STATE_EXTENSION;
    tar->traits.extension_mode_0 += tar->numbers.value[VARVE_HEADER_MODE] == 0;

    bool again = false;
    if (type == 'L' || type == 'K') {
        bool *has = type == 'L' ? &tar->has_long_name : &tar->has_long_link;
        (type == 'L' ? &tar->long_name : &tar->long_link)->count = 0;
        again = *has;
        *has = true;
        note_long_header(tar);
        varve_tar_note(tar, type == 'L' ? VARVE_CODE_GNU_LONG_NAME : VARVE_CODE_GNU_LONG_LINK,
                       tar->block_offset);
    } else {
        (type == 'g' ? &tar->global_body : &tar->pax_body)->count = 0;
        again = type != 'g' && tar->pax.present;
        note_pax_header(tar, name);
    }
    if (again) { /* some merge two of pax; Python takes the first of two long names */
        varve_tar_note(tar, VARVE_CODE_EXT_REDUNDANT, tar->block_offset);
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, tar->block_offset);
    }
    return true;
}

/* GNU's access and change times; false where the fields hold something else. */
static bool gnu_times(struct varve_tar *tar, struct varve_tar_entry *entry) {
    struct varve_header_gnu_numbers gnu;
    tar->kernel->read_gnu(&gnu, tar->block, 1);
    struct varve_tar_time *times[2] = {&entry->atime, &entry->ctime};
    for (int i = 0; i < 2; i++) {
        if (tar->block[AT_GNU_ATIME + 12 * i] == 0) {
            continue;
        }
        if (gnu.style[i] == VARVE_TAR_STYLE_BAD) {
            entry->atime.present = entry->ctime.present = false;
            return false;
        }
        *times[i] = (struct varve_tar_time){gnu.value[i], 0, true};
        varve_tar_note(tar, VARVE_CODE_GNU_TIMES,
                       tar->block_offset + AT_GNU_ATIME + 12 * (size_t)i);
    }
    return true;
}

static bool is_ascii(struct varve_bytes text) {
    uint8_t any = 0;
    for (size_t i = 0; i < text.count; i++) {
        any |= text.bytes[i];
    }
    return any < 0x80;
}

/* star's times behind its shorter prefix; false after a fault. */
static bool star_times(struct varve_tar *tar, struct varve_tar_entry *entry) {
    static const size_t at[2] = {AT_STAR_ATIME, AT_STAR_CTIME};
    struct varve_tar_time *times[2] = {&entry->atime, &entry->ctime};
    for (int i = 0; i < 2; i++) {
        /* The kernels read GNU's atime at 345: a block that begins so much earlier has it there. */
        uint8_t shifted[BLOCK] = {0};
        memcpy(shifted + AT_GNU_ATIME, tar->block + at[i], 12);
        struct varve_header_gnu_numbers numbers;
        tar->kernel->read_gnu(&numbers, shifted, 1);
        if (numbers.style[0] == VARVE_TAR_STYLE_BAD) {
            return varve_tar_fail(tar, VARVE_CODE_TAR_NUMBER, tar->block_offset + at[i]);
        }
        if (numbers.style[0] != VARVE_TAR_STYLE_NUL) {
            *times[i] = (struct varve_tar_time){numbers.value[0], 0, true};
        }
    }
    return true;
}

/* The prefix field in each dialect, and what lies in the bytes around it. *others: some readers put
 * another prefix before the name of this header. */
static bool read_prefix(struct varve_tar *tar, struct varve_bytes *prefix, bool *others) {
    const struct varve_header_numbers *numbers = &tar->numbers;
    size_t unused_at = AT_PREFIX_END;
    size_t unused_bytes = BLOCK - AT_PREFIX_END;
    *prefix = (struct varve_bytes){NULL, 0};
    *others = false;
    switch (tar->dialect) {
    case VARVE_TAR_V7:
        unused_at = AT_MAGIC;
        unused_bytes = BLOCK - AT_MAGIC;
        *others = any_nonzero(numbers, AT_PREFIX, AT_PREFIX_END - AT_PREFIX);
        break;
    case VARVE_TAR_USTAR:
    case VARVE_TAR_USTAR_VERSION:
        *prefix = text_field(tar, AT_PREFIX, AT_PREFIX_END - AT_PREFIX);
        break;
    case VARVE_TAR_STAR:
        *prefix = text_field(tar, AT_PREFIX, STAR_PREFIX_BYTES);
        unused_bytes = AT_STAR_SUFFIX - AT_PREFIX_END;
        /* A full prefix goes on into the times where readers do not know star's. */
        *others = prefix->count == STAR_PREFIX_BYTES && tar->block[AT_STAR_ATIME] != 0;
        if (!star_times(tar, &tar->entry)) {
            return false;
        }
        break;
    default:
        unused_at = tar->block[AT_TYPEFLAG] == 'S' ? AT_GNU_END : 369;
        unused_bytes = BLOCK - unused_at;
        if (any_nonzero(numbers, AT_GNU_ATIME, 24) && !gnu_times(tar, &tar->entry)) {
            struct varve_bytes text = {tar->block + AT_PREFIX,
                                       field_length(numbers, AT_PREFIX, AT_PREFIX_END - AT_PREFIX)};
            unused_at = AT_PREFIX;
            if (text.count && is_ascii(text)) {
                *prefix = text;
                unused_at += text.count;
                varve_tar_note(tar, VARVE_CODE_NAME_GNU_PREFIX, tar->block_offset + AT_PREFIX);
            }
            unused_bytes = BLOCK - unused_at;
        }
        /* Python joins whatever is there, times too, but not for type S; others never do. */
        *others = tar->block[AT_PREFIX] != 0 && (prefix->count || tar->block[AT_TYPEFLAG] != 'S');
        break;
    }
    if (any_nonzero(numbers, unused_at, unused_bytes)) {
        varve_tar_note(tar, VARVE_CODE_HEADER_UNUSED_BYTES, tar->block_offset + unused_at);
    }
    return true;
}

static void set_path(struct varve_tar *tar, struct varve_bytes prefix, struct varve_bytes name) {
    if (prefix.count == 0) {
        memcpy(tar->path, name.bytes, name.count);
        tar->entry.path = (struct varve_bytes){tar->path, name.count};
        return;
    }
    if (tar->dialect != VARVE_TAR_GNU) {
        varve_tar_note(tar, VARVE_CODE_NAME_PREFIX, tar->block_offset + AT_PREFIX);
        tar->traits.entry_prefix++;
    }
    memcpy(tar->path, prefix.bytes, prefix.count);
    tar->path[prefix.count] = '/';
    memcpy(tar->path + prefix.count + 1, name.bytes, name.count);
    tar->entry.path = (struct varve_bytes){tar->path, prefix.count + 1 + name.count};
}

/* A record that only says again what the header says. */
static void note_repeats(struct varve_tar *tar, bool repeats) {
    if (repeats) {
        varve_tar_note(tar, VARVE_CODE_PAX_REPEATS, tar->pax.offset);
    }
}

static void override_text(struct varve_tar *tar, struct varve_bytes *field,
                          struct varve_bytes value) {
    if (value.count) {
        note_repeats(tar, bytes_equal(*field, value));
        *field = value;
    }
}

static void override_number(struct varve_tar *tar, int64_t *field, bool has, int64_t value) {
    if (has) {
        note_repeats(tar, *field == value);
        *field = value;
    }
}

/* What the pending x header says counts before the header's own fields. */
static void apply_pax(struct varve_tar *tar, uint64_t *size) {
    struct varve_tar_entry *entry = &tar->entry;
    const struct pax_values *pax = &tar->pax;
    override_text(tar, &entry->path, pax->path);
    override_text(tar, &entry->link, pax->link);
    override_text(tar, &entry->uname, pax->uname);
    override_text(tar, &entry->gname, pax->gname);
    override_number(tar, &entry->uid, pax->has_uid, pax->uid);
    override_number(tar, &entry->gid, pax->has_gid, pax->gid);
    override_number(tar, &entry->devmajor, pax->has_devmajor, pax->devmajor);
    override_number(tar, &entry->devminor, pax->has_devminor, pax->devminor);
    if (pax->has_size) {
        bool placeholder = pax->size > octal_size_max && (*size == 0 || *size == octal_size_max);
        if (pax->size == *size) {
            note_repeats(tar, true);
        } else if (!placeholder) {
            varve_tar_note(tar, VARVE_CODE_SIZE_CONFLICT, tar->block_offset + AT_SIZE);
            varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, tar->block_offset + AT_SIZE);
        }
        *size = pax->size;
    }
    if (pax->mtime.present) {
        note_repeats(tar,
                     pax->mtime.nanoseconds == 0 && pax->mtime.seconds == entry->mtime.seconds);
        entry->mtime = pax->mtime;
    }
    if (pax->atime.present) {
        entry->atime = pax->atime;
    }
    if (pax->ctime.present) {
        entry->ctime = pax->ctime;
    }
    entry->creation = pax->creation;
    entry->xattrs = tar->pairs;
    entry->xattr_count = tar->xattr_count;
    entry->records = tar->pairs + tar->xattr_count;
    entry->record_count = tar->record_count;
}

/* GNU's long names count before pax. */
static void apply_gnu(struct varve_tar *tar) {
    struct varve_tar_entry *entry = &tar->entry;
    bool path = tar->has_long_name && tar->gnu_path.count;
    bool link = tar->has_long_link && tar->gnu_link.count;
    if (tar->pax.present && (tar->has_long_name || tar->has_long_link)) {
        varve_tar_note(tar, VARVE_CODE_EXT_MIXED, tar->first_offset);
        if ((path && tar->pax.path.count) || (link && tar->pax.link.count)) {
            varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, tar->first_offset);
        }
    }
    /* GNU tar and Python take an empty one for the name. */
    uint8_t raw = tar->block[AT_TYPEFLAG];
    if ((tar->has_long_name && !path && entry->path.count) ||
        (tar->has_long_link && !link && entry->link.count && (raw == '1' || raw == '2'))) {
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, tar->first_offset);
    }
    if (path) {
        entry->path = tar->gnu_path;
    }
    if (link) {
        entry->link = tar->gnu_link;
    }
}

static bool carries_data(uint8_t typeflag) {
    return typeflag < '1' || typeflag > '6';
}

static bool ends_in_slash(struct varve_bytes path) {
    return path.count && path.bytes[path.count - 1] == '/';
}

static uint8_t meaning_of_type(struct varve_tar *tar, uint8_t raw) {
    uint64_t offset = tar->entry.header_offset + AT_TYPEFLAG;
    switch (raw) {
    case 0:
        if (ends_in_slash(tar->entry.path)) {
            varve_tar_note(tar, VARVE_CODE_TYPE_NUL_DIRECTORY, offset);
            return '5';
        }
        varve_tar_note(tar, VARVE_CODE_TYPE_NUL, offset);
        return '0';
    case '7':
        varve_tar_note(tar, VARVE_CODE_TYPE_CONTIGUOUS, offset);
        return '0';
    case 'S':
        return '0';
    case 'D':
        varve_tar_note(tar, VARVE_CODE_TYPE_DUMPDIR, offset);
        return raw;
    case 'V': /* which libarchive passes over, and takes its data for headers */
        varve_tar_note(tar, VARVE_CODE_TYPE_VOLUME, offset);
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, offset);
        return raw;
    case 'M':
        varve_tar_note(tar, VARVE_CODE_TYPE_MULTIVOLUME, offset);
        return raw;
    default:
        if (raw >= '0' && raw <= '6') {
            return raw;
        }
        varve_tar_note(tar, VARVE_CODE_TYPE_UNKNOWN, offset);
        if (raw == 'A') { /* an ACL of the next entry to libarchive, as Solaris writes it */
            varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, offset);
        }
        return '0';
    }
}

static void note_mode(struct varve_tar *tar) {
    const struct varve_tar_entry *entry = &tar->entry;
    static const uint32_t type_bits[7] = {0100000, 0, 0120000, 0020000, 0060000, 0040000, 0010000};
    uint64_t offset = tar->entry.header_offset + AT_MODE;
    uint64_t bits = entry->mode & TYPE_BITS;
    if (bits) {
        tar->traits.entry_mode_type++;
        bool digit = entry->typeflag >= '0' && entry->typeflag <= '6';
        uint32_t due = digit                    ? type_bits[entry->typeflag - '0']
                       : entry->typeflag == 'D' ? 0040000
                                                : 0100000;
        varve_tar_note(tar,
                       entry->typeflag == '1' || bits == due ? VARVE_CODE_MODE_IFMT
                                                             : VARVE_CODE_MODE_TYPE_CONFLICT,
                       offset);
    }
    if (entry->mode & ~(uint64_t)(TYPE_BITS | PERMISSION_BITS)) {
        varve_tar_note(tar, VARVE_CODE_MODE_EXTRA_BITS, offset);
    }
    if (entry->typeflag == '2') {
        tar->traits.entry_symlink++;
        if ((entry->mode & PERMISSION_BITS) == 0777) {
            tar->traits.entry_symlink_0777++;
        } else {
            varve_tar_note(tar, VARVE_CODE_LINK_SYMLINK_MODE, offset);
        }
    }
}

static void note_time(struct varve_tar *tar, const struct varve_tar_time *time) {
    if (!time->present) {
        return;
    }
    if (time->seconds < 0) {
        varve_tar_note(tar, VARVE_CODE_TIME_NEGATIVE, tar->entry.header_offset + AT_MTIME);
    } else if (time->seconds >> 33) {
        varve_tar_note(tar, VARVE_CODE_TIME_LARGE, tar->entry.header_offset + AT_MTIME);
    }
}

/* Device numbers left empty or filled: one of the surest marks of a writer. */
static void note_device_style(struct varve_tar *tar, bool device) {
    uint8_t major = tar->numbers.style[VARVE_HEADER_DEVMAJOR];
    uint8_t minor = tar->numbers.style[VARVE_HEADER_DEVMINOR];
    if (major == VARVE_TAR_STYLE_NUL || minor == VARVE_TAR_STYLE_NUL) {
        varve_tar_note(tar, VARVE_CODE_DEVICE_BLANK, tar->entry.header_offset + AT_DEVMAJOR);
    }
    if (!device) {
        tar->traits.plain++;
        tar->traits.plain_device_nul +=
            major == VARVE_TAR_STYLE_NUL && minor == VARVE_TAR_STYLE_NUL;
        tar->traits.plain_device_digits +=
            major == VARVE_TAR_STYLE_DIGITS_NUL && minor == VARVE_TAR_STYLE_DIGITS_NUL;
    }
}

static void note_values(struct varve_tar *tar) {
    const struct varve_tar_entry *entry = &tar->entry;
    note_mode(tar);
    note_time(tar, &entry->mtime);
    note_time(tar, &entry->atime);
    note_time(tar, &entry->ctime);
    if (entry->uid < 0 || entry->gid < 0) {
        varve_tar_note(tar, VARVE_CODE_OWNER_NEGATIVE, tar->entry.header_offset + AT_UID);
    }
    bool device = entry->typeflag == '3' || entry->typeflag == '4';
    if (!device && (entry->devmajor || entry->devminor)) {
        varve_tar_note(tar, VARVE_CODE_DEVICE_UNUSED, tar->entry.header_offset + AT_DEVMAJOR);
    }
    if (tar->dialect != VARVE_TAR_V7) {
        note_device_style(tar, device);
    }
    tar->traits.entry_names += entry->uname.count || entry->gname.count;
}

/* The stored size, for types that carry data; notes it on the others. */
static bool set_size(struct varve_tar *tar, uint64_t size) {
    struct varve_tar_entry *entry = &tar->entry;
    if (carries_data(entry->typeflag)) {
        if (size >= VARVE_LIMIT_ENTRY_BYTES) {
            return varve_tar_fail(tar, VARVE_CODE_TAR_SIZE, tar->entry.header_offset + AT_SIZE);
        }
        entry->size = entry->stored_bytes = size;
        return true;
    }
    entry->size = entry->stored_bytes = 0;
    if (size) {
        tar->after_unused_size = true;
        varve_tar_note(tar, VARVE_CODE_SIZE_UNUSED, tar->entry.header_offset + AT_SIZE);
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, tar->entry.header_offset + AT_SIZE);
        if (entry->typeflag == '1') {
            varve_tar_note(tar, VARVE_CODE_LINK_DATA, tar->entry.header_offset + AT_SIZE);
        }
    }
    return true;
}

/* SCHILY.realsize repeats the size where star wrote it; elsewhere it is one more opinion. */
static void check_realsize(struct varve_tar *tar) {
    if (tar->pax.has_realsize && tar->pax.realsize != tar->entry.size &&
        carries_data(tar->entry.typeflag)) {
        varve_tar_note(tar, VARVE_CODE_SIZE_CONFLICT, tar->pax.offset);
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, tar->pax.offset);
    }
}

/* libarchive follows the fields of a sparse file in every GNU header, whatever its type: another
 * size, another content, and, where continuation blocks are announced, members unseen. */
static void check_sparse_fields(struct varve_tar *tar) {
    const struct varve_tar_entry *entry = &tar->entry;
    size_t at = AT_GNU_SPARSE;
    bool followed = tar->block[at] != 0;
    if (!followed) {
        struct varve_header_gnu_numbers numbers;
        at = AT_GNU_REALSIZE;
        tar->kernel->read_gnu(&numbers, tar->block, 1);
        followed = numbers.style[VARVE_HEADER_REALSIZE] == VARVE_TAR_STYLE_BAD ||
                   numbers.value[VARVE_HEADER_REALSIZE] != (int64_t)entry->size;
    }
    if (followed) {
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, tar->block_offset + at);
    }
}

/* An entry's own header. Continuation blocks or a map in the data may still follow. */
static bool begin_entry(struct varve_tar *tar, struct varve_bytes name) {
    struct varve_tar_entry *entry = &tar->entry;
    const int64_t *value = tar->numbers.value;
    uint8_t raw = tar->block[AT_TYPEFLAG];
    bool v7 = tar->dialect == VARVE_TAR_V7;
    if (++tar->entries > VARVE_LIMIT_ENTRIES) {
        return varve_tar_fail(tar, VARVE_CODE_TAR_ENTRIES, tar->block_offset);
    }
    memset(entry, 0, sizeof *entry);
    struct varve_bytes prefix;
    bool other_prefix;
    if (!read_prefix(tar, &prefix, &other_prefix)) {
        return false;
    }
    memcpy(tar->header, tar->block, BLOCK);
    entry->header = tar->header;
    entry->header_offset = tar->block_offset;
    entry->data_offset = tar->offset;
    entry->raw_typeflag = raw;
    entry->mode = (uint64_t)value[VARVE_HEADER_MODE];
    entry->uid = value[VARVE_HEADER_UID];
    entry->gid = value[VARVE_HEADER_GID];
    entry->mtime = (struct varve_tar_time){value[VARVE_HEADER_MTIME], 0, true};
    entry->link = text_field(tar, AT_LINK, LINK_BYTES);
    entry->link.bytes = tar->header + AT_LINK;
    if (!v7) {
        entry->devmajor = value[VARVE_HEADER_DEVMAJOR];
        entry->devminor = value[VARVE_HEADER_DEVMINOR];
        entry->uname = text_field(tar, AT_UNAME, OWNER_NAME_BYTES);
        entry->gname = text_field(tar, AT_GNAME, OWNER_NAME_BYTES);
        entry->uname.bytes = tar->header + AT_UNAME;
        entry->gname.bytes = tar->header + AT_GNAME;
    }
    set_path(tar, prefix, name);
    uint64_t size = (uint64_t)value[VARVE_HEADER_SIZE];
    if (tar->pax.present) {
        apply_pax(tar, &size);
    }
    apply_gnu(tar);
    if (other_prefix && entry->path.bytes == tar->path) {
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, entry->header_offset + AT_PREFIX);
    }
    entry->typeflag = meaning_of_type(tar, raw);
    if (raw == 0 && ends_in_slash(name) != ends_in_slash(entry->path)) {
        /* Python asks the header's name alone whether this is a directory. */
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, entry->header_offset + AT_TYPEFLAG);
    }
    if (!set_size(tar, size)) {
        return false;
    }
    if (tar->dialect == VARVE_TAR_GNU && raw != 'S' &&
        (tar->block[AT_GNU_SPARSE] || tar->block[AT_GNU_REALSIZE])) {
        check_sparse_fields(tar);
    }

    bool more = false;
    if (raw == 'S') {
        if (tar->dialect != VARVE_TAR_GNU) {
            return varve_tar_fail(tar, VARVE_CODE_SPARSE_NOT_GNU,
                                  tar->entry.header_offset + AT_TYPEFLAG);
        }
        if (!varve_tar_sparse_header(tar, &more)) {
            return false;
        }
        if (more) {
            tar->state = STATE_CONTINUED;
            return true;
        }
    } else if (tar->pax.sparse_any) {
        if (!varve_tar_sparse_pax(tar, &more)) {
            return false;
        }
        if (more) {
            tar->state = STATE_MAP;
            return true;
        }
    }
    return (!entry->sparse || varve_tar_sparse_check(tar)) && varve_tar_entry_ready(tar);
}

bool varve_tar_entry_ready(struct varve_tar *tar) {
    struct varve_tar_entry *entry = &tar->entry;
    entry->first_offset = tar->first_offset;
    check_realsize(tar);
    note_values(tar);
    varve_tar_check_names(tar);
    tar->traits.entries++;
    tar->extensions = 0;
    tar->has_long_name = tar->has_long_link = false;
    tar->pax.present = tar->pax.sparse_any = false;
    tar->state = STATE_ENTRY;
    return true;
}

bool varve_tar_header(struct varve_tar *tar) {
    tar->any_header = true;
    tar->after_unused_size = false;
    tar->dialect = dialect_of(tar->block);
    if (tar->extensions == 0) {
        tar->first_offset = tar->block_offset;
    }
    tar->traits.headers++;
    note_dialect(tar);
    if (!check_numbers(tar)) {
        return false;
    }
    struct varve_bytes name = text_field(tar, AT_NAME, NAME_BYTES);
    switch (tar->block[AT_TYPEFLAG]) {
    case 'x':
    case 'X':
    case 'g':
    case 'L':
    case 'K':
        return begin_extension(tar, name);
    default:
        return begin_entry(tar, name);
    }
}
