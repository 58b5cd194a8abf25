//! Which resources of a stack need which: its blocks alone, whatever exists, and without its providers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compiler::addr::{Mode, ResourceAddr};
use compiler::diag::Diagnostics;
use compiler::lang::eval::provided::NoFunctions;
use compiler::surroundings::Surroundings;
use compiler::{Environment, Evaluation, Inputs};

use crate::failure::{Failure, Result};
use crate::stack::Stack;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// By the path of their module; the root's is empty. Data sources first, as Terraform has them.
    pub resources: BTreeMap<Vec<Arc<str>>, Vec<ResourceAddr>>,
    /// From who needs to what is needed; not what follows from others. In the order of the resources.
    pub needs: Vec<(ResourceAddr, ResourceAddr)>,
}

pub fn graph(stack: &Stack) -> Result<Graph> {
    let environment = Environment {
        functions: Arc::new(NoFunctions),
        loader: stack.loader.clone(),
        surroundings: Surroundings::at(&stack.root.absolute().display().to_string()),
        schemas: Arc::default(),
    };
    let mut evaluation = Evaluation::new(stack.program.clone(), environment, Inputs::default());
    let needs: BTreeMap<ResourceAddr, BTreeSet<ResourceAddr>> =
        evaluation.resources().map(|(resource, on)| (resource, on.clone())).collect();
    if needs.is_empty() {
        // Without providers nothing is known of types, which was told; of a circle there is no graph.
        let circles = evaluation.take_diagnostics().0.into_iter().filter(|one| &*one.summary == "circular reference");
        let circles = Diagnostics(circles.collect());
        if circles.has_errors() {
            stack.host.watch.diagnostics(&circles, &stack.sources);
            return Err(Failure::Told);
        }
    }
    let mut graph = Graph::default();
    for resource in needs.keys() {
        graph.resources.entry(resource.module.clone()).or_default().push(resource.clone());
    }
    for (resource, direct) in &needs {
        let implied = behind(direct, &needs);
        let kept = direct.iter().filter(|one| !implied.contains(*one) && needs.contains_key(*one));
        graph.needs.extend(kept.map(|one| (resource.clone(), one.clone())));
    }
    graph.resources.values_mut().for_each(|resources| resources.sort_by(|one, other| place(one).cmp(&place(other))));
    graph.needs.sort_by(|one, other| (place(&one.0), place(&one.1)).cmp(&(place(&other.0), place(&other.1))));
    Ok(graph)
}

/// Data sources before resources, each by its name.
fn place(resource: &ResourceAddr) -> (&[Arc<str>], bool, &str, &str) {
    (&resource.module, resource.mode == Mode::Managed, &resource.ty, &resource.name)
}

/// What resources need, directly or through others, without these themselves.
fn behind<'n>(
    resources: &'n BTreeSet<ResourceAddr>,
    needs: &'n BTreeMap<ResourceAddr, BTreeSet<ResourceAddr>>,
) -> BTreeSet<&'n ResourceAddr> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&ResourceAddr> = resources.iter().collect();
    while let Some(resource) = open.pop() {
        for next in needs.get(resource).into_iter().flatten() {
            if found.insert(next) {
                open.push(next);
            }
        }
    }
    found
}
