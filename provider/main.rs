//! `terraform-provider-lampwright`: the plugin that lampwright and terraform start.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("reference") {
        print_reference();
        return ExitCode::SUCCESS;
    }
    match provider::plugin::serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            explain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn print_reference() {
    print!("{}", provider::service::reference::reference());
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
