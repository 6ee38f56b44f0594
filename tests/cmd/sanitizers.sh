#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 1800
# Unit tests and fuzz corpora with AddressSanitizer and UndefinedBehaviorSanitizer.
cd "$SRC" || exit 1
make -j"$(nproc)" O="$OBJ/san" SAN=address,undefined tests >"$TMP/log" 2>&1 || { tail -n 50 "$TMP/log"; exit 1; }
exec make O="$OBJ/san" SAN=address,undefined check-unit
