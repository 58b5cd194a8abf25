//! Lists, maps and objects.

use std::sync::Arc;

use unicode_segmentation::UnicodeSegmentation;
use value::convert::{convert, unify};
use value::set::Seen;
use value::size::PART;
use value::value::Attributes;
use value::{Number, Ty, Value};

use super::{
    Func, FuncError, Param, any, argument, fits, gives_any, gives_bool, gives_number, gives_strings, items, list,
    number, sequence_like, string, strings, text, whole,
};
use crate::lang::eval::equal;

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "alltrue",
        doc: "Whether all elements are true.",
        params: &[Param::new("list", list)],
        variadic: None,
        examples: &[("alltrue([true, true])", "true"), ("alltrue([])", "true")],
        result_ty: gives_bool,
        call: |args, _| Ok(items(args, 0)?.iter().all(is_true).into()),
    },
    Func {
        name: "anytrue",
        doc: "Whether any element is true.",
        params: &[Param::new("list", list)],
        variadic: None,
        examples: &[("anytrue([false, true])", "true"), ("anytrue([])", "false")],
        result_ty: gives_bool,
        call: |args, _| Ok(items(args, 0)?.iter().any(is_true).into()),
    },
    Func {
        name: "chunklist",
        doc: "A list cut into lists of a size.",
        params: &[Param::new("list", list), Param::new("size", number)],
        variadic: None,
        examples: &[("length(chunklist([1, 2, 3], 2))", "2")],
        result_ty: gives_any,
        call: |args, _| {
            let size = usize::try_from(whole(args, 1)?).ok().filter(|size| *size > 0);
            let size = size.ok_or_else(|| argument(1, "it must be at least 1"))?;
            let chunks = items(args, 0)?.chunks(size).map(|chunk| sequence_like(args, chunk.to_vec())).collect();
            Ok(Value::list(args[0].ty(), chunks))
        },
    },
    Func {
        name: "coalesce",
        doc: "The first argument that is neither null nor an empty string.",
        params: &[Param::new("value", any).nullable().may_be_unknown()],
        variadic: Some(Param::new("values", any).nullable().may_be_unknown()),
        examples: &[(r#"coalesce(null, "", "b")"#, r#""b""#)],
        result_ty: gives_any,
        call: |args, _| {
            let found = args.iter().find(|value| !value.is_null() && value.as_str() != Some(""));
            match found {
                // Which one it is depends on what this turns out to be.
                Some(Value::Unknown(ty, _)) if args.iter().all(|arg| arg.ty() == *ty) => Ok(Value::unknown(ty.clone())),
                Some(Value::Unknown(..)) => Ok(Value::DYNAMIC),
                Some(found) => Ok(found.clone()),
                None => Err(FuncError::Call("all arguments are null or empty".into())),
            }
        },
    },
    Func {
        name: "compact",
        doc: "A list of strings without the empty ones and nulls.",
        params: &[Param::new("list", strings)],
        variadic: None,
        examples: &[(r#"compact(["a", "", null])"#, "tolist([\n  \"a\",\n])")],
        result_ty: gives_strings,
        call: |args, _| {
            let kept = items(args, 0)?.iter().filter(|item| item.as_str().is_some_and(|text| !text.is_empty()));
            Ok(Value::list(Ty::String, kept.cloned().collect()))
        },
    },
    Func {
        name: "concat",
        doc: "The elements of several lists in one.",
        params: &[Param::new("list", any).shallow()],
        variadic: Some(Param::new("lists", any).shallow()),
        examples: &[(r#"concat(["a"], ["b", 1])"#, "[\n  \"a\",\n  \"b\",\n  1,\n]")],
        result_ty: gives_any,
        call: |args, _| {
            let mut all = Vec::new();
            for idx in 0..args.len() {
                let items = items(args, idx)?;
                fits((all.len() + items.len()).saturating_mul(PART))?;
                all.extend(items.iter().cloned());
            }
            let is_list = args.iter().all(|arg| matches!(arg, Value::List(..)));
            let types: Vec<Ty> = args.iter().map(Value::ty).collect();
            match unify(&types) {
                Some(ty @ Ty::List(_)) if is_list => {
                    convert(&Value::tuple(all), &ty).map_err(|error| FuncError::Call(error.to_string().into()))
                }
                _ => Ok(Value::tuple(all)),
            }
        },
    },
    Func {
        name: "contains",
        doc: "Whether a list or set has an element.",
        params: &[Param::new("list", any), Param::new("value", any).nullable()],
        variadic: None,
        examples: &[(r#"contains(["a", "b"], "b")"#, "true")],
        result_ty: gives_bool,
        call: |args, _| Ok(items(args, 0)?.iter().any(|item| is_same(item, &args[1])).into()),
    },
    Func {
        name: "distinct",
        doc: "A list without repeated elements.",
        params: &[Param::new("list", list)],
        variadic: None,
        examples: &[(r#"distinct(["a", "b", "a"])"#, "tolist([\n  \"a\",\n  \"b\",\n])")],
        result_ty: gives_any,
        call: |args, _| {
            let mut seen = Seen::default();
            let kept = items(args, 0)?.iter().filter(|item| seen.insert(item)).cloned().collect();
            Ok(sequence_like(args, kept))
        },
    },
    Func {
        name: "element",
        doc: "The element at an index that wraps around.",
        params: &[Param::new("list", any).shallow(), Param::new("index", number)],
        variadic: None,
        examples: &[(r#"element(["a", "b"], 3)"#, r#""b""#)],
        result_ty: gives_any,
        call: |args, _| {
            let (items, index) = (items(args, 0)?, whole(args, 1)?);
            if items.is_empty() {
                return Err(argument(0, "the list is empty"));
            }
            let index = usize::try_from(index).map_err(|_| argument(1, "it cannot be negative"))?;
            Ok(items[index % items.len()].clone())
        },
    },
    Func {
        name: "flatten",
        doc: "A list with the elements of the lists in it, at any depth.",
        params: &[Param::new("list", any).shallow()],
        variadic: None,
        examples: &[("flatten([[1, [2]], 3])", "[\n  1,\n  2,\n  3,\n]")],
        result_ty: gives_any,
        call: |args, _| {
            let mut flat = Vec::new();
            flatten(items(args, 0)?, &mut flat)?;
            Ok(Value::tuple(flat))
        },
    },
    Func {
        name: "index",
        doc: "The index of the first element that equals a value.",
        params: &[Param::new("list", any), Param::new("value", any)],
        variadic: None,
        examples: &[(r#"index(["a", "b"], "b")"#, "1")],
        result_ty: gives_number,
        call: |args, _| {
            let found = items(args, 0)?.iter().position(|item| is_same(item, &args[1]));
            found
                .map(|idx| Value::from(idx as i64))
                .ok_or_else(|| FuncError::Call("the value is not in the list".into()))
        },
    },
    Func {
        name: "keys",
        doc: "The keys of a map or the names of an object's attributes, sorted.",
        params: &[Param::new("map", any).shallow()],
        variadic: None,
        examples: &[("keys({ b = 1, a = 2 })", "[\n  \"a\",\n  \"b\",\n]")],
        result_ty: gives_any,
        call: |args, _| {
            let keys: Vec<Value> = entries(args, 0)?.keys().map(|key| Value::String(key.clone())).collect();
            Ok(if matches!(args[0], Value::Map(..)) { Value::list(Ty::String, keys) } else { Value::tuple(keys) })
        },
    },
    Func {
        name: "length",
        doc: "How many elements a collection has, or characters a string.",
        params: &[Param::new("value", any).shallow()],
        variadic: None,
        examples: &[("length([1, 2])", "2"), (r#"length("été")"#, "3")],
        result_ty: gives_number,
        call: |args, _| {
            let length = match &args[0] {
                Value::String(text) => text.graphemes(true).count(),
                Value::Map(_, entries) | Value::Object(entries) => entries.len(),
                _ => items(args, 0)?.len(),
            };
            Ok(Value::from(length as i64))
        },
    },
    Func {
        name: "lookup",
        doc: "The value of a key in a map, or a default if there is none.",
        params: &[Param::new("map", any).shallow().of_parts(), Param::new("key", string)],
        variadic: Some(Param::new("default", any).nullable()),
        examples: &[(r#"lookup({ a = 1 }, "b", 2)"#, "2")],
        result_ty: gives_any,
        call: |args, _| match (entries(args, 0)?.get(text(args, 1)), args.get(2)) {
            (Some(found), _) => Ok(found.clone()),
            (None, Some(default)) => Ok(default.clone()),
            (None, None) => Err(argument(1, format!("the map has no key {:?}", text(args, 1)))),
        },
    },
    Func {
        name: "merge",
        doc: "The entries of several maps or objects in one; later ones win.",
        params: &[],
        variadic: Some(Param::new("maps", any).nullable().shallow()),
        examples: &[("merge({ a = 1 }, { a = 2, b = 3 })", "{\n  \"a\" = 2\n  \"b\" = 3\n}")],
        result_ty: gives_any,
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
        name: "one",
        doc: "The only element of a list or set, or null if it is empty.",
        params: &[Param::new("list", any).shallow()],
        variadic: None,
        examples: &[("one([1])", "1"), ("one([])", "null")],
        result_ty: gives_any,
        call: |args, _| match items(args, 0)? {
            [] => Ok(Value::Null(Ty::Dynamic)),
            [only] => Ok(only.clone()),
            more => Err(argument(0, format!("it has {} elements, but at most one is allowed", more.len()))),
        },
    },
    Func {
        name: "range",
        doc: "Numbers from a start (0) up to, but not with, a limit, in steps (1).",
        params: &[Param::new("limit or start", number)],
        variadic: Some(Param::new("limit, step", number)),
        examples: &[("range(3)", "tolist([\n  0,\n  1,\n  2,\n])"), ("range(5, 1, -2)", "tolist([\n  5,\n  3,\n])")],
        result_ty: |_| Ty::list(Ty::Number),
        call: |args, _| range(args),
    },
    Func {
        name: "reverse",
        doc: "A list in reverse order.",
        params: &[Param::new("list", any).shallow()],
        variadic: None,
        examples: &[("reverse([1, 2])", "[\n  2,\n  1,\n]")],
        result_ty: gives_any,
        call: |args, _| Ok(sequence_like(args, items(args, 0)?.iter().rev().cloned().collect())),
    },
    Func {
        name: "slice",
        doc: "The elements from an index up to, but not with, another.",
        params: &[Param::new("list", any).shallow(), Param::new("start", number), Param::new("end", number)],
        variadic: None,
        examples: &[("slice([1, 2, 3], 1, 2)", "[\n  2,\n]")],
        result_ty: gives_any,
        call: |args, _| {
            let items = items(args, 0)?;
            let bound = |idx: usize| Ok::<_, FuncError>(usize::try_from(whole(args, idx)?).unwrap_or(usize::MAX));
            let slice = items.get(bound(1)?..bound(2)?);
            let slice = slice.ok_or_else(|| argument(2, format!("the list has {} elements", items.len())))?;
            Ok(sequence_like(args, slice.to_vec()))
        },
    },
    Func {
        name: "sort",
        doc: "A list of strings, sorted by their bytes.",
        params: &[Param::new("list", strings)],
        variadic: None,
        examples: &[(r#"sort(["b", "a"])"#, "tolist([\n  \"a\",\n  \"b\",\n])")],
        result_ty: gives_strings,
        call: |args, _| {
            let mut sorted = items(args, 0)?.to_vec();
            sorted.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            Ok(Value::list(Ty::String, sorted))
        },
    },
    Func {
        name: "sum",
        doc: "The sum of the numbers in a list.",
        params: &[Param::new("list", list)],
        variadic: None,
        examples: &[("sum([1, 2.5])", "3.5")],
        result_ty: gives_number,
        call: |args, _| {
            if items(args, 0)?.is_empty() {
                return Err(argument(0, "the list is empty"));
            }
            let mut sum = Number::ZERO;
            for item in items(args, 0)? {
                let number = convert(item, &Ty::Number).map_err(|error| argument(0, error.to_string()))?;
                let number = number.as_number().cloned().ok_or_else(|| argument(0, "an element is null"))?;
                sum = sum.add(&number).map_err(|error| FuncError::Call(error.to_string().into()))?;
            }
            Ok(Value::Number(sum))
        },
    },
    Func {
        name: "transpose",
        doc: "A map of lists turned around: every element becomes a key.",
        params: &[Param::new("map", || Ty::map(Ty::list(Ty::String)))],
        variadic: None,
        examples: &[(r#"keys(transpose({ a = ["x", "y"], b = ["y"] }))"#, "tolist([\n  \"x\",\n  \"y\",\n])")],
        result_ty: |_| Ty::map(Ty::list(Ty::String)),
        call: |args, _| {
            let mut turned: std::collections::BTreeMap<Arc<str>, Vec<Value>> = std::collections::BTreeMap::new();
            for (key, list) in entries(args, 0)? {
                for item in list.as_items().unwrap_or_default() {
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
        params: &[Param::new("map", any).shallow()],
        variadic: None,
        examples: &[("values({ b = 1, a = 2 })", "[\n  2,\n  1,\n]")],
        result_ty: gives_any,
        call: |args, _| {
            let values: Vec<Value> = entries(args, 0)?.values().cloned().collect();
            Ok(if let Value::Map(ty, _) = &args[0] { Value::list(ty.clone(), values) } else { Value::tuple(values) })
        },
    },
    Func {
        name: "zipmap",
        doc: "An object from a list of keys and a list of values.",
        params: &[Param::new("keys", strings), Param::new("values", any).shallow()],
        variadic: None,
        examples: &[(r#"zipmap(["a", "b"], [1, 2])"#, "{\n  \"a\" = 1\n  \"b\" = 2\n}")],
        result_ty: gives_any,
        call: |args, _| {
            let (keys, values) = (items(args, 0)?, items(args, 1)?);
            if keys.len() != values.len() {
                return Err(FuncError::Call(
                    format!("there are {} keys and {} values", keys.len(), values.len()).into(),
                ));
            }
            let entries = keys.iter().zip(values).map(|(key, value)| (key.as_str().unwrap_or_default(), value.clone()));
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

fn is_true(value: &Value) -> bool {
    convert(value, &Ty::Bool).ok().and_then(|value| value.as_bool()).unwrap_or(false)
}

/// Equal after conversion to the type that both can have, as elements of one list would be.
fn is_same(a: &Value, b: &Value) -> bool {
    let Some(ty) = unify(&[a.ty(), b.ty()]) else { return false };
    match (convert(a, &ty), convert(b, &ty)) {
        (Ok(a), Ok(b)) => equal(&a, &b) == Some(true),
        _ => false,
    }
}

fn flatten(items: &[Value], flat: &mut Vec<Value>) -> Result<(), FuncError> {
    for item in items {
        match item.as_items() {
            Some(inner) if item.is_known() => flatten(inner, flat)?,
            _ => {
                fits(flat.len().saturating_mul(PART))?;
                flat.push(item.clone());
            }
        }
    }
    Ok(())
}

/// More elements than this are a mistake; Terraform has the same limit.
const MAX_RANGE: usize = 1024;

fn range(args: &[Value]) -> Result<Value, FuncError> {
    let number = |idx: usize| args[idx].as_number().expect("the parameter is a number").clone();
    let (start, limit) = match args.len() {
        1 => (Number::ZERO, number(0)),
        2 | 3 => (number(0), number(1)),
        _ => return Err(FuncError::Call("it takes up to three numbers".into())),
    };
    let down = limit < start;
    let step = if args.len() == 3 { number(2) } else { Number::from(if down { -1 } else { 1 }) };
    if step.is_zero() || step.is_negative() != down {
        return if start == limit {
            Ok(Value::list(Ty::Number, Vec::new()))
        } else {
            Err(FuncError::Call("the step leads away from the limit".into()))
        };
    }
    let mut numbers = Vec::new();
    let mut next = start;
    while if down { next > limit } else { next < limit } {
        if numbers.len() == MAX_RANGE {
            return Err(FuncError::Call(format!("it would have more than {MAX_RANGE} elements").into()));
        }
        let following = next.add(&step).map_err(|error| FuncError::Call(error.to_string().into()))?;
        numbers.push(Value::Number(std::mem::replace(&mut next, following)));
    }
    Ok(Value::list(Ty::Number, numbers))
}
