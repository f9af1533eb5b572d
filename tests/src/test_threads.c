/* SPDX-License-Identifier: Apache-2.0 */
/* How many CPUs a process may use: quotas of made-up cgroup trees, and the affinity of this one;
 * and how many threads and descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "team.h"
#include "threads.h"
#include "varve/scan.h"

static char root[64];

/* A file of the made-up machine, with the folders above it. */
static void put(const char *path, const char *text) {
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *out = fopen(whole, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static int make_root(void **state) {
    (void)state;
    strcpy(root, "/tmp/varve-threads-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int drop(const char *path, const struct stat *status, int flag, struct FTW *ftw) {
    (void)status;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int remove_root(void **state) {
    (void)state;
    return nftw(root, drop, 16, FTW_DEPTH | FTW_PHYS);
}

#define V2_MOUNT "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"

static void nothing_there_is_no_quota(void **state) {
    (void)state;
    assert_int_equal(varve_cgroup_cpus(root), 0);
    put("proc/self/mountinfo", V2_MOUNT);
    assert_int_equal(varve_cgroup_cpus(root), 0);
    put("proc/self/cgroup", "garbage\n:\n0:\n");
    assert_int_equal(varve_cgroup_cpus(root), 0);
}

static void v2_takes_the_least_of_a_group_and_those_above(void **state) {
    (void)state;
    put("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" V2_MOUNT);
    put("proc/self/cgroup", "0::/batch.slice/varve.service\n");
    put("sys/fs/cgroup/batch.slice/varve.service/cpu.max", "max 100000\n");
    assert_int_equal(varve_cgroup_cpus(root), 0);
    put("sys/fs/cgroup/batch.slice/cpu.max", "700000 100000\n");
    assert_int_equal(varve_cgroup_cpus(root), 7);
    put("sys/fs/cgroup/batch.slice/varve.service/cpu.max", "250000 100000\n");
    assert_int_equal(varve_cgroup_cpus(root), 3);
    put("sys/fs/cgroup/cpu.max", "10000 100000\n");
    assert_int_equal(varve_cgroup_cpus(root), 1);
    /* Another group's quota is nothing to us. */
    put("sys/fs/cgroup/cpu.max", "max 100000\n");
    put("sys/fs/cgroup/batch.slice/other.service/cpu.max", "10000 100000\n");
    assert_int_equal(varve_cgroup_cpus(root), 3);
    /* A group whose files have paths that are too long; what is above it counts. */
    char group[4096];
    const size_t length = sizeof group - strlen(root) - strlen("/sys/fs/cgroup") - 5;
    strcpy(group, "0::/batch.slice/");
    memset(group + strlen(group), 'a', length - strlen(group) + 3);
    strcpy(group + length + 3, "\n");
    put("proc/self/cgroup", group);
    assert_int_equal(varve_cgroup_cpus(root), 7);
}

static void v1_counts_where_its_mount_has_the_controller(void **state) {
    (void)state;
    put("proc/self/mountinfo",
        "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        "34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
    put("proc/self/cgroup", "4:cpuset:/elsewhere\n3:cpu,cpuacct:/jobs/a\n0::/\n");
    put("sys/fs/cgroup/cpu,cpuacct/jobs/a/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu,cpuacct/jobs/a/cpu.cfs_period_us", "100000\n");
    assert_int_equal(varve_cgroup_cpus(root), 0);
    put("sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us", "400000\n");
    put("sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us", "100000\n");
    assert_int_equal(varve_cgroup_cpus(root), 4);
    put("sys/fs/cgroup/cpu,cpuacct/jobs/a/cpu.cfs_quota_us", "75000\n");
    put("sys/fs/cgroup/cpu,cpuacct/jobs/a/cpu.cfs_period_us", "50000\n");
    assert_int_equal(varve_cgroup_cpus(root), 2);
}

/* A container sees its group mounted as the top: /proc may name it from the host's top, or, seen
 * from outside its namespace, not at all. */
static void a_container_sees_its_own_group_as_the_top(void **state) {
    (void)state;
    put("proc/self/mountinfo",
        "34 31 0:31 /docker/12ab /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n");
    put("proc/self/cgroup", "3:cpu,cpuacct:/docker/12ab\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(varve_cgroup_cpus(root), 3);
    put("proc/self/cgroup", "3:cpu,cpuacct:/docker/12ab/inner\n");
    put("sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "200000\n");
    put("sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
    assert_int_equal(varve_cgroup_cpus(root), 2);
    put("proc/self/cgroup", "3:cpu,cpuacct:/docker/12abc\n");
    assert_int_equal(varve_cgroup_cpus(root), 3);
    put("proc/self/cgroup", "3:cpu,cpuacct:/../other\n");
    assert_int_equal(varve_cgroup_cpus(root), 3);
}

static void affinity_is_what_the_kernel_says(void **state) {
    (void)state;
    cpu_set_t all;
    cpu_set_t one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_int_equal(varve_affinity_cpus(), CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &all)) {
            CPU_SET(cpu, &one);
        }
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(varve_affinity_cpus(), 1);
    assert_int_equal(varve_thread_default(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_true(varve_thread_default() >= 1);
}

static unsigned team_of(unsigned threads) {
    unsigned there = 0;
#pragma omp parallel num_threads(threads) reduction(+ : there)
    there += 1;
    return there;
}

/* What is granted is there, larger and smaller by turns; nobody is asked for less than one. */
static void a_team_is_what_was_granted(void **state) {
    (void)state;
    /* The largest first: LLVM's library forgets memory where a team grows. */
    static const unsigned sizes[] = {8, 1, 3, 7, 2, 0, 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned granted = varve_thread_team(sizes[i], 0);
        assert_in_range(granted, 1, sizes[i] ? sizes[i] : 1);
        assert_int_equal(team_of(granted), granted);
    }
}

/* Exactly as many descriptors as the limit leaves, but for those that are left for others. */
static void descriptors_bound_a_team(void **state) {
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit few = {.rlim_cur = 100, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    size_t before = varve_free_descriptors(1000);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    size_t during = varve_free_descriptors(1000);
    unsigned threads = varve_thread_team(4096, 20);
    close(fds[0]);
    close(fds[1]);
    size_t enough = varve_free_descriptors(3);
    const struct rlimit none = {.rlim_cur = 5, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    unsigned alone = varve_thread_team(4096, 20);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_in_range(before, 20, 80);
    assert_int_equal(during, before - 2);
    assert_int_equal(enough, 3);
    assert_in_range(threads, 1, 4);
    assert_int_equal(alone, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_there_is_no_quota, make_root, remove_root),
        cmocka_unit_test_setup_teardown(v2_takes_the_least_of_a_group_and_those_above, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(v1_counts_where_its_mount_has_the_controller, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(a_container_sees_its_own_group_as_the_top, make_root,
                                        remove_root),
        cmocka_unit_test(affinity_is_what_the_kernel_says),
        cmocka_unit_test(a_team_is_what_was_granted),
        cmocka_unit_test(descriptors_bound_a_team),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
