//! Type constraints: `list(object({ name = string, size = optional(number, 10) }))`.

use std::collections::BTreeMap;
use std::sync::Arc;

use value::convert::{ConversionError, convert};
use value::ty::ObjectTy;
use value::{Ty, Value};

use super::eval::{self, NoScope};
use crate::diag::{Diagnostic, Diagnostics};
use crate::syntax::ast::{Call, Expr, ExprKind, ObjectKey};

/// A type, and the defaults of its optional attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeConstraint {
    pub ty: Ty,
    defaults: Option<Defaults>,
}

/// Defaults at this place and below it.
#[derive(Debug, Clone, PartialEq, Default)]
struct Defaults {
    values: BTreeMap<Arc<str>, Value>,
    attributes: BTreeMap<Arc<str>, Defaults>,
    element: Option<Box<Defaults>>,
    elements: Vec<Option<Defaults>>,
}

impl TypeConstraint {
    pub fn any() -> TypeConstraint {
        TypeConstraint { ty: Ty::Dynamic, defaults: None }
    }

    /// The value with missing optional attributes filled in, converted to the type.
    pub fn apply(&self, value: &Value) -> Result<Value, ConversionError> {
        match &self.defaults {
            Some(defaults) => convert(&fill(value, defaults), &self.ty),
            None => convert(value, &self.ty),
        }
    }
}

fn fill(value: &Value, defaults: &Defaults) -> Value {
    match value {
        Value::Marked(marks, inner) => fill(inner, defaults).with_marks(*marks),
        Value::Object(entries) if defaults.element.is_none() => {
            let mut entries = (**entries).clone();
            for (name, default) in &defaults.values {
                let entry = entries.entry(name.clone()).or_insert_with(|| default.clone());
                if entry.is_null() {
                    *entry = default.clone();
                }
            }
            for (name, below) in &defaults.attributes {
                if let Some(entry) = entries.get_mut(name) {
                    *entry = fill(entry, below);
                }
            }
            Value::Object(Arc::new(entries))
        }
        Value::Object(entries) | Value::Map(_, entries) => match &defaults.element {
            // The elements may differ in type until the conversion that follows.
            Some(below) => Value::object(entries.iter().map(|(key, entry)| (key.clone(), fill(entry, below)))),
            None => fill(&Value::Object(entries.clone()), defaults),
        },
        Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => {
            let below = |idx: usize| defaults.element.as_deref().or_else(|| defaults.elements.get(idx)?.as_ref());
            let items = items.iter().enumerate().map(|(idx, item)| match below(idx) {
                Some(below) => fill(item, below),
                None => item.clone(),
            });
            Value::tuple(items.collect())
        }
        Value::Unknown(..) | Value::Null(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Reads a constraint from the expression that it is written as.
pub fn constraint(expr: &Expr) -> Result<TypeConstraint, Diagnostic> {
    let (ty, defaults) = read(expr)?;
    Ok(TypeConstraint { ty, defaults })
}

fn read(expr: &Expr) -> Result<(Ty, Option<Defaults>), Diagnostic> {
    match &expr.kind {
        ExprKind::Name(name) => match &**name {
            "any" => Ok((Ty::Dynamic, None)),
            "bool" => Ok((Ty::Bool, None)),
            "number" => Ok((Ty::Number, None)),
            "string" => Ok((Ty::String, None)),
            "list" | "set" | "map" | "object" | "tuple" => {
                Err(invalid(expr, format!("`{name}` needs to say of what, such as {name}({})", example(name))))
            }
            _ => Err(unknown(expr, name)),
        },
        // Old style: a type in quotes.
        ExprKind::Literal(Value::String(name)) if matches!(&**name, "string" | "list" | "map") => match &**name {
            "string" => Ok((Ty::String, None)),
            "list" => Ok((Ty::list(Ty::Dynamic), None)),
            _ => Ok((Ty::map(Ty::Dynamic), None)),
        },
        ExprKind::Parens(inner) => read(inner),
        ExprKind::Call(call) => read_call(expr, call),
        _ => Err(invalid(expr, "this is not a type".to_owned())),
    }
}

fn read_call(expr: &Expr, call: &Call) -> Result<(Ty, Option<Defaults>), Diagnostic> {
    let name = &*call.name.name;
    let [argument] = call.args.as_slice() else {
        let known = matches!(name, "list" | "set" | "map" | "object" | "tuple");
        return Err(if name == "optional" {
            invalid(expr, "`optional` belongs to an attribute of an object type".to_owned())
        } else if known {
            invalid(expr, format!("`{name}` takes one argument, such as {name}({})", example(name)))
        } else {
            unknown(expr, name)
        });
    };
    let below = |defaults: Option<Defaults>| {
        defaults.map(|below| Defaults { element: Some(Box::new(below)), ..Defaults::default() })
    };
    match name {
        "list" => read(argument).map(|(ty, defaults)| (Ty::list(ty), below(defaults))),
        "set" => read(argument).map(|(ty, defaults)| (Ty::set(ty), below(defaults))),
        "map" => read(argument).map(|(ty, defaults)| (Ty::map(ty), below(defaults))),
        "tuple" => {
            let ExprKind::Tuple(items) = &argument.kind else {
                return Err(invalid(argument, "a list of types is required: tuple([string, number])".to_owned()));
            };
            let read: Vec<_> = items.iter().map(read).collect::<Result<_, _>>()?;
            let (types, elements): (Vec<_>, Vec<_>) = read.into_iter().unzip();
            let defaults = elements.iter().any(Option::is_some).then(|| Defaults { elements, ..Defaults::default() });
            Ok((Ty::tuple(types), defaults))
        }
        "object" => read_object(argument),
        "optional" => Err(invalid(expr, "`optional` belongs to an attribute of an object type".to_owned())),
        _ => Err(unknown(expr, name)),
    }
}

fn read_object(argument: &Expr) -> Result<(Ty, Option<Defaults>), Diagnostic> {
    let ExprKind::Object(items) = &argument.kind else {
        return Err(invalid(argument, "attributes are required: object({ name = string })".to_owned()));
    };
    let mut object = ObjectTy::default();
    let mut defaults = Defaults::default();
    for (key, expr) in items {
        let name: Arc<str> = match key {
            ObjectKey::Name(ident) => ident.name.clone(),
            ObjectKey::Expr(key) => match key.as_literal_str() {
                Some(name) => name.into(),
                None => return Err(invalid(key, "the name of an attribute is required".to_owned())),
            },
        };
        let (type_expr, default) = match &expr.kind {
            ExprKind::Call(call) if &*call.name.name == "optional" => {
                object.optional.insert(name.clone());
                match call.args.as_slice() {
                    [ty] => (ty, None),
                    [ty, default] => (ty, Some(default)),
                    _ => return Err(invalid(expr, "write optional(type) or optional(type, default)".to_owned())),
                }
            }
            _ => (expr, None),
        };
        let (ty, below) = read(type_expr)?;
        if let Some(default) = default {
            defaults.values.insert(name.clone(), default_value(default, &ty, below.as_ref())?);
        }
        if let Some(below) = below {
            defaults.attributes.insert(name.clone(), below);
        }
        object.attributes.insert(name, ty);
    }
    let defaults = Some(defaults).filter(|defaults| *defaults != Defaults::default());
    Ok((Ty::Object(Arc::new(object)), defaults))
}

fn default_value(expr: &Expr, ty: &Ty, below: Option<&Defaults>) -> Result<Value, Diagnostic> {
    let mut diags = Diagnostics::default();
    let value = eval::evaluate(expr, &NoScope, &mut diags);
    if let Some(diagnostic) = diags.0.into_iter().next() {
        return Err(diagnostic);
    }
    let value = below.map_or_else(|| value.clone(), |below| fill(&value, below));
    convert(&value, ty).map_err(|error| invalid(expr, format!("this default does not fit the type: {error}")))
}

fn invalid(expr: &Expr, label: String) -> Diagnostic {
    Diagnostic::error("invalid type", label).at(expr.span)
}

fn unknown(expr: &Expr, name: &str) -> Diagnostic {
    let names = ["any", "bool", "list", "map", "number", "object", "set", "string", "tuple"];
    invalid(expr, format!("there is no type `{name}`"))
        .suggest(name, names)
        .note("types are string, number, bool, any, list(..), set(..), map(..), object({ .. }) and tuple([ .. ])")
}

fn example(name: &str) -> &'static str {
    match name {
        "object" => "{ name = string }",
        "tuple" => "[string, number]",
        _ => "string",
    }
}
