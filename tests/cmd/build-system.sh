#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The Makefile and the checks of the source, on a copy of lib/ with a small module above it.
set -u
. "$SRC/tests/tap.inc"
T=$TMP/tree
mkdir -p "$T/tests" "$T/services"
cp -r "$SRC/Makefile" "$SRC/lib" "$T/"
cp -r "$SRC/tests/run" "$SRC/tests/lint" "$T/tests/"
mkdir "$T/tests/unit"
cp "$SRC"/tests/unit/test.[ch] "$SRC/tests/unit/t_slice.c" "$T/tests/unit/"
sed -i '/^test-y/d; /^fuzz-y/d' "$T/lib/Kbuild"
echo 'test-y := t_slice' >>"$T/lib/Kbuild"
cat >"$T/services/Kbuild" <<'X'
# SPDX-License-Identifier: GPL-3.0-or-later
uses-y := lib
obj-y := a.o
prog-y := tool
tool-y := tool.o
CFLAGS_tool.o := -DANSWER=0
X
cat >"$T/services/a.c" <<'X'
/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/err.h"
#include "services/services.h"

int svc_answer(void)
{
	return err_status(0);
}
X
cat >"$T/services/services.h" <<'X'
/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
int svc_answer(void);
X
cat >"$T/services/tool.c" <<'X'
/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "services/services.h"

int main(void)
{
	return svc_answer() + ANSWER;
}
X
cd "$T" || exit 1
build() { make CONFIG_PROBE=n O="$TMP/o" "$@" >"$TMP/out" 2>&1; }
said() { grep -qF -e "$1" "$TMP/out"; }
silent() { [ ! -s "$TMP/out" ]; }

build -j2
check "builds" [ $? = 0 ]
check "program runs" "$TMP/o/services/tool"
build
check "nothing to do prints nothing" silent
check "the source tree is not written" [ -z "$(find . -name '*.o' -o -name '*.d' -o -name '*.cmd' -o -name '*.a')" ]

touch services/services.h
build
check "a header rebuilds its users" said "services/a.o"
check "and nobody else" eval '! said lib/'
build CFLAGS=-O1
check "changed flags rebuild everything" said "lib/err.o"
build CFLAGS=-O1
check "unchanged flags do not" silent
sed -i 's/ANSWER=0/ANSWER=3/' services/Kbuild
build CFLAGS=-O1
check "flags of one object rebuild it" said "services/tool.o"
check "only it" eval '! said services/a.o'
"$TMP/o/services/tool"
check "with the new value" [ $? = 3 ]
sed -i 's/ANSWER=3/ANSWER=0/' services/Kbuild

rm "$TMP/o/lib/err.o"
build V=2
check "V=2 says why" said "missing"
build lib/str.o
check "one object by name" [ $? = 0 ]
build O="$TMP/o2" services/
check "one module by name" [ -x "$TMP/o2/services/tool" ]
build help
check "help lists the targets" said "check-layers"

build check-unit
check "unit tests pass" said "3 passed, 0 failed, 0 skipped"
sed -i 's/CHECK(slice_eq(SLICE("a"), SLICE("a")))/CHECK(slice_eq(SLICE("a"), SLICE("b")))/' tests/unit/t_slice.c
build check-unit
check "a failing unit test fails make" [ $? != 0 ]
check "and is named" said "failed: unit/t_slice: compare"

build check-layers
check "layers are in order" [ $? = 0 ]
build check-headers
check "headers compile alone" [ $? = 0 ]

# fault NAME TEXT: check-layers must fail and say TEXT
fault() {
	build check-layers
	check "$1" eval "[ $? != 0 ] && said '$2'"
}
echo '#include "store/store.h"' >>services/a.c
fault "an include across layers is found" "services/a.c:9: services/ may not include store/"
sed -i '$d' services/a.c
echo '#include "services.h"' >>services/a.c
fault "an include without its module is found" "include services.h by its module path"
sed -i '$d' services/a.c
echo '#include <sqlite3.h>' >>services/services.h
fault "an external library in a header is found" "headers may not include sqlite3"
sed -i '$d' services/services.h
echo 'all: ; echo hello' >>services/Kbuild
fault "a rule in a Kbuild is found" "not in the Kbuild grammar"
sed -i '$d' services/Kbuild
echo 'x-y := $(shell date)' >>services/Kbuild
fault "a function in a Kbuild is found" "Kbuild values hold no functions"
sed -i '$d' services/Kbuild
sed -i 's/uses-y := lib/uses-y := lib store/' services/Kbuild
fault "an edge that the table lacks is found" "services/ may not use store/"
sed -i 's/uses-y := lib store/uses-y := lib/' services/Kbuild

echo 'struct late *f(size_t n, uint64_t x);' >>services/services.h
build check-headers
check "a header that needs another is found" [ $? != 0 ]
sed -i '$d' services/services.h

echo 'char *g(char *a, const char *b); char *g(char *a, const char *b) { return strcpy(a, b); }' >>services/a.c
build
check "a banned function does not compile" eval "[ $? != 0 ] && said strcpy"
finish
