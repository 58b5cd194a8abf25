//! `lampwright init`: nothing has to be prepared; this says whether everything is there.

use clap::Args;

use crate::session::{Session, plugin_search};
use crate::{exit, ui};

#[derive(Debug, Args)]
pub(crate) struct InitArgs {}

pub(crate) async fn run(_: &InitArgs) -> anyhow::Result<u8> {
    let Ok(session) = Session::open() else { return Ok(exit::FAILURE) };
    let root = session.program.root();
    ui::line(&format!(
        "Stack {}: {} module{}",
        session.name(),
        session.program.modules.len(),
        if session.program.modules.len() == 1 { "" } else { "s" }
    ));
    if let Some(stack) = &root.stack
        && !stack.description.is_empty()
    {
        ui::line(&format!("  {}", stack.description));
    }
    let search = plugin_search();
    let mut missing = 0;
    for requirement in session.program.requirements() {
        match search.find(&requirement.source) {
            Ok(path) => ui::line(&format!("Provider {}: {}", requirement.source.short(), path.display())),
            Err(error) => {
                missing += 1;
                ui::diagnostics(&engine::run::host_diagnostics(&error, requirement.span), &session.sources);
            }
        }
    }
    if missing > 0 {
        return Ok(exit::FAILURE);
    }
    // Each is started once, so that a broken one shows here and not in the middle of something.
    let (events, _shower) = super::plan::Shower::start(false);
    let Ok(run) = session.run(compiler::Inputs::default(), 1, events).await else { return Ok(exit::FAILURE) };
    run.providers.shutdown().await;
    ui::line("Everything is there. Next: lampwright plan");
    Ok(exit::SUCCESS)
}
