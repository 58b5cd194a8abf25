//! Who holds a lock.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What Terraform writes beside a lock, too (its `statemgr.LockInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Holder {
    #[serde(rename = "ID")]
    pub id: String,
    /// The command.
    pub operation: String,
    /// `process N`, of ours, and in which space of processes: containers may have the name of a machine in common.
    pub info: String,
    /// `user@host`.
    pub who: String,
    pub version: String,
    /// RFC 3339.
    pub created: String,
    pub path: String,
}

impl Default for Holder {
    fn default() -> Holder {
        let empty = String::new;
        Holder {
            id: empty(),
            operation: empty(),
            info: empty(),
            who: empty(),
            version: empty(),
            created: empty(),
            path: empty(),
        }
    }
}

impl Holder {
    /// This process, for a command.
    pub fn new(operation: &str, user: Option<&str>, at: &str) -> Holder {
        let who = format!("{}@{}", user.unwrap_or("somebody"), host().unwrap_or_else(|| "this machine".to_owned()));
        Holder {
            id: uuid::Uuid::new_v4().to_string(),
            operation: operation.to_owned(),
            info: format!("process {}{SPACE}{}", std::process::id(), processes()),
            who,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            created: jiff::Timestamp::now().to_string(),
            path: at.to_owned(),
        }
    }

    /// Whether it was a process that would be seen from here, and has ended.
    pub fn has_ended(&self) -> bool {
        let Some((pid, space)) = self.info.strip_prefix("process ").and_then(|info| info.split_once(SPACE)) else {
            return false;
        };
        space == processes() && pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()
    }

    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts are plain JSON")
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Holder> {
        serde_json::from_slice(bytes).ok().filter(|holder: &Holder| !holder.id.is_empty())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { id, operation, info, who, created, .. } = self;
        write!(f, "{operation} of {who}")?;
        let info = info.split_once(SPACE).map_or(info.as_str(), |(process, _)| process);
        if !info.is_empty() {
            write!(f, " ({info})")?;
        }
        write!(f, " since {created}, lock {id}")?;
        if self.has_ended() {
            write!(f, ". That process has ended without releasing it: `lampwright force-unlock {id}` does")?;
        }
        Ok(())
    }
}

const SPACE: &str = " of ";

/// Numbers of processes mean something in one running system, and there in one namespace (pid_namespaces(7), random(4)).
fn processes() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), space.display())
}

fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_that_has_ended_is_told_as_such() {
        let mut holder = Holder::new("apply", Some("ann"), "x");
        assert!(!holder.has_ended());
        assert_eq!(Holder::read(&holder.json()), Some(holder.clone()));
        // No system gives out such a number (proc(5), pid_max).
        holder.info = format!("process 4194305 of {}", processes());
        assert!(holder.has_ended());
        let told = holder.to_string();
        assert!(told.contains(" (process 4194305) since "), "{told}");
        assert!(told.ends_with(&format!("`lampwright force-unlock {}` does", holder.id)));
        // Another container of the same name.
        holder.info = "process 4194305 of 0000 pid:[1]".to_owned();
        assert!(!holder.has_ended());
        // Terraform says nothing of processes.
        let theirs = br#"{"ID":"1","Operation":"OperationTypeApply","Info":"","Who":"b@h","Version":"1.11.4","Created":"2026-01-01T00:00:00Z","Path":"p"}"#;
        assert_eq!(
            Holder::read(theirs).unwrap().to_string(),
            "OperationTypeApply of b@h since 2026-01-01T00:00:00Z, lock 1"
        );
    }
}
