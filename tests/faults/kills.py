"""kill -9 at many moments, and a look at what is left.

usage: kills.py command|plugin|change|foreign COUNT LAMPWRIGHT [FOLDER OF THE FOREIGN PROVIDER'S PROGRAM]

command   the command is killed: on 50 layers that make nothing, and each fifth time on real daemons
plugin    the provider's process is killed, and the command is not
change    the command is killed while nodes that serve get another release, environment, number of workers, port or number,
          and the balancer another algorithm; afterwards every node is asked what is in force on it
foreign   either of them, with a provider of another make, whose objects only itself knows

Bad is: a state that does not read, an object that was told as made and is in no state, one that is there twice, a daemon or
folder that nobody asked for, a second run that fails or a third that still has something to do; of foreign objects one
that exists, that no state has, and that nobody names. Prints every bad run, then one line of figures; exit 1 if any is bad.
"""

import glob
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

LAYERS = '''stack "kills" {}
variable "n" { default = 50 }
variable "w" { default = 4 }
provider "lampwright" {
  scope = "kills"
  cloud "local" {
    driver   = "local"
    settings = { root = "%s/m", network = "127.90.0.0/20" }
  }
}
resource "lamp_cluster" "web" {
  count       = var.n
  name        = "web-${count.index}"
  nodes       = 0
  php_workers = var.w
  app         = "./app"
}
'''
DAEMONS = '''stack "kills" {}
variable "w" { default = 4 }
variable "nodes" { default = 1 }
provider "lampwright" {
  scope = "kills"
  cloud "local" {
    driver   = "local"
    settings = { root = "%s/m", network = "127.91.0.0/20" }
  }
}
resource "lamp_cluster" "web" {
  nodes       = var.nodes
  php_workers = var.w
  app         = "./app"
}
resource "lb_pool" "lb" { backend = lamp_cluster.web }
'''
CHANGES = '''stack "kills" {}
variable "nodes" { default = 3 }
variable "w" { default = 2 }
variable "port" { default = 8080 }
variable "word" { default = "a" }
variable "algorithm" { default = "roundrobin" }
provider "lampwright" {
  scope = "kills"
  cloud "local" {
    driver   = "local"
    settings = { root = "%s/m", network = "127.92.0.0/20" }
  }
}
resource "lamp_cluster" "web" {
  nodes       = var.nodes
  php_workers = var.w
  port        = var.port
  environment = { WORD = var.word }
  app         = "./app"
}
resource "lb_pool" "lb" {
  backend   = lamp_cluster.web
  algorithm = var.algorithm
}
output "url" { value = lb_pool.lb.url }
'''
RELEASE = '''<?php
header('Content-Type: application/json');
echo json_encode(['release' => '%s', 'word' => getenv('WORD'), 'node' => getenv('LAMPWRIGHT_NODE')]);
'''
NOTES = '''terraform {
  required_providers {
    peer = { source = "example.test/faults/peer" }
  }
}
resource "peer_note" "a" {
  count = 50
  title = "t-${count.index}"
}
'''
PATIENCE = 180


class Stack:
    def __init__(self, program, text, path=None):
        self.folder = tempfile.mkdtemp(prefix="lw", dir="/tmp")
        os.chmod(self.folder, 0o755)
        os.makedirs(self.folder + "/app")
        self.write("app/index.php", "<?php echo 'here';\n")
        self.write("main.tf", text % self.folder if "%s" in text else text)
        self.program = program
        self.store = self.folder + "/peer.json"
        self.environment = dict(os.environ, NO_COLOR="1", PEER_STORE=self.store)
        if path:
            self.environment["PATH"] = path + ":" + os.environ["PATH"]

    def write(self, name, text):
        with open(f"{self.folder}/{name}", "w") as file:
            file.write(text)

    def run(self, *args):
        return subprocess.run(
            [self.program, *args], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )

    def forget(self):
        for left in glob.glob(self.folder + "/*tfstate*") + glob.glob(self.folder + "/.*tfstate*") + glob.glob(self.store + "*"):
            os.remove(left)

    def state(self):
        """Address and values of every object; None with a reason if the state does not read."""
        shown = self.run("show", "-json")
        if shown.returncode:
            return None, shown.stderr
        values = json.loads(shown.stdout).get("values") or {}
        return [(one["address"], one["values"]) for one in values.get("root_module", {}).get("resources", [])], ""

    def plugins(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/cwd") == self.folder and os.readlink(f"/proc/{pid}/exe") != self.program:
                    found.append(int(pid))
            except OSError:
                continue
        return found

    def daemons(self):
        """By machine, the programs that work in its folder."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                where = os.readlink(f"/proc/{pid}/cwd")
                with open(f"/proc/{pid}/comm") as file:
                    name = file.read().strip()
            except OSError:
                continue
            if where.startswith(self.folder + "/m/"):
                found.setdefault(os.path.basename(where), []).append(name)
        return found

    def kill(self, who, delay, *args, after=None):
        """Runs a command and kills after a delay; whether something was killed, and what was said."""
        with open(self.folder + "/out.txt", "w+") as out:
            child = subprocess.Popen([self.program, *args], cwd=self.folder, env=self.environment, stdout=out, stderr=out)
            begun = time.monotonic()
            while after and not after() and child.poll() is None and time.monotonic() - begun < PATIENCE:
                time.sleep(0.002)
            killed = False
            try:
                child.wait(delay)
            except subprocess.TimeoutExpired:
                for pid in [child.pid] if who == "command" else self.plugins():
                    try:
                        os.kill(pid, signal.SIGKILL)
                        killed = True
                    except ProcessLookupError:
                        pass
            child.wait(PATIENCE)
            begun = time.monotonic()
            # An orphaned plugin notices and ends.
            while self.plugins() and time.monotonic() - begun < 15:
                time.sleep(0.02)
            out.seek(0)
            return killed, out.read()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def look(stack, operation, told):
    """What is wrong right after a kill."""
    bad = []
    if stack.plugins():
        bad.append("a plugin is left")
    objects, reason = stack.state()
    if objects is None:
        return [f"the state does not read: {reason[-300:]}"], []
    addresses = [address for address, _ in objects]
    if len(set(addresses)) != len(addresses):
        bad.append("an object is there twice")
    made = re.findall(r"^  (\S+)  created after", told, re.M)
    lost = [address for address in made if address not in addresses and operation != "destroy"]
    if lost:
        bad.append(f"LOST {lost[:3]}")
    return bad, objects


def again(stack, bad, *args):
    """The same command goes through, and then there is nothing to do."""
    ran = stack.run(*args)
    if ran.returncode:
        bad.append("again: " + (ran.stdout + ran.stderr)[-400:])
    if args[0] != "destroy":
        plan = stack.run("plan", "-detailed-exitcode", *args[2:])
        if plan.returncode:
            bad.append(f"not settled: exit {plan.returncode} {(plan.stdout + plan.stderr)[-300:]}")
    left = [name for name in os.listdir(stack.folder) if "journal" in name or name.endswith(".new") or "lock.info" in name]
    if left:
        bad.append(f"left {left}")


OPERATIONS = {
    "apply": ["apply", "-auto-approve"],
    "update": ["apply", "-auto-approve", "-var", "w=5"],
    "destroy": ["destroy", "-auto-approve"],
}


def layers(stack, who, chance):
    operation = chance.choice(list(OPERATIONS))
    stack.forget()
    if operation != "apply":
        assert stack.run("apply", "-auto-approve").returncode == 0
    args = OPERATIONS[operation]
    killed, told = stack.kill(who, chance.uniform(0.03, 0.45), *args)
    bad, _ = look(stack, operation, told)
    again(stack, bad, *args)
    objects, _ = stack.state()
    wanted = 0 if operation == "destroy" else 50
    if objects is None or len({address for address, _ in objects}) != wanted:
        bad.append(f"{objects and len(objects)} objects of {wanted}")
    return killed, operation, bad


def daemons(stack, who, chance):
    operation = chance.choice([*OPERATIONS, "grow"])
    if operation != "apply":
        assert stack.run("apply", "-auto-approve").returncode == 0
    args = {**OPERATIONS, "grow": ["apply", "-auto-approve", "-var", "nodes=3"]}[operation]
    killed, told = stack.kill(who, chance.uniform(0.1, 1.5), *args)
    bad, _ = look(stack, operation, told)
    again(stack, bad, *args)
    nodes = {"destroy": 0, "grow": 3}.get(operation, 1)
    wanted = sorted([f"web-{id}" for id in range(1, nodes + 1)] + (["lb-1"] if nodes else []))
    running = stack.daemons()
    if sorted(running) != wanted:
        bad.append(f"daemons of {sorted(running)}, wanted {wanted}")
    if any(names.count("haproxy") > 2 for names in running.values()):
        bad.append(f"twice: {running}")
    stack.run("destroy", "-auto-approve")
    if stack.daemons() or glob.glob(stack.folder + "/m/kills/*"):
        bad.append(f"left after destroy: {stack.daemons()} {glob.glob(stack.folder + '/m/kills/*')}")
    stack.forget()
    return killed, operation, bad


def ask(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def changes(stack, who, chance):
    """Something else each time, on top of what there is."""
    wanted = stack.wanted = getattr(stack, "wanted", None) or {"nodes": 3, "w": 2, "port": 8080, "word": "a", "algorithm": "roundrobin"}
    args = lambda: ["apply", "-auto-approve", *(f"-var={name}={value}" for name, value in wanted.items())]
    release = lambda: stack.write("app/index.php", RELEASE % stack.release)
    if not hasattr(stack, "release"):
        stack.release = 0
        release()
        assert stack.run(*args()).returncode == 0
    for what in chance.sample(["release", "nodes", "w", "port", "word", "algorithm"], chance.choice([1, 1, 2, 3])):
        if what == "release":
            stack.release += 1
            release()
        else:
            wanted[what] = {
                "nodes": chance.randint(2, 5),
                "w": chance.randint(1, 4),
                "port": chance.choice([8080, 8090, 8100]),
                "word": chance.choice("abcdef"),
                "algorithm": chance.choice(["roundrobin", "leastconn", "random"]),
            }[what]
    killed, told = stack.kill(who, chance.uniform(0.05, 3.0), *args())
    bad, _ = look(stack, "change", told)
    ran = stack.run(*args())
    if ran.returncode:
        bad.append("again: " + (ran.stdout + ran.stderr)[-600:])
    plan = stack.run("plan", "-detailed-exitcode", *args()[2:])
    if plan.returncode:
        bad.append(f"not settled: exit {plan.returncode} {(plan.stdout + plan.stderr)[-300:]}")
    objects = dict(stack.state()[0])
    machines = objects["lamp_cluster.web"]["machines"]
    if len(machines) != wanted["nodes"]:
        bad.append(f"{len(machines)} machines of {wanted['nodes']}")
    running = stack.daemons()
    if sorted(running) != sorted([machine["name"] for machine in machines] + ["lb-1"]):
        bad.append(f"daemons of {sorted(running)}")
    for machine in machines:
        try:
            found = ask(f"http://{machine['address']}:{wanted['port']}/")
        except OSError as error:
            found = str(error)
        if found != {"release": str(stack.release), "word": wanted["word"], "node": machine["name"]}:
            bad.append(f"{machine['name']} says {found}, release {stack.release}, {wanted}")
        # The master and its workers.
        workers = sum(name.startswith("php-fpm") for name in running.get(machine["name"], [])) - 1
        if workers != wanted["w"]:
            bad.append(f"{machine['name']} has {workers} workers of {wanted['w']}")
        if os.path.exists(f"{stack.folder}/m/kills/{machine['name']}/run/drain"):
            bad.append(f"{machine['name']} is out of the pool")
    seen = {ask(objects["lb_pool.lb"]["url"] + "/")["node"] for _ in range(8 * wanted["nodes"])}
    if wanted["algorithm"] == "roundrobin" and len(seen) != wanted["nodes"]:
        bad.append(f"requests reach {sorted(seen)}")
    return killed, f"release {stack.release}, {wanted}", bad


def notes(stack, who, chance):
    stack.forget()
    there = lambda: os.path.exists(stack.store)
    killed, told = stack.kill(who, chance.uniform(0.0, 0.3), "apply", "-auto-approve", after=there)
    bad, objects = look(stack, "apply", told)
    with open(stack.store) as file:
        exist = json.load(file)
    recorded = {values.get("id") for _, values in objects}
    orphans = {f"peer_note.a[{note['title'][2:]}]" for id, note in exist.items() if id not in recorded}
    plan = stack.run("plan")
    said = told + plan.stdout + plan.stderr if who == "plugin" else plan.stdout + plan.stderr
    notes_of = [line for line in said.splitlines() if not line.lstrip().startswith("+")]
    silent = [address for address in orphans if not any(address in line for line in notes_of)]
    if silent:
        bad.append(f"NOT NAMED {silent}")
    if "takes over" in said:
        bad.append("a take-over is promised")
    again(stack, bad, "apply", "-auto-approve")
    return killed, f"{len(orphans)} in flight", bad


def main():
    kind, count, program = sys.argv[1], int(sys.argv[2]), os.path.realpath(sys.argv[3])
    chance = random.Random(int(os.environ.get("SEED", "1")))
    stacks = []
    if kind == "foreign":
        stacks = [(notes, Stack(program, NOTES, os.path.realpath(sys.argv[4])))]
    elif kind == "change":
        stacks = [(changes, Stack(program, CHANGES))]
    else:
        stacks = [(layers, Stack(program, LAYERS))] * 4 + [(daemons, Stack(program, DAEMONS))]
    runs = kills = bad_runs = 0
    # A run that ended before the kill counts for nothing.
    while kills < count and runs < 4 * count:
        cycle, stack = stacks[runs % len(stacks)]
        who = {"foreign": ["command", "plugin"][runs % 2], "change": "command"}.get(kind, kind)
        killed, what, bad = cycle(stack, who, chance)
        runs += 1
        kills += killed
        if bad:
            bad_runs += 1
            print(f"run {runs}, {cycle.__name__}, {who} killed, {what}: {bad}", flush=True)
    print(f"{kind}: {kills} kills in {runs} runs, {bad_runs} bad")
    for _, stack in stacks:
        if kind == "change":
            stack.run("destroy", "-auto-approve")
        stack.remove()
    sys.exit(1 if bad_runs or kills < count else 0)


if __name__ == "__main__":
    main()
