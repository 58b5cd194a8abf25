//! `.terraform.lock.hcl`: the version of each provider that a stack was initialised with, and the hashes that its package may
//! have. It is read and written as Terraform does, so both use the same file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use compiler::addr::ProviderSource;
use compiler::lang::eval::{self, NoScope};
use compiler::source::SourceMap;
use compiler::syntax;
use compiler::version::Version;

use crate::hash::Hash;
use crate::{RegistryError, Result};

pub const FILE: &str = ".terraform.lock.hcl";

const HEADER: &str = "\
# This file is maintained automatically by \"terraform init\".
# Manual edits may be lost in future updates.
";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    pub version: Version,
    /// As they were when the version was chosen.
    pub constraints: String,
    pub hashes: Vec<Hash>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    pub providers: BTreeMap<ProviderSource, Locked>,
}

impl Lock {
    /// No file is an empty one.
    pub fn read(path: &Path) -> Result<Lock> {
        match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Lock::default()),
            Err(error) => Err(invalid(error.to_string())),
            Ok(text) => Lock::parse(&text),
        }
    }

    pub fn parse(text: &str) -> Result<Lock> {
        let mut sources = SourceMap::default();
        let file = sources.add(FILE, text);
        let (body, mut diags) = syntax::parse_file(file, &sources);
        let mut lock = Lock::default();
        for block in body.blocks_of("provider") {
            let label = block.labels.first().map(|label| label.name.to_string()).unwrap_or_default();
            let source = ProviderSource::parse(&label);
            let source = source.ok_or_else(|| invalid(format!("{label:?} is the address of no provider")))?;
            let is_known = |name: &str| matches!(name, "version" | "constraints" | "hashes");
            if let Some(other) = block.body.attributes.iter().find(|attribute| !is_known(&attribute.name.name)) {
                return Err(invalid(format!("{source} has an argument that is not known: {}", other.name.name)));
            }
            if lock.providers.contains_key(&source) {
                return Err(invalid(format!("there are two blocks of {source}")));
            }
            let mut text = |name: &str| {
                let attribute = block.body.attribute(name)?;
                Some(eval::evaluate(&attribute.expr, &NoScope, &mut diags))
            };
            let version = text("version").and_then(|value| Version::parse(value.as_str()?));
            let version = version.ok_or_else(|| invalid(format!("{source} has no version")))?;
            let constraints = text("constraints").and_then(|value| Some(value.as_str()?.to_owned()));
            let hashes = text("hashes");
            let hashes = match &hashes {
                None => Vec::new(),
                Some(hashes) => {
                    texts(hashes).ok_or_else(|| invalid(format!("the hashes of {source} are no list of texts")))?
                }
            };
            lock.providers.insert(source, Locked { version, constraints: constraints.unwrap_or_default(), hashes });
        }
        match diags.0.iter().find(|diagnostic| diagnostic.is_error()) {
            Some(diagnostic) => Err(invalid(format!("{}: {}", diagnostic.summary, diagnostic.label))),
            None => Ok(lock),
        }
    }

    /// As Terraform writes it.
    pub fn text(&self) -> String {
        let mut text = HEADER.to_owned();
        for (source, locked) in &self.providers {
            let _ = write!(text, "\nprovider \"{source}\" {{\n");
            let has_constraints = !locked.constraints.is_empty();
            let gap = if has_constraints { "    " } else { "" };
            let _ = writeln!(text, "  version{gap} = \"{}\"", locked.version);
            if has_constraints {
                let _ = writeln!(text, "  constraints = \"{}\"", locked.constraints);
            }
            let mut hashes = locked.hashes.clone();
            hashes.sort();
            hashes.dedup();
            if !hashes.is_empty() {
                text.push_str("  hashes = [\n");
                for hash in hashes {
                    let _ = writeln!(text, "    \"{hash}\",");
                }
                text.push_str("  ]\n");
            }
            text.push_str("}\n");
        }
        text
    }

    /// Whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let write = || {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut file = tempfile::Builder::new().prefix(".lock-").tempfile_in(folder)?;
            file.write_all(self.text().as_bytes())?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            file.as_file().set_permissions(mode)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|error: io::Error| invalid(error.to_string()))
    }
}

fn texts(value: &value::Value) -> Option<Vec<Hash>> {
    value.as_items()?.iter().map(|item| Some(Hash(item.as_str()?.to_owned()))).collect()
}

fn invalid(reason: String) -> RegistryError {
    RegistryError::LockFile { file: FILE, reason }
}
