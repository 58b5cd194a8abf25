# The folders of a machine, as root gets at them. Comes before `machine.py`, in one text.
import contextlib, errno, os, pwd, stat

ROOT = "/var/lib/lampwright/machine"
ACCOUNT = "lampwright-run"


class Refused(Exception):
    def __init__(self, kind, detail):
        self.kind, self.detail = kind, detail


# The services' account writes in some of the folders below ROOT. What it has made there leads root nowhere: a path is
# entered step by step, by handles, and no step follows a link; nothing can change between the look and the deed.
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def split(relative):
    names = relative.split("/")
    if not all(name not in ("", ".", "..") for name in names):
        raise Refused("path", "%s leads out of the machine's folder" % relative)
    return names


@contextlib.contextmanager
def at_root():
    handle = os.open(ROOT, FOLDER)
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def parent(relative):
    *folders, name = split(relative)
    with at_root() as handle, contextlib.ExitStack() as handles:
        for folder in folders:
            handle = enter(handle, folder, relative)
            handles.callback(os.close, handle)
        yield handle, name


def enter(handle, name, relative):
    try:
        return os.open(name, FOLDER, dir_fd=handle)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Refused("path", "%s leads out of the machine's folder: %s is no folder" % (relative, name))
        raise


# A plain file, opened to be read; None where there is none.
def opened(relative):
    try:
        with parent(relative) as (folder, name):
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Refused("path", "%s is no file" % relative)
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Refused("path", "%s is no file" % relative)
    return os.fdopen(handle, "rb")


def is_folder(handle, name):
    with contextlib.suppress(FileNotFoundError):
        return stat.S_ISDIR(os.lstat(name, dir_fd=handle).st_mode)
    return False


def account():
    entry = pwd.getpwnam(ACCOUNT)
    return entry.pw_uid, entry.pw_gid


# What services write in, and what they alone may read, is theirs; all else is root's, and they read it as its group.
def owner(is_theirs):
    uid, gid = account()
    return (uid if is_theirs else os.geteuid()), gid


# A folder and those above it. `theirs` are the folders that services write in. What is no folder and has its name goes.
def folder(relative, theirs):
    names = split(relative)
    with at_root() as handle, contextlib.ExitStack() as handles:
        for depth, name in enumerate(names, 1):
            if not is_folder(handle, name):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=handle)
                os.mkdir(name, 0o700, dir_fd=handle)
            handle = enter(handle, name, relative)
            handles.callback(os.close, handle)
            become(handle, 0o750, owner("/".join(names[:depth]) in theirs))


def become(handle, mode, owners):
    found = os.fstat(handle)
    if (found.st_uid, found.st_gid) != owners:
        os.fchown(handle, *owners)
    if stat.S_IMODE(found.st_mode) != mode:
        os.fchmod(handle, mode)


# Beside the target, so that the rename is atomic; on the disk before it, so that a power cut leaves old or new.
def write(relative, content, mode, owners):
    with parent(relative) as (folder, name):
        temporary = ".new-" + os.urandom(8).hex()
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(content)
                out.flush()
                os.fchown(out.fileno(), *owners)
                os.fchmod(out.fileno(), mode)
                os.fsync(out.fileno())
            try:
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except IsADirectoryError:
                clear(folder, name)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            raise


def unlink(relative):
    with contextlib.suppress(FileNotFoundError), parent(relative) as (folder, name):
        clear(folder, name)


# Whatever has the name: where a file belongs, an application may have made a folder.
def clear(folder, name):
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        for place, folders, files, handle in os.fwalk(name, topdown=False, dir_fd=folder, follow_symlinks=False):
            for one in files:
                os.unlink(one, dir_fd=handle)
            for one in folders:
                remove = os.rmdir if is_folder(handle, one) else os.unlink
                remove(one, dir_fd=handle)
        os.rmdir(name, dir_fd=folder)


def exists(relative):
    with contextlib.suppress(FileNotFoundError), parent(relative) as (folder, name):
        return stat.S_ISREG(os.lstat(name, dir_fd=folder).st_mode)
    return False


