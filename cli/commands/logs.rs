//! `lampwright logs`: what the daemons of all machines have written, by time.

use std::time::Duration;

use app::logs::Logs;
use clap::Args;

use super::operate::{self, OperateArgs};
use super::{InputArgs, Outcome};
use crate::invocation::Invocation;
use crate::{exit, print};

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

const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: &LogsArgs, invocation: &Invocation) -> Outcome {
    let existing = operate::open("logs", &args.inputs, &args.operate, invocation).await?;
    let meant = existing.meant(&args.layers)?;
    let mut logs = Logs::new(meant, args.service.clone(), args.lines);
    let mut code = exit::SUCCESS;
    loop {
        let written = logs.next(&existing).await;
        for problem in &written.problems {
            invocation.ui.error(&print::tame(problem));
            code = exit::FAILURE;
        }
        let width = written.lines.iter().map(|line| line.label.len()).max().unwrap_or(0);
        written
            .lines
            .iter()
            .for_each(|line| print::line(&format!("{:width$}  {}", line.label, print::tame(&line.text))));
        if !args.follow || existing.is_cancelled() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    existing.end().await;
    Ok(code)
}
