//! Every file of every machine, to review, to sign, or for other tools.

mod artefact;
mod difference;

use std::path::{Path, PathBuf};

use compiler::Inputs;
use engine::plan::machines::{self, Layer};
use engine::plan::{self, Goal, PlanOptions, Refresh};

use crate::failure::{Result, refuse};
use crate::root::{Root, plain};
use crate::stack::{Simulation, Stack};
use crate::state::StateAt;
pub use artefact::{Bundle, FileEntry, MachineEntry, Manifest, read};
pub use difference::differences;

/// A bundle that was written.
#[derive(Debug)]
pub struct Written {
    pub manifest: Manifest,
    /// Of the manifest, which has the digests of all files.
    pub digest: String,
}

/// Writes the files of all machines, as the stack describes them now, into a folder or an archive. No cloud is asked.
pub async fn write(
    stack: &Stack,
    inputs: Inputs,
    state: &StateAt,
    simulation: Simulation,
    out: &Path,
) -> Result<Written> {
    let state = state.peek(&stack.host).await?;
    let run = stack.simulate(inputs, &state, simulation).await?;
    let options = PlanOptions::new(Goal::Configuration, Refresh::Nothing);
    let (plan, diags) = plan::plan(&run, &state, &options).await;
    run.providers.shutdown().await;
    stack.tell(&diags)?;
    let layers = machines::layers(&plan).map_err(anyhow::Error::from)?;
    refuse_inside(&stack.root, &layers, out)?;
    let (manifest, digest) = artefact::write(&stack.name(), &layers, &stack.root.at(out))?;
    Ok(Written { manifest, digest })
}

/// A bundle within a folder that a layer takes its files from would be part of the next one.
fn refuse_inside(root: &Root, layers: &[Layer], out: &Path) -> Result<()> {
    let absolute = |path: &Path| plain(&root.absolute().join(path));
    let resolved = |path: PathBuf| std::fs::canonicalize(&path).unwrap_or(path);
    let parent = resolved(absolute(out).parent().unwrap_or(Path::new("/")).to_owned());
    for layer in layers {
        for source in &layer.preview.sources {
            if parent.starts_with(resolved(absolute(source.as_ref()))) {
                refuse!(
                    "{} lies in {source}, which {} takes its files from; write the bundle elsewhere",
                    out.display(),
                    layer.resource
                );
            }
        }
    }
    Ok(())
}
