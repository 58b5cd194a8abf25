//! `lampwright status`: how the machines of a stack are.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use engine::operations::Answer;
use engine::operations::dialect::{LayerReport, MachineReport};
use serde_json::json;

use super::operate::{self, OperateArgs};
use super::{InputArgs, Outcome};
use crate::invocation::Invocation;
use crate::{exit, print};

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Only these layers, by the addresses or names of their resources, such as lamp_cluster.web or web
    layers: Vec<String>,
    /// Show it again every two seconds, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    operate: OperateArgs,
}

const PAUSE: Duration = Duration::from_secs(2);

/// The exit code is 2 if something is not well.
pub(crate) async fn run(args: &StatusArgs, invocation: &Invocation) -> Outcome {
    let existing = operate::open("status", &args.inputs, &args.operate, invocation).await?;
    let meant = existing.meant(&args.layers)?;
    let code = loop {
        let answers = existing.status(&meant).await;
        let (shown, code) = if args.json { as_json(&answers) } else { as_text(&answers) };
        if args.watch && std::io::stdout().is_terminal() {
            print::clear();
        }
        print::line(&shown);
        if !args.watch || existing.is_cancelled() {
            break code;
        }
        tokio::time::sleep(PAUSE).await;
    };
    existing.end().await;
    Ok(code)
}

type Answers = [(compiler::addr::InstanceAddr, Answer<LayerReport>)];

fn as_json(answers: &Answers) -> (String, u8) {
    let layers: Vec<_> = answers
        .iter()
        .map(|(addr, answer)| match answer {
            Ok(report) => json!({ "address": addr.to_string(), "status": report }),
            Err(problem) => json!({ "address": addr.to_string(), "problem": problem.to_string() }),
        })
        .collect();
    (format!("{:#}", json!({ "format_version": 1, "layers": layers })), code(answers))
}

fn code(answers: &Answers) -> u8 {
    let is_well =
        |answer: &Answer<LayerReport>| answer.as_ref().is_ok_and(|report| report.machines.iter().all(|it| it.is_well));
    if answers.iter().all(|(_, answer)| is_well(answer)) { exit::SUCCESS } else { exit::CHANGES }
}

fn as_text(answers: &Answers) -> (String, u8) {
    let mut lines = Vec::new();
    if answers.is_empty() {
        lines.push("Nothing exists. `lampwright apply` makes it.".to_owned());
    }
    for (addr, answer) in answers {
        match answer {
            Ok(report) => {
                let machines = match report.machines.len() {
                    1 => "1 machine".to_owned(),
                    many => format!("{many} machines"),
                };
                lines.push(format!("{addr}  {} on {}, {machines}", report.layer, report.cloud));
                let width = report.machines.iter().map(|machine| machine.name.len()).max().unwrap_or(0);
                report.machines.iter().for_each(|machine| machine_lines(machine, width, &mut lines));
            }
            Err(problem) => lines.push(format!("{addr}  {problem}")),
        }
    }
    let lines: Vec<String> = lines.iter().map(|line| print::tame(line)).collect();
    (lines.join("\n"), code(answers))
}

fn machine_lines(machine: &MachineReport, width: usize, lines: &mut Vec<String>) {
    let address = machine.address.as_deref().unwrap_or("no address");
    let services: Vec<String> = machine
        .services
        .iter()
        .map(|service| if service.is_running { service.name.clone() } else { format!("{} DOWN", service.name) })
        .collect();
    let since = machine.since.as_deref().map(|since| format!("  since {since}")).unwrap_or_default();
    // `sha256:` and the beginning of the digest.
    let files = machine.files.as_deref().and_then(|digest| digest.get(7..15));
    let files = files.map(|digest| format!("  files {digest}")).unwrap_or_default();
    lines.push(format!(
        "  {:width$}  {:15}  {:16}  {}{files}{since}",
        machine.name,
        address,
        machine.status,
        services.join(", ")
    ));
    let indent = " ".repeat(width + 4);
    if !machine.detail.is_empty() {
        lines.push(format!("{indent}{}", machine.detail));
    }
    lines.extend(machine.drift.iter().map(|drift| format!("{indent}{drift}")));
    for service in &machine.services {
        if let Some(message) = &service.last_message {
            lines.push(format!("{indent}{}: {message}", service.name));
        }
    }
}
