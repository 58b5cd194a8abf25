//! Source texts from the disk, and small texts onto it.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use compiler::source::{FoundModule, LoadError, ModuleSource, SourceLoader};

#[derive(Debug)]
pub(crate) struct Disk;

impl SourceLoader for Disk {
    fn list(&self, folder: &str) -> Result<Vec<String>, LoadError> {
        let entries = std::fs::read_dir(folder).map_err(|error| load_error(folder, &error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| load_error(folder, &error))?;
            // A name that is not UTF-8 is no name of a source file.
            if let (Ok(name), true) = (entry.file_name().into_string(), entry.path().is_file()) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn module(&self, module: &ModuleSource<'_>) -> Option<Result<FoundModule, LoadError>> {
        crate::sources::find(module)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, LoadError> {
        std::fs::read(path).map_err(|error| load_error(path, &error))
    }
}

/// Writes a text file beside its place and moves it there: whoever reads sees the old or the new one.
pub(crate) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    temporary.persist(path).map(drop).map_err(|error| error.error)
}

fn load_error(path: &str, error: &std::io::Error) -> LoadError {
    match error.kind() {
        ErrorKind::NotFound => LoadError::NotFound(path.to_owned()),
        _ => LoadError::Unreadable { path: path.to_owned(), reason: error.to_string() },
    }
}

/// The sources of a saved plan, with the disk behind them for files that functions read.
#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) texts: BTreeMap<String, String>,
}

impl SourceLoader for Overlay {
    fn list(&self, folder: &str) -> Result<Vec<String>, LoadError> {
        let in_folder = |path: &&String| {
            Path::new(path)
                .parent()
                .is_some_and(|parent| parent == Path::new(folder) || (folder == "." && parent.as_os_str().is_empty()))
        };
        let names = self.texts.keys().filter(in_folder).filter_map(|path| Path::new(path).file_name()?.to_str());
        Ok(names.map(str::to_owned).collect())
    }

    fn module(&self, module: &ModuleSource<'_>) -> Option<Result<FoundModule, LoadError>> {
        Disk.module(module)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, LoadError> {
        match self.texts.get(path) {
            Some(text) => Ok(text.clone().into_bytes()),
            None => Disk.read(path),
        }
    }
}
