//! Whether a stack is right, without a look at what exists.

use std::path::Path;
use std::sync::Arc;

use compiler::Inputs;
use compiler::diag::Diagnostics;
use compiler::source::SourceMap;

use crate::failure::Result;
use crate::host::Host;
use crate::root::Root;
use crate::stack::Stack;
use crate::test;

/// Everything that is wrong with a stack, or may be; none of it has been told. `tests` is where its tests are, besides its
/// folder, if they are looked at, too.
pub async fn validate(host: &Arc<Host>, root: &Root, tests: Option<&Path>) -> Result<(Diagnostics, SourceMap)> {
    let (mut stack, mut diags) = Stack::read(host, root);
    if !diags.has_errors() {
        let (run, _telling) = stack.run(Inputs::default()).await?;
        diags.extend(engine::validate::validate(&run).await);
        run.providers.shutdown().await;
    }
    if let Some(folder) = tests {
        diags.extend(test::check_files(&mut stack, folder)?);
    }
    Ok((diags.without_repetitions(), stack.sources))
}
