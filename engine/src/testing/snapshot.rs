//! What a run planned, as files: the plan as people read it, the outputs, and every file of every machine.

use std::collections::BTreeMap;
use std::fmt::Write;

use compiler::console;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::testing::TestRun;
use proto::preview::File;

use crate::plan::machines::{self, Layer, SameName};
use crate::plan::show::{ShowOptions, show};
use crate::plan::{self, Goal, Plan, PlanOptions, Refresh};
use crate::run::Run;
use crate::state::State;

/// Texts by path, below the run's own folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub files: BTreeMap<String, String>,
}

impl Snapshot {
    /// Plans with providers that simulate.
    pub(super) async fn take(run: &Run, state: &State, test: &TestRun) -> Result<Snapshot, Diagnostics> {
        // What the state names was made for real, so a simulation cannot be asked about it.
        let options = PlanOptions::new(Goal::Configuration, Refresh::Nothing);
        let (plan, diags) = plan::plan(run, state, &options).await;
        if diags.has_errors() {
            return Err(diags);
        }
        Snapshot::of(&plan, test).map_err(|same| {
            Diagnostics(vec![Diagnostic::error("two machines of one name", same.to_string()).at(test.span)])
        })
    }

    fn of(plan: &Plan, test: &TestRun) -> Result<Snapshot, SameName> {
        let mut files = BTreeMap::new();
        files.insert("plan.txt".to_owned(), show(plan, &test.name.name, &ShowOptions::default()).to_string());
        let outputs = outputs(plan);
        if !outputs.is_empty() {
            files.insert("outputs.txt".to_owned(), outputs);
        }
        for layer in machines::layers(plan)? {
            add_layer(&layer, &mut files);
        }
        Ok(Snapshot { files })
    }
}

/// `web-1/etc/httpd.conf`; what all of several machines have alike is there once, as `web-all/htdocs/index.php`: no
/// machine can be called that, since ids are numbers.
fn add_layer(layer: &Layer, files: &mut BTreeMap<String, String>) {
    let mut alike: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (path, version) in layer.machines().flat_map(|machine| machine.files.iter().filter_map(File::wanted)) {
        *alike.entry((path, &version.digest)).or_default() += 1;
    }
    let count = layer.machines().count();
    for machine in layer.machines() {
        for (path, version) in machine.files.iter().filter_map(File::wanted) {
            let is_alike = count > 1 && alike[&(path, version.digest.as_str())] == count;
            let folder = if is_alike { format!("{}-all", layer.name) } else { machine.name.clone() };
            files.entry(format!("{folder}/{path}")).or_insert_with(|| layer.preview.shown(Some(version)).into_owned());
        }
    }
}

fn outputs(plan: &Plan) -> String {
    let mut text = String::new();
    for (name, output) in &plan.outputs {
        let shown = match &output.after {
            None => continue,
            Some(_) if output.sensitive => "(sensitive value)".to_owned(),
            Some(value) => console::show(value),
        };
        writeln!(text, "{name} = {shown}").expect("a String takes everything");
    }
    text
}
