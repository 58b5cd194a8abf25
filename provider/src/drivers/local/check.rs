//! The daemons' own syntax checks of a bundle, on a copy whose paths point into the copy: what is live is not touched.

use std::path::Path;

use super::beneath::Folder;
use super::install::write_file;
use super::process::{self, Account};
use super::store::Home;
use super::users::{self, Users};
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
    let user = match process::is_root() {
        true => Some(Users::new(None)?.pick(&scratch.path().display().to_string(), &users::taken())?),
        false => None,
    };
    let folder = Folder::at(scratch.path()).map_err(failed)?;
    in_copy(root, scratch.path(), &folder, machine, bundle, Account::of(user)).await
}

/// A bundle that comes to `home` next.
pub(super) async fn before_install(home: &Home, machine: &str, bundle: &Bundle) -> Result<()> {
    let remove = || {
        home.folder.remove(COPY).map_err(|source| {
            let path = home.path.join(COPY).display().to_string();
            DriverError::Io { what: "removing the copy of a check", path, source }
        })
    };
    remove()?;
    let result = in_copy(&home.path, &home.path, &home.folder, machine, bundle, home.account).await;
    let removed = remove();
    result.and(removed)
}

/// Writes everything but the application into a copy in the folder, and lets every service check it there.
async fn in_copy(
    root: &Path,
    parent: &Path,
    folder: &Folder,
    machine: &str,
    bundle: &Bundle,
    account: Account,
) -> Result<()> {
    let copy = parent.join(COPY);
    let live_root = root.display().to_string();
    let copy_root = copy.display().to_string();
    let write = || {
        let folder = folder.make(COPY, account.lent(0o750))?;
        for name in &bundle.folders {
            folder.make(name, account.own(0o750))?;
        }
        for (path, file) in bundle.files.iter().filter(|(path, _)| path.starts_with("etc/")) {
            let content = match std::str::from_utf8(&file.content) {
                Ok(text) => text.replace(&live_root, &copy_root).into_bytes(),
                Err(_) => file.content.to_vec(),
            };
            write_file(&folder, bundle, path, &content, account)?;
        }
        Ok(())
    };
    write().map_err(|source| DriverError::Io {
        what: "writing the copy for the check",
        path: copy_root.clone(),
        source,
    })?;
    for service in &bundle.services {
        let checked = copy.join(service.config).display().to_string();
        let args = service.check.iter().map(|arg| if arg == CHECKED { checked.clone() } else { arg.clone() }).collect();
        if let Some(output) = process::check(service, args, &copy, account).await? {
            let output = output.replace(&copy_root, &live_root);
            return Err(DriverError::Check { service: service.name.to_owned(), machine: machine.to_owned(), output });
        }
    }
    Ok(())
}
