/* SPDX-License-Identifier: Apache-2.0 */
/* Where the store keeps a write-ahead log and where it does not, by the kernel's own numbers of
 * file systems (linux/magic.h); questions that there are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_internal.h"

/* Not in linux/magic.h: from their own headers. */
#define LUSTRE_MAGIC 0x0bd00bd0
#define GFS2_MAGIC 0x01161970
#define GPFS_MAGIC 0x47504653
#define BEEGFS_MAGIC 0x19830326
#define VBOXSF_MAGIC 0x786f4256
#define ZFS_MAGIC 0x2fc12fc1
#define BCACHEFS_MAGIC 0xca451a4e

static void shared_ones_have_no_log(void **state) {
    (void)state;
    static const uint32_t types[] = {
        NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC,  CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, V9FS_MAGIC,
        FUSE_SUPER_MAGIC, CEPH_SUPER_MAGIC, LUSTRE_MAGIC,     GFS2_MAGIC,       OCFS2_SUPER_MAGIC,
        GPFS_MAGIC,       AFS_SUPER_MAGIC,  AFS_FS_MAGIC,     CODA_SUPER_MAGIC, NCP_SUPER_MAGIC,
        BEEGFS_MAGIC,     VBOXSF_MAGIC,
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        assert_true(varve_store_is_network(types[i]));
        /* As statfs(2) gives it where its field is a signed word of 32 bits. */
        assert_true(varve_store_is_network((uint64_t)(int64_t)(int32_t)types[i]));
    }
}

static void local_ones_have_one(void **state) {
    (void)state;
    static const uint32_t types[] = {
        EXT4_SUPER_MAGIC,     XFS_SUPER_MAGIC,
        BTRFS_SUPER_MAGIC,    F2FS_SUPER_MAGIC,
        TMPFS_MAGIC,          OVERLAYFS_SUPER_MAGIC,
        REISERFS_SUPER_MAGIC, NILFS_SUPER_MAGIC,
        RAMFS_MAGIC,          MSDOS_SUPER_MAGIC,
        EXFAT_SUPER_MAGIC,    ZFS_MAGIC,
        BCACHEFS_MAGIC,       0,
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        assert_false(varve_store_is_network(types[i]));
        assert_false(varve_store_is_network((uint64_t)(int64_t)(int32_t)types[i]));
    }
}

static void questions_that_there_are_not(void **state) {
    (void)state;
    struct varve_store *store = NULL;
    struct varve_store_fault fault;
    struct varve_query *query = NULL;
    char path[] = "/tmp/varve-store-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(varve_store_open(&store, &fault, path, NULL), VARVE_STORE_OK);
    assert_int_equal(varve_query_open(&query, &fault, store, "nonsense", NULL, 0),
                     VARVE_STORE_UNUSABLE);
    assert_null(query);
    assert_non_null(strstr(fault.message, "nonsense"));
    assert_int_equal(varve_query_open(&query, &fault, store, "failures", "content", 0),
                     VARVE_STORE_UNUSABLE);
    assert_null(query);
    assert_non_null(strstr(fault.message, "failures"));
    assert_int_equal(varve_query_open(&query, &fault, store, "failures", NULL, 0), VARVE_STORE_OK);
    varve_query_close(query);
    varve_store_close(store);
    static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_ones_have_no_log),
        cmocka_unit_test(local_ones_have_one),
        cmocka_unit_test(questions_that_there_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
