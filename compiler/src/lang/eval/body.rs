//! A block's body to a value of its schema, with `dynamic` blocks expanded.

use std::sync::Arc;

use value::convert::convert;
use value::schema::{Attribute, AttributeTy, Block as BlockSchema, NestedBlock, Nesting};
use value::value::Attributes;
use value::{Marks, Path, Step, Ty, Value};

use super::literal::Literals;
use super::{Ctx, comprehension, wrong_type};
use crate::diag::Diagnostic;
use crate::lang::secrets;
use crate::source::Span;
use crate::syntax::ast::{Block, Body};

/// Where in the text the parts of a configuration were written, so that what a provider says about a path can be
/// shown at its source.
#[derive(Debug, Clone, Default)]
pub struct Spans(Vec<(Path, Span)>, Vec<Span>);

impl Spans {
    /// The values that the schema calls sensitive: what a provider says is shown without their text.
    pub fn secrets(&self) -> impl Iterator<Item = Span> {
        self.1.iter().copied()
    }

    /// The place of the longest known beginning of a path.
    pub fn nearest(&self, path: &Path) -> Option<Span> {
        let candidates = self.0.iter().filter(|(known, _)| path.starts_with(known) && !known.0.is_empty());
        candidates.max_by_key(|(known, _)| known.0.len()).map(|(_, span)| *span)
    }
}

/// What is being decoded, for messages and places.
pub(crate) struct Target<'t> {
    /// `lamp_cluster`, or the name of a nested block.
    pub(crate) kind: &'t str,
    pub(crate) header: Span,
    /// The schema is that of our own provider.
    pub(crate) is_ours: bool,
    /// What it says goes into plans and states, where nothing ephemeral may be.
    pub(crate) is_stored: bool,
}

/// One block, written out or made by `dynamic`.
struct BlockInstance<'b> {
    labels: Vec<Arc<str>>,
    body: &'b Body,
    span: Span,
    bound: Vec<(Arc<str>, Value)>,
    /// `for_each` of the `dynamic` that made it is: every argument in it is sensitive then.
    marks: Marks,
    label_marks: Marks,
}

/// How many blocks there are depends on something unknown.
struct UnknownNumber {
    marks: Marks,
}

impl Ctx<'_> {
    pub(crate) fn decode_body(
        &mut self,
        body: &Body,
        schema: &BlockSchema,
        target: &Target<'_>,
        at: &Path,
        spans: &mut Spans,
    ) -> Value {
        let mut entries = Attributes::new();
        for attribute in &body.attributes {
            let name = &attribute.name.name;
            if schema.attributes.contains_key(name) {
                spans.0.push((at.then(Step::Attribute(name.clone())), attribute.expr.span));
            } else {
                let label = format!("`{}` has no argument named `{name}`", target.kind);
                let diagnostic = Diagnostic::error("unknown argument", label).at(attribute.name.span);
                let diagnostic = match schema.blocks.contains_key(name) {
                    true => diagnostic.note(format!("`{name}` is a block: write `{name} {{ .. }}`")),
                    false => suggest_attribute(diagnostic, name, schema),
                };
                self.diags.push(diagnostic);
                self.eval(&attribute.expr);
            }
        }
        for (name, attribute) in &schema.attributes {
            let ty = attribute.config_ty();
            let value = match body.attribute(name) {
                Some(written) if !attribute.required && !attribute.optional => {
                    let label = format!("`{name}` is set by the provider and cannot be written");
                    self.fail(Diagnostic::error("read-only argument", label).at(written.name.span))
                }
                Some(written) => {
                    let is_sensitive = attribute.has_sensitive();
                    let before = self.diags.0.len();
                    let value = self.hiding(is_sensitive, |ctx| ctx.eval(&written.expr));
                    let value = value.with_marks(self.marks_arguments);
                    let at = at.then(Step::Attribute(name.clone()));
                    Literals { diags: &mut self.diags, is_error: target.is_ours }.check(&written.expr, &ty, &at);
                    let value = convert(&value, &ty).unwrap_or_else(|error| {
                        let mut diagnostic = wrong_type(&error.hidden(self.hides(is_sensitive))).at(written.expr.span);
                        if !attribute.description.is_empty() {
                            diagnostic = diagnostic.note(format!("`{name}`: {}", attribute.description));
                        }
                        self.diags.push(diagnostic);
                        Value::unknown(ty.without_optional()).with_marks(self.marks_arguments)
                    });
                    let value = self.checked_for_storage(name, attribute, value, target, written.expr.span);
                    if is_sensitive && secrets::has_text(&written.expr) {
                        spans.1.push(written.expr.span);
                        self.diags.conceal(before, written.expr.span);
                    }
                    if attribute.required && value.is_null() {
                        let label = format!("`{name}` is required and cannot be null");
                        self.diags.push(Diagnostic::error("missing argument", label).at(written.expr.span));
                    }
                    if attribute.deprecated {
                        let label = format!("`{name}` is deprecated");
                        let diagnostic = Diagnostic::warning("deprecated argument", label).at(written.name.span);
                        self.diags.push(diagnostic.note(attribute.description.clone()));
                    }
                    value
                }
                None => {
                    if attribute.required {
                        let label = format!("`{}` needs the argument `{name}`", target.kind);
                        let diagnostic = Diagnostic::error("missing argument", label).at(target.header);
                        self.diags.push(diagnostic.note(format!("`{name}`: {}", attribute.description)));
                    }
                    Value::Null(ty.without_optional())
                }
            };
            entries.insert(name.clone(), value);
        }
        for block in &body.blocks {
            let kind = if &*block.kind.name == "dynamic" {
                match block.labels.first() {
                    Some(label) => label,
                    None => {
                        let label = "`dynamic` needs the kind of block that it makes: dynamic \"kind\" { .. }";
                        self.diags.push(Diagnostic::error("wrong number of labels", label).at(block.header));
                        continue;
                    }
                }
            } else {
                &block.kind
            };
            if !schema.blocks.contains_key(&kind.name) {
                let label = format!("`{}` has no block named `{}`", target.kind, kind.name);
                let diagnostic = Diagnostic::error("unknown block", label).at(kind.span);
                let diagnostic = match schema.attributes.contains_key(&kind.name) {
                    true => diagnostic.note(format!("`{}` is an argument: write `{} = ..`", kind.name, kind.name)),
                    false => diagnostic.suggest(&kind.name, schema.blocks.keys().map(|name| &**name)),
                };
                self.diags.push(diagnostic);
            }
        }
        for (name, nested) in &schema.blocks {
            let value = self.decode_nested(body, name, nested, target, &at.then(Step::Attribute(name.clone())), spans);
            entries.insert(name.clone(), value);
        }
        Value::Object(Arc::new(entries))
    }

    /// What is only written is neither shown nor stored, so it needs no mark; anything ephemeral can go nowhere else.
    fn checked_for_storage(
        &mut self,
        name: &str,
        attribute: &Attribute,
        value: Value,
        target: &Target<'_>,
        span: Span,
    ) -> Value {
        if target.is_stored && attribute.write_only {
            return value.unmark_deep().0;
        }
        if !target.is_stored || !value.marks_deep().ephemeral {
            return value;
        }
        if is_stored_ephemeral(attribute, &value) {
            let label = format!("`{name}` is stored in plans and states, where an ephemeral value cannot be");
            let diagnostic = Diagnostic::error("ephemeral value", label).at(span);
            self.diags.push(diagnostic.note("it can be given to arguments that are only written, and to providers"));
        }
        value.without_ephemeral()
    }

    fn decode_nested(
        &mut self,
        body: &Body,
        name: &Arc<str>,
        nested: &NestedBlock,
        target: &Target<'_>,
        at: &Path,
        spans: &mut Spans,
    ) -> Value {
        let instances = match self.block_instances(body, name) {
            Ok(instances) => instances,
            Err(UnknownNumber { marks }) => {
                return Value::unknown(nested.implied_ty()).with_marks(marks | self.marks_arguments);
            }
        };
        let single = matches!(nested.nesting, Nesting::Single | Nesting::Group);
        let max = if single { 1 } else { nested.max_items };
        if max > 0 && instances.len() as u64 > max {
            let label = format!("at most {max} `{name}` block{} can be here", if max == 1 { "" } else { "s" });
            self.diags.push(Diagnostic::error("too many blocks", label).at(instances[max as usize].span));
        }
        if (instances.len() as u64) < nested.min_items {
            let label = format!("`{}` needs at least {} `{name}` block(s)", target.kind, nested.min_items);
            self.diags.push(Diagnostic::error("missing block", label).at(target.header));
        }
        let wanted_labels = usize::from(nested.nesting == Nesting::Map);
        let mut items = Vec::new();
        let mut by_key = Attributes::new();
        let mut key_marks = Marks::NONE;
        for (idx, instance) in instances.into_iter().enumerate() {
            if instance.labels.len() != wanted_labels {
                let label = match wanted_labels {
                    0 => format!("a `{name}` block has no label"),
                    _ => format!("a `{name}` block has one label: {name} \"key\" {{ .. }}"),
                };
                self.diags.push(Diagnostic::error("wrong number of labels", label).at(instance.span));
                continue;
            }
            let at = match (nested.nesting, instance.labels.first()) {
                (Nesting::Map, Some(key)) => at.then(Step::Key(key.clone())),
                (Nesting::List | Nesting::Set, _) => at.then(Step::Index(idx)),
                _ => at.clone(),
            };
            spans.0.push((at.clone(), instance.span));
            let inner =
                Target { kind: name, header: instance.span, is_ours: target.is_ours, is_stored: target.is_stored };
            let outside = self.marks_arguments;
            self.marks_arguments |= instance.marks;
            let value = self.with_bound_parts(instance.bound, instance.marks.is_any(), |ctx| {
                ctx.decode_body(instance.body, &nested.block, &inner, &at, spans)
            });
            self.marks_arguments = outside;
            key_marks |= instance.label_marks;
            match instance.labels.into_iter().next() {
                Some(key) if by_key.contains_key(&key) => {
                    let label = match self.hides((instance.marks | instance.label_marks).is_any()) {
                        true => format!("there is already a `{name}` block with this label"),
                        false => format!("there is already a `{name}` block with the label {key:?}"),
                    };
                    self.diags.push(Diagnostic::error("declared twice", label).at(instance.span));
                }
                Some(key) => {
                    by_key.insert(key, value);
                }
                None => items.push(value),
            }
        }
        collect(nested, items, by_key).with_marks(key_marks)
    }

    /// The blocks of a kind; `Err` if how many there are depends on something unknown.
    fn block_instances<'b>(&mut self, body: &'b Body, name: &str) -> Result<Vec<BlockInstance<'b>>, UnknownNumber> {
        let mut instances = Vec::new();
        let mut unknown = None;
        for block in &body.blocks {
            if &*block.kind.name == name {
                let labels = block.labels.iter().map(|label| label.name.clone()).collect();
                instances.push(BlockInstance {
                    labels,
                    body: &block.body,
                    span: block.header,
                    bound: Vec::new(),
                    marks: Marks::NONE,
                    label_marks: Marks::NONE,
                });
            } else if &*block.kind.name == "dynamic" && block.labels.first().is_some_and(|label| &*label.name == name) {
                unknown = self.expand_dynamic(block, name, &mut instances).err().or(unknown);
            }
        }
        unknown.map_or(Ok(instances), Err)
    }

    fn expand_dynamic<'b>(
        &mut self,
        block: &'b Block,
        name: &str,
        instances: &mut Vec<BlockInstance<'b>>,
    ) -> Result<(), UnknownNumber> {
        let (Some(for_each), Some(content)) =
            (block.body.attribute("for_each"), block.body.blocks_of("content").next())
        else {
            let label = "`dynamic` needs `for_each` and a `content` block";
            self.diags.push(Diagnostic::error("incomplete dynamic block", label).at(block.header));
            return Ok(());
        };
        let iterator: Arc<str> = match block.body.attribute("iterator").map(|attribute| attribute.expr.as_dotted()) {
            Some(Some(names)) if names.len() == 1 => names[0].into(),
            Some(_) => {
                self.diags.push(Diagnostic::error("invalid iterator", "a name is required here").at(block.header));
                name.into()
            }
            None => name.into(),
        };
        let (collection, marks) = self.eval(&for_each.expr).unmark();
        let elements = match comprehension::elements(&collection) {
            comprehension::Elements::Known(elements) => elements,
            comprehension::Elements::Unknown => return Err(UnknownNumber { marks }),
            comprehension::Elements::NotACollection => {
                let diagnostic = comprehension::not_a_collection(&collection, for_each.expr.span);
                self.diags.push(diagnostic);
                return Ok(());
            }
        };
        for (key, value) in elements {
            let bound = vec![(iterator.clone(), Value::object([("key", key), ("value", value)]))];
            let (labels, label_marks) = match block.body.attribute("labels") {
                Some(labels) => {
                    let labels = self.with_bound_parts(bound.clone(), marks.is_any(), |ctx| {
                        ctx.eval_as(&labels.expr, &Ty::list(Ty::String))
                    });
                    let texts = labels.as_items().unwrap_or_default().iter().filter_map(Value::as_str);
                    (texts.map(Arc::from).collect(), marks | labels.marks_deep())
                }
                None => (Vec::new(), Marks::NONE),
            };
            let (body, span) = (&content.body, block.header);
            instances.push(BlockInstance { labels, body, span, bound, marks, label_marks });
        }
        Ok(())
    }
}

fn collect(nested: &NestedBlock, items: Vec<Value>, by_key: Attributes) -> Value {
    let element = nested.block.implied_ty();
    let is_uniform = element.is_wholly_known();
    match nested.nesting {
        Nesting::Single => items.into_iter().next().unwrap_or(Value::Null(element)),
        Nesting::Group => items.into_iter().next().unwrap_or_else(|| nulls(&nested.block)),
        Nesting::List if is_uniform => Value::list(element, items),
        Nesting::List => Value::tuple(items),
        Nesting::Set => Value::set(element, items),
        Nesting::Map if is_uniform => Value::Map(element, Arc::new(by_key)),
        Nesting::Map => Value::Object(Arc::new(by_key)),
    }
}

/// Whether something ephemeral would be stored.
fn is_stored_ephemeral(attribute: &Attribute, value: &Value) -> bool {
    if attribute.write_only {
        return false;
    }
    let AttributeTy::Nested { attributes, .. } = &attribute.ty else { return value.marks_deep().ephemeral };
    let of_object = |object: &Value| {
        let mut parts = object.as_entries().into_iter().flatten();
        let is_stored = |(name, part): (&Arc<str>, &Value)| {
            attributes.get(name).is_some_and(|attribute| is_stored_ephemeral(attribute, part))
        };
        object.marks().ephemeral || parts.any(is_stored)
    };
    let objects: Vec<&Value> = match value.unmarked() {
        Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => items.iter().collect(),
        Value::Map(_, entries) => entries.values().collect(),
        object => vec![object],
    };
    value.marks().ephemeral || objects.into_iter().any(of_object)
}

fn nulls(block: &BlockSchema) -> Value {
    let attributes =
        block.attributes.iter().map(|(name, attribute)| (name.clone(), Value::Null(attribute.implied_ty())));
    let blocks =
        block.blocks.iter().map(|(name, nested)| (name.clone(), collect(nested, Vec::new(), Attributes::new())));
    Value::object(attributes.chain(blocks))
}

fn suggest_attribute(diagnostic: Diagnostic, wrong: &str, schema: &BlockSchema) -> Diagnostic {
    let settable = schema.attributes.iter().filter(|(_, attribute)| attribute.required || attribute.optional);
    match crate::diag::suggest::closest(wrong, settable.map(|(name, _)| &**name)) {
        Some(name) => {
            let description = &schema.attributes[name].description;
            let explanation = if description.is_empty() { String::new() } else { format!(" ({description})") };
            diagnostic.note(format!("did you mean `{name}`?{explanation}"))
        }
        None => diagnostic,
    }
}
