// SPDX-License-Identifier: BSD-2-Clause
// The two LZ4 calls of Verilator's FST writer, without compression: one block of literals.
// Waveforms here are short windows, so a development package of the real library is not worth
// asking of every user.
#pragma once
#include <cstring>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

inline int LZ4_compress_default(const char *source, char *target, int size, int capacity) {
    if (capacity < LZ4_compressBound(size)) return 0;
    char *out = target;
    // Token: the upper nibble counts literals, 15 continues in bytes of 255 and a final one below.
    *out++ = static_cast<char>((size < 15 ? size : 15) << 4);
    if (size >= 15) {
        int rest = size - 15;
        for (; rest >= 255; rest -= 255) *out++ = static_cast<char>(255);
        *out++ = static_cast<char>(rest);
    }
    std::memcpy(out, source, static_cast<size_t>(size));
    return static_cast<int>(out + size - target);
}
