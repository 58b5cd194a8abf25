"""Boots a real machine for every instance that a cloud's API lists, at the addresses that it reports, with its
user-data, its disks and its firewall, and stops it when the instance goes.

usage: watch.py --images DIR --state DIR [--aws URL] [--openstack OPENRC]

Needs root and Linux. A machine is systemd-nspawn over a root file system (machines/image) in a network namespace of
its own; everything that is made lives below --state or carries the prefix `lwm`, and is removed at the end (SIGTERM).
"""
import argparse, os, shutil, signal, subprocess, sys, time, traceback
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from apis import Aws, OpenStack

BRIDGE = "lwm0"
HOST = "10.254.254.1"
POLL = 0.3


def run(*args, check=True, **options):
    done = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    if check and done.returncode != 0:
        raise RuntimeError("%s: %s" % (" ".join(args), done.stderr.strip()))
    return done.stdout


def say(*words):
    print("%.1f" % time.time(), *words, flush=True)


class Machine:
    def __init__(self, number, wanted, user_data, lower, state):
        self.wanted, self.lower = wanted, lower
        self.process = None
        self.name = "lwm%d" % number
        self.folder = os.path.join(state, "machines", wanted.ident)
        self.volumes = os.path.join(state, "volumes")
        self.loops, self.rules, self.public = {}, None, []
        self.user_data = user_data

    def start(self):
        root = self.folder + "/root"
        for part in ("upper", "work", "root"):
            os.makedirs(os.path.join(self.folder, part), exist_ok=True)
        os.makedirs(self.volumes, exist_ok=True)
        run("mount", "-t", "overlay", "overlay", "-o", "lowerdir=%s,upperdir=%s/upper,workdir=%s/work" % (":".join(self.lower), self.folder, self.folder), root)
        seed = root + "/var/lib/cloud/seed/nocloud"
        os.makedirs(seed, exist_ok=True)
        with open(seed + "/user-data", "wb") as out:
            out.write(self.user_data)
        with open(seed + "/meta-data", "w") as out:
            out.write("instance-id: %s\nlocal-hostname: %s\n" % (self.wanted.ident, self.wanted.name))
        shutil.copy("/etc/resolv.conf", root + "/etc/resolv.conf")
        self.network()
        self.firewall(self.wanted.ingress)
        if self.wanted.is_running:
            self.boot()

    def boot(self):
        began = time.time()
        root = self.folder + "/root"
        console = open(self.folder + "/console", "ab")
        self.process = subprocess.Popen(["systemd-nspawn", "--boot", "--quiet", "--register=no", "--keep-unit", "-D", root, "-M", self.name,
                                         "--network-namespace-path=/run/netns/" + self.name, "--resolv-conf=off", "--rlimit=RLIMIT_MEMLOCK=infinity", "--capability=CAP_IPC_LOCK,CAP_SYS_RESOURCE"],
                                        stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True)
        self.init = None
        while self.init is None and self.process.poll() is None:
            # Its first child only prepares; the one that stays is the machine's own init.
            for child in run("pgrep", "-P", str(self.process.pid), check=False).split():
                try:
                    if os.readlink("/proc/%s/ns/mnt" % child) != os.readlink("/proc/self/ns/mnt") and open("/proc/%s/comm" % child).read().strip() in ("systemd", "init"):
                        self.init = child
                except OSError:
                    pass
            time.sleep(0.02)
        say("booted", self.name, self.wanted.ident, self.wanted.name, *self.wanted.addresses, "in %.1f s" % (time.time() - began))

    def network(self):
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self.name + "h", "type", "veth", "peer", "name", "host0", "netns", self.name)
        run("ip", "link", "set", self.name + "h", "master", BRIDGE, "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        run("ip", "-n", self.name, "link", "set", "host0", "up")
        self.address(self.wanted.addresses)

    def address(self, addresses):
        for address in addresses:
            if address not in self.public:
                run("ip", "-n", self.name, "addr", "add", address + "/32", "dev", "host0")
                run("ip", "route", "replace", address + "/32", "dev", BRIDGE, "src", HOST)
                self.public.append(address)
        # Inside of its cloud a machine is known by its private address, outside by its public one, if it has one: as
        # behind the address translation of a cloud.
        if addresses:
            network = ".".join(addresses[0].split(".")[:2]) + ".0.0/16"
            run("ip", "-n", self.name, "route", "replace", network, "dev", "host0", "src", addresses[0])
            run("ip", "-n", self.name, "route", "replace", HOST + "/32", "dev", "host0", "src", addresses[0])
            run("ip", "-n", self.name, "route", "replace", "default", "dev", "host0", "src", addresses[-1])

    def firewall(self, ingress):
        if ingress == self.rules:
            return
        lines = ["table inet lw {}", "flush table inet lw", "table inet lw { chain input { type filter hook input priority 0; policy drop;",
                 "ct state established,related accept", "iif lo accept", "icmp type echo-request accept"]
        for protocol, low, high, source in ingress:
            match = "ip saddr %s " % source if source != "0.0.0.0/0" else ""
            if protocol in ("tcp", "udp"):
                match += "%s dport %s " % (protocol, low if low == high else "%s-%s" % (low or 0, high or 65535))
            elif protocol == "icmp":
                match += "meta l4proto icmp "
            lines.append(match + "accept")
        # An address of its own is always itself, whichever of its addresses it used.
        lines += ["ip saddr %s accept" % address for address in self.wanted.addresses]
        lines.append("}\n}\n")
        subprocess.run(["ip", "netns", "exec", self.name, "nft", "-f", "-"], input="\n".join(lines), text=True, check=True)
        self.rules = ingress

    def disks(self, disks):
        device = self.wanted.device
        names = [ident for ident, _ in disks]
        for ident in [ident for ident in self.loops if ident not in names]:
            # Who uses a disk that is gone gets errors; a database ends over them.
            for pid in run("pgrep", "mongod", check=False).split():
                try:
                    if os.stat("/proc/%s/ns/net" % pid).st_ino == os.stat("/run/netns/" + self.name).st_ino:
                        os.kill(int(pid), signal.SIGKILL)
                except OSError:
                    pass
            self.inside("umount", "-l", "/var/lib/lampwright/machine/data", check=False)
            self.inside("rm", "-f", device)
            run("losetup", "-d", self.loops.pop(ident), check=False)
            say("detached", ident, "from", self.name)
        for ident, size in disks:
            if ident in self.loops:
                continue
            file = os.path.join(self.volumes, ident)
            if not os.path.exists(file):
                with open(file, "wb") as out:
                    out.truncate(size << 30)
            loop = run("losetup", "-f", "--show", file).strip()
            self.loops[ident] = loop
            self.inside("mknod", device, "b", "7", loop.removeprefix("/dev/loop"))
            if device.startswith("/dev/vd"):
                # As virtio shows it: by the first 20 characters of the volume's id.
                self.inside("mkdir", "-p", "/dev/disk/by-id")
                self.inside("ln", "-sf", device, "/dev/disk/by-id/virtio-" + ident[:20])
            say("attached", ident, "to", self.name)

    def inside(self, *command, check=True):
        return run("nsenter", "-t", self.init, "-m", "--", *command, check=check)

    def update(self, wanted):
        self.wanted = wanted
        self.address(wanted.addresses)
        self.firewall(wanted.ingress)
        if wanted.is_running and self.process is None:
            self.boot()
        elif not wanted.is_running and self.process is not None:
            self.power_off()
            say("switched off", self.name, wanted.ident)
        if self.process is not None:
            self.disks(wanted.disks)

    # As a cloud does it: no time to finish anything.
    def power_off(self):
        if self.process is not None and self.process.poll() is None:
            if self.init:
                try:
                    os.kill(int(self.init), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        for loop in self.loops.values():
            run("losetup", "-d", loop, check=False)
        self.loops = {}

    # A disk that nobody writes to is a folder that nobody writes to.
    def keep(self, folder):
        run("cp", "-a", self.folder + "/upper", folder + ".new")
        os.rename(folder + ".new", folder)
        say("kept", self.wanted.ident, "as", folder)

    def stop(self):
        self.power_off()
        run("umount", "-l", self.folder + "/root", check=False)
        run("ip", "netns", "del", self.name, check=False)
        run("ip", "link", "del", self.name + "h", check=False)
        for address in self.public:
            run("ip", "route", "del", address + "/32", "dev", BRIDGE, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        say("stopped", self.name, self.wanted.ident)


class Images:
    """The root file systems that images stand for: those of machines/image, and what machines were kept as."""

    def __init__(self, given, state):
        self.given, self.folder, self.lower = given, os.path.join(state, "images"), {}
        os.makedirs(self.folder, exist_ok=True)

    def of(self, name):
        if name in self.lower:
            return self.lower[name]
        return ([self.given + "/daemons"] if name.startswith("lamp-") else []) + [self.given + "/base"]

    # An image that is deleted stays here: machines may still be made of it.
    def keep(self, cloud, machines, wanted):
        for kept in cloud.kept():
            machine = machines.get(kept.source, (None, None))[1]
            folder = os.path.join(self.folder, kept.ident)
            is_off = kept.source not in wanted or not wanted[kept.source].is_running
            if machine and is_off and not os.path.exists(folder):
                machine.power_off()
                machine.keep(folder)
                self.lower[kept.name] = [folder] + machine.lower
            if not kept.is_done and os.path.exists(folder):
                cloud.finish(kept)


class Host:
    """What the host lends to the machines: a bridge, and the way to the distribution's packages."""

    def __init__(self):
        run("ip", "link", "del", BRIDGE, check=False)
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "addr", "add", HOST + "/32", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        self.before = {}
        # Every machine's systemd takes some inotify instances out of one purse.
        for name, value in (("net/ipv4/ip_forward", "1"), ("net/ipv4/conf/%s/proxy_arp" % BRIDGE, "1"), ("fs/inotify/max_user_instances", "8192")):
            path = "/proc/sys/" + name
            self.before[path] = open(path).read()
            with open(path, "w") as out:
                out.write(value)
        subprocess.run(["nft", "-f", "-"], input='table ip lwm {}\nflush table ip lwm\ntable ip lwm { chain post { type nat hook postrouting priority 100; iifname "%s" oifname != "%s" masquerade; }\n}\n' % (BRIDGE, BRIDGE), text=True, check=True)

    def close(self):
        run("nft", "delete", "table", "ip", "lwm", check=False)
        run("ip", "link", "del", BRIDGE, check=False)
        for path, value in self.before.items():
            if os.path.exists(path):
                with open(path, "w") as out:
                    out.write(value)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", required=True)
    parser.add_argument("--state", required=True)
    parser.add_argument("--aws")
    parser.add_argument("--openstack")
    options = parser.parse_args()
    clouds = ([Aws(options.aws)] if options.aws else []) + ([OpenStack(options.openstack)] if options.openstack else [])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    os.makedirs(options.state, exist_ok=True)
    host = Host()
    machines, number = {}, 0
    images = Images(options.images, options.state)
    say("watching")
    try:
        with ThreadPoolExecutor(8) as pool:
            while True:
                for cloud in clouds:
                    try:
                        wanted = {one.ident: one for one in cloud.wanted() if one.addresses}
                        images.keep(cloud, machines, wanted)
                    except (OSError, ET.ParseError, ValueError, KeyError) as error:
                        # The API is away or being broken on purpose: what runs goes on running.
                        say("the API does not answer:", error)
                        continue
                    work = []
                    for ident, (owner, machine) in list(machines.items()):
                        if owner is cloud and ident not in wanted:
                            work.append(pool.submit(machine.stop))
                            del machines[ident]
                    fresh = []
                    for ident, one in wanted.items():
                        if ident not in machines:
                            number += 1
                            machine = Machine(number, one, cloud.user_data(one), images.of(one.image), options.state)
                            machines[ident] = (cloud, machine)
                            fresh.append((one, machine, pool.submit(machine.start)))
                        else:
                            work.append(pool.submit(machines[ident][1].update, one))
                    for done in [started for _, _, started in fresh] + [*work]:
                        try:
                            done.result()
                        except Exception:
                            traceback.print_exc()
                time.sleep(POLL)
    finally:
        for _, machine in machines.values():
            try:
                machine.stop()
            except Exception:
                traceback.print_exc()
        host.close()
        shutil.rmtree(options.state, ignore_errors=True)


main()
