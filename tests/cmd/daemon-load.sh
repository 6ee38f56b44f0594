#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A sample of the load that tests/soak/daemon.soak puts on a daemon.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
exec python3 - <<'E'
import os, pwd, sys

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
import daemon_load
from wire import *

d = Daemon(os.environ["TMP"] + "/root").wait()
daemon_load.load("load", d, 150, 3000, 1)
finish()
E
