# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills at random moments of a reconfigure: the daemon, a service, the whole machine.

Afterwards the machine must be exactly the old or exactly the new system, and its store must verify.
A trial's number decides what is killed (trial modulo 3) and the moment as a fraction of a span. The
span starts as the time that an undisturbed reconfigure takes, and follows the outcomes, so that old
and new both occur however busy the machine is: shorter after a new system, longer after an old one.
"""
import os
import random
import re
import time

from vm import *

KINDS = ("daemon", "service", "machine")


class Machine:
    """A running machine whose configuration is known, and the trials on it."""

    def __init__(self, vm):
        self.vm = vm
        boot(vm)
        self.template = vm.check("cat /etc/cairn/system.lua")
        self.host = "cairn"
        self.longest = None  # moments are before it
        self.span = None

    def configure(self, host):
        text = self.template.replace('host_name = "cairn"', f'host_name = "{host}"')
        self.vm.check("cat >/etc/cairn/system.lua <<'X_END_X'\n" + text + "X_END_X\nsync\n")

    def system(self):
        return self.vm.check("readlink -f /var/guix/profiles/system").strip()

    def links(self):
        """Generations that have a link."""
        return set(self.vm.check("cd /var/guix/profiles; ls -d system-*-link").split())

    def measure(self):
        """Time of a reconfigure that nobody disturbs."""
        self.configure("undisturbed")
        start = time.monotonic()
        self.vm.check("cairn system reconfigure", 900)
        self.span = self.longest = 1.1 * (time.monotonic() - start)
        self.host = "undisturbed"
        log(f"a reconfigure takes {self.longest / 1.1:.1f} s")

    def follow(self, outcome):
        """Aim the next kill at the moment where old becomes new."""
        self.span = min(self.longest, self.span * (1.5 if outcome == "old" else 0.6))

    def consistent(self, old_host, new_host, old_system, old_links):
        """Exactly old or exactly new, in every place that tells; returns which."""
        m = self.vm
        settled(m)
        host = m.check("hostname").strip()
        system = self.system()
        if host not in (old_host, new_host):
            raise Failure(f"host name {host} is neither {old_host} nor {new_host}")
        outcome = "old" if host == old_host else "new"
        if outcome == "old":
            equal("profile of the old system", system, old_system)
        elif system == old_system:
            raise Failure("new host name, old profile")
        made = self.links() - old_links
        equal("generations made", len(made), 0 if outcome == "old" else 1)
        current = re.search(r"\d+", m.check("readlink /var/guix/profiles/system"))[0]
        equal("default of the boot menu", re.search(r"(?m)^set default='gen-(\d+)'$", m.check(
            "cat /boot/grub/grub.cfg"))[1], current)
        equal("current system", m.check("readlink -f /run/current-system").strip(), system)
        equal("/etc/hostname", m.check("cat /etc/hostname").strip(), host)
        m.check("cairn store verify >/run/verify 2>&1 || { cat /run/verify; exit 1; }", 900)
        left = m.check("ls -A /var/guix/profiles | grep -vE '^system(-[0-9]+-link|[.]lock)?$|^per-user$' || :").strip()
        if left:
            raise Failure("left in the profiles: " + left)
        return outcome

    def victim(self, kind, rng):
        """Shell command that kills it, and fails when there is nothing to kill."""
        if kind == "daemon":
            return "pkill -9 -f '[c]airn daemon'"
        name = rng.choice(["dhcp", "getty@tty1"])
        return f"kill -9 {services(self.vm)[name]['pid']}"

    @staticmethod
    def told_truth(said, outcome):
        """Status and output of the reconfigure agree with what is now."""
        status, out = said
        told = "new" if "switched to generation" in out else "old"
        if told != outcome or (status == 0) > (outcome == "new"):
            raise Failure(f"the system is the {outcome} one, but reconfigure ended with {status}:\n{out}")

    def trial(self, number):
        """One kill; returns 'KIND: old' or 'KIND: new'."""
        rng = random.Random(number)
        kind = KINDS[number % 3]
        moment = rng.random() * self.span
        m, old_host, old_system, old_links = self.vm, self.host, self.system(), self.links()
        new_host = f"trial-{number}"
        self.configure(new_host)
        kill = self.victim(kind, rng) if kind != "machine" else None
        if kind == "machine":
            m.send_command("cairn system reconfigure")
            deadline = time.monotonic() + moment
            while time.monotonic() < deadline:
                m.console.pump(min(0.05, max(0, deadline - time.monotonic())))
            m.kill()
            boot(m)
            said = None
        else:
            # The moment is the thing under test here, not something that is waited for.
            nonce = m.send_command(f"rm -f /run/killed; (usleep {int(moment * 1e6)}; {kill} && touch /run/killed) & "
                                   "cairn system reconfigure; s=$?; wait; exit $s")
            said = m.finish(nonce, 900)
            m.check("[ -e /run/killed ]")
        outcome = self.consistent(old_host, new_host, old_system, old_links)
        if said:
            self.told_truth(said, outcome)
        if kind != "service":  # the death of a service does not hinder a reconfigure
            self.follow(outcome)
        if outcome == "new":
            self.host = new_host
        # Whatever happened, the same reconfigure works now.
        if outcome == "old":
            m.check("cairn system reconfigure", 900)
            equal("host name after the second try", m.check("hostname").strip(), new_host)
            self.host = new_host
        # Room for the next trials.
        m.check("cairn system delete-generations", 300)
        log(f"trial {number}: {kind} killed after {moment:.1f} s: {outcome}")
        return f"{kind}: {outcome}"
