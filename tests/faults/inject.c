/* SPDX-License-Identifier: Apache-2.0 */
/* tests/faults/inject.c - faults on demand, linked into a build of the program for tests alone.
 *
 * The linker's --wrap leads every call that the project's objects make of a function in `wrapped`
 * (CMakeLists.txt) to its __wrap_ twin here. SQLite and jansson, which are libraries of their own,
 * are reached through the allocators and system calls that they let one give them; libzstd through
 * its custom memory. So every call of a class is counted, and the one that is asked for fails:
 *
 *     VARVE_FAULT="CLASS FIRST COUNT EFFECT [SEED]"
 *
 * The calls number FIRST to FIRST + COUNT - 1 of CLASS have EFFECT (COUNT 0: all from FIRST on;
 * FIRST 0: none, they are only counted; FIRST "@HEX": the first one from the place of that name,
 * and no other). EFFECT is a number of errno, or one of the words below. Counts are kept in the
 * file VARVE_FAULT_PAGE, which is mapped, so that they outlive any end of the process; where
 * nothing is to fail, the places of the program that calls came from, too. */
#define ZSTD_STATIC_LINKING_ONLY
#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <fts.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>
#ifdef VARVE_HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef VARVE_HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif

/* clang-format off */
#define CLASSES(X)                                                                                 \
    X(memory)   /* allocations, jansson's and libzstd's too */                                     \
    X(rows)     /* allocations of SQLite */                                                        \
    X(open)     /* files, folders, sockets: what takes a descriptor */                             \
    X(read)     /* bytes, and the names in a folder */                                             \
    X(stat)     /* what is asked of a file without reading it */                                   \
    X(write)    /* bytes to files that are not SQLite's */                                         \
    X(settle)   /* fsync, rename, link, mkdir, and what closes a written file */                   \
    X(database) /* system calls of SQLite */                                                       \
    X(thread)   /* threads, and the team's size */                                                 \
    X(clock)    /* the clock of the day is set while the program runs */                           \
    X(lock)     /* a moment's delay around a lock, a signal, a read, a call of SQLite */           \
    X(nameless) /* files without a name (O_TMPFILE), which not every file system has */            \
    X(step)     /* a statement of SQL, which is broken off */
/* clang-format on */

enum class {
#define X(name) CLASS_##name,
    CLASSES(X)
#undef X
        CLASS_COUNT
};

static const char *const class_names[] = {
#define X(name) #name,
    CLASSES(X)
#undef X
};

/* Effects that are no number of errno. */
enum {
    EFFECT_SHORT = 1000, /* one byte, or none where one cannot be said to be short */
    EFFECT_SHRINK,       /* the file that is about to be read loses its second half */
    EFFECT_GROW,         /* gets longer */
    EFFECT_VANISH,       /* is removed */
    EFFECT_REPLACE,      /* another takes its name */
    EFFECT_JUMP,         /* the clock */
    EFFECT_DELAY,
    EFFECT_SLOW, /* a millisecond each */
    EFFECT_KILL, /* of the process, before the call */
    EFFECT_STOP  /* likewise, until SIGCONT */
};

static const struct {
    const char *name;
    int effect;
} effect_names[] = {{"short", EFFECT_SHORT},   {"shrink", EFFECT_SHRINK},   {"grow", EFFECT_GROW},
                    {"vanish", EFFECT_VANISH}, {"replace", EFFECT_REPLACE}, {"jump", EFFECT_JUMP},
                    {"delay", EFFECT_DELAY},   {"slow", EFFECT_SLOW},       {"kill", EFFECT_KILL},
                    {"stop", EFFECT_STOP}};

#define INLINE inline __attribute__((always_inline))

static void die(const char *what) {
    fprintf(stderr, "inject: %s\n", what);
    _exit(120);
}

/* A place of the program's that a call was made from, which is where it stands and who called
 * there. Its name is the same in every run of one build. */
struct place {
    uint64_t name;
    uint64_t class;
};

#define PLACES 16384

/* What inject.py reads: calls by class, the faults that fired, the places. */
struct page {
    _Atomic uint64_t calls[CLASS_COUNT];
    _Atomic uint64_t fired;
    _Atomic uint64_t place_count;
    struct place places[PLACES];
};

static struct page own_page;
static struct page *page = &own_page;
static struct {
    int class;
    uint64_t first, count;
    uint64_t place; /* 0: numbers count */
    int effect;
    uint64_t seed;
    const char *under; /* files beneath are those that change while they are read */
    bool trace;        /* the first fault tells where it is, for addr2line */
} fault = {.class = -1};

/* Of the callers that are the program's own, so many make a place: where helpers are called from
 * tells more than where in them a call is made. */
#define CALLERS 6

extern const char __executable_start;
extern const char etext;

/* The name of the place of this call. Not inlined, as its callers are: so the first two addresses
 * are its own and that of a __wrap_ function. */
static __attribute__((noinline)) uint64_t place_of(enum class class) {
    void *addresses[48];
    int count = backtrace(addresses, 48);
    uint64_t name = UINT64_C(0xcbf29ce484222325) ^ class; /* FNV-1a, of words */
    int callers = 0;
    for (int i = 2; i < count && callers < CALLERS; i++) {
        uintptr_t at = (uintptr_t)addresses[i];
        if (at >= (uintptr_t)&__executable_start && at < (uintptr_t)&etext) {
            name = (name ^ (at - (uintptr_t)&__executable_start)) * UINT64_C(0x100000001b3);
            callers++;
        }
    }
    return name | 1;
}

/* Notes a place, unless that was done before. */
static void note_place(enum class class, uint64_t name) {
    static _Atomic uint64_t seen[4 * PLACES];
    for (uint64_t i = name >> 20;; i++) {
        uint64_t held = 0;
        if (atomic_compare_exchange_strong(&seen[i % (4 * PLACES)], &held, name)) {
            break;
        }
        if (held == name) {
            return;
        }
    }
    uint64_t number = atomic_fetch_add(&page->place_count, 1);
    if (number >= PLACES) {
        die("there are more places than it was made for");
    }
    page->places[number] = (struct place){name, class};
}

/* Whether this call of a class is one that is to fail. */
static INLINE bool due(enum class class) {
    uint64_t call = atomic_fetch_add(&page->calls[class], 1) + 1;
    bool fires = false;
    if (fault.place) {
        static _Atomic bool done;
        fires = fault.class == (int)class && place_of(class) == fault.place &&
                !atomic_exchange(&done, true);
    } else if (fault.first) {
        fires = fault.class == (int)class && call >= fault.first &&
                (!fault.count || call - fault.first < fault.count);
    } else if (page != &own_page && class != CLASS_lock && class != CLASS_clock) {
        note_place(class, place_of(class));
    }
    if (fires && atomic_fetch_add(&page->fired, 1) == 0 && fault.trace) {
        void *addresses[48];
        backtrace_symbols_fd(addresses, backtrace(addresses, 48), STDERR_FILENO);
    }
    if (fires && (fault.effect == EFFECT_KILL || fault.effect == EFFECT_STOP)) {
        kill(getpid(), fault.effect == EFFECT_KILL ? SIGKILL : SIGSTOP);
    }
    return fires;
}

/* The same with errno set. Effects that are no errors are not for this caller. */
static INLINE bool fails(enum class class) {
    bool fires = due(class) && fault.effect < EFFECT_SHORT;
    if (fires) {
        errno = fault.effect;
    }
    return fires;
}

/* splitmix64, of how often it was asked: threads share it. */
static uint64_t draw(void) {
    static _Atomic uint64_t state;
    uint64_t z = fault.seed + atomic_fetch_add(&state, UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* --- memory --- */

#define REAL(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

static INLINE bool refused(enum class class) {
    bool fires = due(class);
    if (fires) {
        errno = ENOMEM;
    }
    return fires;
}

static INLINE bool no_memory(void) {
    return refused(CLASS_memory);
}

REAL(void *, malloc, size_t bytes) {
    return no_memory() ? NULL : __real_malloc(bytes);
}

REAL(void *, calloc, size_t count, size_t bytes) {
    return no_memory() ? NULL : __real_calloc(count, bytes);
}

REAL(void *, realloc, void *old, size_t bytes) {
    return no_memory() ? NULL : __real_realloc(old, bytes);
}

REAL(void *, aligned_alloc, size_t alignment, size_t bytes) {
    return no_memory() ? NULL : __real_aligned_alloc(alignment, bytes);
}

REAL(char *, strdup, const char *text) {
    return no_memory() ? NULL : __real_strdup(text);
}

REAL(char *, strndup, const char *text, size_t bytes) {
    return no_memory() ? NULL : __real_strndup(text, bytes);
}

REAL(char *, get_current_dir_name, void) {
    return no_memory() ? NULL : __real_get_current_dir_name();
}

REAL(char *, realpath, const char *path, char *resolved) {
    return no_memory() ? NULL : __real_realpath(path, resolved);
}

REAL(FILE *, open_memstream, char **text, size_t *bytes) {
    return no_memory() ? NULL : __real_open_memstream(text, bytes);
}

REAL(FTS *, fts64_open, char *const *paths, int options,
     int (*compare)(const FTSENT **, const FTSENT **)) {
    return no_memory() ? NULL : __real_fts64_open(paths, options, compare);
}

int __wrap_asprintf(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **text, const char *format, ...) {
    va_list arguments;
    if (no_memory()) {
        *text = NULL;
        return -1;
    }
    va_start(arguments, format);
    int count = vasprintf(text, format, arguments);
    va_end(arguments);
    return count;
}

REAL(EVP_MD_CTX *, EVP_MD_CTX_new, void) {
    return no_memory() ? NULL : __real_EVP_MD_CTX_new();
}

REAL(EVP_MD *, EVP_MD_fetch, OSSL_LIB_CTX *context, const char *algorithm, const char *properties) {
    return no_memory() ? NULL : __real_EVP_MD_fetch(context, algorithm, properties);
}

REAL(int, EVP_DigestInit_ex, EVP_MD_CTX *context, const EVP_MD *type, ENGINE *engine) {
    return no_memory() ? 0 : __real_EVP_DigestInit_ex(context, type, engine);
}

REAL(int, EVP_DigestUpdate, EVP_MD_CTX *context, const void *data, size_t bytes) {
    return no_memory() ? 0 : __real_EVP_DigestUpdate(context, data, bytes);
}

REAL(int, EVP_DigestFinal_ex, EVP_MD_CTX *context, unsigned char *digest, unsigned int *bytes) {
    return no_memory() ? 0 : __real_EVP_DigestFinal_ex(context, digest, bytes);
}

REAL(int, EVP_Digest, const void *data, size_t bytes, unsigned char *digest, unsigned *digest_bytes,
     const EVP_MD *type, ENGINE *engine) {
    return no_memory() ? 0 : __real_EVP_Digest(data, bytes, digest, digest_bytes, type, engine);
}

/* What `varve bench` measures has allocators of its own. */
#ifdef VARVE_HAVE_ZLIB
REAL(int, deflateInit2_, z_stream *stream, int level, int method, int window, int memory,
     int strategy, const char *version, int bytes) {
    return no_memory() ? Z_MEM_ERROR
                       : __real_deflateInit2_(stream, level, method, window, memory, strategy,
                                              version, bytes);
}

REAL(int, inflateInit2_, z_stream *stream, int window, const char *version, int bytes) {
    return no_memory() ? Z_MEM_ERROR : __real_inflateInit2_(stream, window, version, bytes);
}
#endif

#ifdef VARVE_HAVE_LIBDEFLATE
REAL(struct libdeflate_compressor *, libdeflate_alloc_compressor, int level) {
    return no_memory() ? NULL : __real_libdeflate_alloc_compressor(level);
}

REAL(struct libdeflate_decompressor *, libdeflate_alloc_decompressor, void) {
    return no_memory() ? NULL : __real_libdeflate_alloc_decompressor();
}
#endif

static void *zstd_allocate(void *cookie, size_t bytes) {
    (void)cookie;
    return __wrap_malloc(bytes);
}

static void zstd_free(void *cookie, void *address) {
    (void)cookie;
    free(address);
}

static const ZSTD_customMem zstd_memory = {zstd_allocate, zstd_free, NULL};

ZSTD_DCtx *__wrap_ZSTD_createDCtx(void);
ZSTD_DCtx *__wrap_ZSTD_createDCtx(void) {
    return ZSTD_createDCtx_advanced(zstd_memory);
}

ZSTD_CCtx *__wrap_ZSTD_createCCtx(void);
ZSTD_CCtx *__wrap_ZSTD_createCCtx(void) {
    return ZSTD_createCCtx_advanced(zstd_memory);
}

static void *sqlite_allocate(int bytes) {
    uint64_t *block = refused(CLASS_rows) ? NULL : __real_malloc(sizeof *block + (size_t)bytes);
    if (!block) {
        return NULL;
    }
    *block = (uint64_t)bytes;
    return block + 1;
}

static void sqlite_release(void *address) {
    free((uint64_t *)address - 1);
}

static void *sqlite_grow(void *address, int bytes) {
    uint64_t *block = refused(CLASS_rows)
                          ? NULL
                          : __real_realloc((uint64_t *)address - 1, sizeof *block + (size_t)bytes);
    if (!block) {
        return NULL;
    }
    *block = (uint64_t)bytes;
    return block + 1;
}

static int sqlite_size(void *address) {
    return address ? (int)((uint64_t *)address)[-1] : 0;
}

static int sqlite_round(int bytes) {
    return (bytes + 7) & ~7;
}

static int sqlite_begin(void *cookie) {
    (void)cookie;
    return SQLITE_OK;
}

static void sqlite_end(void *cookie) {
    (void)cookie;
}

/* --- descriptors --- */

/* open and openat take a mode where a file may be made. */
#define MODE(flags)                                                                                \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode = va_arg(arguments, mode_t);                                                          \
        va_end(arguments);                                                                         \
    }

static INLINE bool nameless_fails(int flags) {
    return (flags & O_TMPFILE) == O_TMPFILE && fails(CLASS_nameless);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...) {
    MODE(flags)
    bool fires = fails(CLASS_open) || nameless_fails(flags);
    return fires ? -1 : __real_open64(path, flags, mode);
}

int __real_openat64(int folder, const char *path, int flags, ...);
int __wrap_openat64(int folder, const char *path, int flags, ...);
int __wrap_openat64(int folder, const char *path, int flags, ...) {
    MODE(flags)
    bool fires = fails(CLASS_open) || nameless_fails(flags);
    return fires ? -1 : __real_openat64(folder, path, flags, mode);
}

/* openat2(2), and calls about threads, which do not fail. Arguments are passed on as they are. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
    va_list arguments;
    va_start(arguments, number);
    long a = va_arg(arguments, long);
    long b = va_arg(arguments, long);
    long c = va_arg(arguments, long);
    long d = va_arg(arguments, long);
    va_end(arguments);
    bool fires = number == SYS_openat2 && fails(CLASS_open);
    return fires ? -1 : __real_syscall(number, a, b, c, d);
}

REAL(FILE *, fopen64, const char *path, const char *mode) {
    return fails(CLASS_open) ? NULL : __real_fopen64(path, mode);
}

REAL(FILE *, tmpfile64, void) {
    return fails(CLASS_open) ? NULL : __real_tmpfile64();
}

REAL(DIR *, fdopendir, int fd) {
    return no_memory() ? NULL : __real_fdopendir(fd);
}

REAL(char *, mkdtemp, char *path) {
    return fails(CLASS_open) ? NULL : __real_mkdtemp(path);
}

REAL(int, memfd_create, const char *name, unsigned flags) {
    return fails(CLASS_open) ? -1 : __real_memfd_create(name, flags);
}

REAL(int, socketpair, int domain, int type, int protocol, int sockets[2]) {
    return fails(CLASS_open) ? -1 : __real_socketpair(domain, type, protocol, sockets);
}

/* fcntl64 makes descriptors and locks files. */
int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return fails(CLASS_open) ? -1 : __real_fcntl64(fd, command, argument);
}

/* --- reading --- */

int __real_close(int fd);

static void copy_aside(const char *path) {
    char beside[4200];
    char room[4096];
    snprintf(beside, sizeof beside, "%s.new", path);
    int from = __real_open64(path, O_RDONLY);
    int to = __real_open64(beside, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ssize_t count = from >= 0 && to >= 0 ? read(from, room, sizeof room) : -1;
    if (count > 0) {
        room[0] ^= 1;
        room[count - 1] ^= 1;
        count = write(to, room, (size_t)count);
    }
    if (count > 0) {
        rename(beside, path);
    }
    __real_close(from);
    __real_close(to);
}

/* The file behind a descriptor, where it is one that may be changed. */
static bool find_file(char path[4096], int fd) {
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    ssize_t count = readlink(self, path, 4095);
    path[count > 0 ? count : 0] = 0;
    return fault.under && count > 0 && strncmp(path, fault.under, strlen(fault.under)) == 0;
}

static void change_file(int fd) {
    char path[4096];
    struct stat status;
    if (!find_file(path, fd) || fstat(fd, &status) != 0) {
        return;
    }
    int file = __real_open64(path, O_WRONLY | O_APPEND);
    switch (fault.effect) {
    case EFFECT_SHRINK:
        (void)!ftruncate(file, status.st_size / 2);
        break;
    case EFFECT_GROW:
        (void)!write(file, "more of it", 10);
        break;
    case EFFECT_VANISH:
        unlink(path);
        break;
    case EFFECT_REPLACE:
        copy_aside(path);
        break;
    default:
        break;
    }
    __real_close(file);
}

static void delay(void);

/* How many of so many bytes are to be read or written; -1 with errno set. */
static INLINE ssize_t admit(enum class class, int fd, size_t bytes) {
    if (!due(class)) {
        return (ssize_t)bytes;
    }
    if (fault.effect < EFFECT_SHORT) {
        errno = fault.effect;
        return -1;
    }
    if (fault.effect == EFFECT_SHORT) {
        return bytes > 1 ? (ssize_t)(1 + draw() % (bytes - 1)) : (ssize_t)bytes;
    }
    if (fault.effect == EFFECT_SLOW) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    } else {
        change_file(fd);
    }
    return (ssize_t)bytes;
}

REAL(ssize_t, pread64, int fd, void *data, size_t bytes, off64_t offset) {
    delay();
    ssize_t admitted = admit(CLASS_read, fd, bytes);
    return admitted < 0 ? -1 : __real_pread64(fd, data, (size_t)admitted, offset);
}

REAL(ssize_t, read, int fd, void *data, size_t bytes) {
    ssize_t admitted = admit(CLASS_read, fd, bytes);
    return admitted < 0 ? -1 : __real_read(fd, data, (size_t)admitted);
}

REAL(ssize_t, recv, int fd, void *data, size_t bytes, int flags) {
    return fails(CLASS_read) ? -1 : __real_recv(fd, data, bytes, flags);
}

REAL(struct dirent *, readdir64, DIR *stream) {
    bool fires = fault.effect != EINTR && fails(CLASS_read); /* which it never gives */
    return fires ? NULL : __real_readdir64(stream);
}

REAL(ssize_t, getdents64, int fd, void *entries, size_t bytes) {
    bool fires = fault.effect != EINTR && fails(CLASS_read);
    return fires ? -1 : __real_getdents64(fd, entries, bytes);
}

REAL(ssize_t, __getdelim, char **line, size_t *room, int end, FILE *in) {
    return no_memory() ? -1 : __real___getdelim(line, room, end, in);
}

REAL(ssize_t, getdelim, char **line, size_t *room, int end, FILE *in) {
    return no_memory() ? -1 : __real_getdelim(line, room, end, in);
}

/* Seeking fails with ESPIPE alone in earnest, which is no fault but a pipe. */
REAL(ssize_t, getrandom, void *data, size_t bytes, unsigned flags) {
    return fails(CLASS_stat) ? -1 : __real_getrandom(data, bytes, flags);
}

REAL(int, fstat64, int fd, struct stat64 *status) {
    return fails(CLASS_stat) ? -1 : __real_fstat64(fd, status);
}

REAL(int, fstatat64, int folder, const char *path, struct stat64 *status, int flags) {
    return fails(CLASS_stat) ? -1 : __real_fstatat64(folder, path, status, flags);
}

REAL(int, stat64, const char *path, struct stat64 *status) {
    return fails(CLASS_stat) ? -1 : __real_stat64(path, status);
}

REAL(int, lstat64, const char *path, struct stat64 *status) {
    return fails(CLASS_stat) ? -1 : __real_lstat64(path, status);
}

REAL(int, fstatfs64, int fd, struct statfs64 *status) {
    return fails(CLASS_stat) ? -1 : __real_fstatfs64(fd, status);
}

REAL(int, access, const char *path, int mode) {
    return fails(CLASS_stat) ? -1 : __real_access(path, mode);
}

/* --- writing --- */

REAL(ssize_t, write, int fd, const void *data, size_t bytes) {
    ssize_t admitted = admit(CLASS_write, fd, bytes);
    return admitted < 0 ? -1 : __real_write(fd, data, (size_t)admitted);
}

REAL(ssize_t, pwrite64, int fd, const void *data, size_t bytes, off64_t offset) {
    ssize_t admitted = admit(CLASS_write, fd, bytes);
    return admitted < 0 ? -1 : __real_pwrite64(fd, data, (size_t)admitted, offset);
}

REAL(ssize_t, send, int fd, const void *data, size_t bytes, int flags) {
    ssize_t admitted = admit(CLASS_write, fd, bytes);
    return admitted < 0 ? -1 : __real_send(fd, data, (size_t)admitted, flags);
}

REAL(int, fsync, int fd) {
    return fails(CLASS_settle) ? -1 : __real_fsync(fd);
}

REAL(int, rename, const char *from, const char *to) {
    return fails(CLASS_settle) ? -1 : __real_rename(from, to);
}

REAL(int, renameat, int old, const char *from, int new, const char *to) {
    return fails(CLASS_settle) ? -1 : __real_renameat(old, from, new, to);
}

REAL(int, renameat2, int old, const char *from, int new, const char *to, unsigned flags) {
    return fails(CLASS_settle) ? -1 : __real_renameat2(old, from, new, to, flags);
}

REAL(int, linkat, int old, const char *from, int new, const char *to, int flags) {
    return fails(CLASS_settle) ? -1 : __real_linkat(old, from, new, to, flags);
}

REAL(int, mkdirat, int folder, const char *path, mode_t mode) {
    return fails(CLASS_settle) ? -1 : __real_mkdirat(folder, path, mode);
}

REAL(int, syncfs, int fd) {
    return fails(CLASS_settle) ? -1 : __real_syncfs(fd);
}

/* It is closed all the same (close(2)); what was only read is closed without a look. */
REAL(int, close, int fd) {
    int error = errno;
    int flags = __real_fcntl64(fd, F_GETFL);
    errno = error;
    bool fires = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && fails(CLASS_settle);
    error = errno;
    int result = __real_close(fd);
    errno = fires ? error : errno;
    return fires ? -1 : result;
}

REAL(int, fflush, FILE *file) {
    bool fires = fails(CLASS_settle);
    int error = errno;
    int result = __real_fflush(file);
    errno = fires ? error : errno;
    return fires ? EOF : result;
}

REAL(int, fclose, FILE *file) {
    bool fires = fails(CLASS_settle);
    int error = errno;
    int result = __real_fclose(file);
    errno = fires ? error : errno;
    return fires ? EOF : result;
}

/* --- SQLite's system calls --- */

static sqlite3_syscall_ptr system_call[32];

enum { DB_OPEN, DB_STAT, DB_FSTAT, DB_TRUNCATE, DB_PREAD, DB_PWRITE, DB_UNLINK, DB_MMAP, DB_LSTAT };

static INLINE bool database_fails(void) {
    delay();
    return fails(CLASS_database);
}

static int db_open(const char *path, int flags, int mode) {
    int (*real)(const char *, int, int) = (int (*)(const char *, int, int))system_call[DB_OPEN];
    return database_fails() ? -1 : real(path, flags, mode);
}

static int db_stat(const char *path, struct stat *status) {
    int (*real)(const char *, struct stat *) =
        (int (*)(const char *, struct stat *))system_call[DB_STAT];
    return database_fails() ? -1 : real(path, status);
}

static int db_lstat(const char *path, struct stat *status) {
    int (*real)(const char *, struct stat *) =
        (int (*)(const char *, struct stat *))system_call[DB_LSTAT];
    return database_fails() ? -1 : real(path, status);
}

static int db_fstat(int fd, struct stat *status) {
    int (*real)(int, struct stat *) = (int (*)(int, struct stat *))system_call[DB_FSTAT];
    return database_fails() ? -1 : real(fd, status);
}

static int db_truncate(int fd, off_t bytes) {
    int (*real)(int, off_t) = (int (*)(int, off_t))system_call[DB_TRUNCATE];
    return database_fails() ? -1 : real(fd, bytes);
}

static ssize_t db_pread(int fd, void *data, size_t bytes, off_t offset) {
    ssize_t (*real)(int, void *, size_t, off_t) =
        (ssize_t(*)(int, void *, size_t, off_t))system_call[DB_PREAD];
    delay();
    ssize_t admitted = admit(CLASS_database, fd, bytes);
    return admitted < 0 ? -1 : real(fd, data, (size_t)admitted, offset);
}

static ssize_t db_pwrite(int fd, const void *data, size_t bytes, off_t offset) {
    ssize_t (*real)(int, const void *, size_t, off_t) =
        (ssize_t(*)(int, const void *, size_t, off_t))system_call[DB_PWRITE];
    delay();
    ssize_t admitted = admit(CLASS_database, fd, bytes);
    return admitted < 0 ? -1 : real(fd, data, (size_t)admitted, offset);
}

static int db_unlink(const char *path) {
    int (*real)(const char *) = (int (*)(const char *))system_call[DB_UNLINK];
    return database_fails() ? -1 : real(path);
}

static void *db_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    void *(*real)(void *, size_t, int, int, int, off_t) =
        (void *(*)(void *, size_t, int, int, int, off_t))system_call[DB_MMAP];
    return database_fails() ? MAP_FAILED : real(at, bytes, protection, flags, fd, offset);
}

static const struct {
    const char *name;
    int slot;
    sqlite3_syscall_ptr ours;
} calls_of_sqlite[] = {
    {"open", DB_OPEN, (sqlite3_syscall_ptr)db_open},
    {"stat", DB_STAT, (sqlite3_syscall_ptr)db_stat},
    {"lstat", DB_LSTAT, (sqlite3_syscall_ptr)db_lstat},
    {"fstat", DB_FSTAT, (sqlite3_syscall_ptr)db_fstat},
    {"ftruncate", DB_TRUNCATE, (sqlite3_syscall_ptr)db_truncate},
    {"pread64", DB_PREAD, (sqlite3_syscall_ptr)db_pread},
    {"pread", DB_PREAD, (sqlite3_syscall_ptr)db_pread},
    {"pwrite64", DB_PWRITE, (sqlite3_syscall_ptr)db_pwrite},
    {"pwrite", DB_PWRITE, (sqlite3_syscall_ptr)db_pwrite},
    {"unlink", DB_UNLINK, (sqlite3_syscall_ptr)db_unlink},
    {"mmap", DB_MMAP, (sqlite3_syscall_ptr)db_mmap},
};

/* fsync is none of the calls that can be given: the file's method is led astray. There are few
 * tables of methods, all of them static in SQLite. */
#define TABLES 8
static struct {
    const sqlite3_io_methods *original;
    sqlite3_io_methods ours;
} tables[TABLES];
static sqlite3_vfs vfs;
static sqlite3_vfs *original_vfs;

static int vfs_sync(sqlite3_file *file, int flags) {
    for (size_t i = 0; i < TABLES; i++) {
        if (file->pMethods == &tables[i].ours) {
            return database_fails() ? SQLITE_IOERR_FSYNC : tables[i].original->xSync(file, flags);
        }
    }
    abort();
}

static int vfs_open(sqlite3_vfs *us, const char *name, sqlite3_file *file, int flags, int *out) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    (void)us;
    int code = original_vfs->xOpen(original_vfs, name, file, flags, out);
    if (!file->pMethods) {
        return code;
    }
    pthread_mutex_lock(&mutex);
    size_t i = 0;
    while (i < TABLES && tables[i].original && tables[i].original != file->pMethods) {
        i++;
    }
    if (i == TABLES) {
        abort();
    }
    tables[i].original = file->pMethods;
    tables[i].ours = *file->pMethods;
    tables[i].ours.xSync = vfs_sync;
    file->pMethods = &tables[i].ours;
    pthread_mutex_unlock(&mutex);
    return code;
}

/* --- threads, clocks, delays --- */

REAL(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes,
     void *(*start)(void *), void *cookie) {
    return due(CLASS_thread) ? EAGAIN : __real_pthread_create(thread, attributes, start, cookie);
}

#ifdef INJECT_TEAM
/* gcc's way into a parallel region: the team may be smaller than was asked for. */
REAL(void, GOMP_parallel, void (*body)(void *), void *data, unsigned threads, unsigned flags) {
    __real_GOMP_parallel(body, data, due(CLASS_thread) ? 1 : threads, flags);
}
#endif

/* Years, to and fro. */
static int64_t jump(void) {
    return due(CLASS_clock) ? (int64_t)(draw() % 630720000) - 315360000 : 0;
}

REAL(time_t, time, time_t *out) {
    time_t now = __real_time(NULL) + jump();
    if (out) {
        *out = now;
    }
    return now;
}

REAL(int, clock_gettime, clockid_t clock, struct timespec *t) {
    int result = __real_clock_gettime(clock, t);
    if (clock == CLOCK_REALTIME) {
        t->tv_sec += jump();
    }
    return result;
}

static void delay(void) {
    if (due(CLASS_lock) && fault.effect == EFFECT_DELAY) {
        uint64_t chance = draw();
        if (chance % 16 == 0) {
            nanosleep(&(struct timespec){.tv_nsec = (long)(chance >> 44)}, NULL); /* to 1 ms */
        } else if (chance % 16 == 1) {
            sched_yield();
        }
    }
}

REAL(int, pthread_mutex_lock, pthread_mutex_t *mutex) {
    delay();
    return __real_pthread_mutex_lock(mutex);
}

REAL(int, pthread_mutex_unlock, pthread_mutex_t *mutex) {
    int result = __real_pthread_mutex_unlock(mutex);
    delay();
    return result;
}

REAL(int, pthread_cond_signal, pthread_cond_t *condition) {
    delay();
    return __real_pthread_cond_signal(condition);
}

REAL(int, pthread_cond_broadcast, pthread_cond_t *condition) {
    delay();
    return __real_pthread_cond_broadcast(condition);
}

REAL(int, pthread_cond_wait, pthread_cond_t *condition, pthread_mutex_t *mutex) {
    int result = __real_pthread_cond_wait(condition, mutex);
    delay();
    return result;
}

/* --- the beginning --- */

static void read_fault(const char *text) {
    char class[32];
    char effect[32];
    char first[32];
    unsigned long long count = 0;
    unsigned long long seed = 0;
    if (sscanf(text, "%31s %31s %llu %31s %llu", class, first, &count, effect, &seed) < 4) {
        die("VARVE_FAULT cannot be read");
    }
    for (int i = 0; i < CLASS_COUNT; i++) {
        fault.class = strcmp(class, class_names[i]) == 0 ? i : fault.class;
    }
    fault.effect = atoi(effect);
    for (size_t i = 0; i < sizeof effect_names / sizeof effect_names[0]; i++) {
        if (strcmp(effect, effect_names[i].name) == 0) {
            fault.effect = effect_names[i].effect;
        }
    }
    if (fault.class < 0 || fault.effect == 0) {
        die("no such class, or no such effect");
    }
    fault.place = first[0] == '@' ? strtoull(first + 1, NULL, 16) : 0;
    fault.first = first[0] == '@' ? 0 : strtoull(first, NULL, 10);
    fault.count = count;
    fault.seed = seed;
    fault.under = getenv("VARVE_FAULT_UNDER");
    fault.trace = getenv("VARVE_FAULT_TRACE") != NULL;
}

static int break_off(void *cookie) {
    (void)cookie;
    return 1;
}

REAL(int, sqlite3_step, sqlite3_stmt *statement) {
    sqlite3 *db = fails(CLASS_step) ? sqlite3_db_handle(statement) : NULL;
    if (db) {
        sqlite3_progress_handler(db, 1, break_off, NULL);
    }
    int code = __real_sqlite3_step(statement);
    if (db) {
        sqlite3_progress_handler(db, 0, NULL, NULL);
    }
    return code;
}

static void lead_sqlite_astray(void) {
    static const sqlite3_mem_methods memory = {
        sqlite_allocate, sqlite_release, sqlite_grow, sqlite_size,
        sqlite_round,    sqlite_begin,   sqlite_end,  NULL,
    };
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) != SQLITE_OK ||
        sqlite3_initialize() != SQLITE_OK || !(original_vfs = sqlite3_vfs_find(NULL))) {
        die("SQLite does not take the allocator");
    }
    for (size_t i = 0; i < sizeof calls_of_sqlite / sizeof calls_of_sqlite[0]; i++) {
        const char *name = calls_of_sqlite[i].name;
        sqlite3_syscall_ptr real = original_vfs->xGetSystemCall(original_vfs, name);
        if (real) {
            system_call[calls_of_sqlite[i].slot] = real;
            if (original_vfs->xSetSystemCall(original_vfs, name, calls_of_sqlite[i].ours) !=
                SQLITE_OK) {
                die("SQLite does not take a system call");
            }
        }
    }
    vfs = *original_vfs;
    vfs.zName = "inject";
    vfs.pNext = NULL;
    vfs.xOpen = vfs_open;
    if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK) {
        die("SQLite does not take the file system");
    }
}

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("VARVE_FAULT");
    const char *path = getenv("VARVE_FAULT_PAGE");
    lead_sqlite_astray();
    json_set_alloc_funcs(__wrap_malloc, free);
    if (path) {
        int fd = __real_open64(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
        if (fd < 0 || ftruncate(fd, sizeof *page) != 0) {
            die("VARVE_FAULT_PAGE cannot be written to");
        }
        page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED) {
            die("VARVE_FAULT_PAGE cannot be mapped");
        }
        __real_close(fd);
    }
    backtrace((void *[1]){NULL}, 1); /* loads what it needs now */
    if (text) {
        read_fault(text);
    }
}
