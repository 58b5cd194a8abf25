"""Every change that an operator makes, under load.

usage: load.py REQUESTS LAMPWRIGHT

A stack of web nodes and a load balancer on this machine is asked by four processes, each request on a connection of its own,
while it is scaled 2 -> 6 -> 2, gets releases of 1,500 files that do not mix with those of the last one, another algorithm,
environment, number of workers, page of the health check and port, round after round until there were so many requests.
Bad is a request that fails: no connection, a status other than 200, an answer that is cut short, a page of two releases.
Prints what each change has cost and one line of figures; exit 1 if any request was bad.
"""

import collections
import itertools
import json
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

STACK = '''stack "load" {}
variable "nodes" { default = 2 }
variable "workers" { default = 4 }
variable "port" { default = 8080 }
variable "word" { default = "a" }
variable "algorithm" { default = "roundrobin" }
variable "page" { default = "/livez.php" }
provider "lampwright" {
  scope = "load"
  cloud "local" {
    driver   = "local"
    settings = { root = "%s/m", network = "127.93.0.0/20" }
  }
}
resource "lamp_cluster" "web" {
  nodes        = var.nodes
  php_workers  = var.workers
  port         = var.port
  environment  = { WORD = var.word }
  health_check = { path = var.page }
  app          = "./app"
}
resource "lb_pool" "lb" {
  backend   = lamp_cluster.web
  algorithm = var.algorithm
}
output "url" { value = lb_pool.lb.url }
'''
FILES = 1500
# Some of the files at random: of two releases at once some would not fit.
PAGE = '''<?php
foreach (array_rand(range(0, %d - 1), 25) as $part) {
  if ((require __DIR__ . "/lib/part$part.php") !== %d) { http_response_code(500); exit("two releases"); }
}
echo json_encode(['release' => %d, 'word' => getenv('WORD'), 'node' => getenv('LAMPWRIGHT_NODE')]);
'''


def ask(host, port, number):
    """None if all is well, else what is wrong. Every second request is a POST, which nobody tries again on the way."""
    question = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n" if number % 2 else b"GET / HTTP/1.1\r\n"
    body = b"a=b" if number % 2 else b""
    try:
        with socket.create_connection((host, port), timeout=20) as stream:
            stream.sendall(question + b"Host: load\r\nConnection: close\r\n\r\n" + body)
            answer = b"".join(iter(lambda: stream.recv(65536), b""))
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    if not answer.startswith(b"HTTP/1.1 200 "):
        return answer[:80].decode(errors="replace") or "an empty answer"
    return None if b'"release"' in answer and b"}" in answer else "cut short: " + answer[-80:].decode(errors="replace")


def load(host, port, stop, good, bad):
    for number in itertools.count():
        if stop.is_set():
            return
        found = ask(host, port, number)
        if found is None:
            with good.get_lock():
                good.value += 1
        else:
            bad.put((time.time(), found))


def release(folder, number):
    app = folder + "/app"
    os.makedirs(app + "/lib", exist_ok=True)
    for part in range(FILES):
        with open(f"{app}/lib/part{part}.php", "w") as out:
            out.write(f"<?php return {number};\n")
    with open(app + "/index.php", "w") as out:
        out.write(PAGE % (FILES, number, number))


def main():
    wanted, program = int(sys.argv[1]), os.path.abspath(sys.argv[2])
    folder = tempfile.mkdtemp(prefix="lwload", dir="/tmp")
    os.chmod(folder, 0o755)
    values = {}
    number = 1

    def apply():
        variables = [f"-var={name}={value}" for name, value in values.items()]
        ran = subprocess.run([program, "apply", "-auto-approve", *variables], cwd=folder, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr

    with open(folder + "/main.stack.hcl", "w") as out:
        out.write(STACK % folder)
    release(folder, number)
    apply()
    url = subprocess.run([program, "output", "-raw", "url"], cwd=folder, capture_output=True, text=True).stdout.strip()
    host, port = url.removeprefix("http://").split(":")
    stop, good, bad = multiprocessing.Event(), multiprocessing.Value("Q", 0), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=load, args=(host, int(port), stop, good, bad)) for _ in range(4)]
    for worker in workers:
        worker.start()
    costs, began, rounds = collections.defaultdict(list), time.time(), 0
    try:
        while good.value < wanted:
            rounds += 1
            for change in ["scale up", "release", "algorithm", "environment", "workers", "page", "port", "scale down"]:
                if change == "release":
                    number += 1
                    release(folder, number)
                else:
                    name, value = {
                        "scale up": ("nodes", 6), "scale down": ("nodes", 2),
                        "algorithm": ("algorithm", random.choice(["roundrobin", "leastconn", "random"])),
                        "environment": ("word", f"w{rounds}"), "workers": ("workers", random.randint(2, 6)),
                        "page": ("page", f"/alive{rounds % 3}.php"), "port": ("port", 8080 + rounds % 4 * 10),
                    }[change]
                    values[name] = value
                before = time.time(), good.value
                apply()
                costs[change].append((time.time() - before[0], good.value - before[1]))
        last = json.loads(_page(host, int(port)))
        assert last["release"] == number and last["word"] == values["word"], last
    finally:
        stop.set()
        failures = []
        while any(worker.is_alive() for worker in workers) or not bad.empty():
            try:
                failures.append(bad.get(timeout=0.2))
            except Exception:
                pass
        subprocess.run([program, "destroy", "-auto-approve"], cwd=folder, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
    for change, all in costs.items():
        seconds, requests = (sum(one[at] for one in all) for at in (0, 1))
        print(f"{change}: {len(all)} times, {seconds / len(all):.1f} s and {requests // len(all)} requests each")
    for at, text in failures[:20]:
        print(f"BAD after {at - began:.1f} s: {text}")
    print(f"{good.value} requests in {time.time() - began:.0f} s through {rounds} rounds of {len(costs)} changes: {len(failures)} failed")
    return 1 if failures else 0


def _page(host, port):
    with socket.create_connection((host, port), timeout=20) as stream:
        stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: stream.recv(65536), b"")).split(b"\r\n\r\n", 1)[1].decode()


if __name__ == "__main__":
    sys.exit(main())
