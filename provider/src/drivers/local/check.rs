//! The daemons' own syntax checks of a bundle, on a copy whose paths point into the copy: what is live is not touched.

use std::path::Path;

use super::install::{make_folder, write_atomically};
use super::process::{self, Account};
use crate::bundle::{Bundle, CHECKED};
use crate::driver::{DriverError, Result};

/// Holds the copy that is checked. Short: it becomes part of the paths of unix sockets.
const COPY: &str = "new";

/// Where the daemons' account gets to, whatever TMPDIR says, and short as well.
const SCRATCH: &str = "/tmp";

/// A bundle that is nowhere yet. `root` is where its files say that they are.
pub async fn check(root: &Path, machine: &str, bundle: &Bundle) -> Result<()> {
    let failed = |source| DriverError::Io { what: "making a folder for the check", path: SCRATCH.to_owned(), source };
    let scratch = tempfile::Builder::new().prefix("lw").tempdir_in(SCRATCH).map_err(failed)?;
    // The daemons' account has to get through.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(scratch.path(), mode).map_err(failed)?;
    in_copy(root, &scratch.path().join(COPY), machine, bundle, &Account::of_daemons()).await
}

/// A bundle that comes into `folder` next.
pub(super) async fn before_install(folder: &Path, machine: &str, bundle: &Bundle, account: &Account) -> Result<()> {
    let copy = folder.join(COPY);
    let _ = std::fs::remove_dir_all(&copy);
    let result = in_copy(folder, &copy, machine, bundle, account).await;
    let _ = std::fs::remove_dir_all(&copy);
    result
}

/// Writes everything but the application, and lets every service check it there.
async fn in_copy(root: &Path, copy: &Path, machine: &str, bundle: &Bundle, account: &Account) -> Result<()> {
    make_folder(copy, 0o700, Some(account))?;
    for name in &bundle.folders {
        make_folder(&copy.join(name), 0o755, Some(account))?;
    }
    let live_root = root.display().to_string();
    let copy_root = copy.display().to_string();
    for (path, file) in bundle.files.iter().filter(|(path, _)| path.starts_with("etc/")) {
        let target = copy.join(path);
        if let Some(parent) = target.parent() {
            make_folder(parent, 0o755, Some(account))?;
        }
        let content = match std::str::from_utf8(&file.content) {
            Ok(text) => text.replace(&live_root, &copy_root).into_bytes(),
            Err(_) => file.content.clone(),
        };
        write_atomically(&target, &content, file.mode, account)?;
    }
    for service in &bundle.services {
        let checked = copy.join(service.config).display().to_string();
        let args = service.check.iter().map(|arg| if arg == CHECKED { checked.clone() } else { arg.clone() }).collect();
        if let Some(output) = process::check(service, args, copy, account).await? {
            let output = output.replace(&copy_root, &live_root);
            return Err(DriverError::Check { service: service.name.to_owned(), machine: machine.to_owned(), output });
        }
    }
    Ok(())
}
