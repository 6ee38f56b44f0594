#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fuzz entries with libFuzzer and sanitizers.

tests/fuzz/fuzzing.py OBJ SECONDS ENTRY...  (what `make fuzz` runs)

Each entry runs at low priority on its corpus of the tree and on OBJ/fuzz/found/ENTRY, where it
keeps what reached something new. An input that crashes it, leaks, takes 10 seconds or needs 1 GiB
is kept as OBJ/fuzz/bad/ENTRY/KIND-HASH.
"""
import os
import shutil
import subprocess
import sys
import tempfile

SECONDS_PER_INPUT = 10
MEMORY_MIB = 1024
SANITIZERS = "address,undefined"
# A dictionary that a stream claims costs nothing before it is used; what unpacks streams of strangers limits its data.
OPTIONS = {"fz_unzip": ["-malloc_limit_mb=5120"]}
CORPORA = "tests/fuzz/corpus"


def entries():
    return sorted(os.listdir(CORPORA))


def missing_packages():
    """The Debian packages without which there is no libFuzzer."""
    if not shutil.which("clang"):
        return ["clang", "libclang-rt-dev"]
    with tempfile.TemporaryDirectory(prefix="cairn-fuzz-") as tmp:
        source = os.path.join(tmp, "probe.c")
        with open(source, "w", encoding="utf-8") as f:
            f.write("int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p && n == 3; }\n")
        probe = subprocess.run(["clang", f"-fsanitize=fuzzer,{SANITIZERS}", "-o", os.path.join(tmp, "probe"), source],
                               stderr=subprocess.DEVNULL)
    return ["libclang-rt-dev"] if probe.returncode else []


def build(obj, wanted):
    """Build the entries; the directory that has them."""
    lacks = missing_packages()
    if lacks:
        sys.exit(f"libFuzzer is missing: apt-get install {' '.join(lacks)}")
    tree = os.path.join(obj, "fuzz")
    targets = [f"{tree}/tests/fuzz/{w}" for w in wanted]
    jobs = [] if "jobserver" in os.environ.get("MAKEFLAGS", "") else [f"-j{os.cpu_count()}"]
    subprocess.run(["nice", "-n", "10", "make", *jobs, f"O={tree}", "CC=clang", f"SAN=fuzzer-no-link,{SANITIZERS}",
                    "FUZZ=1", *targets], check=True)
    return os.path.join(tree, "tests/fuzz")


def seen(directory):
    return set(os.listdir(directory))


def run(program, corpus, found, bad, seconds, log):
    """Fuzz for that long. The inputs that were bad, as paths; they may come from a child that the
    entry started, so the exit status alone says little."""
    for d in (found, bad, os.path.dirname(log)):
        os.makedirs(d, exist_ok=True)
    before = seen(bad)
    env = dict(os.environ, UBSAN_OPTIONS="print_stacktrace=1", ASAN_OPTIONS="detect_leaks=1:quarantine_size_mb=32")
    with open(log, "ab") as out:
        status = subprocess.run(["nice", "-n", "15", program, found, corpus, f"-max_total_time={seconds}",
                                 f"-timeout={SECONDS_PER_INPUT}", f"-rss_limit_mb={MEMORY_MIB}", "-use_value_profile=1",
                                 "-print_final_stats=1", f"-artifact_prefix={bad}/",
                                 *OPTIONS.get(os.path.basename(program), [])],
                                env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out).returncode
    new = [os.path.join(bad, name) for name in sorted(seen(bad) - before)]
    # libFuzzer leaves slow-unit-HASH for what was merely slow.
    new = [path for path in new if not os.path.basename(path).startswith("slow-unit-")]
    return new if new or status == 0 else [f"{log} (exit status {status}, no input)"]


def kind(path):
    """crash, leak, timeout, oom"""
    name = os.path.basename(path)
    return "crash" if name.endswith(")") else name.partition("-")[0]


def main():
    if len(sys.argv) < 4:
        sys.exit("usage: fuzzing.py OBJ SECONDS ENTRY...")
    obj, seconds, wanted = os.path.abspath(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    unknown = sorted(set(wanted) - set(entries()))
    if unknown:
        sys.exit(f"{CORPORA}/{unknown[0]} is missing: no such fuzz entry, or it has no corpus")
    programs = build(obj, wanted)
    worst = 0
    for name in wanted:
        print(f"{name}: {seconds} s", flush=True)
        log = f"{obj}/fuzz/logs/{name}"
        for path in run(f"{programs}/{name}", f"{CORPORA}/{name}", f"{obj}/fuzz/found/{name}",
                        f"{obj}/fuzz/bad/{name}", seconds, log):
            print(f"{name}: {kind(path)}: {path}; see {log}", flush=True)
            worst = 1
    return worst


if __name__ == "__main__":
    sys.exit(main())
