//! Sets.

use value::convert::convert;
use value::{Ty, Value};

use super::{Func, FuncError, Param, argument, gives_any, items, set_of_any};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "setintersection",
        doc: "The elements that are in all of some sets.",
        params: &[Param::new("set", set_of_any)],
        variadic: Some(Param::new("sets", set_of_any)),
        examples: &[(r#"setintersection(["a", "b"], ["b", "c"])"#, "toset([\n  \"b\",\n])")],
        result_ty: gives_any,
        call: |args, _| {
            let sets = same_type(args)?;
            Ok(keep(&sets, |item| sets[1..].iter().all(|set| contains(set, item))))
        },
    },
    Func {
        name: "setsubtract",
        doc: "The elements of a set that are not in another.",
        params: &[Param::new("set", set_of_any), Param::new("without", set_of_any)],
        variadic: None,
        examples: &[(r#"setsubtract(["a", "b"], ["b"])"#, "toset([\n  \"a\",\n])")],
        result_ty: gives_any,
        call: |args, _| {
            let sets = same_type(args)?;
            Ok(keep(&sets, |item| !contains(&sets[1], item)))
        },
    },
    Func {
        name: "setunion",
        doc: "The elements that are in any of some sets.",
        params: &[Param::new("set", set_of_any)],
        variadic: Some(Param::new("sets", set_of_any)),
        examples: &[(r#"setunion(["a"], ["b", "a"])"#, "toset([\n  \"a\",\n  \"b\",\n])")],
        result_ty: gives_any,
        call: |args, _| {
            let mut all = Vec::new();
            for idx in 0..args.len() {
                all.extend(items(args, idx)?.iter().cloned());
            }
            convert(&Value::tuple(all), &Ty::set(Ty::Dynamic))
                .map_err(|error| FuncError::Call(error.to_string().into()))
        },
    },
];

/// The sets with elements of one type, so that they can be compared.
fn same_type(args: &[Value]) -> Result<Vec<Value>, FuncError> {
    let types: Vec<Ty> = args.iter().map(Value::ty).collect();
    let ty = value::convert::unify(&types).ok_or_else(|| FuncError::Call("the sets have different types".into()))?;
    args.iter().enumerate().map(|(idx, set)| convert(set, &ty).map_err(|e| argument(idx, e.to_string()))).collect()
}

fn contains(set: &Value, item: &Value) -> bool {
    set.as_items().is_some_and(|items| items.contains(item))
}

fn keep(sets: &[Value], wanted: impl Fn(&Value) -> bool) -> Value {
    let items = sets[0].as_items().unwrap_or_default().iter().filter(|item| wanted(item)).cloned().collect();
    match sets[0].ty() {
        Ty::Set(element) => Value::set((*element).clone(), items),
        _ => Value::set(Ty::Dynamic, items),
    }
}
