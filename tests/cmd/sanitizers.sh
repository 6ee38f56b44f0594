#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 1800
# Unit tests and fuzz corpora with AddressSanitizer and UndefinedBehaviorSanitizer.
cd "$SRC" || exit 1
make -j"$(nproc)" O="$OBJ/san" SAN=address,undefined CFLAGS="-O1 -g1" tests >"$TMP/log" 2>&1 || { tail -n 50 "$TMP/log"; exit 1; }
make O="$OBJ/san" SAN=address,undefined CFLAGS="-O1 -g1" check-unit >"$TMP/log" 2>&1 || { grep -v '^ok ' "$TMP/log" | tail -n 200; exit 1; }
tail -n 1 "$TMP/log" | sed 's/^/# /'
