//! Values for variables, and where they come from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use compiler::Inputs;
use compiler::diag::Diagnostics;
use compiler::evaluation::{Input, declared, read_variable, read_variables_file};

use crate::failure::Result;
use crate::stack::Stack;

/// What somebody says of variables, in its order: a later value wins, whichever way it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    Variable { name: String, text: String },
    File(PathBuf),
}

/// Read unasked, in this order, before those that are automatic.
const FILES: [&str; 2] = ["terraform.tfvars", "terraform.tfvars.json"];

/// Whether a file has values of variables, and is read unasked.
pub(crate) fn is_automatic(name: &str) -> bool {
    name.strip_suffix(".json").unwrap_or(name).ends_with(".auto.tfvars")
}

impl Stack {
    /// Values for variables, the strongest last: environment, `terraform.tfvars`, `terraform.tfvars.json`, `*.auto.tfvars` and
    /// `*.auto.tfvars.json` by their names, then what is given.
    pub fn inputs(&mut self, given: &[Given]) -> Result<Inputs> {
        let workspace = self.workspace()?;
        let mut inputs = Inputs::default();
        inputs.workspace = Some(workspace.into());
        let mut diags = Diagnostics::default();
        let declared: Vec<Arc<str>> = self.program.root().variables.keys().cloned().collect();
        for name in declared {
            let value = self.host.environment.os(format!("TF_VAR_{name}")).and_then(|value| value.to_str());
            if let Some(text) = value.map(str::to_owned) {
                self.variable(&name, &text, "in the environment", &mut inputs, &mut diags);
            }
        }
        for path in self.variables_files(Path::new("")) {
            self.variables_of(&path, &mut inputs, &mut diags)?;
        }
        self.add_given(given, &mut inputs, &mut diags)?;
        self.tell(&diags)?;
        Ok(inputs)
    }

    /// Only what is given.
    pub(crate) fn given(&mut self, given: &[Given]) -> Result<Inputs> {
        let (mut inputs, mut diags) = (Inputs::default(), Diagnostics::default());
        self.add_given(given, &mut inputs, &mut diags)?;
        self.tell(&diags)?;
        Ok(inputs)
    }

    fn add_given(&mut self, given: &[Given], inputs: &mut Inputs, diags: &mut Diagnostics) -> Result<()> {
        for given in given {
            match given {
                Given::Variable { name, text } => self.variable(name, text, "on the command line", inputs, diags),
                Given::File(path) => self.variables_of(path, inputs, diags)?,
            }
        }
        diags.extend(inputs.check_names(&self.program));
        Ok(())
    }

    /// The values that tests have in files of their own folder. They are stronger than all that `inputs` gives, as
    /// Terraform has it.
    pub(crate) fn inputs_of_tests(&mut self, folder: &Path, inputs: &mut Inputs) -> Result<()> {
        let mut diags = Diagnostics::default();
        for path in self.variables_files(folder) {
            let found = self.variables_file(&path, &mut diags)?;
            found.into_iter().for_each(|(name, input)| inputs.set(name, input));
        }
        self.tell(&diags)
    }

    /// Those of a folder that are read unasked.
    fn variables_files(&self, folder: &Path) -> Vec<PathBuf> {
        let listed = self.loader.list(&Path::new(".").join(folder).display().to_string());
        let mut names: Vec<String> = listed.unwrap_or_default();
        let place = |name: &str| FILES.iter().position(|file| *file == name);
        names.retain(|name| place(name).is_some() || is_automatic(name));
        names.sort_by_key(|name| (place(name).unwrap_or(FILES.len()), name.clone()));
        names.iter().map(|name| folder.join(name)).collect()
    }

    /// The values that a file has for variables of the stack.
    fn variables_of(&mut self, path: &Path, inputs: &mut Inputs, diags: &mut Diagnostics) -> Result<()> {
        let found = self.variables_file(path, diags)?;
        let (found, unknown) = declared(&self.program, found);
        diags.extend(unknown);
        found.into_iter().for_each(|(name, input)| inputs.set(name, input));
        Ok(())
    }

    fn variable(&mut self, name: &str, text: &str, origin: &str, inputs: &mut Inputs, diags: &mut Diagnostics) {
        match read_variable(&self.program, name, text, origin, &mut self.sources) {
            Ok(input) => inputs.set(name, input),
            Err(found) => diags.extend(found),
        }
    }

    /// A value that is no text of the user's.
    pub(crate) fn set(&mut self, inputs: &mut Inputs, name: &str, text: &str, origin: &str) -> Result<()> {
        let mut diags = Diagnostics::default();
        self.variable(name, text, origin, inputs, &mut diags);
        self.tell(&diags)
    }

    fn variables_file(&mut self, path: &Path, diags: &mut Diagnostics) -> Result<Vec<(Arc<str>, Input)>> {
        let there = self.root.at(path);
        let text = std::fs::read_to_string(&there)
            .with_context(|| format!("cannot read the variables file {}", there.display()))?;
        let (found, errors) = read_variables_file(&self.program, &path.display().to_string(), &text, &mut self.sources);
        diags.extend(errors);
        Ok(found)
    }
}
