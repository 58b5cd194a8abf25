//! Types and marks.

use std::sync::Arc;

use value::convert::convert;
use value::value::Attributes;
use value::{Marks, Ty, Value};

use super::{Func, FuncError, Param, any, argument, gives_any, gives_bool};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "ephemeralasnull",
        doc: "A value with null in the place of what is ephemeral, so that the rest can be stored.",
        params: &[Param::new("value", any).anything()],
        variadic: None,
        examples: &[(r"ephemeralasnull({ a = 1 })", "{\n  \"a\" = 1\n}")],
        unknown: gives_any,
        call: |args, _| Ok(ephemeral_as_null(&args[0])),
    },
    Func {
        name: "issensitive",
        doc: "Whether a value is marked as sensitive.",
        params: &[Param::new("value", any).anything()],
        variadic: None,
        examples: &[(r#"issensitive(sensitive("x"))"#, "true")],
        unknown: gives_bool,
        call: |args, _| {
            let is_sensitive = args[0].marks().sensitive;
            // What is not known may come to be marked.
            Ok(if is_sensitive || args[0].is_known() { Value::Bool(is_sensitive) } else { gives_bool(args) })
        },
    },
    Func {
        name: "nonsensitive",
        doc: "A value without its sensitive mark, a promise that it may be shown; parts of it that are marked stay so.",
        params: &[Param::new("value", any).anything()],
        variadic: None,
        examples: &[
            (r#"nonsensitive(sensitive("x"))"#, r#""x""#),
            (r#"nonsensitive([sensitive("x")])"#, "[\n  (sensitive value),\n]"),
        ],
        unknown: gives_any,
        call: |args, _| {
            let (value, marks) = args[0].clone().unmark();
            Ok(value.with_marks(Marks { sensitive: false, ..marks }))
        },
    },
    Func {
        name: "sensitive",
        doc: "A value with a sensitive mark: it, and what is computed from it, is not shown.",
        params: &[Param::new("value", any).anything()],
        variadic: None,
        examples: &[(r#"sensitive("x")"#, "(sensitive value)")],
        unknown: gives_any,
        call: |args, _| Ok(args[0].clone().mark_sensitive()),
    },
    Func {
        name: "tobool",
        doc: "Converts to a truth value.",
        params: &[Param::new("value", any).nullable()],
        variadic: None,
        examples: &[(r#"tobool("true")"#, "true")],
        unknown: |_| Value::unknown(Ty::Bool),
        call: |args, _| to(args, &Ty::Bool),
    },
    Func {
        name: "tolist",
        doc: "Converts to a list.",
        params: &[Param::new("value", any).nullable().of_parts()],
        variadic: None,
        examples: &[("tolist([1, 2])", "tolist([\n  1,\n  2,\n])")],
        unknown: gives_any,
        call: |args, _| to(args, &Ty::list(Ty::Dynamic)),
    },
    Func {
        name: "tomap",
        doc: "Converts to a map.",
        params: &[Param::new("value", any).nullable().of_parts()],
        variadic: None,
        examples: &[("tomap({ a = 1 })", "tomap({\n  \"a\" = 1\n})")],
        unknown: gives_any,
        call: |args, _| to(args, &Ty::map(Ty::Dynamic)),
    },
    Func {
        name: "tonumber",
        doc: "Converts to a number.",
        params: &[Param::new("value", any).nullable()],
        variadic: None,
        examples: &[(r#"tonumber("1.5")"#, "1.5")],
        unknown: |_| Value::unknown(Ty::Number),
        call: |args, _| to(args, &Ty::Number),
    },
    Func {
        name: "toset",
        doc: "Converts to a set: sorted, without duplicates.",
        params: &[Param::new("value", any).nullable().shallow()],
        variadic: None,
        examples: &[(r#"toset(["b", "a", "b"])"#, "toset([\n  \"a\",\n  \"b\",\n])")],
        unknown: gives_any,
        call: |args, _| to(args, &Ty::set(Ty::Dynamic)),
    },
    Func {
        name: "tostring",
        doc: "Converts to a string.",
        params: &[Param::new("value", any).nullable()],
        variadic: None,
        examples: &[("tostring(1.50)", r#""1.5""#), ("tostring(1 / 4)", r#""0.25""#)],
        unknown: |_| Value::unknown(Ty::String),
        call: |args, _| to(args, &Ty::String),
    },
];

fn to(args: &[Value], ty: &Ty) -> Result<Value, FuncError> {
    convert(&args[0], ty).map_err(|error| argument(0, error.to_string()))
}

fn ephemeral_as_null(value: &Value) -> Value {
    let all = |entries: &Attributes| {
        Arc::new(entries.iter().map(|(key, value)| (key.clone(), ephemeral_as_null(value))).collect())
    };
    match value {
        Value::Marked(marks, inner) if marks.ephemeral => {
            Value::Null(inner.ty()).with_marks(Marks { ephemeral: false, ..*marks })
        }
        Value::Marked(marks, inner) => ephemeral_as_null(inner).with_marks(*marks),
        Value::List(ty, items) => Value::list(ty.clone(), items.iter().map(ephemeral_as_null).collect()),
        Value::Tuple(items) => Value::tuple(items.iter().map(ephemeral_as_null).collect()),
        Value::Map(ty, entries) => Value::Map(ty.clone(), all(entries)),
        Value::Object(entries) => Value::Object(all(entries)),
        // The elements of a set have no marks of their own.
        Value::Set(..) | Value::Unknown(..) | Value::Null(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            value.clone()
        }
    }
}
