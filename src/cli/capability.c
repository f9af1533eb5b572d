/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/capability.c - file capabilities for people: the attribute security.capability in its
 * versions 1 to 3 (linux/capability.h, struct vfs_cap_data; capabilities(7)). */
#include <stdio.h>
#include <string.h>

#include "diff.h"

static const char *const names[] = {
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
};

static uint32_t le32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void add(char *text, size_t text_bytes, const char *word) {
    size_t used = strlen(text);
    snprintf(text + used, text_bytes - used, "%s", word);
}

bool capability_text(char *text, size_t text_bytes, const void *value, size_t bytes) {
    static const size_t sizes[] = {0, 12, 20, 24};
    const uint8_t *p = value;
    uint32_t head = bytes >= 4 ? le32(p) : 0;
    uint32_t version = head >> 24;
    if (version < 1 || version > 3 || bytes != sizes[version]) {
        return false;
    }
    uint64_t permitted = le32(p + 4), inheritable = le32(p + 8);
    if (version > 1) {
        permitted |= (uint64_t)le32(p + 12) << 32;
        inheritable |= (uint64_t)le32(p + 16) << 32;
    }
    text[0] = 0;
    for (unsigned bit = 0; bit < 64; bit++) {
        char word[48];
        bool in[2] = {permitted >> bit & 1, inheritable >> bit & 1};
        if (!in[0] && !in[1]) {
            continue;
        }
        if (bit < sizeof names / sizeof names[0]) {
            snprintf(word, sizeof word, "cap_%s", names[bit]);
        } else {
            snprintf(word, sizeof word, "cap_%u", bit);
        }
        add(text, text_bytes, *text ? "," : "");
        add(text, text_bytes, word);
        add(text, text_bytes, head & 1 ? "+e" : "+");
        add(text, text_bytes, in[0] ? "p" : "");
        add(text, text_bytes, in[1] ? "i" : "");
    }
    if (version == 3) {
        char root[32];
        snprintf(root, sizeof root, " (root %u)", le32(p + 20));
        add(text, text_bytes, root);
    }
    return *text != 0;
}
