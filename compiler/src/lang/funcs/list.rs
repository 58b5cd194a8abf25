//! Lists.

use value::convert::{convert, unify, unify_values};
use value::set::Seen;
use value::size::PART;
use value::{Marks, Number, Ty, Value};

use super::{
    Func, FuncError, Param, any, argument, booleans, failed, fits, gives_any, gives_bool, gives_number, gives_numbers,
    gives_strings, items, list, number, ordered, sequence_like, strings, whole,
};
use crate::lang::eval::equal;

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "alltrue",
        doc: "Whether all elements are true.",
        params: &[Param::new("list", booleans).shallow()],
        variadic: None,
        examples: &[("alltrue([true, true])", "true"), ("alltrue([])", "true")],
        unknown: gives_bool,
        call: |args, _| decided(args, false),
    },
    Func {
        name: "anytrue",
        doc: "Whether any element is true.",
        params: &[Param::new("list", booleans).shallow()],
        variadic: None,
        examples: &[("anytrue([false, true])", "true"), ("anytrue([])", "false")],
        unknown: gives_bool,
        call: |args, _| decided(args, true),
    },
    Func {
        name: "chunklist",
        doc: "A list cut into lists of a size; 0 leaves it in one.",
        params: &[Param::new("list", list).of_parts(), Param::new("size", number)],
        variadic: None,
        examples: &[("length(chunklist([1, 2, 3], 2))", "2")],
        unknown: gives_any,
        call: |args, _| {
            let items = items(args, 0)?;
            let size = usize::try_from(whole(args, 1)?).map_err(|_| argument(1, "it cannot be negative"))?;
            let size = if size == 0 { items.len().max(1) } else { size };
            let chunks = items.chunks(size).map(|chunk| sequence_like(args, chunk.to_vec())).collect();
            Ok(Value::list(args[0].ty(), chunks))
        },
    },
    Func {
        name: "compact",
        doc: "A list of strings without the empty ones and nulls.",
        params: &[Param::new("list", strings)],
        variadic: None,
        examples: &[(r#"compact(["a", "", null])"#, "tolist([\n  \"a\",\n])")],
        unknown: gives_strings,
        call: |args, _| {
            let kept = items(args, 0)?.iter().filter(|item| item.as_str().is_some_and(|text| !text.is_empty()));
            Ok(Value::list(Ty::String, kept.cloned().collect()))
        },
    },
    Func {
        name: "concat",
        doc: "The elements of several lists in one.",
        params: &[Param::new("list", any).of_parts()],
        variadic: Some(Param::new("lists", any).of_parts()),
        examples: &[(r#"concat(["a"], ["b", 1])"#, "[\n  \"a\",\n  \"b\",\n  1,\n]")],
        unknown: gives_any,
        call: |args, _| {
            let mut all = Vec::new();
            for idx in 0..args.len() {
                let items = ordered(args, idx)?;
                fits((all.len() + items.len()).saturating_mul(PART))?;
                all.extend(items.iter().cloned());
            }
            let is_list = args.iter().all(|arg| matches!(arg, Value::List(..)));
            match unify_values(args) {
                Some(ty @ Ty::List(_)) if is_list => {
                    convert(&Value::tuple(all), &ty).map_err(|error| failed(error.to_string()))
                }
                _ => Ok(Value::tuple(all)),
            }
        },
    },
    Func {
        name: "distinct",
        doc: "A list without repeated elements.",
        params: &[Param::new("list", list)],
        variadic: None,
        examples: &[(r#"distinct(["a", "b", "a"])"#, "tolist([\n  \"a\",\n  \"b\",\n])")],
        unknown: gives_any,
        call: |args, _| {
            let mut seen = Seen::default();
            let kept = items(args, 0)?.iter().filter(|item| seen.insert(item)).cloned().collect();
            Ok(sequence_like(args, kept))
        },
    },
    Func {
        name: "element",
        doc: "The element at an index that wraps around.",
        params: &[Param::new("list", any).of_parts(), Param::new("index", number)],
        variadic: None,
        examples: &[(r#"element(["a", "b"], 3)"#, r#""b""#)],
        unknown: gives_any,
        call: |args, _| {
            let (items, index) = (ordered(args, 0)?, whole(args, 1)?);
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
        params: &[Param::new("list", any).of_parts()],
        variadic: None,
        examples: &[("flatten([[1, [2]], 3])", "[\n  1,\n  2,\n  3,\n]")],
        unknown: gives_any,
        call: |args, _| {
            let mut flat = Flat::default();
            flatten(items(args, 0)?, &mut flat)?;
            let value = if flat.has_unknown_list { Value::DYNAMIC } else { Value::tuple(flat.items) };
            Ok(value.with_marks(flat.marks))
        },
    },
    Func {
        name: "index",
        doc: "The index of the first element that equals a value.",
        params: &[Param::new("list", any), Param::new("value", any)],
        variadic: None,
        examples: &[(r#"index(["a", "b"], "b")"#, "1")],
        unknown: gives_number,
        call: |args, _| {
            let found = ordered(args, 0)?.iter().position(|item| equal(item, &args[1]) == Some(true));
            found.map(|idx| Value::from(idx as i64)).ok_or_else(|| failed("the value is not in the list"))
        },
    },
    Func {
        name: "matchkeys",
        doc: "The values whose keys, at the same index of another list, are among some.",
        params: &[Param::new("values", list), Param::new("keys", list), Param::new("wanted", list)],
        variadic: None,
        examples: &[(r#"matchkeys(["i-1", "i-2"], ["eu", "us"], ["us"])"#, "tolist([\n  \"i-2\",\n])")],
        unknown: gives_any,
        call: |args, _| {
            let ty = unify(&[args[1].ty(), args[2].ty()]);
            let ty =
                ty.ok_or_else(|| failed("the keys and those that are wanted have types that do not go together"))?;
            let same = |idx: usize| convert(&args[idx], &ty).map_err(|error| argument(idx, error.to_string()));
            let (keys, wanted) = (same(1)?, same(2)?);
            let keys = keys.as_items().unwrap_or_default();
            let values = items(args, 0)?;
            if keys.len() != values.len() {
                return Err(failed(format!("there are {} keys and {} values", keys.len(), values.len())));
            }
            let wanted: Seen<'_> = wanted.as_items().unwrap_or_default().iter().collect();
            let found = values.iter().zip(keys).filter(|(_, key)| wanted.contains(key));
            Ok(sequence_like(args, found.map(|(value, _)| value.clone()).collect()))
        },
    },
    Func {
        name: "range",
        doc: "Numbers from a start (0) up to, but not with, a limit, in steps (1).",
        params: &[Param::new("limit or start", number)],
        variadic: Some(Param::new("limit, step", number)),
        examples: &[("range(3)", "tolist([\n  0,\n  1,\n  2,\n])"), ("range(5, 1, -2)", "tolist([\n  5,\n  3,\n])")],
        unknown: gives_numbers,
        call: |args, _| range(args),
    },
    Func {
        name: "reverse",
        doc: "A list in reverse order.",
        params: &[Param::new("list", any).of_parts()],
        variadic: None,
        examples: &[("reverse([1, 2])", "[\n  2,\n  1,\n]")],
        unknown: gives_any,
        call: |args, _| Ok(sequence_like(args, items(args, 0)?.iter().rev().cloned().collect())),
    },
    Func {
        name: "slice",
        doc: "The elements from an index up to, but not with, another.",
        params: &[Param::new("list", any).of_parts(), Param::new("start", number), Param::new("end", number)],
        variadic: None,
        examples: &[("slice([1, 2, 3], 1, 2)", "[\n  2,\n]")],
        unknown: gives_any,
        call: |args, _| {
            let items = ordered(args, 0)?;
            let bound = |idx: usize| Ok::<_, FuncError>(usize::try_from(whole(args, idx)?).unwrap_or(usize::MAX));
            let slice = items.get(bound(1)?..bound(2)?);
            let slice = slice.ok_or_else(|| argument(2, format!("the list has {} elements", items.len())))?;
            Ok(sequence_like(args, slice.to_vec()))
        },
    },
    Func {
        name: "sort",
        doc: "A list of strings, sorted by their bytes.",
        params: &[Param::new("list", strings).shallow()],
        variadic: None,
        examples: &[(r#"sort(["b", "a"])"#, "tolist([\n  \"a\",\n  \"b\",\n])")],
        unknown: gives_strings,
        call: |args, _| {
            let mut sorted = items(args, 0)?.to_vec();
            if sorted.iter().any(Value::is_null) {
                return Err(argument(0, "an element is null"));
            }
            if !args[0].is_wholly_known() {
                // Any may come to stand anywhere.
                sorted.fill(Value::unknown(Ty::String));
            }
            sorted.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            Ok(Value::list(Ty::String, sorted))
        },
    },
];

/// Whether an element has the truth value that decides; null is false.
fn decided(args: &[Value], decides: bool) -> Result<Value, FuncError> {
    let items = items(args, 0)?;
    let truth = |item: &Value| if item.is_null() { Some(false) } else { item.as_bool() };
    Ok(if items.iter().any(|item| truth(item) == Some(decides)) {
        Value::Bool(decides)
    } else if args[0].is_wholly_known() {
        Value::Bool(!decides)
    } else {
        gives_bool(args)
    })
}

#[derive(Default)]
struct Flat {
    items: Vec<Value>,
    /// Of lists that are no more.
    marks: Marks,
    /// Nobody knows how many elements come of it.
    has_unknown_list: bool,
}

fn flatten(items: &[Value], flat: &mut Flat) -> Result<(), FuncError> {
    for item in items {
        match (item.as_items(), item.unmarked()) {
            (Some(inner), _) => {
                flat.marks |= item.marks();
                flatten(inner, flat)?;
            }
            (None, Value::Unknown(Ty::Dynamic | Ty::List(_) | Ty::Set(_) | Ty::Tuple(_), _)) => {
                flat.marks |= item.marks();
                flat.has_unknown_list = true;
            }
            _ => {
                fits(flat.items.len().saturating_mul(PART))?;
                flat.items.push(item.clone());
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
        _ => return Err(failed("it takes up to three numbers")),
    };
    let down = limit < start;
    let step = if args.len() == 3 { number(2) } else { Number::from(if down { -1 } else { 1 }) };
    if step.is_zero() || step.is_negative() != down {
        return if start == limit {
            Ok(Value::list(Ty::Number, Vec::new()))
        } else {
            Err(failed("the step leads away from the limit"))
        };
    }
    let mut numbers = Vec::new();
    let mut next = start;
    while if down { next > limit } else { next < limit } {
        if numbers.len() == MAX_RANGE {
            return Err(failed(format!("it would have more than {MAX_RANGE} elements")));
        }
        let following = next.add(&step).map_err(|error| failed(error.to_string()))?;
        numbers.push(Value::Number(std::mem::replace(&mut next, following)));
    }
    Ok(Value::list(Ty::Number, numbers))
}
