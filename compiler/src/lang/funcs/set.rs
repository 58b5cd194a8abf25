//! Sets.

use value::convert::{convert, unify_values};
use value::set::Seen;
use value::size::PART;
use value::{Ty, Value};

use super::{Func, FuncError, Param, any, argument, failed, fits, gives_any, items, set_of_any};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "setintersection",
        doc: "The elements that are in all of some sets.",
        params: &[Param::new("set", set_of_any)],
        variadic: Some(Param::new("sets", set_of_any)),
        examples: &[(r#"setintersection(["a", "b"], ["b", "c"])"#, "toset([\n  \"b\",\n])")],
        unknown: gives_any,
        call: |args, _| {
            let sets = same_type(args)?;
            let others: Vec<Seen<'_>> = sets[1..].iter().map(elements).collect();
            Ok(keep(&sets, |item| others.iter().all(|set| set.contains(item))))
        },
    },
    Func {
        name: "setproduct",
        doc: "Every combination of one element of each list or set; a set if one of them is a set, else a list.",
        params: &[Param::new("first", any).of_parts(), Param::new("second", any).of_parts()],
        variadic: Some(Param::new("more", any).of_parts()),
        examples: &[(r#"[for pair in setproduct(["a", "b"], [1]) : join("-", pair)]"#, "[\n  \"a-1\",\n  \"b-1\",\n]")],
        unknown: gives_any,
        call: |args, _| product(args),
    },
    Func {
        name: "setsubtract",
        doc: "The elements of a set that are not in another.",
        params: &[Param::new("set", set_of_any), Param::new("without", set_of_any)],
        variadic: None,
        examples: &[(r#"setsubtract(["a", "b"], ["b"])"#, "toset([\n  \"a\",\n])")],
        unknown: gives_any,
        call: |args, _| {
            let sets = same_type(args)?;
            let without = elements(&sets[1]);
            Ok(keep(&sets, |item| !without.contains(item)))
        },
    },
    Func {
        name: "setunion",
        doc: "The elements that are in any of some sets.",
        params: &[Param::new("set", set_of_any).shallow()],
        variadic: Some(Param::new("sets", set_of_any).shallow()),
        examples: &[(r#"setunion(["a"], ["b", "a"])"#, "toset([\n  \"a\",\n  \"b\",\n])")],
        unknown: gives_any,
        call: |args, _| {
            let mut all = Vec::new();
            for idx in 0..args.len() {
                let items = items(args, idx)?;
                fits((all.len() + items.len()).saturating_mul(PART))?;
                all.extend(items.iter().cloned());
            }
            convert(&Value::tuple(all), &Ty::set(Ty::Dynamic)).map_err(|error| failed(error.to_string()))
        },
    },
];

/// The sets with elements of one type, so that they can be compared.
fn same_type(args: &[Value]) -> Result<Vec<Value>, FuncError> {
    let ty = unify_values(args).ok_or_else(|| failed("the sets have types that do not go together"))?;
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

fn product(args: &[Value]) -> Result<Value, FuncError> {
    let mut combinations: Vec<Vec<Value>> = vec![Vec::new()];
    let mut types = Vec::new();
    for idx in 0..args.len() {
        items(args, idx)?;
        let as_list = convert(&args[idx], &Ty::list(Ty::Dynamic)).map_err(|error| argument(idx, error.to_string()))?;
        let Value::List(ty, items) = as_list else { return Err(argument(idx, "a list, set or tuple is required")) };
        types.push(ty);
        fits(combinations.len().saturating_mul(items.len()).saturating_mul(PART * (idx + 2)))?;
        combinations = combinations
            .iter()
            .flat_map(|before| items.iter().map(move |item| before.iter().chain([item]).cloned().collect()))
            .collect();
    }
    let combinations = combinations.into_iter().map(Value::tuple).collect();
    let is_set = args.iter().any(|arg| matches!(arg, Value::Set(..)));
    Ok(if is_set { Value::set(Ty::tuple(types), combinations) } else { Value::list(Ty::tuple(types), combinations) })
}
