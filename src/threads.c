/* SPDX-License-Identifier: Apache-2.0 */
/* src/threads.c - CPU affinity and cgroup quotas. */
#include "threads.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "varve/scan.h"

/* Machines with more CPUs than this are not looked for. */
#define CPUS_MAX (1u << 16)

#define NO_QUOTA 1e9
#define PATH_ROOM 4096

unsigned varve_affinity_cpus(void) {
    for (unsigned cpus = 1024; cpus <= CPUS_MAX; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set) {
            return 1;
        }
        size_t bytes = CPU_ALLOC_SIZE(cpus);
        bool known = sched_getaffinity(0, bytes, set) == 0;
        bool too_small = !known && errno == EINVAL;
        int count = known ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (!too_small) {
            return count > 0 ? (unsigned)count : 1;
        }
    }
    return 1;
}

/* Two numbers out of one file, or one out of each of two; false where they are not there or are no
 * quota ("max", -1). */
static bool read_numbers(const char *folder, const char *file, double *numbers, int count) {
    char path[PATH_ROOM];
    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path) {
        return false;
    }
    FILE *in = fopen(path, "re");
    bool good = in != NULL;
    for (int i = 0; good && i < count; i++) {
        good = fscanf(in, "%lf", &numbers[i]) == 1 && numbers[i] > 0;
    }
    if (in) {
        fclose(in);
    }
    return good;
}

/* The quota of one group, in CPUs. */
static double group_cpus(const char *folder, bool v2) {
    double quota[2] = {0};
    bool limited = v2 ? read_numbers(folder, "cpu.max", quota, 2)
                      : read_numbers(folder, "cpu.cfs_quota_us", &quota[0], 1) &&
                            read_numbers(folder, "cpu.cfs_period_us", &quota[1], 1);
    return limited ? quota[0] / quota[1] : NO_QUOTA;
}

/* The least quota from the group at `path` beneath the mount point up to the mount point itself. */
static double least_cpus(const char *root, const char *mount, const char *path, bool v2) {
    char folder[PATH_ROOM];
    double least = NO_QUOTA;
    int top = snprintf(folder, sizeof folder, "%s%s", root, mount);
    if (top >= (int)sizeof folder || snprintf(folder + top, sizeof folder - (size_t)top, "%s",
                                              path) >= (int)sizeof folder - top) {
        return least;
    }
    for (;;) {
        double cpus = group_cpus(folder, v2);
        least = cpus < least ? cpus : least;
        char *slash = strrchr(folder + top, '/');
        if (!slash) {
            return least;
        }
        *slash = 0;
    }
}

/* Whether a list of words parted by commas has one. */
static bool has_word(const char *list, const char *word) {
    size_t count = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, count) == 0 && (at[count] == 0 || at[count] == ',')) {
            return true;
        }
    }
    return false;
}

static FILE *open_proc(const char *root, const char *file) {
    char path[PATH_ROOM];
    int n = snprintf(path, sizeof path, "%s/proc/self/%s", root, file);
    return n < (int)sizeof path ? fopen(path, "re") : NULL;
}

/* The process's group in the hierarchy of v2, or in v1's that has the controller "cpu": lines are
 * "number:controllers:path". */
static bool find_group(char path[PATH_ROOM], const char *root, bool v2) {
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *in = open_proc(root, "cgroup");
    while (in && !found && getline(&line, &room, in) > 0) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) {
            continue;
        }
        *group++ = 0;
        controllers++;
        found = v2 ? strcmp(line, "0:") == 0 && !*controllers : has_word(controllers, "cpu");
        found = found && snprintf(path, PATH_ROOM, "%s", group) < PATH_ROOM;
    }
    free(line);
    if (in) {
        fclose(in);
    }
    return found;
}

/* One line of mountinfo (proc(5)): "id parent major:minor root mount options... - type source
 * super-options". The quota of the process's group where that is a cgroup mount with CPU quotas.
 * What a container cannot see of its group's path begins with "/..": then the mount is all there
 * is. */
static double mount_cpus(const char *root, char *line) {
    char *kind = strstr(line, " - ");
    char *rest = NULL;
    const char *words[5] = {NULL};
    if (!kind) {
        return NO_QUOTA;
    }
    *kind = 0;
    const char *type = strtok_r(kind + 3, " \n", &rest);
    strtok_r(NULL, " \n", &rest);
    const char *options = strtok_r(NULL, " \n", &rest);
    words[0] = strtok_r(line, " ", &rest);
    for (int i = 1; i < 5; i++) {
        words[i] = strtok_r(NULL, " ", &rest);
    }
    bool v2 = type && strcmp(type, "cgroup2") == 0;
    bool v1 = type && strcmp(type, "cgroup") == 0 && options && has_word(options, "cpu");
    char path[PATH_ROOM];
    if ((!v1 && !v2) || !words[4] || !find_group(path, root, v2)) {
        return NO_QUOTA;
    }
    const char *mounted = strcmp(words[3], "/") == 0 ? "" : words[3];
    size_t count = strlen(mounted);
    bool beneath = strncmp(path, mounted, count) == 0 && (path[count] == '/' || !path[count]) &&
                   !strstr(path, "/..");
    const char *group = beneath && strcmp(path + count, "/") != 0 ? path + count : "";
    return least_cpus(root, words[4], group, v2);
}

unsigned varve_cgroup_cpus(const char *root) {
    char *line = NULL;
    size_t room = 0;
    double least = NO_QUOTA;
    FILE *in = open_proc(root, "mountinfo");
    while (in && getline(&line, &room, in) > 0) {
        double cpus = mount_cpus(root, line);
        least = cpus < least ? cpus : least;
    }
    free(line);
    if (in) {
        fclose(in);
    }
    if (least >= CPUS_MAX) {
        return 0;
    }
    unsigned whole = (unsigned)least;
    return whole < least ? whole + 1 : whole;
}

unsigned varve_thread_default(void) {
    unsigned cpus = varve_affinity_cpus();
    unsigned quota = varve_cgroup_cpus("");
    return quota && quota < cpus ? quota : cpus;
}
