//! Maps and objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use value::convert::convert;
use value::size::PART;
use value::value::Attributes;
use value::{Ty, Value};

use super::{
    Func, FuncError, Param, any, argument, failed, fits, gives_any, items, not_null, ordered, string, strings, text,
};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "keys",
        doc: "The keys of a map or the names of an object's attributes, sorted.",
        params: &[Param::new("map", any).of_parts()],
        variadic: None,
        examples: &[("keys({ b = 1, a = 2 })", "[\n  \"a\",\n  \"b\",\n]")],
        unknown: gives_any,
        call: |args, _| {
            let keys: Vec<Value> = entries(args, 0)?.keys().map(|key| Value::String(key.clone())).collect();
            Ok(if matches!(args[0], Value::Map(..)) { Value::list(Ty::String, keys) } else { Value::tuple(keys) })
        },
    },
    Func {
        name: "lookup",
        doc: "The value of a key in a map, or a default if there is none.",
        params: &[Param::new("map", any).of_parts(), Param::new("key", string)],
        variadic: Some(Param::new("default", any).anything()),
        examples: &[(r#"lookup({ a = 1 }, "b", 2)"#, "2")],
        unknown: gives_any,
        call: |args, _| lookup(args),
    },
    Func {
        name: "merge",
        doc: "The entries of several maps or objects in one; later ones win.",
        params: &[],
        variadic: Some(Param::new("maps", any).nullable().of_parts()),
        examples: &[("merge({ a = 1 }, { a = 2, b = 3 })", "{\n  \"a\" = 2\n  \"b\" = 3\n}")],
        unknown: gives_any,
        call: |args, _| {
            let mut merged = Attributes::new();
            for idx in 0..args.len() {
                if !args[idx].is_null() {
                    fits(merged.len().saturating_mul(PART))?;
                    merged.extend(entries(args, idx)?.iter().map(|(key, value)| (key.clone(), value.clone())));
                }
            }
            let element = match args.first() {
                Some(Value::Map(element, _)) if args.iter().all(|arg| arg.ty() == args[0].ty()) => {
                    Some(element.clone())
                }
                _ => None,
            };
            let merged = Arc::new(merged);
            Ok(match element {
                Some(element) => Value::Map(element, merged),
                None => Value::Object(merged),
            })
        },
    },
    Func {
        name: "transpose",
        doc: "A map of lists turned around: every element becomes a key.",
        params: &[Param::new("map", || Ty::map(Ty::list(Ty::String)))],
        variadic: None,
        examples: &[(r#"keys(transpose({ a = ["x", "y"], b = ["y"] }))"#, "tolist([\n  \"x\",\n  \"y\",\n])")],
        unknown: |_| not_null(Ty::map(Ty::list(Ty::String))),
        call: |args, _| {
            let mut turned: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
            for (key, list) in entries(args, 0)? {
                for item in list.as_items().ok_or_else(|| argument(0, "a list in it is null"))? {
                    let new_key = item.as_str().ok_or_else(|| argument(0, "an element is null"))?;
                    turned.entry(new_key.into()).or_default().push(Value::String(key.clone()));
                }
            }
            Ok(Value::map(
                Ty::list(Ty::String),
                turned.into_iter().map(|(key, list)| (key, Value::list(Ty::String, list))),
            ))
        },
    },
    Func {
        name: "values",
        doc: "The values of a map or object, in the order of their keys.",
        params: &[Param::new("map", any).of_parts()],
        variadic: None,
        examples: &[("values({ b = 1, a = 2 })", "[\n  2,\n  1,\n]")],
        unknown: gives_any,
        call: |args, _| {
            let values: Vec<Value> = entries(args, 0)?.values().cloned().collect();
            Ok(if let Value::Map(ty, _) = &args[0] { Value::list(ty.clone(), values) } else { Value::tuple(values) })
        },
    },
    Func {
        name: "zipmap",
        doc: "An object from a list of keys and a list of values.",
        params: &[Param::new("keys", strings), Param::new("values", any).of_parts()],
        variadic: None,
        examples: &[(r#"zipmap(["a", "b"], [1, 2])"#, "{\n  \"a\" = 1\n  \"b\" = 2\n}")],
        unknown: gives_any,
        call: |args, _| {
            let (keys, values) = (items(args, 0)?, ordered(args, 1)?);
            if keys.len() != values.len() {
                return Err(failed(format!("there are {} keys and {} values", keys.len(), values.len())));
            }
            let keys = keys.iter().map(|key| key.as_str().ok_or_else(|| argument(0, "a key is null")));
            let keys = keys.collect::<Result<Vec<_>, _>>()?;
            let entries = keys.into_iter().zip(values.iter().cloned());
            Ok(match &args[1] {
                Value::List(ty, _) => Value::map(ty.clone(), entries),
                _ => Value::object(entries),
            })
        },
    },
];

fn entries(args: &[Value], idx: usize) -> Result<&Attributes, FuncError> {
    args[idx].as_entries().ok_or_else(|| argument(idx, "a map or object is required"))
}

/// A default is of the type of the elements, and its marks are those of the result only where it is the result.
fn lookup(args: &[Value]) -> Result<Value, FuncError> {
    let default = match &args[2..] {
        [] => None,
        [default] => Some(match &args[0] {
            Value::Map(element, _) => convert(default, element).map_err(|error| argument(2, error.to_string()))?,
            _ => default.clone(),
        }),
        _ => return Err(failed("it takes one default")),
    };
    match (entries(args, 0)?.get(text(args, 1)), default) {
        (Some(found), _) => Ok(found.clone()),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(argument(1, format!("the map has no key {:?}", text(args, 1)))),
    }
}
