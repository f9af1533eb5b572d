/* SPDX-License-Identifier: Apache-2.0 */
/* src/threads.h - how many CPUs this process may keep busy. */
#ifndef VARVE_THREADS_H
#define VARVE_THREADS_H

/* What the CPU quotas of the process's cgroups leave it, in CPUs, rounded up (a quota of one and a
 * half is used up by two threads only); 0 where there is no quota. Looks at cgroup v2 ("cpu.max")
 * and v1 ("cpu.cfs_quota_us"), at the process's own group and at all above it, wherever they are
 * mounted (Linux, Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/cgroups.rst; proc(5)). `root`
 * is put before every path that is read: "" but in tests. */
unsigned varve_cgroup_cpus(const char *root);

/* CPUs of the affinity mask (sched_getaffinity(2)), however many the machine has; >= 1. */
unsigned varve_affinity_cpus(void);

#endif
