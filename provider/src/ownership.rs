//! Whose machines are: every machine says which object of which state it was made for, and nobody else takes it over
//! without the user's word (docs/decisions/0013).
//!
//! Our engine tells the lineage of its state. Terraform tells a provider nothing of the kind: there an object is this
//! state's if its record was shown to this process, or if a run that was cut off has left a slip that names it.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use proto::state_name;
use sha2::{Digest, Sha256};

use crate::bundle::hex;
use crate::driver::{LayerId, Machine, Owner};

const DEFAULT_WORKSPACE: &str = "default";
const SLIPS: &str = ".lampwright/making";
/// A tag of a cloud holds 255 characters (EC2 and Nova API references); the rest of an owner takes up to 110.
const LONGEST_ORIGIN: usize = 120;

/// Before the generation of an object that an import has found: the next apply makes its machines this state's.
const IMPORTED: &str = "imported:";

/// The state that this process works for, and what it has been shown of it.
#[derive(Debug)]
pub struct Ownership {
    state: String,
    origin: String,
    /// Whether the state's name is that state's alone.
    is_exact: bool,
    /// Generations of objects that the state has.
    known: Mutex<HashSet<String>>,
    /// Slips of what was answered for.
    answered: Mutex<Vec<PathBuf>>,
    slips: PathBuf,
}

/// The state that a process works for, as its surroundings tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateName {
    id: String,
    origin: String,
    is_exact: bool,
    /// Tells it from other states of the folder; none for the one that is there without a word about it.
    pub label: Option<String>,
}

impl StateName {
    /// `test` is the name of a test that runs.
    pub fn of_surroundings(folder: &Path, test: Option<&str>) -> StateName {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        if let Some(test) = test {
            let origin = origin(&host, folder, &format!("test {test}"));
            return StateName { id: format!("test-{test}"), origin, is_exact: true, label: None };
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(lineage) = variable(state_name::LINEAGE_VARIABLE) {
            let path = variable(state_name::PATH_VARIABLE).unwrap_or_else(|| state_name::DEFAULT_STATE.to_owned());
            let origin = origin(&host, folder, &path);
            let label = state_name::label(folder, Path::new(&path));
            return StateName { id: lineage, origin, is_exact: true, label };
        }
        let workspace = variable("TF_WORKSPACE").or_else(|| chosen_workspace(folder));
        let workspace = workspace.unwrap_or_else(|| DEFAULT_WORKSPACE.to_owned());
        let digest = digest(&[folder.as_os_str().as_encoded_bytes(), workspace.as_bytes(), host.as_bytes()]);
        StateName {
            id: format!("terraform-{digest}"),
            origin: origin(&host, folder, &format!("Terraform workspace {workspace}")),
            is_exact: false,
            label: Some(workspace).filter(|workspace| workspace != DEFAULT_WORKSPACE),
        }
    }
}

fn chosen_workspace(folder: &Path) -> Option<String> {
    let data = std::env::var_os("TF_DATA_DIR").map_or_else(|| PathBuf::from(".terraform"), PathBuf::from);
    let name = std::fs::read_to_string(folder.join(data).join("environment")).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn origin(host: &str, folder: &Path, what: &str) -> String {
    let text = format!("{host}:{} {what}", folder.display());
    // What every cloud takes in a tag.
    let is_plain = |ch: char| ch.is_ascii_alphanumeric() || " +-=._:/@".contains(ch);
    let text: Vec<char> = text.chars().map(|ch| if is_plain(ch) { ch } else { '_' }).collect();
    text[text.len().saturating_sub(LONGEST_ORIGIN)..].iter().collect()
}

/// Eight digits: it becomes part of the paths of unix sockets.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..4])
}

impl Ownership {
    pub fn new(name: StateName) -> Ownership {
        Ownership {
            state: name.id,
            origin: name.origin,
            is_exact: name.is_exact,
            known: Mutex::default(),
            answered: Mutex::default(),
            slips: PathBuf::from(SLIPS),
        }
    }

    /// The object is in the state.
    pub fn know(&self, generation: Option<&str>) {
        if let Some(generation) = generation.map(plain).filter(|generation| !generation.is_empty()) {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(generation.to_owned());
        }
    }

    /// What the machines of an object say.
    pub fn owner(&self, generation: &str) -> String {
        let owner = Owner { generation: generation.to_owned(), state: self.state.clone(), origin: self.origin.clone() };
        owner.to_string()
    }

    /// Whether it is of a state that has this one's name: what was kept is in no state any more.
    pub fn is_namesake(&self, owner: &Owner) -> bool {
        owner.state == self.state
    }

    fn is_own(&self, layer: &LayerId, owner: &Owner) -> bool {
        if owner.generation.is_empty() {
            return false;
        }
        let is_this_state = self.is_exact && owner.state == self.state;
        let is_known = || self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&owner.generation);
        let slip = || std::fs::read_to_string(self.slip(layer)).unwrap_or_default();
        let was_cut_off = || slip().lines().any(|line| line == owner.generation);
        is_this_state || is_known() || was_cut_off()
    }

    /// Those of a layer's machines that are another state's, with whose they are.
    pub fn others<'m>(&self, layer: &LayerId, machines: &'m [Machine]) -> Vec<(&'m Machine, Owner)> {
        let owned = machines.iter().map(|machine| (machine, machine.owner()));
        owned.filter(|(machine, owner)| !machine.is_remnant() && !self.is_own(layer, owner)).collect()
    }

    /// The owners of a layer's machines that are this state's.
    pub fn takeable(&self, layer: &LayerId, machines: &[Machine]) -> BTreeSet<String> {
        let own = machines.iter().filter(|machine| self.is_own(layer, &machine.owner()));
        own.filter_map(|machine| machine.owner.clone()).collect()
    }

    /// Writes down, where no engine does, what is about to be made: a run that is cut off is completed by the next one.
    pub fn begin(&self, layer: &LayerId, generation: &str) {
        if self.is_exact {
            return;
        }
        let slip = self.slip(layer);
        // What earlier runs were cut off from goes on being this state's: they may have got anywhere.
        let earlier = std::fs::read_to_string(&slip).unwrap_or_default();
        let text = format!("{earlier}{generation}\n");
        let written = std::fs::create_dir_all(&self.slips).and_then(|()| std::fs::write(&slip, text));
        if let Err(error) = written {
            // Without it the next plan refuses, and says how the machines are imported.
            tracing::warn!("{} could not be written: {error}", slip.display());
        }
    }

    /// What was made is told to the host now, who may be gone before it writes it down: the slip stays until `end`.
    pub fn answer(&self, layer: &LayerId) {
        if !self.is_exact {
            self.answered.lock().unwrap_or_else(PoisonError::into_inner).push(self.slip(layer));
        }
    }

    /// The host needs this process no more, and has heard every answer.
    pub fn end(&self) {
        let answered = std::mem::take(&mut *self.answered.lock().unwrap_or_else(PoisonError::into_inner));
        for slip in &answered {
            let _ = std::fs::remove_file(slip);
        }
        if !answered.is_empty() {
            let _ = std::fs::remove_dir(&self.slips);
        }
    }

    fn slip(&self, layer: &LayerId) -> PathBuf {
        self.slips.join(digest(&[self.state.as_bytes(), layer.to_string().as_bytes()]))
    }
}

pub fn imported(generation: &str) -> String {
    format!("{IMPORTED}{generation}")
}

pub fn is_imported(generation: &str) -> bool {
    generation.starts_with(IMPORTED)
}

/// As machines say it.
pub fn plain(generation: &str) -> &str {
    generation.strip_prefix(IMPORTED).unwrap_or(generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: &str, is_exact: bool) -> StateName {
        StateName { id: id.to_owned(), origin: format!("host:/srv {id}.tfstate"), is_exact, label: None }
    }

    #[test]
    fn an_owner_is_read_as_it_was_written() {
        let ownership = Ownership::new(name("lineage", true));
        let owner = Owner::parse(&ownership.owner("generation"));
        assert_eq!(owner.described(), "host:/srv lineage.tfstate (lineage lineage)");
        assert_eq!(owner.generation, "generation");
        assert_eq!(Owner::parse("generation").state, "");
    }

    #[test]
    fn a_state_knows_its_own_and_no_other() {
        let layer = LayerId::of_id("shop/web");
        let dev = Ownership::new(name("dev", true));
        let prod = Ownership::new(name("prod", true));
        let made = Owner::parse(&dev.owner("g1"));
        assert!(dev.is_own(&layer, &made));
        assert!(!prod.is_own(&layer, &made));
        // An import tells it.
        prod.know(Some("g1"));
        assert!(prod.is_own(&layer, &made));
        // Terraform's states of one folder have one name: only what was shown counts.
        let terraform = Ownership::new(name("terraform-1", false));
        assert!(!terraform.is_own(&layer, &Owner::parse(&terraform.owner("g2"))));
        terraform.know(Some("g2"));
        assert!(terraform.is_own(&layer, &Owner::parse(&terraform.owner("g2"))));
        assert!(!dev.is_own(&layer, &Owner::parse("")));
    }

    /// Terraform may be gone before it writes down what it was told.
    #[test]
    fn a_slip_stays_until_the_host_has_ended_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let process =
            || Ownership { slips: folder.path().join("making"), ..Ownership::new(name("terraform-1", false)) };
        let (layer, first) = (LayerId::of_id("shop/web"), process());
        let made = Owner::parse(&first.owner("g1"));
        first.begin(&layer, "g1");
        first.answer(&layer);
        assert!(process().is_own(&layer, &made), "the slip went with the answer");
        first.end();
        assert!(!process().is_own(&layer, &made), "the slip is left");
        assert!(!folder.path().join("making").exists());
    }
}
