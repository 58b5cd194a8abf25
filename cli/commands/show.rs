//! `lampwright show`: what exists, the files of every machine, or a saved plan.

use std::path::{Path, PathBuf};

use app::planning::SavedPlan;
use app::state;
use clap::Args;
use compiler::addr::InstanceAddr;
use compiler::console;
use engine::state::InstanceState;
use value::codec::json as values;

use super::Outcome;
use crate::invocation::Invocation;
use crate::proposal::Proposal;
use crate::{document, exit, print};

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// A saved plan, or a state in a file; without one, what the state says
    file: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Also the text of every configuration file
    #[arg(long)]
    files: bool,
    /// Show every change of a plan and every line of it, where a terminal gets only so much
    #[arg(long)]
    detail: bool,
    /// The file of the state, where no backend keeps it; terraform.tfstate if not set
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

impl ShowArgs {
    /// A command about the same state.
    fn about(&self, proposal: Proposal) -> Proposal {
        match self.file.as_ref().or(self.state.as_ref()) {
            Some(path) => proposal.argument(format!("-state={}", path.display())),
            None => proposal,
        }
    }
}

pub(crate) async fn run(args: &ShowArgs, invocation: &Invocation) -> Outcome {
    let at = match &args.file {
        Some(path) if state::is_state(&invocation.root, path) => {
            state::beside(&invocation.host, &invocation.root, path)?.unlocked()
        }
        Some(path) => return show_plan(path, args, invocation),
        None => invocation.state(args.state.as_deref())?,
    };
    let state = at.peek(&invocation.host).await?;
    if args.json {
        print::whole(&format!("{}\n", document::state(&state)))?;
        return Ok(exit::SUCCESS);
    }
    if state.is_empty() {
        let apply = args.about(invocation.proposal("apply"));
        print::line(&format!("Nothing exists. `{}` makes what the stack describes.", apply.text()));
        return Ok(exit::SUCCESS);
    }
    for (addr, instance) in &state.instances {
        object(addr, instance);
    }
    for addr in state.unfinished.keys() {
        print::line(&format!("{addr} (was being made when a run was cut off; how much of it exists is not known)"));
    }
    for (addr, doubt) in &state.in_doubt {
        print::line(&doubt.explain(addr));
    }
    let bundles = at.bundles(&invocation.root);
    if bundles.is_dir() {
        print::line(&format!("\nConfiguration files (copies in {}):", bundles.display()));
        show_files(&bundles, &bundles, args.files)?;
        if !args.files {
            let show = args.about(invocation.proposal("show"));
            print::line(&format!("`{}` prints them.", show.argument("-files").text()));
        }
    }
    Ok(exit::SUCCESS)
}

/// An object with its attributes.
pub(super) fn object(addr: &InstanceAddr, instance: &InstanceState) {
    let taint = if instance.tainted { " (not made completely, will be replaced)" } else { "" };
    print::line(&format!("{addr}{taint}"));
    let hidden: Vec<String> = instance.sensitive_paths.iter().map(ToString::to_string).collect();
    let set = instance.attributes.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    for (name, value) in set {
        let is_hidden = hidden.iter().any(|path| path.split(['.', '[']).next() == Some(name));
        let shown =
            if is_hidden { "(sensitive value)".to_owned() } else { console::show(&values::decode_plain(value)) };
        print::line(&format!("    {name} = {}", shown.replace('\n', "\n    ")));
    }
}

fn show_files(root: &Path, folder: &Path, with_text: bool) -> anyhow::Result<()> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            show_files(root, &path, with_text)?;
        } else if path.file_name().is_some_and(|name| name != "manifest.json") {
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            if with_text {
                let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
                print::line(&format!("\n==> {name} <==\n{}", text.trim_end()));
            } else {
                print::line(&format!("    {name}"));
            }
        }
    }
    Ok(())
}

fn show_plan(path: &Path, args: &ShowArgs, invocation: &Invocation) -> Outcome {
    let saved = SavedPlan::open(&invocation.host, &invocation.root, path, &[])?;
    let plan = saved.plan()?;
    if args.json {
        print::whole(&format!("{}\n", document::plan(&plan, &saved)))?;
    } else {
        let ui = &*invocation.ui;
        let unfold = invocation.proposal("show").argument(path.to_string_lossy());
        let unfold = unfold.argument_if(args.files, "-files").argument("-detail");
        super::plan::show_plan(ui, &saved.stack, &plan, args.files, super::plan::fold(ui, args.detail, unfold));
    }
    Ok(exit::SUCCESS)
}
