//! `lampwright ssh`: onto a machine.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::bail;
use clap::Args;
use engine::host::HostError;
use engine::operations::ask;
use engine::operations::dialect::{self, ShellAsked, ShellTold};
use serde_json::json;

use super::InputArgs;
use super::operate::{self, OperateArgs};
use crate::exit;

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

pub(crate) async fn run(args: &SshArgs) -> anyhow::Result<u8> {
    let Some(found) = operate::open("ssh", &args.inputs, &args.operate).await? else { return Ok(exit::FAILURE) };
    let machine = args.machine.clone();
    let answers = ask::<ShellTold>(
        &found.run,
        &found.plan,
        dialect::SHELL,
        |_| true,
        |_| json!(ShellAsked { machine: machine.clone() }),
    )
    .await;
    found.end().await;
    let mut ways = Vec::new();
    let mut problems = Vec::new();
    for (addr, answer) in answers {
        match answer {
            Ok(told) if told.command.is_empty() && told.folder.is_none() => {}
            Ok(told) => ways.push((addr, told)),
            Err(HostError::NoOperation { .. }) => {}
            Err(error) => problems.push(format!("{addr}: {error}")),
        }
    }
    match ways.as_slice() {
        [] if problems.is_empty() => {
            bail!("no layer has a machine {:?}; `lampwright status` shows which there are", args.machine)
        }
        [] => bail!("{}", problems.join("\n")),
        [(_, told)] => connect(told, args),
        several => {
            let layers: Vec<String> = several.iter().map(|(addr, _)| addr.to_string()).collect();
            bail!("{:?} is a machine of {}", args.machine, layers.join(" and "))
        }
    }
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
