"""A state and its journal cut at every byte, and with letters that are others; a disk that gets full, and one that takes nothing.

usage: damage.py state|journal|full|readonly COUNT LAMPWRIGHT

state     the state of 50 objects, cut at every byte (or at COUNT of them, evenly spread), and with a bit flipped at 1,000 (or COUNT) places
journal   the same of the journal of an apply that was killed
full      apply and destroy with less and less room on the disk, in COUNT steps (root: it mounts one)
readonly  plan, apply and destroy where nothing can be written (root)

Bad is what is lost in silence: an object that was there and is not, or says something else, and nobody tells that. Prints every bad
run, then one line of figures; exit 1 if any is bad.
"""

import collections
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

STACK = 'resource "terraform_data" "a" {\n  count = 50\n  input = "value-${count.index}"\n}\n'
# What tells that something is wrong with the state or its journal.
TOLD = ["was changed by another hand", "journal of the state is damaged", "journal is of another state", "was cut off", "only half written"]


class Place:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        with open(folder + "/main.tf", "w") as file:
            file.write(STACK)

    def run(self, *args):
        environment = dict(os.environ, NO_COLOR="1")
        return subprocess.run(
            [self.program, *args], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120
        )

    def objects(self):
        shown = self.run("show", "-json")
        if shown.returncode:
            return None, shown.stderr
        resources = (json.loads(shown.stdout).get("values") or {}).get("root_module", {}).get("resources", [])
        # Who only looks is told what is lost, and who plans, what was cut off.
        told = self.run("plan", "-refresh=false").stderr
        return {one["address"]: json.dumps(one["values"], sort_keys=True) for one in resources}, told

    def path(self, name):
        return f"{self.folder}/terraform.tfstate{name}"


def damaged(place, name, count, whole):
    """Every damage of a file, and what a look says of it."""
    with open(place.path(name), "rb") as file:
        good = file.read()
    cuts = range(0, len(good), max(1, len(good) // count) if count < len(good) else 1)
    dice = random.Random(1)
    flips = [(at, 1 << dice.randrange(8)) for at in dice.sample(range(len(good)), min(count, 1000, len(good)))]
    found, bad = collections.Counter(), 0
    variants = [("cut", at, good[:at]) for at in cuts]
    variants += [("flipped", at, good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :]) for at, bit in flips]
    for kind, at, text in variants:
        with open(place.path(name), "wb") as file:
            file.write(text)
        objects, said = place.objects()
        if objects is None:
            outcome = "refused"
        elif any(words in said for words in TOLD) or "a backup of one" in said:
            outcome = "told"
        elif objects == whole:
            outcome = "nothing lost"
        else:
            outcome, bad = "IN SILENCE", bad + 1
            print(f"{kind} at {at}: {len(objects)} objects, nothing told", flush=True)
        found[kind, outcome] += 1
    with open(place.path(name), "wb") as file:
        file.write(good)
    told = ", ".join(f"{kind}: {outcome} {number}" for (kind, outcome), number in sorted(found.items()))
    return f"{len(good)} bytes; {told}", bad


def state(place, count):
    for _ in range(2):
        # The second run leaves a backup.
        place.run("apply", "-auto-approve").check_returncode()
        place.run("taint", "terraform_data.a[0]").check_returncode()
    place.run("apply", "-auto-approve").check_returncode()
    return damaged(place, "", count, place.objects()[0])


def journal(place, count):
    trace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=rename", "-e", "inject=rename:signal=KILL:when=1"]
    subprocess.run([*trace, place.program, "apply", "-auto-approve"], cwd=place.folder, capture_output=True)
    assert os.path.getsize(place.path(".journal")) > 1000
    whole = place.objects()[0]
    assert len(whole) == 50, whole
    return damaged(place, ".journal", count, whole)


def mounted(place, options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place.folder], check=True)
    with open(place.folder + "/main.tf", "w") as file:
        file.write(STACK)


def full(place, count):
    failed = bad_runs = 0
    for step in range(count):
        mounted(place, "size=1m")
        room = 4096 * (1 + step * 80 // count)
        begin = lambda: open(place.folder + "/filler", "wb").write(b"x" * (shutil.disk_usage(place.folder).free - room))
        told = collections.Counter()
        bad = []
        for operation in ["apply", "destroy"]:
            begin()
            ran = place.run(operation, "-auto-approve")
            failed += ran.returncode != 0
            verb = "created" if operation == "apply" else "destroyed"
            made = set(re.findall(rf"^  (\S+)  {verb} after", ran.stdout, re.M))
            os.remove(place.folder + "/filler")
            objects, said = place.objects()
            if objects is None:
                bad.append(f"{operation}: the state does not read: {said[-300:]}")
                break
            there = set(objects)
            lost = made - there if operation == "apply" else made & there
            if lost and "could be written nowhere" not in ran.stderr and ran.stdout.find('"lineage"') < 0:
                bad.append(f"{operation}: {len(lost)} told as {verb} and not recorded")
            again = place.run(operation, "-auto-approve")
            objects, said = place.objects()
            wanted = 50 if operation == "apply" else 0
            if again.returncode or objects is None or len(objects) != wanted:
                bad.append(f"{operation} again: exit {again.returncode}, {objects and len(objects)} objects: {again.stderr[-300:]}")
        if bad:
            bad_runs += 1
            print(f"{room} bytes free: {bad}", flush=True)
        subprocess.run(["umount", place.folder], check=True)
    return f"{count} disks, {failed} runs failed, {bad_runs} bad", bad_runs


def readonly(place, count):
    bad_runs = 0
    for number in range(count):
        mounted(place, "size=4m")
        if number % 2:
            place.run("apply", "-auto-approve").check_returncode()
        before = place.objects()[0]
        subprocess.run(["mount", "-o", "remount,ro", place.folder], check=True)
        bad = []
        if place.run("plan").returncode:
            bad.append("plan fails")
        for operation in ["apply", "destroy"] if number % 2 else ["apply"]:
            ran = place.run(operation, "-auto-approve", *(["-replace=terraform_data.a[0]"] if operation == "apply" and number % 2 else []))
            if ran.returncode == 0 or " after " in ran.stdout or "cannot be" not in ran.stderr and "Read-only" not in ran.stderr:
                bad.append(f"{operation}: exit {ran.returncode}: {ran.stdout[-200:]}{ran.stderr[-300:]}")
        if place.objects()[0] != before:
            bad.append("the state is another")
        if bad:
            bad_runs += 1
            print(f"run {number}: {bad}", flush=True)
        subprocess.run(["umount", place.folder], check=True)
    return f"{count} runs, {bad_runs} bad", bad_runs


def main():
    kind, count, program = sys.argv[1], int(sys.argv[2]), os.path.realpath(sys.argv[3])
    folder = tempfile.mkdtemp(prefix="lw", dir="/tmp")
    try:
        figures, bad = {"state": state, "journal": journal, "full": full, "readonly": readonly}[kind](Place(program, folder), count)
    finally:
        subprocess.run(["umount", "-q", folder], stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{kind}: {figures}")
    sys.exit(1 if bad else 0)


main()
