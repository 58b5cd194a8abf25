//! Source texts from the disk.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use compiler::source::{FolderEntry, FoundModule, LoadError, ModuleSource, SourceLoader};

use crate::root::Root;
use crate::watch::Watch;

/// The files of a stack, by the paths that it has for them.
#[derive(Debug, Clone)]
pub struct Disk {
    pub root: Root,
    /// Knows how the command is called that fetches what is missing.
    pub watch: Arc<dyn Watch>,
}

impl SourceLoader for Disk {
    fn list(&self, folder: &str) -> Result<Vec<String>, LoadError> {
        let entries = std::fs::read_dir(self.root.at(folder)).map_err(|error| load_error(folder, &error))?;
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

    fn entries(&self, folder: &str) -> Result<Vec<FolderEntry>, LoadError> {
        let found = std::fs::read_dir(self.root.at(folder)).map_err(|error| load_error(folder, &error))?;
        let mut entries = Vec::new();
        for entry in found {
            let entry = entry.map_err(|error| load_error(folder, &error))?;
            // A link is what it leads to; one that leads nowhere is nothing.
            if let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), std::fs::metadata(entry.path()))
                && (metadata.is_dir() || metadata.is_file())
            {
                entries.push(FolderEntry { name, is_folder: metadata.is_dir() });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn module(&self, module: &ModuleSource<'_>) -> Option<Result<FoundModule, LoadError>> {
        super::find(self, module)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, LoadError> {
        std::fs::read(self.root.at(path)).map_err(|error| load_error(path, &error))
    }
}

fn load_error(path: &str, error: &std::io::Error) -> LoadError {
    match error.kind() {
        ErrorKind::NotFound => LoadError::NotFound(path.to_owned()),
        _ => LoadError::Unreadable { path: path.to_owned(), reason: error.to_string() },
    }
}

/// The sources of a saved plan, with the disk behind them for files that functions read.
#[derive(Debug)]
pub struct Overlay {
    pub texts: BTreeMap<String, String>,
    pub disk: Disk,
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

    fn entries(&self, folder: &str) -> Result<Vec<FolderEntry>, LoadError> {
        self.disk.entries(folder)
    }

    fn module(&self, module: &ModuleSource<'_>) -> Option<Result<FoundModule, LoadError>> {
        self.disk.module(module)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, LoadError> {
        match self.texts.get(path) {
            Some(text) => Ok(text.clone().into_bytes()),
            None => self.disk.read(path),
        }
    }
}
