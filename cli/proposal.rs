//! Commands that are proposed to the user: as this one was called, so that they mean the same stack, the same state and the
//! same values.

use std::path::Path;

use app::inputs::Given;
use compiler::program::Program;

/// A command line that grows.
#[derive(Debug, Clone)]
#[must_use = "it is for the user"]
pub(crate) struct Proposal(String);

impl Proposal {
    /// `lampwright plan`, for the folder that this command works in.
    pub(crate) fn new(folder: Option<&Path>, command: &str) -> Proposal {
        let folder = folder.map(|folder| format!(" -chdir={}", quoted(&folder.to_string_lossy())));
        Proposal(format!("lampwright{} {command}", folder.unwrap_or_default()))
    }

    /// How the user's shell gets to a folder that was named on this command line.
    pub(crate) fn folder(named: &Path) -> String {
        format!("cd {}", quoted(&named.to_string_lossy()))
    }

    pub(crate) fn argument(mut self, text: impl AsRef<str>) -> Proposal {
        self.0.push(' ');
        self.0.push_str(&quoted(text.as_ref()));
        self
    }

    pub(crate) fn argument_if(self, is_wanted: bool, text: impl AsRef<str>) -> Proposal {
        if is_wanted { self.argument(text) } else { self }
    }

    /// The values of variables, in their order. What is sensitive is for the user to fill in: a terminal may be recorded.
    pub(crate) fn inputs(self, inputs: &[Given], program: &Program) -> Proposal {
        inputs.iter().fold(self, |proposal, given| match given {
            Given::File(path) => proposal.argument("-var-file").argument(path.to_string_lossy()),
            Given::Variable { name, text } => {
                let variable = program.root().variables.get(name.as_str());
                if variable.is_none_or(|variable| variable.sensitive) {
                    proposal.argument("-var").plain(&format!("{}=…", quoted(name)))
                } else {
                    proposal.argument("-var").argument(format!("{name}={text}"))
                }
            }
        })
    }

    fn plain(mut self, text: &str) -> Proposal {
        self.0.push(' ');
        self.0.push_str(text);
        self
    }

    pub(crate) fn text(self) -> String {
        self.0
    }
}

/// As a shell reads it back.
fn quoted(text: &str) -> String {
    let is_plain = |ch: char| ch.is_ascii_alphanumeric() || "_./=:,@%+-".contains(ch);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_shell_reads_back_what_was_written() {
        for text in ["", "a b", "it's", "$(x)", "a\"b", "a\\b", "*", "nodes=4", "~", "-x", "a\nb", "é", "!", "a;b", "#"]
        {
            let script = format!("printf %s {}", super::quoted(text));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
            assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        }
    }
}
