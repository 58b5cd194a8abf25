//! `lampwright completion` and `lampwright man`: what a shell and `man` know of this program.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Outcome};
use crate::invocation::Invocation;
use crate::{exit, print};

/// Print what a shell needs to complete command lines
///
/// For bash: lampwright completion bash > /usr/share/bash-completion/completions/lampwright. For zsh and fish into a folder
/// of their own completions, as _lampwright and lampwright.fish.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CompletionArgs {
    shell: Shell,
}

/// Write the pages of the manual into a folder, one for each command
///
/// `man -l DIR/lampwright.1` shows the first one.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ManArgs {
    dir: PathBuf,
}

const NAME: &str = "lampwright";

pub(crate) fn completion(args: &CompletionArgs) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    print::raw(&String::from_utf8_lossy(&script));
    exit::SUCCESS
}

pub(crate) fn man(args: &ManArgs, invocation: &Invocation) -> Outcome {
    let dir = &invocation.path(&args.dir);
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    let written = clap_mangen::generate_to(Cli::command(), dir);
    written.with_context(|| format!("cannot write to {}", dir.display()))?;
    print::line(&format!("man -l {}", dir.join("lampwright.1").display()));
    Ok(exit::SUCCESS)
}
