//! How a person gets onto a machine: OpenSSH's client, with the stack's key, which knows the machine before the first
//! connection as this program does.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::ssh::{Jump, Target};
use super::user_data::ACCOUNT;
use crate::driver::{DriverError, MachineKey, Result};

/// Beside the stack, where whatever this program writes is: the folder of a key may be read-only.
const HOSTS: &str = ".lampwright/hosts";

/// The client's command line. What the machine must prove to be is written to a file.
pub(super) fn command(key: &MachineKey, target: &Target, ssh_key: &Path, jump: Option<&Jump>) -> Result<Vec<String>> {
    let alias = format!("{}-{}", key.layer.scope, key.name());
    let hosts = write_hosts(&alias, target).map_err(|source| DriverError::Io {
        what: "writing down the keys that the machine is known by",
        path: HOSTS.to_owned(),
        source,
    })?;
    let home = std::env::var_os("HOME").map(PathBuf::from);
    Ok(client(&alias, target, &hosts, ssh_key, jump, home.as_deref()))
}

fn client(
    alias: &str,
    target: &Target,
    hosts: &Path,
    ssh_key: &Path,
    jump: Option<&Jump>,
    home: Option<&Path>,
) -> Vec<String> {
    let option = |text: String| ["-o".to_owned(), text];
    let identity = format!("IdentityFile={}", quoted(ssh_key));
    let mut command = vec!["ssh".to_owned()];
    command.extend(option(identity.clone()));
    command.extend(option("IdentitiesOnly=yes".to_owned()));
    command.extend(option(format!("UserKnownHostsFile={}", quoted(hosts))));
    command.extend(option("GlobalKnownHostsFile=/dev/null".to_owned()));
    command.extend(option("StrictHostKeyChecking=yes".to_owned()));
    command.extend(option(format!("HostKeyAlias={alias}")));
    if let Some(Jump { user, host, port }) = jump {
        // The file that this program looks at for the jump host.
        let known = home.map(|home| format!("UserKnownHostsFile={}", quoted(&home.join(".ssh/known_hosts"))));
        let known = known.map(|known| format!(" -o {}", shell_quoted(&known))).unwrap_or_default();
        command.extend(option(format!(
            "ProxyCommand=ssh -o {} -o IdentitiesOnly=yes{known} -p {port} -W %h:%p {user}@{host}",
            shell_quoted(&identity)
        )));
    }
    command.extend(["-p".to_owned(), target.address.port().to_string()]);
    command.push(format!("{ACCOUNT}@{}", target.address.ip()));
    command
}

/// A file for each machine: two commands at once do not meet.
fn write_hosts(alias: &str, target: &Target) -> std::io::Result<PathBuf> {
    let folder = std::path::absolute(HOSTS)?;
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
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"))
}

/// As the user's shell reads it, by which ssh starts a proxy; `%` is ssh's own.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('%', "%%").replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What OpenSSH's client makes of its command line, of files and of whom it calls.
    fn understood(program: &mut std::process::Command) -> Vec<String> {
        let output = program.stdin(std::process::Stdio::null()).output().expect("OpenSSH's client");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).expect("text");
        let asked = ["hostname", "port", "identityfile", "userknownhostsfile", "hostkeyalias", "proxycommand"];
        let is_asked = |line: &&str| line.split_once(' ').is_some_and(|(name, _)| asked.contains(&name));
        let mut lines: Vec<String> = told.lines().filter(is_asked).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn folders_are_called_as_they_like() {
        let folder = "/a b/it's \"50%h\" \\ $HOME `id`";
        let target = Target { name: "web-1".to_owned(), address: "192.0.2.7:22".parse().unwrap(), keys: Vec::new() };
        let jump = Jump { user: "me".to_owned(), host: "jump.example".to_owned(), port: 2222 };
        let of = |name: &str| PathBuf::from(folder).join(name);
        let command = client("shop-web-1", &target, &of("hosts"), &of("key"), Some(&jump), Some(Path::new(folder)));
        let mut ssh = std::process::Command::new("ssh");
        let mut told = understood(ssh.args(["-F", "none", "-G"]).args(&command[1..]));
        // As the client itself starts it.
        let proxy = told.remove(told.iter().position(|line| line.starts_with("proxycommand ")).unwrap());
        let proxy = proxy.replace("proxycommand ssh ", "exec ssh -F none -G ");
        let proxy = proxy.replace("%%", "\0").replace("%h", "192.0.2.7").replace("%p", "22").replace('\0', "%");
        let through = understood(std::process::Command::new("sh").args(["-c", &proxy]));
        // The client names a key as it stands there, `%%` included, and the files of hosts as they are called.
        let key = format!("identityfile {folder}/key").replace('%', "%%");
        let is_known = |path: &str| format!("userknownhostsfile {folder}/{path}");
        let expected =
            ["hostkeyalias shop-web-1", "hostname 192.0.2.7", &key, "port 22", &is_known("hosts")].map(str::to_owned);
        assert_eq!(told, expected);
        let expected = ["hostname jump.example", &key, "port 2222", &is_known(".ssh/known_hosts")].map(str::to_owned);
        assert_eq!(through, expected);
    }
}
