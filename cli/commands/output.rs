//! `lampwright output`.

use std::path::PathBuf;

use anyhow::bail;
use app::watch::Watch as _;
use clap::Args;
use compiler::console;
use compiler::diag::suggest::{closest, there_is};
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::source::SourceMap;
use engine::state::State;
use serde_json::{Map, Value as Json};
use value::codec::json;

use super::Outcome;
use crate::invocation::Invocation;
use crate::ui::Ui;
use crate::{exit, print};

#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Only this output
    name: Option<String>,
    /// As JSON, sensitive values too
    #[arg(long)]
    json: bool,
    /// A text as it is, without quotes
    #[arg(long)]
    raw: bool,
    /// The file of the state, where no backend keeps it; terraform.tfstate if not set
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

pub(crate) async fn run(args: &OutputArgs, invocation: &Invocation) -> Outcome {
    let state = invocation.state(args.state.as_deref())?.peek(&invocation.host).await?;
    Ok(print(args, &state, &invocation.ui)?)
}

fn print(args: &OutputArgs, state: &State, ui: &Ui) -> anyhow::Result<u8> {
    let Some(name) = &args.name else {
        if args.raw {
            bail!("-raw needs the name of an output");
        }
        if args.json {
            let outputs = state.outputs.iter().map(|(name, output)| {
                let entry = serde_json::json!({
                    "sensitive": output.sensitive,
                    "type": output.value.ty().to_json(),
                    "value": json::encode_plain(&output.value),
                });
                (name.to_string(), entry)
            });
            print::whole(&format!("{:#}\n", Json::Object(outputs.collect::<Map<_, _>>())))?;
            return Ok(exit::SUCCESS);
        }
        if state.outputs.is_empty() {
            let warning = Diagnostic::warning("no outputs", "the state has no outputs");
            let warning = warning.note("declare some, as in output \"url\" { value = .. }, and apply");
            ui.diagnostics(&Diagnostics(vec![warning]), &SourceMap::default());
            return Ok(exit::SUCCESS);
        }
        for (name, output) in &state.outputs {
            let shown = if output.sensitive { "(sensitive value)".to_owned() } else { console::show(&output.value) };
            print::line(&format!("{name} = {shown}"));
        }
        return Ok(exit::SUCCESS);
    };
    let Some(output) = state.outputs.get(name.as_str()) else {
        let hint = match closest(name, state.outputs.keys().map(|name| &**name)) {
            Some(candidate) => format!("Did you mean {candidate}?"),
            None => there_is(&state.outputs.keys().map(ToString::to_string).collect::<Vec<_>>(), "outputs"),
        };
        bail!("the state has no output {name:?}. {hint}");
    };
    if args.json {
        print::whole(&format!("{}\n", json::encode_plain(&output.value)))?;
    } else if args.raw {
        let text = value::convert::convert(&output.value, &value::Ty::String);
        match text.as_ref().map(value::Value::as_str) {
            Ok(Some(text)) => print::whole(text)?,
            _ => bail!("the output {name:?} is no text; use -json"),
        }
    } else {
        print::line(&console::show(&output.value));
    }
    Ok(exit::SUCCESS)
}
