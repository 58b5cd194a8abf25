//! `lampwright ssh`: onto a machine.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::bail;
use clap::Args;
use engine::operations::dialect::ShellTold;

use super::operate::{self, OperateArgs};
use super::{InputArgs, Outcome};
use crate::invocation::Invocation;

/// Get a shell on a machine, or run a command there
///
///   lampwright ssh web-1
///   lampwright ssh web-1 -- df -h
///
/// The machine is verified by the key that it was made with. The exit code is that of the command.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct SshArgs {
    /// The machine, as `status` shows it
    machine: String,
    /// What to run there instead of a shell
    #[arg(last = true)]
    command: Vec<String>,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    operate: OperateArgs,
}

pub(crate) async fn run(args: &SshArgs, invocation: &Invocation) -> Outcome {
    let existing = operate::open("ssh", &args.inputs, &args.operate, invocation).await?;
    let told = existing.shell(&args.machine).await;
    existing.end().await;
    Ok(connect(&told?, args)?)
}

/// Becomes the program that connects.
fn connect(told: &ShellTold, args: &SshArgs) -> anyhow::Result<u8> {
    let [program, arguments @ ..] = told.command.as_slice() else {
        bail!("{} is on this machine: its files are in {}", args.machine, told.folder.as_deref().unwrap_or("?"));
    };
    let error = Command::new(program).args(arguments).args(&args.command).exec();
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            bail!("there is no program {program} on this machine; install it with: apt install openssh-client")
        }
        _ => bail!("{program} could not be started: {error}"),
    }
}
