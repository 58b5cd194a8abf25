//! What a bundle goes by of the machine that it is for, and what it asks of it.

use std::path::PathBuf;

/// Where things lie on a machine; known before the machine exists, so that its files can be shown in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub root: PathBuf,
    /// Daemons listen on all of the machine's addresses, and a firewall decides; else on its one address.
    pub has_firewall: bool,
    /// Other machines share its memory and disks: what a daemon would take of a machine of its own is too much.
    pub is_shared: bool,
}

impl Layout {
    /// The absolute path of a file of a bundle.
    pub fn path(&self, relative: &str) -> String {
        self.root.join(relative).display().to_string()
    }
}

/// A signal to a service, named for what it does rather than for its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Usr1,
    Usr2,
    Winch,
    Quit,
    Term,
}

/// A program that has to be on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    pub name: &'static str,
    /// The distribution's package that brings it.
    pub package: &'static str,
    /// What systemd starts when the package is installed, as patterns of a shell. It is disabled: a service runs with its
    /// configuration, or not at all.
    pub units: &'static [&'static str],
}
