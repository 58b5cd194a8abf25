//! `terraform-provider-lampwright`: the plugin that lampwright and terraform start.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match provider::plugin::serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            explain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the program's own last words")]
fn explain(error: &dyn std::error::Error) {
    eprintln!("{error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}
