/* SPDX-License-Identifier: Apache-2.0 */
/* A stranger's first program: says which varve it runs on, and which libraries that stands on. */
#include <stdio.h>

#include <varve/base.h>

int main(void) {
    printf("varve %s\n", varve_version());
    for (size_t i = 0; i < varve_library_count(); i++)
        printf("%s\n", varve_library_at(i).name);
    return 0;
}
