#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 1800
# Everything compiles with clang without a warning, and is formatted as .clang-format says.
cd "$SRC" || exit 1
command -v clang >/dev/null || { echo "skip: no clang"; exit 77; }
make -j"$(nproc)" O="$OBJ/clang" CC=clang CFLAGS=-O0 all tests >"$TMP/log" 2>&1 || { grep -vE '^  [A-Z]+ ' "$TMP/log" | tail -n 50; exit 1; }
make check-fmt >"$TMP/log" 2>&1 || { grep -E 'warning|error' "$TMP/log" | head -n 20; exit 1; }
