//! Where a stack is.

use std::path::{Path, PathBuf};

/// What belongs to a stack's folder and is no source: locks, modules of others, copies of bundles.
pub const DATA: &str = ".lampwright";

/// The folder that a stack's relative paths are meant from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    shown: PathBuf,
    absolute: PathBuf,
}

impl Root {
    /// `shown` is how people write it; empty for the folder that they are in.
    pub fn new(shown: PathBuf, absolute: PathBuf) -> Root {
        Root { shown, absolute }
    }

    /// A path of the stack's, as it is to be opened. It is shown like this, too.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.shown.join(path)
    }

    /// A path that was made by `at`, as the stack has it.
    pub(crate) fn relative<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.shown).unwrap_or(path)
    }

    /// As people write it.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    pub fn absolute(&self) -> &Path {
        &self.absolute
    }

    /// Another folder, that a path of the stack's names.
    #[must_use]
    pub fn below(&self, folder: &Path) -> Root {
        // `.` is the same folder, and is not shown.
        if folder == Path::new(".") {
            return self.clone();
        }
        Root { shown: self.shown.join(folder), absolute: plain(&self.absolute.join(folder)) }
    }
}

/// Without `.`, and without `..` where the name before it is known.
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_meant_from_where_the_stack_is() {
        let here = Root::new(PathBuf::new(), PathBuf::from("/work"));
        assert_eq!(here.at("a.tf"), Path::new("a.tf"));
        assert_eq!(here.at("/a.tf"), Path::new("/a.tf"));
        assert_eq!(here.below(Path::new(".")), here);
        let there = here.below(Path::new("../shop/./web"));
        assert_eq!((there.at("a.tf"), there.absolute()), (PathBuf::from("../shop/./web/a.tf"), Path::new("/shop/web")));
    }
}
