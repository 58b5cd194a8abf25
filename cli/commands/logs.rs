//! `lampwright logs`: what the daemons of all machines have written, by time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;
use compiler::addr::InstanceAddr;
use engine::host::HostError;
use engine::operations;
use engine::operations::dialect::{self, LogPlace, LogsAsked, LogsTold};
use serde_json::json;

use super::InputArgs;
use super::operate::{self, OperateArgs};
use crate::log_lines::{Line, lines};
use crate::{exit, ui};

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Only these layers, by the addresses or names of their resources, such as lamp_cluster.web or web
    layers: Vec<String>,
    /// Go on with what is written from now on, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// How many of the last lines of each log
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
    lines: usize,
    /// Only services of this name, such as mongod or apache2
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    operate: OperateArgs,
}

/// Of each log at a time.
const BYTES: u64 = 256 << 10;
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: &LogsArgs) -> anyhow::Result<u8> {
    let Some(planned) = operate::open("logs", &args.inputs, &args.operate).await? else { return Ok(exit::FAILURE) };
    let is_meant = operate::layers(&planned.plan, &args.layers)?;
    let mut places: BTreeMap<InstanceAddr, Vec<LogPlace>> = BTreeMap::new();
    let mut code = exit::SUCCESS;
    let mut problems = BTreeSet::new();
    let mut is_first = true;
    loop {
        let arguments = |addr: &InstanceAddr| {
            let places = places.get(addr).cloned().unwrap_or_default();
            json!(LogsAsked { places, bytes: BYTES })
        };
        let run = &planned.run;
        let answers = operations::ask::<LogsTold>(run, &planned.plan, dialect::LOGS, &is_meant, arguments).await;
        let mut all: Vec<Line> = Vec::new();
        for (addr, answer) in answers {
            // One of another make has no logs; whoever did not ask for it does not miss them.
            if args.layers.is_empty() && matches!(answer, Err(HostError::NoOperation { .. })) {
                continue;
            }
            match answer {
                Ok(told) => {
                    let parts =
                        told.parts.iter().filter(|part| args.service.as_ref().is_none_or(|it| *it == part.service));
                    for part in parts {
                        let mut some = lines(part);
                        if is_first {
                            some.drain(..some.len().saturating_sub(args.lines));
                        }
                        all.extend(some);
                    }
                    // Once, not at every look.
                    for problem in told.problems.iter().filter(|problem| problems.insert((*problem).clone())) {
                        ui::error(&format!("{addr}: {}", ui::tame(problem)));
                        code = exit::FAILURE;
                    }
                    places.insert(addr, told.places);
                }
                Err(error) => {
                    let problem = error.to_string();
                    if problems.insert(problem.clone()) {
                        ui::error(&format!("{addr}: {}", ui::tame(&problem)));
                    }
                    code = exit::FAILURE;
                }
            }
        }
        // Lines of one log keep their order: the sort is stable, and a line without a time has that of the one before.
        all.sort_by_key(|line| line.time);
        let width = all.iter().map(|line| line.label.len()).max().unwrap_or(0);
        all.iter().for_each(|line| ui::line(&format!("{:width$}  {}", line.label, ui::tame(&line.text))));
        is_first = false;
        if !args.follow || *planned.run.cancelled.borrow() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    planned.end().await;
    Ok(code)
}
