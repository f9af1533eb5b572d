# SPDX-License-Identifier: Apache-2.0
"""The checksum that tar-split keeps of each file."""


def crc64(data):
    """CRC-64 of ISO 3309 bit by bit, as bytes."""
    crc = 2 ** 64 - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xD800000000000000 if crc & 1 else 0)
    return (crc ^ 2 ** 64 - 1).to_bytes(8, "big")
