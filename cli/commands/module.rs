//! `lampwright module`: what belongs to a module besides its text.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use compiler::console;
use compiler::lang::declare::{ModuleDecl, Variable};
use compiler::program;
use compiler::source::SourceMap;

use super::package::{self, PackageArgs};
use crate::disk::Disk;
use crate::{disk, exit, ui};

/// Work on a module that others reuse
#[derive(Debug, Args)]
pub(crate) struct ModuleArgs {
    #[command(subcommand)]
    command: ModuleCommand,
}

#[derive(Debug, Subcommand)]
enum ModuleCommand {
    Docs(DocsArgs),
    Package(PackageArgs),
}

/// Write the reference of a module, its variables and outputs, into its README.md
///
/// Between the lines `<!-- reference -->` and `<!-- end of reference -->` of README.md stands a
/// table of the module's variables and outputs, made of their descriptions. Without these lines
/// it is added at the end.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct DocsArgs {
    /// The module's folder
    #[arg(default_value = ".")]
    pub(super) dir: PathBuf,
    /// Write nothing; fail if the reference is not what it would be
    #[arg(long)]
    pub(super) check: bool,
}

const README: &str = "README.md";
const BEGIN: &str = "<!-- reference -->";
const END: &str = "<!-- end of reference -->";

pub(crate) async fn run(args: &ModuleArgs) -> anyhow::Result<u8> {
    match &args.command {
        ModuleCommand::Docs(args) => docs(args),
        ModuleCommand::Package(args) => package::run(args).await,
    }
}

pub(super) fn docs(args: &DocsArgs) -> anyhow::Result<u8> {
    // What the module calls is found from where it is.
    std::env::set_current_dir(&args.dir).with_context(|| format!("cannot go to the folder {}", args.dir.display()))?;
    let mut sources = SourceMap::default();
    let (program, diags) = program::load(".", &Disk, &mut sources);
    ui::diagnostics(&diags, &sources);
    if diags.has_errors() {
        return Ok(exit::FAILURE);
    }
    let path = args.dir.join("README.md");
    let before = match std::fs::read_to_string(README) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let after = replaced(&before, &reference(program.root()));
    if before == after {
        return Ok(exit::SUCCESS);
    }
    if args.check {
        let command = crate::proposal::Proposal::new("module docs").argument(args.dir.to_string_lossy()).text();
        ui::error(&format!("the reference in {} is not that of the module; write it by: {command}", path.display()));
        return Ok(exit::FAILURE);
    }
    disk::replace(README.as_ref(), &after).with_context(|| format!("cannot write {}", path.display()))?;
    ui::line(&format!("{} has the reference of the module now.", path.display()));
    Ok(exit::SUCCESS)
}

fn replaced(readme: &str, reference: &str) -> String {
    let section = format!("{BEGIN}\n{reference}{END}\n");
    let place = readme.find(BEGIN).and_then(|begin| {
        let end = begin + readme[begin..].find(END)? + END.len();
        Some((begin, end + usize::from(readme[end..].starts_with('\n'))))
    });
    match place {
        Some((begin, end)) => format!("{}{section}{}", &readme[..begin], &readme[end..]),
        None if readme.is_empty() => section,
        None => format!("{}\n\n{section}", readme.trim_end()),
    }
}

fn reference(module: &ModuleDecl) -> String {
    let mut out = String::new();
    if !module.variables.is_empty() {
        out.push_str("| variable | type | default | what it is |\n|---|---|---|---|\n");
        for (name, variable) in &module.variables {
            let sensitive = if variable.sensitive { " (sensitive)" } else { "" };
            let Variable { ty, description, .. } = variable;
            let row = [name.to_string(), ty.ty.to_string(), default(variable), format!("{description}{sensitive}")];
            out.push_str(&format!("| {} |\n", row.map(|cell| cell.replace('|', "\\|")).join(" | ")));
        }
    }
    if !module.outputs.is_empty() {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str("| output | what it is |\n|---|---|\n");
        for (name, output) in &module.outputs {
            let sensitive = if output.sensitive { " (sensitive)" } else { "" };
            out.push_str(&format!("| {name} | {}{sensitive} |\n", output.description.replace('|', "\\|")));
        }
    }
    out
}

fn default(variable: &Variable) -> String {
    match &variable.default {
        None => "required".to_owned(),
        Some(value) if value.is_null() => "not set".to_owned(),
        // One line: a table has no room for more.
        Some(value) => console::show(value).split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_replaced_and_nothing_else() {
        let readme = "# a\n\n<!-- reference -->\nold\n<!-- end of reference -->\n\nmore\n";
        assert_eq!(replaced(readme, "new\n"), "# a\n\n<!-- reference -->\nnew\n<!-- end of reference -->\n\nmore\n");
        assert_eq!(replaced("# a\n", "new\n"), "# a\n\n<!-- reference -->\nnew\n<!-- end of reference -->\n");
    }
}
