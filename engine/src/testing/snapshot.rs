//! What a run planned, as files: the plan as people read it, the outputs, and every file of every machine.

use std::collections::BTreeMap;
use std::fmt::Write;

use compiler::console;
use compiler::diag::Diagnostics;
use compiler::testing::TestRun;

use crate::plan::show::{ShowOptions, preview, show};
use crate::plan::{self, Goal, Plan, PlanOptions};
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
        let options = PlanOptions { goal: Goal::Configuration, refresh: false, adopt: BTreeMap::new() };
        let (plan, diags) = plan::plan(run, state, &options).await;
        if diags.has_errors() { Err(diags) } else { Ok(Snapshot::of(&plan, test)) }
    }

    fn of(plan: &Plan, test: &TestRun) -> Snapshot {
        let mut files = BTreeMap::new();
        files.insert("plan.txt".to_owned(), show(plan, &test.name.name, ShowOptions::default()));
        let outputs = outputs(plan);
        if !outputs.is_empty() {
            files.insert("outputs.txt".to_owned(), outputs);
        }
        for change in plan.changes.values() {
            let Some(preview) = preview(change) else { continue };
            for machine in preview["machines"].as_array().into_iter().flatten() {
                let name = machine["name"].as_str().unwrap_or_default();
                for file in machine["files"].as_array().into_iter().flatten() {
                    let (Some(path), Some(text)) = (file["path"].as_str(), file["after"].as_str()) else { continue };
                    files.insert(format!("{name}/{path}"), text.to_owned());
                }
            }
        }
        Snapshot { files }
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
