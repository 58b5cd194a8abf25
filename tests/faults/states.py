"""kill -9 at every write of the state and its journal, and two runs at once, on each backend.

usage: states.py kill|two local|http|pg|s3|gcs|azurerm COUNT LAMPWRIGHT

kill   apply and destroy of 50 layers that make nothing. The command is killed by strace(1) as it enters a system call that makes
       something durable or sends it: once at each of them, or at COUNT of them, evenly spread
two    COUNT rounds of two applies at once, from two folders
s3     needs LAMPWRIGHT_TESTBED_AWS, the URL of an S3 (scripts/test-clouds up)
gcs, azurerm   need LAMPWRIGHT_TESTBED_STORES, the folder of their servers (tests/testbeds/stores/up)

Bad is: a state that does not read, an object that was told as made and is in no state, one that is there twice, a second run
that fails or a third that still has something to do, a lock whose holder is not told as ended, two runs that both went on.
Prints every bad run, then one line of figures; exit 1 if any is bad.
"""

import base64
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

from kills import LAYERS, OPERATIONS, PATIENCE, Stack, again, look

# What makes something durable (fsync(2) and what has to be before it), and what sends it.
DURABLE = ["fdatasync", "fsync", "rename", "pwrite64", "unlink"]
SENDS = ["sendto", "writev"]
HERE = os.path.dirname(os.path.abspath(__file__))


class Http:
    def __init__(self, folder):
        server = [sys.executable, HERE + "/../testbeds/state_server.py", "0", folder]
        self.child = subprocess.Popen(server, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.child.stdout.readline().strip()}"

    def block(self, name):
        at = f"{self.url}/{name}"
        return f'backend "http" {{\n  address = "{at}"\n  lock_address = "{at}/lock"\n  unlock_address = "{at}/lock"\n}}'


class Pg:
    def __init__(self, folder):
        versions = "/usr/lib/postgresql"
        bin = f"{versions}/{sorted(os.listdir(versions))[-1]}/bin"
        data = folder + "/pg"
        os.makedirs(data)
        as_user = []
        if os.geteuid() == 0:
            shutil.chown(data, 65534, 65534)
            os.chmod(folder, 0o755)
            as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
        subprocess.run([*as_user, bin + "/initdb", "-D", data, "-U", "test", "-A", "trust", "-N"], check=True, **quiet)
        options = ["-D", data, "-k", data, "-c", "listen_addresses=", "-F"]
        self.child = subprocess.Popen([*as_user, bin + "/postgres", *options], **quiet)
        self.connection = f"host={data} user=test dbname=postgres sslmode=disable"
        begun = time.monotonic()
        while subprocess.run([bin + "/pg_isready", "-q", "-h", data]).returncode and time.monotonic() - begun < 30:
            time.sleep(0.05)

    def block(self, name):
        return f'backend "pg" {{\n  conn_str = "{self.connection}"\n  schema_name = "{name}"\n}}'


class S3:
    def __init__(self, _):
        self.endpoint = os.environ["LAMPWRIGHT_TESTBED_AWS"].rstrip("/")
        self.bucket = f"faults-{os.getpid()}"
        os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
        api = [sys.executable, HERE + "/../testbeds/apis.py", "aws", self.endpoint + "/", "bucket", self.bucket]
        subprocess.run(api, check=True, stdout=subprocess.DEVNULL)
        self.child = None

    def block(self, name):
        return f'backend "s3" {{\n  bucket = "{self.bucket}"\n  key = "{name}"\n  region = "eu-west-1"\n  endpoint = "{self.endpoint}"\n}}'


class Store:
    """A server of an object store."""

    def __init__(self, kind):
        bed = os.environ["LAMPWRIGHT_TESTBED_STORES"]
        self.child = subprocess.Popen([sys.executable, HERE + "/../testbeds/stores/store.py", kind, bed], stdout=subprocess.PIPE, text=True)
        self.url = self.child.stdout.readline().strip()


class Gcs(Store):
    def __init__(self, _):
        super().__init__("gcs")

    def block(self, name):
        return f'backend "gcs" {{\n  bucket = "states"\n  prefix = "{name}"\n  access_token = "any"\n  storage_custom_endpoint = "{self.url}"\n}}'


class Azurerm(Store):
    def __init__(self, _):
        super().__init__("azurerm")
        os.environ.update(ARM_ACCESS_KEY=base64.b64encode(b"the key of an account of nobody's").decode())

    def block(self, name):
        account = f'storage_account_name = "lampwright"\n  container_name = "states"\n  blob_endpoint = "{self.url}"'
        return f'backend "azurerm" {{\n  {account}\n  key = "{name}"\n}}'


class Local:
    child = None

    def __init__(self, _):
        pass

    def block(self, _):
        return ""


BACKENDS = {"local": Local, "http": Http, "pg": Pg, "s3": S3, "gcs": Gcs, "azurerm": Azurerm}


def fresh(stack, place):
    """The same stack, with a state that nobody has used."""
    shutil.rmtree(stack.folder + "/.lampwright", ignore_errors=True)
    stack.forget()
    block = place.block("s" + uuid.uuid4().hex)
    stack.write("backend.tf", f"terraform {{\n{block}\n}}\n" if block else "")


def traced(stack, options, *args):
    """The command under strace; the plugin is let go."""
    log = stack.folder + "/strace.txt"
    command = ["strace", "-f", "-b", "execve", "-o", log, *options, stack.program, *args]
    ran = subprocess.run(command, cwd=stack.folder, env=stack.environment, capture_output=True, text=True, timeout=PATIENCE)
    begun = time.monotonic()
    while stack.plugins() and time.monotonic() - begun < 15:
        time.sleep(0.02)
    with open(log) as file:
        return ran, file.read()


def moments(stack, place, args, before):
    """How often a thread enters each of these calls in a whole run."""
    fresh(stack, place)
    before()
    calls = DURABLE + ([] if isinstance(place, Local) else SENDS)
    ran, log = traced(stack, ["-e", "trace=" + ",".join(calls)], *args)
    assert ran.returncode == 0, ran.stderr
    by_thread = collections.Counter(re.findall(r"^(\d+)\s+(\w+)\(", log, re.M))
    return [(call, nth) for call in calls for nth in range(1, 1 + max([n for (_, name), n in by_thread.items() if name == call], default=0))]


def unlock(stack, bad):
    """Where the lock does not end with its process, it is told as such, and released."""
    refused = stack.run("plan")
    said = refused.stdout + refused.stderr
    if "is locked by another run" not in said:
        return
    told = re.search(r"That process has ended without releasing it: `lampwright force-unlock (\S+)` does", said)
    if not told:
        bad.append(f"the lock does not say that its holder has ended: {said[-300:]}")
        return
    freed = stack.run("force-unlock", "-force", told[1])
    if freed.returncode:
        bad.append(f"the lock is not released: {freed.stderr[-300:]}")


def kill(place, count, program):
    stack = Stack(program, LAYERS)
    runs = kills = bad_runs = 0
    for operation in ["apply", "destroy"]:
        args = OPERATIONS[operation]
        before = lambda: operation == "apply" or stack.run("apply", "-auto-approve").check_returncode()
        every = moments(stack, place, args, before)
        step = max(1, -(-len(every) // max(1, count // 2)))
        for call, nth in every[::step]:
            fresh(stack, place)
            before()
            trace = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={nth}"]
            ran, _ = traced(stack, trace, *args)
            runs += 1
            killed = ran.returncode != 0
            kills += killed
            if not isinstance(place, Local) and not os.path.exists(stack.folder + "/.lampwright/backend.json"):
                # Before anything was asked of the place: who does not read the stack is told to do this.
                stack.run("init").check_returncode()
            bad, _ = look(stack, operation, ran.stdout)
            if not isinstance(place, Local):
                unlock(stack, bad)
            again(stack, bad, *args)
            objects, _ = stack.state()
            wanted = 0 if operation == "destroy" else 50
            if objects is None or len({address for address, _ in objects}) != wanted:
                bad.append(f"{objects and len(objects)} objects of {wanted}")
            if bad:
                bad_runs += 1
                print(f"{operation}, killed at {call} {nth}: {bad}", flush=True)
    stack.remove()
    return f"{kills} kills in {runs} runs, {bad_runs} bad", bad_runs


def two(place, count, program):
    """Each adds layers of its own; one of them is told of the other, or both go through one after the other."""
    one = Stack(program, LAYERS)
    other = one if isinstance(place, Local) else Stack(program, LAYERS)
    refused = both = bad_runs = 0
    for number in range(count):
        fresh(one, place)
        if other is not one:
            fresh(other, place)
            shutil.copy(one.folder + "/backend.tf", other.folder + "/backend.tf")
            # The same layers in the same place.
            shutil.copy(one.folder + "/main.tf", other.folder + "/main.tf")
        start = lambda stack: subprocess.Popen(
            [program, "apply", "-auto-approve"], cwd=stack.folder, env=stack.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        children = [start(one)]
        time.sleep(number % 10 * 0.02)
        children.append(start(other))
        said = [child.communicate(timeout=PATIENCE)[0] for child in children]
        codes = [child.returncode for child in children]
        bad = []
        for code, text in zip(codes, said):
            if code and "is locked by another run" not in text:
                bad.append(f"exit {code}: {text[-400:]}")
        refused += sum(code != 0 for code in codes)
        both += codes == [0, 0]
        if not any(code == 0 for code in codes):
            bad.append("nobody went through")
        made = sum(len(re.findall(r"  created after", text)) for text in said)
        objects, reason = one.state()
        if made != 50 or objects is None or len({address for address, _ in objects}) != 50:
            bad.append(f"{made} made, {objects and len(objects)} in the state {reason}")
        again(one, bad, "apply", "-auto-approve")
        if bad:
            bad_runs += 1
            print(f"round {number}: {bad}", flush=True)
    for stack in {one, other}:
        stack.remove()
    return f"{count} rounds: {refused} refused, {both} one after the other, {bad_runs} bad", bad_runs


def main():
    what, kind, count, program = sys.argv[1], sys.argv[2], int(sys.argv[3]), os.path.realpath(sys.argv[4])
    folder = tempfile.mkdtemp(prefix="lw", dir="/tmp")
    place = BACKENDS[kind](folder)
    try:
        figures, bad = {"kill": kill, "two": two}[what](place, count, program)
    finally:
        if place.child:
            place.child.terminate()
            place.child.wait()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{what} {kind}: {figures}")
    sys.exit(1 if bad else 0)


main()
