# SPDX-License-Identifier: GPL-3.0-or-later
"""Random pairs of configurations: what `plan` says before anything is built is what happens.

The plan is compared with the one that the switch itself prints, and with what is found different afterwards by other means: trees
of /etc, accounts of the machine, texts of the two generations. What is active need not be what the next boot starts: after `boot` and
`test`, which are tried as well, it is another one, and what runs changes from the one, the menu from the other. Sets of services are read here, too; that PID 1 does what it
says for any set and state is for t_init_load.
"""
import json
import os
import random
import re
import subprocess

BOOT = "label", "kernel", "kernel arguments"  # of the facts, like all of the menu: what the next boot starts
LISTS = "facts", "packages", "etc", "users", "groups", "secrets", "privileged", "environment", "services", "reboot"
WORDS = "a", "stone", "x-1", "it's", 'say "no"', "50 %", "b\\\\c"


def lua(value):
    """As Lua text."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"[{lua(k)}] = {lua(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "{ " + ", ".join(map(lua, value)) + " }"
    return value if isinstance(value, Raw) else json.dumps(value, ensure_ascii=False)


class Raw(str):
    pass


def some(rnd, things, most=9):
    return rnd.sample(things, rnd.randint(0, min(most, len(things))))


def configuration(rnd):
    services = []
    names = sorted(some(rnd, ["s1", "s2", "s3", "s4", "s5", "s6"]))
    for i, name in enumerate(names):
        s = {"name": name, "exec": ["/bin/" + rnd.choice("abc"), rnd.choice(WORDS)]}
        if rnd.random() < 0.3:
            s["on_change"] = "later"
        if i and rnd.random() < 0.3:
            s["requires"] = [rnd.choice(names[:i])]
        services.append(Raw("services.simple " + lua(s)))
    users = [{"name": "root", "password": ""}] + [
        {"name": n, "comment": rnd.choice(["", "A B"]), "groups": some(rnd, ["wheel", "disk"]), "shell": rnd.choice(["/bin/sh", "/bin/false"])}
        for n in some(rnd, ["ann", "bob", "eve"])]
    os_ = {
        "host_name": rnd.choice(["a", "b", "stone"]), "timezone": rnd.choice(["UTC", "CET-1CEST,M3.5.0,M10.5.0/3"]),
        "kernel_arguments": ["quiet"] + some(rnd, ["panic=10", "console=ttyS0", "debug"]),
        "file_systems": [{"device": "LABEL=cairn-root", "mount_point": "/", "type": "ext4"}] +
                        some(rnd, [{"mount_point": "/tmp", "type": "tmpfs", "options": ["mode=1777"]}]),
        "users": users, "groups": [{"name": n} for n in some(rnd, ["web", "mail"])],
        "packages": [Raw(f'require "packages.{p}"') for p in some(rnd, ["hello", "curl"])],
        "motd": rnd.choice(["", "hello\n", "it's \"me\"\n"]), "environment": {k: rnd.choice(WORDS) for k in some(rnd, ["X", "Y", "Z"])},
        "name_servers": some(rnd, ["10.0.0.1", "::1"]), "hosts": {"10.0.0.7": ["far"]} if rnd.random() < 0.5 else {},
        "bootloader": {"type": "grub", "timeout": rnd.randint(1, 3), "serial": rnd.random() < 0.5},
        "secrets": [{"name": n, "user": rnd.choice(["root", "nobody"]), "mode": rnd.choice(["0400", "0440"]), "version": rnd.randint(1, 2)}
                    for n in some(rnd, ["psk", "key"])],
        "privileged_programs": [{"program": Raw('require "packages.busybox" .. "/bin/busybox"'), "name": n, **rnd.choice(
            [{}, {"setgid": True, "group": "disk"}, {"capabilities": ["net_raw"]}])} for n in some(rnd, ["su", "ping"])],
        "services": Raw("services.base { " + ", ".join(services) + " }"),
    }
    if rnd.random() < 0.3:
        os_["label"] = rnd.choice(WORDS)
    fields = ", ".join(f"{k} = {lua(v)}" for k, v in os_.items() if v != {} and v != [])
    return 'local services = require "services"\nreturn require("system").operating_system { ' + fields + " }\n"


def difference(old, new):
    """name -> change, of two dicts."""
    return {n: "added" if n not in old else "removed" if n not in new else "changed"
            for n in sorted(set(old) | set(new)) if old.get(n) != new.get(n)}


class Machine:
    def __init__(self, tmp, seed):
        self.tmp, self.root, self.rnd = tmp, tmp + "/machine", random.Random(seed)
        os.makedirs(self.root + "/etc/cairn/secrets")
        for name in "psk", "key":
            with open(f"{self.root}/etc/cairn/secrets/{name}", "w", opener=lambda p, f: os.open(p, f, 0o600), encoding="utf-8") as f:
                f.write("the value of " + name)
        subprocess.run([os.environ["SRC"] + "/tests/cmd/mock-world", tmp + "/modules"], check=True)
        self.active, self.current, self.steps = None, None, 0
        self.step("reconfigure")

    def run(self, verb, *args):
        r = subprocess.run([os.environ["CAIRN"], "system", verb, "--root", self.root, "--target-root", self.root, *args],
                           capture_output=True, text=True, timeout=300, check=False)
        if r.returncode:
            raise AssertionError(f"{verb}: status {r.returncode}: {r.stderr.strip()}")
        return r.stdout

    def read(self, system, *parts):
        path = self.root + system
        for p in parts:
            path = os.path.join(path, p)
            if os.path.islink(path):
                path = self.root + os.readlink(path)
        with open(path, encoding="utf-8") as f:
            return f.read()

    def etc(self, system):
        top, found = self.root + os.readlink(self.root + system + "/etc"), {}
        for where, _dirs, files in os.walk(top):
            for name in files + [d for d in _dirs if os.path.islink(os.path.join(where, d))]:
                path = os.path.join(where, name)
                if os.path.islink(path):
                    found[os.path.relpath(path, top)] = "-> " + os.readlink(path)
                else:
                    with open(path, "rb") as f:
                        found[os.path.relpath(path, top)] = f.read()
        return found

    def accounts(self):
        """Of the machine: users with their groups; groups with their numbers."""
        with open(self.root + "/etc/passwd", encoding="utf-8") as f:
            users = {line.split(":")[0]: line.strip() for line in f}
        groups = {}
        with open(self.root + "/etc/group", encoding="utf-8") as f:
            for line in f:
                name, _, number, members = line.rstrip("\n").split(":")
                groups[name] = number
                for m in filter(None, members.split(",")):
                    users[m] = users.get(m, "") + " +" + name
        return users, groups

    def sections(self, system):
        parts = re.split(r"^\[(.*)\]\n", self.read(system, "services", "set"), flags=re.M)
        return {parts[i]: parts[i + 1].strip() for i in range(1, len(parts), 2)}

    def named(self, system, file, pattern):
        """Sections of a file that there need not be."""
        if not os.path.exists(f"{self.root}{system}/{file}"):
            return {}
        return {m[1]: m[0] for m in re.finditer(pattern, self.read(system, file))}

    def look(self, system):
        """Everything that a plan is about, by name."""
        users, groups = self.accounts()
        sections = self.sections(system)
        packages = [line.split(" ") for line in self.read(system, "packages").splitlines()]
        facts = dict(re.findall(r"^(label|host-name|kernel) = (.*)$", self.read(system, "facts"), re.M))
        facts = {k.replace("-", " "): v for k, v in facts.items()}
        facts.update({"menu " + k: v for k, v in re.findall(r"^([a-z-]+) = (.*)$", self.read(system, "boot/menu"), re.M)})
        facts["kernel arguments"] = re.sub(r" ?cairn\.system=\S+", "", self.read(system, "parameters")).strip()
        return {"facts": facts, "packages": {p[1]: (p[2], p[3]) for p in packages if p[0] == "package"}, "etc": self.etc(system),
                "users": users, "groups": groups, "secrets": self.named(system, "secrets", r"(?:# version .*\n)?\[secret (.*)\]\n[^\[#]*"),
                "privileged": self.named(system, "activation", r"\[privileged (.*)\]\n[^\[#]*"),
                "environment": dict(re.match(r'"?(\w+)=(.*)', v).groups() for v in re.findall(r"^environment = (.*)$", sections["init"], re.M)),
                "services": {k.split(" ")[1]: v for k, v in sections.items() if k.startswith("service ")},
                "reboot": {n: os.readlink(f"{self.root}{system}/{n}") for n in ("kernel", "initrd", "init")}}

    def generations(self):
        where = self.root + "/var/guix/profiles"
        return [os.readlink(f"{where}/{n}") for n in os.listdir(where) if re.fullmatch(r"system-\d+-link", n)]

    def before(self, verb):
        """What a plan compares with."""
        if not self.active:
            return None
        old = self.look(self.current if verb == "boot" else self.active)
        listed = self.look(self.current)
        facts = {k: v for k, v in listed["facts"].items() if k in BOOT or k.startswith("menu ")}
        facts["host name"] = old["facts"]["host name"]
        return {**old, "facts": facts, "reboot": listed["reboot"]}

    def step(self, verb=None):
        """To a random configuration, now, at the next boot or until then: None, or what is wrong."""
        verb = verb or self.rnd.choice(["reconfigure", "reconfigure", "boot", "test"])
        path = self.tmp + "/system.lua"
        with open(path, "w", encoding="utf-8") as f:
            f.write(configuration(self.rnd))
        args = "--json", "--quiet", "--modules", self.tmp + "/modules", path
        old = self.before(verb)
        planned = json.loads(self.run("plan", *["--boot"] * (verb == "boot"), *args))
        done = json.loads(self.run(verb, *args))
        system = done["system"]
        self.active = system if verb != "boot" else self.active
        self.current = system if verb != "test" else self.current
        new = self.look(system)
        self.steps += 1
        # What is only tested is no generation: below a private root, whose /run is not the machine's, nothing keeps it.
        if self.steps >= 20 and self.active in self.generations():
            self.run("gc", "--keep", "2")
            self.steps = 0
        profiles = self.root + "/var/guix/profiles/"
        links = os.readlink(self.root + "/etc/static"), os.readlink(profiles + os.readlink(profiles + "system"))
        if links != (self.active + "/etc", self.current):
            return f"{verb} of {system}: active and current are {links}"
        if planned["system"] != done["system"]:
            return f"planned was {planned['system']}, not {done['system']}"
        for key in LISTS:
            plain = [[{k: v for k, v in x.items() if k != "size"} if isinstance(x, dict) else x for x in p["plan"][key]]
                     for p in (planned, done)]
            if plain[0] != plain[1]:
                return f"{key}: {plain[0]} was planned, {plain[1]} is done"
        return self.compare(planned["plan"], old, new, verb) if old else None

    def compare(self, plan, old, new, verb):
        for key in "facts", "packages", "etc", "users", "groups", "secrets", "privileged", "environment":
            if key in ("users", "groups") and verb == "boot":  # of the machine, on which nothing changes
                if old[key] != new[key]:
                    return f"{key}: {difference(old[key], new[key])}, though nothing was activated"
                continue
            want = difference(old[key], new[key])
            if key in ("users", "groups"):  # numbers stay with a name for ever
                want = {n: c for n, c in want.items() if c != "changed" or key == "users"}
            if key == "facts":
                want = dict.fromkeys(want, "changed")
            got = {x["name"]: x["change"] for x in plan[key]}
            if got != want:
                return f"{key}: planned {got}, found {want}"
        link = self.root + "/run/booted-system"
        old_boot = self.look(os.readlink(link)) if os.path.lexists(link) else old
        reasons = {"kernel": "kernel", "initrd": "initramfs", "init": "init"}
        want = [reasons[k] for k in reasons if old_boot["reboot"][k] != new["reboot"][k]] + \
            ["kernel arguments"] * (old_boot["facts"]["kernel arguments"] != new["facts"]["kernel arguments"])
        if plan["reboot"] != want:
            return f"reboot: planned {plan['reboot']}, found {want}"
        return self.compare_services(plan, old["services"], new["services"])

    @staticmethod
    def compare_services(plan, old, new):
        """Who needs one that is started anew may be, too. What only orders or describes changes nothing."""
        old, new = ({n: re.sub(r"(?m)^(?:description|wants|milestones|after|before) = .*\n?", "", v).strip() for n, v in x.items()}
                    for x in (old, new))
        actions = {x["name"]: x["action"] for x in plan["services"]}
        names = {n for n in set(old) | set(new) if not n.endswith("@")}
        for n in names & set(actions):
            a = actions[n]
            same = old.get(n) == new.get(n)
            wrong = (a == "stop") != (n not in new) or (a == "start") != (n not in old) or \
                (a == "keep" and not same) or (a in ("later", "reload") and same)
            if a == "restart" and same:
                needs = re.findall(r"^(?:requires|binds) = (.*)$", new[n], re.M)
                wrong = not any(actions.get(r) in ("restart", "start") for line in needs for r in line.split())
            if wrong:
                return f"service {n}: {a}; from {old.get(n)!r} to {new.get(n)!r}"
        left = {n for n in names if old.get(n) != new.get(n)} - set(actions)
        return f"services that change are not in the plan: {left}" if left else None
