//! Whether a stack is right, without a look at what exists.

use std::sync::Arc;

use compiler::Inputs;
use compiler::diag::Diagnostics;
use compiler::source::SourceMap;

use crate::failure::Result;
use crate::host::Host;
use crate::root::Root;
use crate::stack::Stack;

/// Everything that is wrong with a stack, or may be; none of it has been told.
pub async fn validate(host: &Arc<Host>, root: &Root) -> Result<(Diagnostics, SourceMap)> {
    let (stack, mut diags) = Stack::read(host, root);
    if !diags.has_errors() {
        let (run, _telling) = stack.run(Inputs::default()).await?;
        diags.extend(engine::validate::validate(&run).await);
        run.providers.shutdown().await;
    }
    Ok((diags.without_repetitions(), stack.sources))
}
