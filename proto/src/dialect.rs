//! What our engine and our provider say to each other beyond Terraform's protocol, all of it: headers, variables of the
//! plugin's environment, and the operations that the command line asks for. What travels with a plan is in [`crate::preview`].
//!
//! Terraform sends none of it, and plugins of other makes take no notice: everything works without, and says less.
//!
//! Versions: an operation whose question or answer gets another form gets another name. A plugin that is older or newer has no
//! such operation, which is told; nothing is ever read in a form that it does not have.

use serde::{Deserialize, Serialize};

/// The header that carries a resource's address from our engine to our plugin. Terraform does not send it.
pub const RESOURCE_ADDRESS_HEADER: &str = "lampwright-resource-address";
/// The header of the plan that is made right before an apply: what it says is what will be asked for.
pub const FINAL_PLAN_HEADER: &str = "lampwright-final-plan";
/// Puts a simulation in the place of every cloud (`drivers/simulated.rs`): `1`, or `check` to let daemons check files.
pub const SIMULATE_VARIABLE: &str = "LAMPWRIGHT_SIMULATE";
/// What is made belongs to the test of this name.
pub const TEST_VARIABLE: &str = "LAMPWRIGHT_TEST";

/// Machines that the user has named to leave, however many there shall be: in JSON, their names by the address of their
/// resource in the stack.
pub const LEAVING_VARIABLE: &str = "LAMPWRIGHT_LEAVING";
/// Where a backend keeps the state: whoever works on it has the same default scope, wherever the folder is.
pub const PLACE_VARIABLE: &str = "LAMPWRIGHT_PLACE";

/// How the machines of a layer are: a [`LayerReport`].
pub const STATUS: &str = "status.v1";
/// What daemons have written: takes [`LogsAsked`], gives [`LogsTold`].
pub const LOGS: &str = "logs.v1";
/// What says how many machines a layer has, and which there are: a [`ScaleTold`].
pub const SCALE: &str = "scale.v1";
/// How a person gets onto a machine: takes [`ShellAsked`], gives [`ShellTold`].
pub const SHELL: &str = "shell.v1";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerReport {
    /// `SCOPE/NAME`.
    pub layer: String,
    pub cloud: String,
    pub machines: Vec<MachineReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineReport {
    pub name: String,
    pub address: Option<String>,
    /// In a word: `running`, `stopped`, `changed by hand`, ..
    pub status: String,
    /// Whether there is nothing to do about it.
    pub is_well: bool,
    /// Beyond the word; may be empty.
    pub detail: String,
    /// Files that are not as they were installed, a sentence each.
    pub drift: Vec<String>,
    /// The digest of its files, as it was last seen to work with them.
    pub files: Option<String>,
    /// When its services took up what they work with, RFC 3339.
    pub since: Option<String>,
    pub services: Vec<ServiceReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceReport {
    pub name: String,
    pub is_running: bool,
    /// The last line of its log, of one that does not run.
    pub last_message: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsAsked {
    /// Where to go on, as the last answer said; at the beginning of the last part if it is empty.
    pub places: Vec<LogPlace>,
    /// How many bytes of each log at most.
    pub bytes: u64,
}

/// A place in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    pub machine: String,
    pub path: String,
    pub offset: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsTold {
    pub parts: Vec<LogPart>,
    /// For the next question.
    pub places: Vec<LogPlace>,
    /// Logs that could not be read, and why.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPart {
    pub machine: String,
    pub service: String,
    pub path: String,
    /// Whole lines.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleTold {
    /// The attribute with the number of machines; none if nobody decides on one.
    pub attribute: Option<String>,
    /// Their names.
    pub machines: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellAsked {
    /// The name of a machine.
    pub machine: String,
}

/// None of both: the object has no such machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellTold {
    /// The program that connects and its arguments; what shall be run there comes behind.
    pub command: Vec<String>,
    /// The machine is no host of its own: where its files are on this one.
    pub folder: Option<String>,
}
