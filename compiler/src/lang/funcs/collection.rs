//! Collections of any kind.

use unicode_segmentation::UnicodeSegmentation;
use value::convert::{convert, unify_values};
use value::{Number, Ty, Value};

use super::{Func, Param, any, argument, failed, gives_any, gives_bool, gives_number, items, list, ordered};
use crate::lang::eval::equal;

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "coalesce",
        doc: "The first argument that is neither null nor an empty string, as the type that all of them can have.",
        params: &[],
        variadic: Some(Param::new("values", any).nullable().may_be_unknown()),
        examples: &[(r#"coalesce(null, "", "b")"#, r#""b""#), (r#"coalesce(1, "a")"#, r#""1""#)],
        unknown: gives_any,
        call: |args, _| {
            // As in Terraform, a null keeps tuples and objects from becoming of one type.
            let is_null = |arg: &Value| *arg == Value::Null(Ty::Dynamic);
            let is_structure = |arg: &Value| matches!(arg.ty(), Ty::Tuple(_) | Ty::Object(_));
            let ty = match args.iter().any(is_null) && args.iter().any(is_structure) {
                true => Some(Ty::Dynamic),
                false => unify_values(args),
            };
            let ty = ty.ok_or_else(|| failed("the arguments have types that do not go together"))?;
            for (idx, arg) in args.iter().enumerate() {
                let value = convert(arg, &ty).map_err(|error| argument(idx, error.to_string()))?;
                match value {
                    Value::Null(_) => {}
                    // Which one it is depends on what this turns out to be.
                    Value::Unknown(..) if ty == Ty::Dynamic => return Ok(Value::DYNAMIC),
                    Value::Unknown(..) => return Ok(super::not_null(ty)),
                    value if value.as_str() == Some("") => {}
                    value => return Ok(value),
                }
            }
            Err(failed("all arguments are null or empty"))
        },
    },
    Func {
        name: "coalescelist",
        doc: "The first list that has elements.",
        params: &[],
        variadic: Some(Param::new("lists", any).may_be_unknown()),
        examples: &[(r#"coalescelist([], ["a"])"#, "[\n  \"a\",\n]")],
        unknown: gives_any,
        call: |args, _| {
            let found = args.iter().enumerate().find_map(|(idx, arg)| match arg {
                Value::Unknown(..) => Some(Ok(Value::DYNAMIC)),
                _ => match ordered(args, idx) {
                    Ok([]) => None,
                    Ok(_) => Some(Ok(arg.clone())),
                    Err(error) => Some(Err(error)),
                },
            });
            found.unwrap_or_else(|| Err(failed("all lists are empty")))
        },
    },
    Func {
        name: "contains",
        doc: "Whether a list, set or tuple has an element. Nothing is converted: \"1\" is not 1.",
        params: &[Param::new("list", any).shallow(), Param::new("value", any)],
        variadic: None,
        examples: &[(r#"contains(["a", "b"], "b")"#, "true"), (r#"contains([1], "1")"#, "false")],
        unknown: gives_bool,
        call: |args, _| {
            let mut is_found = Some(false);
            for item in items(args, 0)? {
                match equal(item, &args[1]) {
                    Some(true) => return Ok(Value::Bool(true)),
                    Some(false) => {}
                    None => is_found = None,
                }
            }
            Ok(is_found.map_or_else(|| gives_bool(args), Value::Bool))
        },
    },
    Func {
        name: "length",
        doc: "How many elements a collection has, or characters a string.",
        params: &[Param::new("value", any).of_parts()],
        variadic: None,
        examples: &[("length([1, 2])", "2"), (r#"length("été")"#, "3")],
        unknown: gives_number,
        call: |args, _| {
            let length = match &args[0] {
                Value::String(text) => text.graphemes(true).count(),
                Value::Map(_, entries) | Value::Object(entries) => entries.len(),
                // Two of them may turn out to be one.
                Value::Set(_, items) if items.len() > 1 && !args[0].is_wholly_known() => return Ok(gives_number(args)),
                _ => items(args, 0)?.len(),
            };
            Ok(Value::from(length as i64))
        },
    },
    Func {
        name: "one",
        doc: "The only element of a list or set, or null if it is empty.",
        params: &[Param::new("list", any).of_parts()],
        variadic: None,
        examples: &[("one([1])", "1"), ("one([])", "null")],
        unknown: gives_any,
        call: |args, _| match items(args, 0)? {
            [] => Ok(Value::Null(match &args[0] {
                Value::List(ty, _) | Value::Set(ty, _) => ty.clone(),
                _ => Ty::Dynamic,
            })),
            [only] => Ok(only.clone()),
            more => Err(argument(0, format!("it has {} elements, but at most one is allowed", more.len()))),
        },
    },
    Func {
        name: "sum",
        doc: "The sum of the numbers in a list.",
        params: &[Param::new("list", list)],
        variadic: None,
        examples: &[("sum([1, 2.5])", "3.5")],
        unknown: gives_number,
        call: |args, _| {
            if items(args, 0)?.is_empty() {
                return Err(argument(0, "the list is empty"));
            }
            let mut sum = Number::ZERO;
            for item in items(args, 0)? {
                let number = convert(item, &Ty::Number).map_err(|error| argument(0, error.to_string()))?;
                let number = number.as_number().cloned().ok_or_else(|| argument(0, "an element is null"))?;
                sum = sum.add(&number).map_err(|error| failed(error.to_string()))?;
            }
            Ok(Value::Number(sum))
        },
    },
];
