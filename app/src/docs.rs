//! The reference of a module, its variables and outputs, in its README.md.

use anyhow::Context as _;
use compiler::console;
use compiler::lang::declare::{ModuleDecl, Variable};

use crate::disk;
use crate::failure::Result;
use crate::stack::Stack;

pub const README: &str = "README.md";
const BEGIN: &str = "<!-- reference -->";
const END: &str = "<!-- end of reference -->";

/// What the reference is, and shall be.
#[derive(Debug)]
pub struct Reference {
    before: String,
    after: String,
}

impl Reference {
    pub fn of(stack: &Stack) -> Result<Reference> {
        let path = stack.root.at(README);
        let before = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let after = replaced(&before, &reference(stack.program.root()));
        Ok(Reference { before, after })
    }

    pub fn is_current(&self) -> bool {
        self.before == self.after
    }

    pub fn write(&self, stack: &Stack) -> Result<()> {
        let path = stack.root.at(README);
        Ok(disk::replace(&path, &self.after).with_context(|| format!("cannot write {}", path.display()))?)
    }
}

fn replaced(readme: &str, reference: &str) -> String {
    let section = format!("{BEGIN}\n{reference}{END}\n");
    let place = readme.find(BEGIN).and_then(|begin| {
        let end = begin + readme[begin..].find(END)? + END.len();
        Some((begin, end + usize::from(readme[end..].starts_with('\n'))))
    });
    match place {
        Some((begin, end)) => format!("{}{section}{}", &readme[..begin], &readme[end..]),
        None if readme.is_empty() => section,
        None => format!("{}\n\n{section}", readme.trim_end()),
    }
}

fn reference(module: &ModuleDecl) -> String {
    let mut out = String::new();
    if !module.variables.is_empty() {
        out.push_str("| variable | type | default | what it is |\n|---|---|---|---|\n");
        for (name, variable) in &module.variables {
            let sensitive = if variable.sensitive { " (sensitive)" } else { "" };
            let Variable { ty, description, .. } = variable;
            let row = [name.to_string(), ty.ty.to_string(), default(variable), format!("{description}{sensitive}")];
            out.push_str(&format!("| {} |\n", row.map(|cell| cell.replace('|', "\\|")).join(" | ")));
        }
    }
    if !module.outputs.is_empty() {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str("| output | what it is |\n|---|---|\n");
        for (name, output) in &module.outputs {
            let sensitive = if output.sensitive { " (sensitive)" } else { "" };
            out.push_str(&format!("| {name} | {}{sensitive} |\n", output.description.replace('|', "\\|")));
        }
    }
    out
}

fn default(variable: &Variable) -> String {
    match &variable.default {
        None => "required".to_owned(),
        Some(value) if value.is_null() => "not set".to_owned(),
        // One line: a table has no room for more.
        Some(value) => console::show(value).split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_replaced_and_nothing_else() {
        let readme = "# a\n\n<!-- reference -->\nold\n<!-- end of reference -->\n\nmore\n";
        assert_eq!(replaced(readme, "new\n"), "# a\n\n<!-- reference -->\nnew\n<!-- end of reference -->\n\nmore\n");
        assert_eq!(replaced("# a\n", "new\n"), "# a\n\n<!-- reference -->\nnew\n<!-- end of reference -->\n");
    }
}
