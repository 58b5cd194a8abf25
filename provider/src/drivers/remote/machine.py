# Runs on a machine, as root, one call per connection: `python3 -c LOADER LENGTH OP`, with `beneath.py`, this text and
# then its input on standard input. Answers with one line of JSON: {"ok": ..} or {"error": kind, "detail": ..}. Needs only Python's library,
# which every image with cloud-init has.
import contextlib, glob, hashlib, json, os, re, shutil, signal, socket, stat, subprocess, sys, tarfile, time, urllib.error, urllib.request

PHASES = "/var/lib/lampwright/phases"
# A mount point, in a folder of root's.
DATA = ROOT + "/data"
# More than any application's file (64 MiB).
FILE_BYTES = 256 << 20
# Root's own: what it says is removed and started.
MANIFEST = "/var/lib/lampwright/manifest.json"
CHANGES = "/var/lib/lampwright/changes.log"


def manifest():
    try:
        with open(MANIFEST) as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        return {"files": [], "services": []}


# A secret that nobody else may read is the services'; all else they read as their group, and could change if it were theirs.
def is_theirs(entry):
    return entry["secret"] and not int(entry["mode"], 8) & 0o040


# How a file differs from what was installed, if it does.
def difference(entry):
    try:
        file = opened(entry["path"])
    except Refused:
        return "replaced"
    if file is None:
        return "removed"
    with file:
        digest = hashlib.sha256()
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
        found = os.fstat(file.fileno())
    if "sha256:" + digest.hexdigest() != entry["digest"]:
        return "content"
    if stat.S_IMODE(found.st_mode) != int(entry["mode"], 8):
        return "mode"
    return None if (found.st_uid, found.st_gid) == owner(is_theirs(entry)) else "owner"


def differs(entry):
    return difference(entry) is not None


# Files that nobody installed, in the folders that hold nothing else.
def added():
    known = {entry["path"] for entry in manifest()["files"]}
    with at_root() as root:
        for top in manifest().get("watched", []):
            # Not every machine has it; a link in its place is told by the files that are not below it.
            if not is_folder(root, top):
                continue
            for place, folders, names, handle in os.fwalk(top, dir_fd=root, follow_symlinks=False):
                links = [name for name in folders if not is_folder(handle, name)]
                for name in sorted(names + links):
                    relative = os.path.join(place, name)
                    if relative not in known:
                        yield relative


def program(name):
    for place in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        if os.access(os.path.join(place, name), os.X_OK):
            return os.path.join(place, name)
        versions = sorted(glob.glob(os.path.join(place, name) + "[0-9]*"))
        if versions:
            return versions[-1]
    raise Refused("missing-program", name)


def unit(service):
    return "lampwright-%s.service" % service["name"]


def systemctl(*args):
    return subprocess.run(["systemctl", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def main_pid(service):
    pid = int(systemctl("show", "-p", "MainPID", "--value", unit(service)).stdout.strip() or 0)
    return pid or None


# -- install: what differs is asked for, checked as a copy, and moved into place

def install(head, stream):
    wanted, services = head["manifest"], head["services"]
    if not os.path.isdir(os.path.dirname(ROOT)):
        raise Refused("boot", "the machine was not prepared")
    with_its_disk()
    theirs = set(head["folders"])
    # On machines that are older than this rule the account owned everything.
    with at_root() as handle:
        become(handle, 0o750, owner(False))
    for name in [*theirs, *{os.path.dirname(entry["path"]) for entry in wanted["files"]} - {""}]:
        folder(name, theirs)
    changed = [entry["path"] for entry in wanted["files"] if differs(entry)]
    names = {entry["path"] for entry in wanted["files"]}
    obsolete = [entry["path"] for entry in manifest()["files"] if entry["path"] not in names]
    # A check looks at the whole configuration, also at what did not change.
    checked = [name for name in names if name.startswith("etc/")] if any(name.startswith("etc/") for name in changed) else []
    print(json.dumps({"send": sorted(set(changed) | set(checked))}), flush=True)
    contents = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            contents[member.name] = archive.extractfile(member).read()
    entries = {entry["path"]: entry for entry in wanted["files"]}
    if checked:
        check(head, {name: (contents[name], entries[name]) for name in checked})
    for name in changed:
        write(name, contents[name], int(entries[name]["mode"], 8), owner(is_theirs(entries[name])))
    for name in obsolete:
        unlink(name)
    if changed or obsolete or manifest() != wanted:
        with open(MANIFEST + ".new", "w") as out:
            json.dump(wanted, out)
            out.flush()
            os.fsync(out.fileno())
        os.rename(MANIFEST + ".new", MANIFEST)
    units(services)
    strangers = list(added())
    for name in strangers:
        unlink(name)
    return sorted(changed + obsolete + strangers)


# Without its disk a database would write to the disk that goes with the machine. A run that was cut off may have left
# it attached, and not mounted.
def with_its_disk():
    if needs_disk() and not os.path.ismount(DATA):
        mount_disk(10)


def check(head, files):
    copy = ROOT + "/new"
    shutil.rmtree(copy, ignore_errors=True)
    theirs = {"new/" + name for name in head["folders"]}
    try:
        for name in theirs:
            folder(name, theirs)
        for name, (content, entry) in files.items():
            folder(os.path.dirname("new/" + name), theirs)
            write("new/" + name, content.replace(ROOT.encode(), copy.encode()), int(entry["mode"], 8), owner(is_theirs(entry)))
        for service in head["services"]:
            config = os.path.join(copy, service["config"])
            args = [config if arg == head["checked"] else arg for arg in service["check"]]
            command = ["setpriv", "--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups", program(service["program"]), *args]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=copy, timeout=30)
            if done.returncode != 0:
                text = done.stdout.decode(errors="replace").replace(copy, ROOT)
                raise Refused("check", {"service": service["name"], "output": text[-4000:]})
    finally:
        shutil.rmtree(copy, ignore_errors=True)


UNIT = """[Unit]
Description=%(name)s, by lampwright
After=network-online.target local-fs.target
%(mount)s
[Service]
Type=simple
# The shell opens the log as the account; systemd would do it as root, in a folder where the account can put a link.
ExecStart=/bin/sh -c 'exec "$$@" >>"$$0" 2>&1' %(root)s/log/%(name)s.out %(command)s
User=%(account)s
Group=%(account)s
WorkingDirectory=%(root)s
AmbientCapabilities=CAP_NET_BIND_SERVICE
KillMode=mixed
KillSignal=%(stop)s
TimeoutStopSec=15
Restart=on-failure
RestartSec=2
LimitNOFILE=65536
# mongod locks the memory that holds its keys, and ends if it may not.
LimitMEMLOCK=infinity
PrivateTmp=true
NoNewPrivileges=true

[Install]
WantedBy=multi-user.target
"""


def quoted(arg):
    return '"%s"' % arg.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")


def units(services):
    changed = False
    for service in services:
        command = " ".join([program(service["program"]), *map(quoted, service["args"])])
        mount = "RequiresMountsFor=%s/data\n" % ROOT if os.path.isdir(DATA) else ""
        text = UNIT % {"name": service["name"], "command": command, "account": ACCOUNT, "root": ROOT, "stop": service["stop"], "mount": mount}
        target = "/etc/systemd/system/" + unit(service)
        if not os.path.exists(target) or open(target).read() != text:
            with open(target + ".new", "w") as out:
                out.write(text)
            os.rename(target + ".new", target)
            changed = True
    if changed:
        systemctl("daemon-reload")
        systemctl("enable", *[unit(service) for service in services])


# -- services

def is_active(service):
    return systemctl("is-active", unit(service)).stdout.strip() == "active"


def start(head, _):
    with_its_disk()
    services = head["services"]
    if all(is_active(service) for service in services):
        return None
    for service in reversed(services):
        systemctl("stop", unit(service))
    for service in services:
        for name in service["logs"]:
            # Whatever an application has put into the place of a log would keep its daemon from starting.
            try:
                with opened(name) or contextlib.nullcontext():
                    pass
            except Refused:
                unlink(name)
        systemctl("reset-failed", unit(service))
        told = systemctl("start", unit(service)).stderr.strip()
        deadline = time.monotonic() + 20
        while not (exists(service["pid_file"]) and is_active(service)):
            restarts = systemctl("show", "-p", "NRestarts", "--value", unit(service)).stdout.strip()
            if time.monotonic() > deadline or restarts not in ("", "0") or systemctl("is-failed", unit(service)).stdout.strip() == "failed":
                raise Refused("start", {"service": service["name"], "log": "\n".join(filter(None, [told, log(service)]))})
            time.sleep(0.02)
    return None


# What a person needs to see: complaints, if there are any, else the last words. It gets onto a terminal.
def log(service):
    names = []
    # Not every daemon has logs of its own.
    with contextlib.suppress(FileNotFoundError), parent("log/any") as (folder, _):
        names = [(os.lstat(name, dir_fd=folder).st_mtime, name) for name in os.listdir(folder)]
    lines = []
    for _, name in sorted(names):
        with contextlib.suppress(Refused), opened("log/" + name) or contextlib.nullcontext() as file:
            if file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 200000))
                text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", " ", file.read(200000).decode(errors="replace"))
                lines += [line[:400] for line in text.splitlines()]
    complaints = [line for line in lines if re.search(r'"s":"[FE]"|[Ee]rror|ERROR|FATAL|emerg|ALERT', line)]
    state = systemctl("show", "-p", "ActiveState,SubState,Result", unit(service)).stdout.split()
    return "\n".join((complaints or lines)[-5:] + [" ".join(state)])


def stop(head, _):
    for service in reversed(head["services"]):
        systemctl("stop", unit(service))


def send_signal(head, _):
    pid = main_pid(head["service"])
    if pid:
        os.kill(pid, getattr(signal, head["signal"]))


# The word and what is to be said beyond it.
def status(_head, _):
    services = manifest()["services"]
    if not services or not os.path.exists(MANIFEST):
        return ["created", ""]
    started = [service for service in services if os.path.exists("/etc/systemd/system/" + unit(service))]
    if len(started) < len(services):
        return ["created", ""]
    dead = [service["name"] for service in services if not is_active(service)]
    if dead:
        return ["stopped", " ".join(dead)]
    for service in services:
        held = held_process(service)
        if held:
            return ["hung", "%s: process %s was stopped by a signal" % (service["name"], held)]
    room = os.statvfs(ROOT)
    if room.f_bavail * room.f_frsize < 1 << 20 or (room.f_files and not room.f_favail):
        return ["full", "the disk of %s has no room" % ROOT]
    changed = any(differs(entry) for entry in manifest()["files"]) or any(True for _ in added())
    return ["changed" if changed else "running", ""]


# A process of a service that was stopped by a signal (proc(5), state T); a debugger's is none.
def held_process(service):
    group = systemctl("show", "-p", "ControlGroup", "--value", unit(service)).stdout.strip()
    try:
        with open("/sys/fs/cgroup%s/cgroup.procs" % group) as file:
            pids = file.read().split()
    except OSError:
        pids = [str(main_pid(service) or 0)]
    for pid in pids:
        try:
            with open("/proc/%s/stat" % pid) as file:
                if file.read().rsplit(") ", 1)[1].startswith("T"):
                    return pid
        except (OSError, IndexError):
            continue
    return None


# What was installed last.
def installed(_head, _):
    return manifest() if os.path.exists(MANIFEST) else None


# Names of files, and what is in them as long as that is little.
def drift(_head, _):
    import base64
    found = [(entry["path"], difference(entry)) for entry in manifest()["files"]]
    found = [(name, kind) for name, kind in found if kind] + [(name, "added") for name in added()]
    answer = []
    for name, kind in sorted(found):
        one = {"path": name, "kind": kind}
        with contextlib.suppress(OSError, Refused), opened(name) or contextlib.nullcontext() as file:
            there = file and os.fstat(file.fileno())
            if there and there.st_size <= 1 << 20:
                one.update(content=base64.b64encode(file.read()).decode(), mode=stat.S_IMODE(there.st_mode))
        answer.append(one)
    return answer


# -- small things

def ask(head, _):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    # By its handle: a link to another socket is not followed.
    with parent(head["socket"]) as (folder, name):
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISSOCK(os.fstat(handle).st_mode):
            raise Refused("path", "%s is no socket" % head["socket"])
        connection.connect("/proc/self/fd/%d" % handle)
    finally:
        os.close(handle)
    connection.sendall(head["line"].encode() + b"\n")
    connection.shutdown(socket.SHUT_WR)
    answer = b""
    while len(answer) < 16 << 20:
        part = connection.recv(65536)
        if not part:
            break
        answer += part
    return answer.decode(errors="replace")


# What this machine itself answers: where it sends a client on to is another question.
class Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def probe(head, _):
    try:
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (head["port"], head["path"]))
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), Stays).open(request, timeout=2) as answer:
            return [answer.status, answer.read(65536).decode(errors="replace")]
    except urllib.error.HTTPError as error:
        return [error.code, error.read(65536).decode(errors="replace")]
    except OSError:
        return None


def read(head, _):
    import base64
    file = opened(head["path"])
    if file is None:
        return None
    with file:
        return base64.b64encode(file.read(FILE_BYTES)).decode()


# A part of a file that daemons go on writing, and where it ends.
def tail(head, _):
    import base64
    file = opened(head["path"])
    if file is None:
        return None
    with file:
        size = os.fstat(file.fileno()).st_size
        start = max(0, size - head["limit"]) if head["from"] is None else head["from"] if head["from"] <= size else 0
        file.seek(start)
        content = file.read(head["limit"])
        return [base64.b64encode(content).decode(), start + len(content)]


def put(head, _):
    import base64
    write(head["path"], base64.b64decode(head["content"]), 0o640, owner(True))


def remove(head, _):
    unlink(head["path"])


def phases(_head, _):
    try:
        with open(PHASES) as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


# The data disk, after it was detached and came back, perhaps under another name. Only one that the caller has just made
# may be empty.
def mount(head, _):
    if not needs_disk():
        return None
    last = (phases(None, None) or [""])[-1]
    if not last.endswith(" ready") and " failed: " not in last:
        raise Refused("boot", "the machine is still booting")
    for service in reversed(manifest()["services"]):
        systemctl("stop", unit(service))
    while os.path.ismount(DATA):
        if subprocess.run(["umount", "-l", DATA], capture_output=True).returncode != 0:
            break
    mount_disk(60, head["is_empty"])
    return None


def needs_disk():
    with open("/etc/fstab") as table:
        return "LABEL=lampwright-data" in table.read()


def mount_disk(patience, is_empty=False):
    deadline = time.monotonic() + patience
    while True:
        device = find_disk(is_empty)
        if device:
            done = subprocess.run(["mount", device, DATA], capture_output=True, text=True)
            if done.returncode != 0:
                raise Refused("io", "the data disk could not be mounted: " + done.stderr.strip())
            os.chown(DATA, *account())
            return
        if time.monotonic() > deadline:
            raise Refused("io", "the data disk is not there")
        time.sleep(0.5)


def blkid(device, what):
    done = subprocess.run(["blkid", "-p", "-s", what, "-o", "value", device], capture_output=True, text=True)
    return done.returncode, done.stdout.strip()


# By the label that it got when it was formatted. Formatted is only what holds nothing at all (blkid says 2).
def find_disk(takes_empty):
    devices = glob.glob("/dev/vd[b-z]") + glob.glob("/dev/sd[b-z]") + glob.glob("/dev/xvd[b-z]") + glob.glob("/dev/nvme[0-9]n1")
    for device in devices:
        if blkid(device, "LABEL")[1] == "lampwright-data":
            return device
    with open("/proc/mounts") as table:
        mounted = [line.split()[0] for line in table]
    for device in devices if takes_empty else []:
        if any(name.startswith(device) for name in mounted) or not lasts(device):
            continue
        # blkid says 2 of what it cannot read, too.
        with open(device, "rb") as disk:
            disk.read(1 << 20)
        if blkid(device, "TYPE")[0] != 2 or blkid(device, "PTTYPE")[0] != 2:
            continue
        done = subprocess.run(["mkfs.ext4", "-q", "-L", "lampwright-data", "-m", "1", device], capture_output=True, text=True)
        if done.returncode != 0:
            raise Refused("io", "the data disk could not be formatted: " + done.stderr.strip())
        return device
    return None


# On EC2 there are disks that go with the machine; those that stay say so.
def lasts(device):
    try:
        with open("/sys/block/%s/device/model" % os.path.basename(device)) as model:
            return "nvme" not in device or "Amazon Elastic Block Store" in model.read()
    except OSError:
        return "nvme" not in device


# Before an image is made of the machine: takes away what is this machine's alone. The account that does it goes last.
def generalize(head, _):
    for name in [ROOT, MANIFEST, PHASES, CHANGES, "/etc/sudoers.d/90-cloud-init-users"] + glob.glob("/etc/ssh/ssh_host_*"):
        if os.path.isdir(name):
            shutil.rmtree(name)
        elif os.path.exists(name):
            os.unlink(name)
    subprocess.run(["apt-get", "clean"], capture_output=True)
    cleaned = subprocess.run(["cloud-init", "clean", "--logs"], capture_output=True, text=True)
    if cleaned.returncode != 0:
        raise Refused("io", "cloud-init clean: " + cleaned.stderr.strip())
    # systemd makes a new one at the next boot ("Building images", systemd.io).
    open("/etc/machine-id", "w").close()
    subprocess.run(["userdel", "--force", "--remove", head["account"]], capture_output=True)
    os.sync()


# The key that came with the user-data may be shared by machines that were made by one call; this one is the
# machine's alone.
def own_host_key(head, _):
    target = "/etc/ssh/ssh_host_ed25519_key"
    for name, content, mode in ((target, head["private"], 0o600), (target + ".pub", head["public"], 0o644)):
        with open(name + ".new", "w") as out:
            os.fchmod(out.fileno(), mode)
            out.write(content)
        os.rename(name + ".new", name)
    with open("/etc/hostname", "w") as out:
        out.write(head["name"] + "\n")
    # Without this line sudo asks the network for the machine's own name, and waits where nobody answers.
    with open("/etc/hosts", "a") as out:
        out.write("127.0.1.1 %s\n" % head["name"])
    subprocess.run(["hostname", head["name"]])
    # Debian's name for it, and everybody else's.
    if systemctl("reload", "ssh.service").returncode != 0:
        systemctl("reload", "sshd.service")


# What was done here, by whichever run: one line for each call that changed something or failed.
def note(op, head, result):
    what = {"install": lambda: " ".join(result.get("ok") or []), "signal": lambda: "%s %s" % (head["signal"], head["service"]["name"]),
            "start": lambda: " ".join(service["name"] for service in head["services"]), "write": lambda: head["path"], "remove": lambda: head["path"]}
    if op in ("status", "installed", "drift", "ask", "probe", "read", "tail", "phases") or (op == "install" and result.get("ok") == []):
        return
    detail = json.dumps(result) if "error" in result else what[op]() if op in what else ""
    with open(CHANGES, "a") as out:
        out.write("%s %s %s\n" % (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), op, detail))


OPS = {"install": install, "start": start, "stop": stop, "signal": send_signal, "status": status, "installed": installed, "drift": drift, "ask": ask, "probe": probe,
       "read": read, "tail": tail, "write": put, "remove": remove, "phases": phases, "mount": mount, "own_host_key": own_host_key, "generalize": generalize}

op, head = sys.argv[2], json.loads(sys.stdin.buffer.readline())
try:
    result = {"ok": OPS[op](head, sys.stdin.buffer)}
except Refused as refused:
    result = {"error": refused.kind, "detail": refused.detail}
except (OSError, subprocess.SubprocessError, tarfile.TarError) as error:
    result = {"error": "io", "detail": "%s: %s" % (type(error).__name__, error)}
try:
    note(op, head, result)
except OSError:
    # A disk that is full is told by what could not be done, not by what could not be noted.
    pass
print(json.dumps(result), flush=True)
