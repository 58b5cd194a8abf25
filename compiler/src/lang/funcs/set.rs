//! Sets.

use value::convert::convert;
use value::set::Seen;
use value::size::PART;
use value::{Ty, Value};

use super::{Func, FuncError, Param, argument, fits, gives_any, items, set_of_any};

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
            let others: Vec<Seen<'_>> = sets[1..].iter().map(elements).collect();
            Ok(keep(&sets, |item| others.iter().all(|set| set.contains(item))))
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
            let without = elements(&sets[1]);
            Ok(keep(&sets, |item| !without.contains(item)))
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
                let items = items(args, idx)?;
                fits((all.len() + items.len()).saturating_mul(PART))?;
                all.extend(items.iter().cloned());
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

fn elements(set: &Value) -> Seen<'_> {
    set.as_items().unwrap_or_default().iter().collect()
}

fn keep(sets: &[Value], wanted: impl Fn(&Value) -> bool) -> Value {
    let items = sets[0].as_items().unwrap_or_default().iter().filter(|item| wanted(item)).cloned().collect();
    match sets[0].ty() {
        Ty::Set(element) => Value::set((*element).clone(), items),
        _ => Value::set(Ty::Dynamic, items),
    }
}
