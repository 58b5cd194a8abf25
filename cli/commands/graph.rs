//! `lampwright graph`.

use std::collections::HashMap;
use std::fmt::Write as _;

use app::graph::{Graph, graph};
use clap::{Args, ValueEnum};
use compiler::addr::ResourceAddr;

use super::Outcome;
use crate::invocation::Invocation;
use crate::{exit, print};

/// Print which resources of the stack need which
///
/// In the language of Graphviz, as Terraform prints it: `lampwright graph | dot -Tsvg > graph.svg`. Or in Mermaid's, which
/// many wikis and forges draw.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct GraphArgs {
    /// The language
    #[arg(long, value_enum, default_value_t = Format::Dot)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Dot,
    Mermaid,
}

pub(crate) fn run(args: &GraphArgs, invocation: &Invocation) -> Outcome {
    let graph = graph(&invocation.stack()?)?;
    print::whole(&match args.format {
        Format::Dot => dot(&graph),
        Format::Mermaid => mermaid(&graph),
    })?;
    Ok(exit::SUCCESS)
}

const INFALLIBLE: &str = "a String takes everything";

/// Within its module.
fn short(resource: &ResourceAddr) -> String {
    ResourceAddr { module: Vec::new(), ..resource.clone() }.to_string()
}

fn path(module: &[std::sync::Arc<str>]) -> String {
    module.iter().map(|name| format!("module.{name}")).collect::<Vec<_>>().join(".")
}

fn dot(graph: &Graph) -> String {
    let mut out = String::from("digraph G {\n  rankdir = \"RL\";\n  node [shape = rect, fontname = \"sans-serif\"];\n");
    for (module, resources) in &graph.resources {
        let indent = if module.is_empty() { "  " } else { "    " };
        if !module.is_empty() {
            let path = path(module);
            writeln!(out, "  subgraph \"cluster_{path}\" {{\n    label = \"{path}\"\n    fontname = \"sans-serif\"")
                .expect(INFALLIBLE);
        }
        for resource in resources {
            writeln!(out, "{indent}\"{resource}\" [label=\"{}\"];", short(resource)).expect(INFALLIBLE);
        }
        if !module.is_empty() {
            out.push_str("  }\n");
        }
    }
    for (from, to) in &graph.needs {
        writeln!(out, "  \"{from}\" -> \"{to}\";").expect(INFALLIBLE);
    }
    out.push_str("}\n");
    out
}

fn mermaid(graph: &Graph) -> String {
    // Names of nodes have letters and digits only.
    let all = graph.resources.values().flatten().enumerate();
    let names: HashMap<&ResourceAddr, usize> = all.map(|(number, resource)| (resource, number)).collect();
    let name = |resource: &ResourceAddr| format!("n{}", names.get(resource).copied().unwrap_or_default());
    let mut out = String::from("flowchart RL\n");
    for (number, (module, resources)) in graph.resources.iter().enumerate() {
        if !module.is_empty() {
            writeln!(out, "  subgraph m{number} [\"{}\"]", path(module)).expect(INFALLIBLE);
        }
        for resource in resources {
            writeln!(out, "  {}[\"{}\"]", name(resource), short(resource)).expect(INFALLIBLE);
        }
        if !module.is_empty() {
            out.push_str("  end\n");
        }
    }
    for (from, to) in &graph.needs {
        writeln!(out, "  {} --> {}", name(from), name(to)).expect(INFALLIBLE);
    }
    out
}
