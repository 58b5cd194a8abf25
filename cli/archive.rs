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

/// No archive that anybody means has more; one that says so is out to fill the memory.
const MAX_BYTES: u64 = 2 << 30;

/// What a path names by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Folder,
    Tar,
    TarGz,
}

impl Form {
    pub(crate) fn of(path: &Path) -> Form {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match () {
            () if name.ends_with(".tar") => Form::Tar,
            () if name.ends_with(".tar.gz") || name.ends_with(".tgz") => Form::TarGz,
            () => Form::Folder,
        }
    }
}

/// A folder or an archive that is being written.
pub(crate) struct Pack {
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
    Gzip(GzEncoder<BufWriter<File>>),
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
    pub(crate) fn create(target: &Path) -> io::Result<Pack> {
        let target = std::path::absolute(target)?;
        let parent = target.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = parent.join(format!(".{name}.{}.new", std::process::id()));
        let stream = || File::create(&temporary).map(BufWriter::new);
        let archive = |stream| Sink::Archive(Box::new(tar::Builder::new(stream)));
        let sink = match Form::of(&target) {
            Form::Folder => std::fs::create_dir(&temporary).map(|()| Sink::Folder)?,
            Form::Tar => archive(Stream::Plain(stream()?)),
            // Without a name and a time in its header.
            Form::TarGz => archive(Stream::Gzip(GzEncoder::new(stream()?, Compression::best()))),
        };
        Ok(Pack { sink, temporary, target })
    }

    /// Adds a file. Paths are relative and plain.
    pub(crate) fn add(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
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
    pub(crate) fn finish(mut self) -> io::Result<()> {
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
pub(crate) fn read(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    match Form::of(path) {
        _ if path.is_dir() => {
            let mut files = BTreeMap::new();
            read_folder(path, "", &mut files)?;
            Ok(files)
        }
        Form::TarGz => read_archive(GzDecoder::new(BufReader::new(File::open(path)?))),
        Form::Tar | Form::Folder => read_archive(BufReader::new(File::open(path)?)),
    }
}

fn read_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.insert(path, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

fn read_archive(mut reader: impl io::Read) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let refused = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut files = BTreeMap::new();
    let mut total = 0;
    for entry in tar::Archive::new(&mut reader).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path.display().to_string();
        match entry.header().entry_type() {
            tar::EntryType::Directory => continue,
            tar::EntryType::Regular => {}
            other => return Err(refused(format!("it holds {name}, which is no file ({other:?})"))),
        }
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let Some(plain) = path.to_str().filter(|_| is_plain) else {
            return Err(refused(format!("it holds {name}, which would lie outside of it")));
        };
        total += entry.size();
        if total > MAX_BYTES {
            return Err(refused(format!("it holds more than {MAX_BYTES} bytes")));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        let plain = plain.trim_start_matches("./").to_owned();
        if files.insert(plain, content).is_some() {
            return Err(refused(format!("it holds {name} twice")));
        }
    }
    // To the end: behind it the checksum of what was compressed is compared.
    io::copy(&mut reader.take(MAX_BYTES), &mut io::sink())?;
    Ok(files)
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
        let found: Vec<_> = targets.iter().map(|target| read(target).unwrap()).collect();
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

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["out", "out.tar"] {
            let mut pack = Pack::create(&folder.path().join(name)).unwrap();
            pack.add("a", 0o644, b"a").unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    fn archive(write: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let mut builder = tar::Builder::new(Vec::new());
        write(&mut builder);
        read_archive(&*builder.into_inner().unwrap())
    }

    fn header(path: &[u8], kind: tar::EntryType) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_cksum();
        header
    }

    #[test]
    fn hostile_archives_are_refused() {
        for path in ["../evil", "/etc/passwd"] {
            let header = header(path.as_bytes(), tar::EntryType::Regular);
            let error = archive(|builder| builder.append(&header, io::empty()).unwrap()).unwrap_err();
            assert!(error.to_string().contains("outside of it"), "{error}");
        }
        let mut link = header(b"link", tar::EntryType::Symlink);
        link.set_link_name("/etc").unwrap();
        link.set_cksum();
        let error = archive(|builder| builder.append(&link, io::empty()).unwrap()).unwrap_err();
        assert!(error.to_string().contains("no file"), "{error}");
        let twice = header(b"a", tar::EntryType::Regular);
        let error = archive(|builder| {
            builder.append(&twice, io::empty()).unwrap();
            builder.append(&twice, io::empty()).unwrap();
        });
        assert!(error.unwrap_err().to_string().contains("twice"));
    }
}
