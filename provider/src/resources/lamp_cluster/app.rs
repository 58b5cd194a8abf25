//! The files of an application, as they lie in a folder.
//!
//! What is served is what lies in the folder: a link within it is followed, one that leads out of it is refused, since it
//! would put a file of this machine onto a web page. Whoever may write in the folder may do so while it is read: paths are
//! resolved first, and then opened name by name without following anything.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Dir, Mode, OFlags};
use sha2::{Digest, Sha256};
use value::Problem;

use super::invalid;
use crate::bundle::{Content, hex};
use crate::context::Context;

/// An application is copied to every node; what is larger than this belongs elsewhere.
const MAX_BYTES: u64 = 64 << 20;
/// Links within the folder can make few files and folders look like any number.
const MAX_ENTRIES: usize = 100_000;

pub(super) type Files = BTreeMap<String, Content>;

/// By path. Hidden files stay behind. They are read once for each piece of work, so that all of it sees the same.
pub(super) fn read_once(context: &Context, app: &str) -> Result<Arc<Files>, Vec<Problem>> {
    context.sources.get(app, || files(app))
}

fn files(app: &str) -> Result<Files, Vec<Problem>> {
    let files = read(Path::new(app)).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                " Paths start at the folder of the stack; write \"${path.module}/app\" for one beside the file."
            }
            _ => "",
        };
        vec![invalid("app", format!("The folder {app:?} could not be read: {error}.{hint}"))]
    })?;
    if files.is_empty() {
        return Err(vec![invalid("app", format!("The folder {app:?} holds no files."))]);
    }
    Ok(files)
}

pub(super) fn digest(files: &Files) -> String {
    let mut hash = Sha256::new();
    for (path, content) in files {
        hash.update(path.as_bytes());
        hash.update([0]);
        hash.update(content.digest());
    }
    format!("sha256:{}", hex(&hash.finalize()))
}

struct Reader {
    top: File,
    /// Without links.
    path: PathBuf,
    left: u64,
    /// How many files and folders, each as often as links lead to it.
    seen: usize,
    files: Files,
}

fn read(app: &Path) -> io::Result<Files> {
    let path = std::fs::canonicalize(app)?;
    // A pipe, which would be waited for, is no folder.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = File::from(rustix::fs::open(&path, flags, Mode::empty())?);
    let mut reader = Reader { top, path: path.clone(), left: MAX_BYTES, seen: 0, files: BTreeMap::new() };
    reader.folder(&path, "", &mut Vec::new())?;
    Ok(reader.files)
}

impl Reader {
    /// Reads the folder at a real path; `within` are the real paths of the folders that led here.
    fn folder(&mut self, real: &Path, prefix: &str, within: &mut Vec<PathBuf>) -> io::Result<()> {
        if within.iter().any(|outer| outer == real) {
            let detail = format!("{prefix} is a link to a folder that it lies in, so there is no end to it");
            return Err(io::Error::other(detail));
        }
        within.push(real.to_owned());
        for name in self.names(real).map_err(|error| named(prefix, &error))? {
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            let Some(text) = name.to_str() else {
                return Err(io::Error::other(format!("{prefix}{} has a name that is not UTF-8", name.display())));
            };
            if text.chars().any(char::is_control) {
                let name = text.escape_debug();
                return Err(io::Error::other(format!("{prefix}{name} has a control character in its name; rename it")));
            }
            self.seen += 1;
            if self.seen > MAX_ENTRIES {
                return Err(io::Error::other(format!("it holds more than {MAX_ENTRIES} files and folders")));
            }
            let path = format!("{prefix}{text}");
            let real = std::fs::canonicalize(real.join(&name)).map_err(|error| named(&path, &error))?;
            if !real.starts_with(&self.path) {
                let detail = format!(
                    "{path} is a link that leads out of the folder, to {}: copy what it names, or leave it out",
                    real.display()
                );
                return Err(io::Error::other(detail));
            }
            let file = self.open(&real).map_err(|error| named(&path, &error))?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                self.folder(&real, &format!("{path}/"), within)?;
            } else if metadata.is_file() {
                self.file(path, file)?;
            } else {
                return Err(io::Error::other(format!("{path} is neither a file nor a folder")));
            }
        }
        within.pop();
        Ok(())
    }

    fn file(&mut self, path: String, file: File) -> io::Result<()> {
        let mut content = Vec::new();
        file.take(self.left + 1).read_to_end(&mut content).map_err(|error| named(&path, &error))?;
        let too_large = || io::Error::other(format!("it holds more than {} MiB", MAX_BYTES >> 20));
        self.left = self.left.checked_sub(content.len() as u64).ok_or_else(too_large)?;
        self.files.insert(path, content.into());
        Ok(())
    }

    fn names(&self, real: &Path) -> io::Result<Vec<std::ffi::OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(self.open(real)?)? {
            names.push(std::ffi::OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Opens what a path without links names. A pipe is not waited for.
    fn open(&self, real: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut file = self.top.try_clone()?;
        for name in real.strip_prefix(&self.path).map_err(io::Error::other)?.components() {
            file = File::from(rustix::fs::openat(&file, name.as_os_str(), flags, Mode::empty())?);
        }
        Ok(file)
    }
}

/// An error with the file that it is about.
fn named(path: &str, error: &io::Error) -> io::Error {
    let path = if path.is_empty() { "." } else { path };
    let what = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::LOOP) => "it is a link that leads to itself".to_owned(),
        // As a socket says to who opens it.
        Some(rustix::io::Errno::NXIO) => "it is neither a file nor a folder".to_owned(),
        Some(rustix::io::Errno::NOENT) => "it is a link that leads nowhere".to_owned(),
        _ => error.to_string(),
    };
    io::Error::other(format!("{path}: {what}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct App(tempfile::TempDir);

    impl App {
        fn new() -> App {
            let app = App(tempfile::tempdir().unwrap());
            std::fs::create_dir_all(app.path("lib")).unwrap();
            for name in ["index.php", "lib/a.php", ".env", "../secret"] {
                std::fs::write(app.path(name), name).unwrap();
            }
            app
        }

        fn path(&self, name: &str) -> PathBuf {
            let app = self.0.path().join("app");
            std::fs::create_dir_all(&app).unwrap();
            app.join(name)
        }

        fn read(&self) -> Result<Vec<String>, String> {
            let app = self.0.path().join("app");
            let found = read(&app).map(|files| files.into_keys().collect());
            found.map_err(|error| error.to_string().replace(&self.0.path().display().to_string(), "[dir]"))
        }
    }

    #[test]
    fn a_name_says_nothing_to_a_terminal() {
        for name in ["x\n  No changes.css", "lib/\u{1b}[2Jy.css"] {
            let app = App::new();
            std::fs::write(app.path(name), "x").unwrap();
            let refused = app.read().unwrap_err();
            assert!(refused.ends_with("has a control character in its name; rename it"), "{refused}");
            assert!(!refused.contains(char::is_control), "{refused:?}");
        }
    }

    #[test]
    fn what_lies_in_the_folder_is_read() {
        let app = App::new();
        assert_eq!(app.read().unwrap(), ["index.php", "lib/a.php"]);
        // A link to the folder itself is the user's own word.
        symlink(app.0.path().join("app"), app.0.path().join("link")).unwrap();
        assert_eq!(read(&app.0.path().join("link")).unwrap().len(), 2);
    }

    #[test]
    fn a_link_within_the_folder_is_followed() {
        let app = App::new();
        symlink("lib", app.path("relative")).unwrap();
        symlink(app.path("index.php"), app.path("lib/absolute.php")).unwrap();
        symlink("../index.php", app.path("lib/up.php")).unwrap();
        let names = ["index.php", "lib/a.php", "lib/absolute.php", "lib/up.php"];
        let names = names.into_iter().chain(["relative/a.php", "relative/absolute.php", "relative/up.php"]);
        assert_eq!(app.read().unwrap(), names.collect::<Vec<_>>());
    }

    #[test]
    fn a_link_that_leads_out_of_the_folder_is_refused() {
        for target in ["/etc/passwd", "../secret", "../../", "lib/../../secret", "/"] {
            let app = App::new();
            symlink(target, app.path("link")).unwrap();
            let error = app.read().unwrap_err();
            assert!(error.contains("link is a link that leads out of the folder, to "), "{target}: {error}");
        }
        // By way of a link within it.
        let app = App::new();
        symlink("../../secret", app.path("lib/.hidden")).unwrap();
        symlink("lib/.hidden", app.path("page")).unwrap();
        assert_eq!(
            app.read().unwrap_err(),
            "page is a link that leads out of the folder, to [dir]/secret: copy what it names, or leave it out"
        );
        // A folder beside it whose name begins alike.
        let app = App::new();
        std::fs::create_dir(app.0.path().join("app-two")).unwrap();
        symlink("../app-two", app.path("two")).unwrap();
        assert!(app.read().unwrap_err().contains("leads out of the folder"));
    }

    #[test]
    fn links_without_an_end_and_what_is_no_file_are_named() {
        type Plant<'p> = &'p dyn Fn(&App);
        let planted: [(Plant<'_>, &str); 5] = [
            (&|app: &App| symlink("loop", app.path("loop")).unwrap(), "loop: it is a link that leads to itself"),
            (&|app: &App| symlink("nothing", app.path("link")).unwrap(), "link: it is a link that leads nowhere"),
            (
                &|app: &App| symlink("..", app.path("lib/up")).unwrap(),
                "lib/up/ is a link to a folder that it lies in, so there is no end to it",
            ),
            (
                &|app: &App| rustix::fs::mkfifoat(rustix::fs::CWD, app.path("pipe"), Mode::RWXU).unwrap(),
                "pipe is neither a file nor a folder",
            ),
            (
                &|app: &App| drop(std::os::unix::net::UnixListener::bind(app.path("socket")).unwrap()),
                "socket: it is neither a file nor a folder",
            ),
        ];
        for (plant, expected) in planted {
            let app = App::new();
            plant(&app);
            assert_eq!(app.read().unwrap_err(), expected);
        }
    }

    #[test]
    fn folders_that_grow_without_measure_are_refused() {
        let app = App::new();
        std::fs::write(app.path("large"), vec![0; (MAX_BYTES >> 1) as usize]).unwrap();
        assert_eq!(app.read().unwrap().len(), 3);
        symlink("large", app.path("again")).unwrap();
        symlink("large", app.path("and-again")).unwrap();
        assert_eq!(app.read().unwrap_err(), "it holds more than 64 MiB");
        // Each of 40 folders has two names for the next: a million million paths, and not one file.
        let app = App::new();
        for level in 0..40 {
            let folder = app.path(&format!("deep/{level}"));
            std::fs::create_dir_all(&folder).unwrap();
            for name in ["a", "b"] {
                symlink(format!("../{}", level + 1), folder.join(name)).unwrap();
            }
        }
        std::fs::create_dir(app.path("deep/40")).unwrap();
        assert_eq!(app.read().unwrap_err(), "it holds more than 100000 files and folders");
    }
}
