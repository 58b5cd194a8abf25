//! The reference of the provider, for people: `docs/reference.md` is what this writes, and a test compares it.
//!
//! All of it comes from what the provider itself goes by: schemas, defaults, and what a change of an attribute does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use value::Ty;
use value::schema::{Attribute, AttributeTy, Block};

use super::provider_schema;
use crate::drivers::DRIVERS;
use crate::resources;

const INFALLIBLE: &str = "a String takes everything";

/// In Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# Reference of the provider\n\nWritten by `terraform-provider-lampwright reference`; a test compares it. What `in place` leaves running, runs on.\n",
    );
    let provider = provider_schema().block;
    write!(out, "\n## provider \"lampwright\"\n\n{}\n\n", sentence(&provider.description)).expect(INFALLIBLE);
    table(&mut out, &provider.attributes, "", None);
    for (name, nested) in &provider.blocks {
        write!(out, "\n### {name} \"NAME\" {{ .. }}\n\n{}\n\n", sentence(&nested.block.description)).expect(INFALLIBLE);
        let mut block: Block = nested.block.clone();
        if let Some(settings) = block.attributes.get_mut("settings") {
            // They have tables of their own.
            "settings of the driver, all texts".clone_into(&mut settings.description);
        }
        table(&mut out, &block.attributes, "", None);
    }
    for driver in DRIVERS {
        write!(out, "\n### Settings of the driver {}\n\n{}\n\n", driver.name, sentence(driver.doc)).expect(INFALLIBLE);
        let settings: Vec<_> = driver.all_settings().collect();
        if settings.is_empty() {
            out.push_str("It has none.\n");
            continue;
        }
        out.push_str("| setting | what it is |\n|---|---|\n");
        for (name, doc) in settings {
            writeln!(out, "| `{name}` | {} |", cell(doc)).expect(INFALLIBLE);
        }
    }
    for resource in resources::all() {
        let block = resource.schema().block;
        write!(out, "\n## {}\n\n{}\n\n", resource.name(), sentence(&block.description)).expect(INFALLIBLE);
        table(&mut out, &block.attributes, "", Some(&|name: &str| resource.effect(name)));
    }
    for resource in resources::all() {
        let Some(schema) = resource.data_schema() else { continue };
        write!(out, "\n## data {}\n\n{}\n\n", resource.name(), sentence(&schema.block.description)).expect(INFALLIBLE);
        table(&mut out, &schema.block.attributes, "", None);
    }
    out
}

type EffectOf<'a> = &'a dyn Fn(&str) -> Option<String>;

fn table(out: &mut String, attributes: &BTreeMap<Arc<str>, Attribute>, prefix: &str, effect: Option<EffectOf<'_>>) {
    if prefix.is_empty() {
        out.push_str(match effect {
            Some(_) => {
                "| attribute | type | | default | what it is | what a change of it does |\n|---|---|---|---|---|---|\n"
            }
            None => "| attribute | type | | default | what it is |\n|---|---|---|---|---|\n",
        });
    }
    for (name, attribute) in attributes {
        let path = format!("{prefix}{name}");
        let default = attribute.default.as_ref().map(|default| format!("`{default}`")).unwrap_or_default();
        let (ty, presence) = (ty_text(attribute), presence(attribute));
        write!(out, "| `{path}` | {ty} | {presence} | {default} | {} |", cell(&attribute.description))
            .expect(INFALLIBLE);
        if let Some(effect) = effect {
            let top = path.split('.').next().unwrap_or_default();
            let text = if prefix.is_empty() { effect(top).unwrap_or_default() } else { String::new() };
            write!(out, " {} |", cell(&text)).expect(INFALLIBLE);
        }
        out.push('\n');
        if let AttributeTy::Nested { attributes, .. } = &attribute.ty {
            table(out, attributes, &format!("{path}."), effect);
        }
    }
}

fn ty_text(attribute: &Attribute) -> String {
    match &attribute.ty {
        AttributeTy::Nested { .. } => "object".to_owned(),
        AttributeTy::Plain(Ty::Object(_)) => "object".to_owned(),
        AttributeTy::Plain(ty) => cell(&ty.to_string().split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}

fn presence(attribute: &Attribute) -> String {
    let word = match (attribute.required, attribute.optional) {
        (true, _) => "required",
        (false, true) => "optional",
        (false, false) => "computed",
    };
    if attribute.sensitive { format!("{word}, sensitive") } else { word.to_owned() }
}

/// Within a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let text: String = chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect();
    if text.ends_with('.') { text } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody forgets to say what a change of an attribute does, or says it of one that is not there.
    #[test]
    fn every_attribute_that_can_be_set_has_an_effect() {
        for resource in resources::all() {
            for (name, attribute) in &resource.schema().block.attributes {
                let is_settable = attribute.required || attribute.optional;
                assert_eq!(resource.effect(name).is_some(), is_settable, "{}.{name}", resource.name());
            }
        }
    }

    /// To write it anew: `cargo run --bin terraform-provider-lampwright reference > docs/reference.md`.
    #[test]
    fn the_reference_is_what_the_provider_goes_by() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == reference(),
            "docs/reference.md is out of date; write it by: cargo run --bin terraform-provider-lampwright reference > docs/reference.md"
        );
    }
}
