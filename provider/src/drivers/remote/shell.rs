//! How a person gets onto a machine: OpenSSH's client, with the stack's key, which knows the machine before the first
//! connection as this program does.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::ssh::{Jump, Target};
use super::user_data::ACCOUNT;
use crate::driver::{DriverError, MachineKey, Result};

/// The client's command line. What the machine must prove to be is written to a file beside the key.
pub(super) fn command(key: &MachineKey, target: &Target, ssh_key: &Path, jump: Option<&Jump>) -> Result<Vec<String>> {
    let alias = format!("{}-{}", key.layer.scope, key.name());
    let hosts = write_hosts(&alias, target, ssh_key).map_err(|source| DriverError::Io {
        what: "writing down the keys that the machine is known by",
        path: hosts_of(ssh_key).display().to_string(),
        source,
    })?;
    let option = |text: String| ["-o".to_owned(), text];
    let mut command = vec!["ssh".to_owned(), "-i".to_owned(), ssh_key.display().to_string()];
    command.extend(option("IdentitiesOnly=yes".to_owned()));
    command.extend(option(format!("UserKnownHostsFile={}", quoted(&hosts.display().to_string()))));
    command.extend(option("GlobalKnownHostsFile=/dev/null".to_owned()));
    command.extend(option("StrictHostKeyChecking=yes".to_owned()));
    command.extend(option(format!("HostKeyAlias={alias}")));
    if let Some(Jump { user, host, port }) = jump {
        let identity = shell_quoted(&ssh_key.display().to_string());
        // The file that this program looks at for the jump host.
        let known = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".ssh/known_hosts"));
        let known =
            known.map(|path| shell_quoted(&format!("UserKnownHostsFile={}", quoted(&path.display().to_string()))));
        let known = known.map(|option| format!(" -o {option}")).unwrap_or_default();
        command.extend(option(format!(
            "ProxyCommand=ssh -i {identity} -o IdentitiesOnly=yes{known} -p {port} -W %h:%p {user}@{host}"
        )));
    }
    command.extend(["-p".to_owned(), target.address.port().to_string()]);
    command.push(format!("{ACCOUNT}@{}", target.address.ip()));
    Ok(command)
}

fn hosts_of(ssh_key: &Path) -> PathBuf {
    let mut name = ssh_key.as_os_str().to_owned();
    name.push(".hosts");
    PathBuf::from(name)
}

/// A file for each machine: two commands at once do not meet.
fn write_hosts(alias: &str, target: &Target, ssh_key: &Path) -> std::io::Result<PathBuf> {
    let folder = hosts_of(ssh_key);
    std::fs::create_dir_all(&folder)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    for key in &target.keys {
        writeln!(file, "{alias} {}", key.to_openssh().map_err(std::io::Error::other)?)?;
    }
    let path = folder.join(alias);
    file.persist(&path).map_err(|error| error.error)?;
    Ok(path)
}

/// As ssh_config(5) reads an argument.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"))
}

/// As the user's shell reads it, by which ssh starts a proxy; `%` is ssh's own.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('%', "%%").replace('\'', r"'\''"))
}
