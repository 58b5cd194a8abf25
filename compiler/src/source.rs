//! Source texts and places in them.

use std::sync::{Arc, OnceLock};

/// A place in a source text: bytes `start..end` of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub file: FileId,
    pub start: u32,
    pub end: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

impl Span {
    pub fn new(file: FileId, start: usize, end: usize) -> Span {
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Span { file, start: clamp(start), end: clamp(end) }
    }

    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span { end: other.end.max(self.end), ..self }
    }
}

/// All texts of a run, so that a span can be shown.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

#[derive(Debug, Clone)]
pub struct SourceFile {
    /// As shown to the user: relative to where the command runs.
    pub name: String,
    pub text: Arc<str>,
    /// Parts that must not be shown.
    pub secrets: Vec<Span>,
    /// Where lines begin, once anybody has asked.
    lines: OnceLock<Vec<usize>>,
}

impl SourceMap {
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        let (secrets, lines) = (Vec::new(), OnceLock::new());
        self.files.push(SourceFile { name: name.into(), text: text.into(), secrets, lines });
        FileId(self.files.len() as u32 - 1)
    }

    /// What is at `span` is never shown.
    pub fn conceal(&mut self, span: Span) {
        if let Some(file) = self.files.get_mut(span.file.0 as usize) {
            file.secrets.push(span);
        }
    }

    /// The lines that a span is on are never shown, but for where they begin.
    pub fn conceal_lines(&mut self, span: Span) {
        let text = &self.get(span.file).text;
        let (start, end) = ((span.start as usize).min(text.len()), (span.end as usize).min(text.len()));
        let first = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        let last = text.get(end..).and_then(|after| after.find('\n')).map_or(text.len(), |newline| end + newline);
        self.conceal(Span::new(span.file, first, last));
    }

    pub fn get(&self, file: FileId) -> &SourceFile {
        &self.files[file.0 as usize]
    }

    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The text at a span.
    pub fn text(&self, span: Span) -> &str {
        self.get(span.file).text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Line and column of an offset, both from 1. Columns count characters.
    pub fn line_column(&self, file: FileId, offset: u32) -> (usize, usize) {
        let SourceFile { text, lines, .. } = self.get(file);
        let lines = lines.get_or_init(|| {
            std::iter::once(0).chain(text.match_indices('\n').map(|(newline, _)| newline + 1)).collect()
        });
        let before = &text[..(offset as usize).min(text.len())];
        let line = lines.partition_point(|start| *start <= before.len());
        (line, before[lines[line - 1]..].chars().count() + 1)
    }
}

/// Where source texts come from: a disk in the program, a map in tests. Paths use `/` and are relative to the
/// folder of the root module, or absolute.
pub trait SourceLoader: Send + Sync {
    /// The names of the files in a folder, sorted.
    fn list(&self, folder: &str) -> Result<Vec<String>, LoadError>;
    fn read(&self, path: &str) -> Result<Vec<u8>, LoadError>;

    /// What is in a folder, for functions that look for files; sorted.
    fn entries(&self, folder: &str) -> Result<Vec<FolderEntry>, LoadError> {
        Err(LoadError::NotFound(folder.to_owned()))
    }

    /// A module that is no local folder, such as `lampwright/lamp`; none if the source means nothing here.
    fn module(&self, _: &ModuleSource<'_>) -> Option<Result<FoundModule, LoadError>> {
        None
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderEntry {
    pub name: String,
    pub is_folder: bool,
}

/// Where a module is that came from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundModule {
    /// Its folder.
    pub folder: String,
    /// The folder of all that came with it. The module may call others in it, and none beside it.
    pub package: String,
}

/// What a module call names.
#[derive(Debug, Clone, Copy)]
pub struct ModuleSource<'s> {
    pub source: &'s str,
    /// A constraint that can be parsed.
    pub version: Option<&'s str>,
    /// The folder of the module that calls.
    pub folder: &'s str,
    /// What it came with, if it came from elsewhere ([`FoundModule::package`]).
    pub package: Option<&'s str>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("there is no {0:?}")]
    NotFound(String),
    #[error("{path:?} cannot be read: {reason}")]
    Unreadable { path: String, reason: String },
}

/// Texts in memory, by path.
#[derive(Debug, Clone, Default)]
pub struct MemoryLoader {
    pub files: std::collections::BTreeMap<String, Vec<u8>>,
}

impl SourceLoader for MemoryLoader {
    fn list(&self, folder: &str) -> Result<Vec<String>, LoadError> {
        let prefix = if folder == "." { String::new() } else { format!("{folder}/") };
        let names: Vec<String> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix))
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect();
        if names.is_empty() { Err(LoadError::NotFound(folder.to_owned())) } else { Ok(names) }
    }

    fn entries(&self, folder: &str) -> Result<Vec<FolderEntry>, LoadError> {
        let prefix = if folder == "." { String::new() } else { format!("{folder}/") };
        let below = self.files.keys().filter_map(|path| path.strip_prefix(&prefix));
        let mut entries: Vec<FolderEntry> = below
            .map(|path| match path.split_once('/') {
                Some((name, _)) => FolderEntry { name: name.to_owned(), is_folder: true },
                None => FolderEntry { name: path.to_owned(), is_folder: false },
            })
            .collect();
        entries.dedup();
        if entries.is_empty() { Err(LoadError::NotFound(folder.to_owned())) } else { Ok(entries) }
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, LoadError> {
        self.files.get(path).cloned().ok_or_else(|| LoadError::NotFound(path.to_owned()))
    }
}

/// Joins a path of a module to the folder it is relative to, without `.` and with `..` resolved where possible.
pub fn join_path(folder: &str, relative: &str) -> String {
    let joined = if relative.starts_with('/') { relative.to_owned() } else { format!("{folder}/{relative}") };
    let absolute = joined.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            _ => parts.push(part),
        }
    }
    match (absolute, parts.join("/")) {
        (true, path) => format!("/{path}"),
        (false, path) if path.is_empty() => ".".to_owned(),
        (false, path) => path,
    }
}
