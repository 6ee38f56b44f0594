# SPDX-License-Identifier: GPL-3.0-or-later
"""A publisher on the loopback, for tests."""
import os
import re
import subprocess
import threading


def publish(root, *args):
    """Start `cairn publish`; the process, and its URL once it listens."""
    p = subprocess.Popen([os.environ["CAIRN"], "publish", "--root", root, "--listen", "127.0.0.1", "--port", "0", *args],
                         stderr=subprocess.PIPE, text=True)
    port = next(filter(None, (re.search(r"port=(\d+)", line) for line in p.stderr)))
    threading.Thread(target=p.stderr.read, daemon=True).start()
    return p, "http://127.0.0.1:" + port[1]
