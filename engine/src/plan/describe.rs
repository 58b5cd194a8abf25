//! Blocks for objects that an `import` block names and no block describes yet: what their provider reads, as a text to go on with.

use compiler::Evaluation;
use compiler::addr::{InstanceAddr, Key};
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::literal;
use compiler::source::Span;
use compiler::syntax::quote;
use value::Value;
use value::schema::{Attribute, AttributeTy, Block, Schema};

use super::Planning;
use crate::host::ReadRequest;
use crate::run::{Served, host_diagnostics, located};

/// A block that was written for an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub addr: InstanceAddr,
    pub text: String,
}

impl Planning<'_> {
    pub(super) async fn describe(&mut self, evaluation: &Evaluation) {
        let missing: Vec<_> = self.undescribed(evaluation).map(|(addr, named)| (addr.clone(), named.clone())).collect();
        for (addr, (id, span)) in missing {
            match self.block_of(&addr, &id, span).await {
                Ok(text) => self.plan.described.push(Described { addr, text }),
                Err(diags) => self.diags.extend(diags),
            }
        }
    }

    async fn block_of(&mut self, addr: &InstanceAddr, id: &str, span: Span) -> Result<String, Diagnostics> {
        let refused = |label: String| Diagnostics(vec![Diagnostic::error("no block is written", label).at(span)]);
        if self.run.program.has_resource(&addr.resource()) {
            return Err(refused(format!("there is a block of {}, and no such instance of it", addr.resource())));
        }
        if !addr.module.is_root() || addr.key != Key::None {
            return Err(refused(format!("{addr} is in a module, or one of several; write its block by hand")));
        }
        let found = self.run.program.provider_of_type(&addr.ty, self.run.providers.schemas());
        let (provider, schema) = found.map_err(&refused)?;
        let Served { provider, meta } = self.run.served(&provider, addr).await?;
        let host = |error| host_diagnostics(&error, Some(span));
        let mut problems = Vec::new();
        let address = addr.to_string();
        let mut found = provider.import(&addr.ty, id, &address).await.map_err(host)?;
        problems.append(&mut found.problems);
        let mut value = found.state.filter(|state| !state.is_null() && state.is_wholly_known());
        if let Some(state) = &value {
            let request =
                ReadRequest { ty: &addr.ty, state, private: &found.private, meta: meta.as_ref(), address: &address };
            let mut read = provider.read(request).await.map_err(host)?;
            problems.append(&mut read.problems);
            value = Some(read.state).filter(|state| !state.is_null());
        }
        self.diags.extend(Diagnostics(problems.iter().map(|problem| located(problem, Some(span))).collect()));
        let value = value.ok_or_else(|| refused(format!("there is nothing with the id {id:?}")))?;
        Ok(block(addr, id, &schema, &value))
    }
}

fn block(addr: &InstanceAddr, id: &str, schema: &Schema, value: &Value) -> String {
    let mut out =
        format!("# Written from what {} is.\nresource {} {} {{\n", quote(id), quote(&addr.ty), quote(&addr.name));
    body(&schema.block, value, 1, &mut out);
    out.push_str("}\n");
    out
}

fn body(block: &Block, value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let set: Vec<_> = block
        .attributes
        .iter()
        // Providers of the old make call everybody's `id` settable.
        .filter(|(name, attribute)| is_settable(attribute) && !(depth == 1 && &***name == "id"))
        .filter_map(|(name, attribute)| Some((name, attribute, value.get(name)?)))
        .filter(|(_, attribute, value)| attribute.required || !value.is_null())
        .collect();
    let width = set.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    for (name, attribute, value) in set {
        let text = match attribute.has_sensitive() {
            true => "null # sensitive: write where it comes from".to_owned(),
            false if value.is_null() => "null # required, and its provider does not tell it".to_owned(),
            false => literal::expression(&settable(attribute, value), depth),
        };
        out.push_str(&format!("{indent}{name:width$} = {text}\n"));
    }
    for (name, nested) in &block.blocks {
        let Some(value) = value.get(name).filter(|value| !value.is_null()) else { continue };
        let mut one = |label: &str, value: &Value| {
            out.push_str(&format!("{indent}{name}{label} {{\n"));
            body(&nested.block, value, depth + 1, out);
            out.push_str(&format!("{indent}}}\n"));
        };
        match value {
            Value::Map(_, entries) => {
                entries.iter().for_each(|(key, value)| one(&format!(" {}", quote(key)), value));
            }
            value => match value.as_items() {
                Some(items) => items.iter().for_each(|item| one("", item)),
                None => one("", value),
            },
        }
    }
}

fn is_settable(attribute: &Attribute) -> bool {
    (attribute.required || attribute.optional) && !attribute.write_only && (attribute.required || !attribute.deprecated)
}

/// Without what only the provider sets.
fn settable(attribute: &Attribute, value: &Value) -> Value {
    let AttributeTy::Nested { attributes, .. } = &attribute.ty else { return value.clone() };
    let object = |value: &Value| {
        let entries = value.as_entries().into_iter().flatten();
        let kept = entries.filter_map(|(name, value)| {
            let attribute = attributes.get(name).filter(|attribute| is_settable(attribute))?;
            (!value.is_null()).then(|| (name.clone(), settable(attribute, value)))
        });
        Value::object(kept.collect::<Vec<_>>())
    };
    match value {
        Value::Map(_, entries) => {
            Value::object(entries.iter().map(|(key, value)| (key.clone(), object(value))).collect::<Vec<_>>())
        }
        value => match value.as_items() {
            Some(items) => Value::tuple(items.iter().map(object).collect()),
            None if value.is_null() => value.clone(),
            None => object(value),
        },
    }
}
