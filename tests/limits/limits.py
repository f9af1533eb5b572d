# SPDX-License-Identifier: Apache-2.0
"""Reads src/limits.h."""

import re


def read(path):
    """The constants by name. Their expressions are sums and shifts of integers, with C's casts."""
    found = {}
    for name, text in re.findall(r"^#define (VARVE_\w+) (.+)$", path.read_text(), re.MULTILINE):
        text = re.sub(r"\((?:u?int\d+_t|size_t)\)|UINT64_C", "", text)
        text = re.sub(r"\b(\d+)u\b", r"\1", text)
        if not re.fullmatch(r"[\d()<+* ]+", text):
            raise ValueError(f"{name}: what is {text}?")
        found[name] = eval(text)  # digits and operators alone, see above
    return found
