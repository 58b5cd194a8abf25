//! `lampwright help TOPIC`: the documents that otherwise only a clone has.

use anyhow::anyhow;
use clap::Args;
use compiler::diag::suggest::closest;
use compiler::lang::funcs;

use super::Outcome;
use crate::{exit, print};

/// Print a document, or what a function does
///
/// Without a topic the list of them, and with `functions` that of all functions. `lampwright help TOPIC` does the same,
/// where no command has that name.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TopicArgs {
    topic: Option<String>,
}

/// In alphabetical order: the name, what it is about, the text.
const TOPICS: &[(&str, &str, &str)] = &[
    ("attributes", "every attribute, changed on machines that serve", include_str!("../../docs/attributes.md")),
    ("bundles", "every file of every machine as an artefact", include_str!("../../docs/bundles.md")),
    ("clouds", "layers on AWS and OpenStack", include_str!("../../docs/clouds.md")),
    ("data", "what becomes of data when layers go", include_str!("../../docs/data.md")),
    ("environment", "variables, CLI configuration and versions", include_str!("../../docs/environment.md")),
    ("local", "the cloud that is this machine", include_str!("../../docs/local.md")),
    ("modules", "modules of the library, of repositories, as archives", include_str!("../../docs/modules.md")),
    ("operating", "status, logs, scale, ssh", include_str!("../../docs/operating.md")),
    (
        "planning",
        "plans for a part, for the record; moved, removed, import, check",
        include_str!("../../docs/planning.md"),
    ),
    (
        "providers",
        "where they come from, what proves them, functions, what is never stored",
        include_str!("../../docs/providers.md"),
    ),
    ("reference", "every resource and every setting of the provider", include_str!("../../docs/reference.md")),
    ("robustness", "the faults that were found, and what guards each", include_str!("../../docs/robustness.md")),
    ("state", "files, backends, locks, encryption, workspaces", include_str!("../../docs/state.md")),
    ("terraform", "every command and flag of Terraform, and how it is here", include_str!("../../docs/terraform.md")),
    ("testing-modules", "tests with snapshots", include_str!("../../docs/testing-modules.md")),
];

const TOPICS_ALL: &str = "topics";
const FUNCTIONS: &str = "functions";

/// Whether `help` is asked for a document, and not for a command.
pub(crate) fn is_topic(name: &str) -> bool {
    let is_document = TOPICS.iter().any(|(known, _, _)| *known == name);
    is_document || [TOPICS_ALL, FUNCTIONS].contains(&name) || funcs::find(name).is_some()
}

pub(crate) fn run(args: &TopicArgs) -> Outcome {
    let Some(name) = args.topic.as_deref().filter(|name| *name != TOPICS_ALL) else {
        let mut topics: Vec<(&str, &str)> = TOPICS.iter().map(|(name, about, _)| (*name, *about)).collect();
        topics.push((FUNCTIONS, "every function of the language"));
        topics.sort_unstable();
        list(&topics);
        return Ok(exit::SUCCESS);
    };
    if name == FUNCTIONS {
        let mut functions: Vec<(&str, &str)> = funcs::all().map(|func| (func.name, func.doc)).collect();
        functions.extend_from_slice(funcs::SPECIAL);
        functions.sort_unstable();
        list(&functions);
        return Ok(exit::SUCCESS);
    }
    if let Some(func) = funcs::find(name) {
        print::raw(&func.reference());
        return Ok(exit::SUCCESS);
    }
    let Some((_, _, text)) = TOPICS.iter().find(|(known, _, _)| *known == name) else {
        let all: Vec<&str> = TOPICS.iter().map(|(known, _, _)| *known).chain([FUNCTIONS]).collect();
        let functions = funcs::all().map(|func| func.name);
        let hint = closest(name, all.iter().copied().chain(functions));
        let hint =
            hint.map_or_else(|| format!("there are: {}", all.join(", ")), |near| format!("did you mean {near}?"));
        return Err(anyhow!("there is no topic {name:?}; {hint}").into());
    };
    print::raw(text);
    Ok(exit::SUCCESS)
}

/// Names, and what each is about.
fn list(entries: &[(&str, &str)]) {
    let width = entries.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, about) in entries {
        print::line(&format!("{name:width$}  {about}"));
    }
}
