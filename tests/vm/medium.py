# SPDX-License-Identifier: GPL-3.0-or-later
"""The installation medium that asks nothing: the example, told by the kernel's command line to take answers from the
second disk."""
import os
import subprocess

import vm

ANSWERS = """[install]
host-name = stone
timezone = Europe/Berlin
network = static
address = 10.0.2.15/24
disk = /dev/vda
disk-serial = TARGET
boot-loader = {loader}
ssh = keys

[user root]
password = {password}

[user ann]
key = ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7dHXRWqAOQ9mFIrvWL9IeXhz6CoCznG22t6tZfEfsx ann@test
"""


def build(out):
    """The medium, made in the directory out."""
    config, iso = os.path.join(out, "auto.lua"), os.path.join(out, "auto.iso")
    with open(vm.example("installer"), encoding="utf-8") as f:
        text = f.read().replace('"quiet" }', '"quiet", "cairn.answers=/dev/vdb" }')
    with open(config, "w", encoding="utf-8") as f:
        f.write(text)
    argv = [os.environ["CAIRN"], "system", "image", "-t", "iso9660", config, "-o", iso]
    if subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode != 0:
        raise vm.Failure("the medium was not built")
    return iso


def password(word):
    """Of that word, as it is kept (sha512)."""
    return subprocess.run(["busybox", "mkpasswd", "-m", "sha512", "-P", "0"], input=word.encode() + b"\n",
                          stdout=subprocess.PIPE, check=True).stdout.decode().strip()


def drive(name, path, **more):
    options = "".join(f",{k.replace('_', '-')}={v}" for k, v in more.items())
    return ["-drive", f"file={path},if=none,id={name},format=raw,cache=unsafe",
            "-device", f"virtio-blk-pci,drive={name}{options}"]


def install(iso, directory, target, loader="grub", firmware="bios"):
    """Start the medium, and wait until it has installed on the disk that the emulator's arguments target describe, with
    the serial number TARGET. The machine is switched off then."""
    answers = os.path.join(directory, "answers")
    with open(answers, "wb") as f:
        f.write(ANSWERS.format(loader=loader, password=password("stone")).encode().ljust(4096, b"\0"))
    uefi = firmware == "uefi"
    extra = (["-device", "ich9-ahci,id=sata"] if uefi else []) + target + drive("answers", answers)
    with vm.VM(iso, os.path.join(directory, "medium"), memory=256, disk=f"ide-cd,{'bus=sata.0,' if uefi else ''}bootindex=0",
               firmware=firmware, extra=extra, network="restrict=on") as m:
        m.start()
        if m.expect(rb"installation: (done|failed)", 900)[1] != b"done":
            raise vm.Failure("the installer failed:\n" + m.tail())
