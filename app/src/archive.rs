//! Folders and tar archives that hold the same: what goes into one comes out of the other.
//!
//! Archives are reproducible: the same files give the same bytes, since nothing of when, where or by whom they were made is
//! in them. A target is written beside its place and moved there whole; what was cut off leaves nothing but a hidden
//! temporary file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// How much of an archive is read at most, unpacked: what says that it has more is out to fill the memory.
pub const MODULE_LIMIT: u64 = 256 << 20;
pub const BUNDLE_LIMIT: u64 = 2 << 30;
/// The permissions that decide what a file can do: execute, set-user-id, sticky. The others follow the umask, or version
/// control, and are not compared.
pub const MEANT: u32 = 0o7111;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub mode: u32,
    pub content: Vec<u8>,
}

pub type Entries = BTreeMap<String, Entry>;

/// What a path names by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Folder,
    Tar,
    TarGz,
}

impl Form {
    pub fn of(path: &Path) -> Form {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match () {
            () if name.ends_with(".tar") => Form::Tar,
            () if name.ends_with(".tar.gz") || name.ends_with(".tgz") => Form::TarGz,
            () => Form::Folder,
        }
    }
}

/// A folder or an archive that is being written.
pub struct Pack {
    sink: Sink,
    temporary: PathBuf,
    target: PathBuf,
}

enum Sink {
    Folder,
    Archive(Box<tar::Builder<Stream>>),
    Done,
}

enum Stream {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(file) => file.write(bytes),
            Stream::Gzip(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(file) => file.flush(),
            Stream::Gzip(encoder) => encoder.flush(),
        }
    }
}

impl Pack {
    pub fn create(target: &Path) -> io::Result<Pack> {
        let target = std::path::absolute(target)?;
        let parent = target.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = parent.join(format!(".{name}.{}.new", std::process::id()));
        // Of a process that had the same number.
        let _ = std::fs::remove_dir_all(&temporary).or_else(|_| std::fs::remove_file(&temporary));
        // Never what somebody else has put there, such as a link, where others may write.
        let stream = || File::options().create_new(true).write(true).open(&temporary).map(BufWriter::new);
        let archive = |stream| Sink::Archive(Box::new(tar::Builder::new(stream)));
        let sink = match Form::of(&target) {
            Form::Folder => std::fs::create_dir(&temporary).map(|()| Sink::Folder)?,
            Form::Tar => archive(Stream::Plain(stream()?)),
            // Without a name and a time in its header.
            Form::TarGz => archive(Stream::Gzip(Box::new(GzEncoder::new(stream()?, Compression::best())))),
        };
        Ok(Pack { sink, temporary, target })
    }

    /// Adds a file. Paths are relative and plain.
    pub fn add(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        match &mut self.sink {
            Sink::Folder => {
                let target = self.temporary.join(path);
                std::fs::create_dir_all(target.parent().unwrap_or(&self.temporary))?;
                let mut file = File::options().create_new(true).write(true).mode(mode).open(&target)?;
                file.write_all(content)?;
                // Whatever the umask is.
                file.set_permissions(std::fs::Permissions::from_mode(mode))
            }
            Sink::Archive(builder) => {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(content.len() as u64);
                header.set_mode(mode);
                header.set_mtime(0);
                header.set_uid(0);
                header.set_gid(0);
                builder.append_data(&mut header, path, content)
            }
            Sink::Done => Ok(()),
        }
    }

    /// Puts it into its place, instead of what is there.
    pub fn finish(mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.sink, Sink::Done) {
            Sink::Folder if self.target.exists() => {
                let old = self.temporary.with_extension("old");
                std::fs::rename(&self.target, &old)?;
                if let Err(error) = std::fs::rename(&self.temporary, &self.target) {
                    std::fs::rename(&old, &self.target)?;
                    return Err(error);
                }
                std::fs::remove_dir_all(old)
            }
            Sink::Archive(builder) => {
                let file = match builder.into_inner()? {
                    Stream::Plain(file) => file,
                    Stream::Gzip(encoder) => encoder.finish()?,
                };
                file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
                std::fs::rename(&self.temporary, &self.target)
            }
            Sink::Folder | Sink::Done => std::fs::rename(&self.temporary, &self.target),
        }
    }
}

/// What was not finished leaves nothing.
impl Drop for Pack {
    fn drop(&mut self) {
        if self.temporary.is_dir() {
            let _ = std::fs::remove_dir_all(&self.temporary);
        } else {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// The files of a folder or an archive, by path.
pub fn read(path: &Path, limit: u64) -> io::Result<Entries> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return read_folder(path, limit);
    }
    if !metadata.is_file() {
        return Err(refused("it is neither a file nor a folder".to_owned()));
    }
    read_archive(BufReader::new(File::open(path)?), Form::of(path), limit)
}

/// The paths of all files in a folder, sorted. Nothing is read; what is no file is refused.
pub fn paths(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    walk(folder, "", &|_| false, &mut |path, _| {
        found.push(path);
        Ok(())
    })?;
    Ok(found)
}

/// Visits the files of a folder, sorted; some are left out by their paths.
pub fn walk(
    folder: &Path,
    prefix: &str,
    is_left_out: &dyn Fn(&str) -> bool,
    visit: &mut dyn FnMut(String, &std::fs::DirEntry) -> io::Result<()>,
) -> io::Result<()> {
    let mut entries: Vec<std::fs::DirEntry> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else {
            return Err(refused(format!("{} has a name that is not UTF-8", entry.path().display())));
        };
        let path = format!("{prefix}{name}");
        if is_left_out(&path) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), &format!("{path}/"), is_left_out, visit)?;
        } else if kind.is_file() {
            visit(path, &entry)?;
        } else {
            return Err(refused(format!("{path} is neither a file nor a folder")));
        }
    }
    Ok(())
}

fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn too_large(limit: u64) -> io::Error {
    refused(format!("it holds more than {} MiB", limit >> 20))
}

fn read_folder(folder: &Path, limit: u64) -> io::Result<Entries> {
    let mut files = Entries::new();
    let mut total = 0;
    walk(folder, "", &|_| false, &mut |path, entry| {
        let metadata = entry.metadata()?;
        total += metadata.len();
        if total > limit {
            return Err(too_large(limit));
        }
        let mode = metadata.permissions().mode() & 0o7777;
        files.insert(path, Entry { mode, content: std::fs::read(entry.path())? });
        Ok(())
    })?;
    Ok(files)
}

/// The files of an archive, from its bytes.
pub fn read_archive(bytes: impl io::Read, form: Form, limit: u64) -> io::Result<Entries> {
    match form {
        Form::TarGz => read_tar(GzDecoder::new(bytes), limit),
        Form::Tar | Form::Folder => read_tar(bytes, limit),
    }
}

fn read_tar(reader: impl io::Read, limit: u64) -> io::Result<Entries> {
    // Headers and names count, too.
    let mut reader = reader.take(limit);
    let read = read_entries(&mut reader);
    if reader.limit() == 0 {
        return Err(too_large(limit));
    }
    let files = read?;
    // To the end: behind it the checksum of what was compressed is compared.
    io::copy(&mut reader, &mut io::sink())?;
    if reader.limit() == 0 { Err(too_large(limit)) } else { Ok(files) }
}

fn read_entries(reader: &mut impl io::Read) -> io::Result<Entries> {
    let mut files = Entries::new();
    for entry in tar::Archive::new(reader).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        match entry.header().entry_type() {
            tar::EntryType::Directory => continue,
            tar::EntryType::Regular => {}
            other => return Err(refused(format!("it holds {name}, which is no file ({other:?})"))),
        }
        let Some(path) = plain(&entry.path()?) else {
            return Err(refused(format!("it holds {name}, which would lie outside of it")));
        };
        let mode = entry.header().mode()? & 0o7777;
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        if content.len() as u64 != entry.size() {
            return Err(refused(format!("it ends within {name}")));
        }
        if files.insert(path, Entry { mode, content }).is_some() {
            return Err(refused(format!("it holds {name} twice")));
        }
    }
    Ok(files)
}

/// A path of names alone, which cannot lead out of a folder.
fn plain(path: &Path) -> Option<String> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => names.push(name.to_str()?),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => return None,
        }
    }
    (!names.is_empty()).then(|| names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(target: &Path) {
        let mut pack = Pack::create(target).unwrap();
        pack.add("web-1/etc/httpd.conf", 0o644, b"Listen 80\n").unwrap();
        pack.add("manifest.json", 0o600, b"{}").unwrap();
        pack.finish().unwrap();
    }

    #[test]
    fn folders_and_archives_hold_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let targets = ["out", "out.tar", "out.tgz"].map(|name| folder.path().join(name));
        targets.iter().for_each(|target| packed(target));
        let found: Vec<_> = targets.iter().map(|target| read(target, MODULE_LIMIT).unwrap()).collect();
        assert_eq!(found[0].keys().collect::<Vec<_>>(), ["manifest.json", "web-1/etc/httpd.conf"]);
        assert!(found.iter().all(|files| *files == found[0]));
        let mode = std::fs::metadata(targets[0].join("manifest.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Again, over what is there; the same bytes, and nothing else beside them.
        let before: Vec<_> = targets[1..].iter().map(|target| std::fs::read(target).unwrap()).collect();
        targets.iter().for_each(|target| packed(target));
        let after: Vec<_> = targets[1..].iter().map(|target| std::fs::read(target).unwrap()).collect();
        assert_eq!(before, after);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    /// Where others may write, too, the name of what is written first is no secret.
    #[test]
    fn a_link_that_was_put_in_the_way_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "ours").unwrap();
        for name in ["out.tar", "out"] {
            let planted = folder.path().join(format!(".{name}.{}.new", std::process::id()));
            std::os::unix::fs::symlink(&victim, &planted).unwrap();
            packed(&folder.path().join(name));
            assert_eq!(std::fs::read_to_string(&victim).unwrap(), "ours");
            assert!(!folder.path().join(name).is_symlink());
        }
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["out", "out.tar"] {
            let mut pack = Pack::create(&folder.path().join(name)).unwrap();
            pack.add("a", 0o644, b"a").unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    fn archive(write: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> io::Result<Entries> {
        let mut builder = tar::Builder::new(Vec::new());
        write(&mut builder);
        read_archive(&*builder.into_inner().unwrap(), Form::Tar, 1 << 20)
    }

    fn header(path: &[u8], kind: tar::EntryType) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(0);
        header.set_cksum();
        header
    }

    #[test]
    fn hostile_archives_are_refused() {
        for path in ["../evil", "/etc/passwd", "a/../../evil", "."] {
            let header = header(path.as_bytes(), tar::EntryType::Regular);
            let error = archive(|builder| builder.append(&header, io::empty()).unwrap()).unwrap_err();
            assert!(error.to_string().contains("outside of it"), "{error}");
        }
        let mut link = header(b"link", tar::EntryType::Symlink);
        link.set_link_name("/etc").unwrap();
        link.set_cksum();
        let error = archive(|builder| builder.append(&link, io::empty()).unwrap()).unwrap_err();
        assert!(error.to_string().contains("no file"), "{error}");
        for (one, other) in [("a/b", "a/b"), ("a/b", "a//b"), ("a/b", "./a/./b")] {
            let error = archive(|builder| {
                for path in [one, other] {
                    let header = header(path.as_bytes(), tar::EntryType::Regular);
                    builder.append(&header, io::empty()).unwrap();
                }
            });
            assert!(error.unwrap_err().to_string().contains("twice"));
        }
        // What looks like the root of the disk behind a dot stays inside.
        let inside = header(b".//tmp/file", tar::EntryType::Regular);
        let found = archive(|builder| builder.append(&inside, io::empty()).unwrap()).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["tmp/file"]);
    }

    #[test]
    fn archives_that_fill_the_memory_are_refused() {
        let large = vec![0; 2 << 20];
        let error = archive(|builder| {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(large.len() as u64);
            builder.append_data(&mut header, "large", &*large).unwrap();
        });
        assert_eq!(error.unwrap_err().to_string(), "it holds more than 1 MiB");
        // One that was cut off.
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(1000);
        builder.append_data(&mut header, "a", &[7; 1000][..]).unwrap();
        let error = read_archive(&builder.into_inner().unwrap()[..700], Form::Tar, 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "it ends within a");
        // A name that is as long.
        let error = archive(|builder| {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            builder.append_data(&mut header, "n".repeat(2 << 20), io::empty()).unwrap();
        });
        assert!(error.is_err());
    }
}
