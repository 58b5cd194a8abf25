//! Numbers.

use value::{Number, Value};

use super::{Func, FuncError, Param, argument, gives_number, number, string, text, whole};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "abs",
        doc: "A number without its sign.",
        params: &[Param::new("number", number)],
        variadic: None,
        examples: &[("abs(-2.5)", "2.5")],
        result_ty: gives_number,
        call: |args, _| {
            let number = of(args, 0);
            Ok(Value::Number(if number.is_negative() { number.negated() } else { number.clone() }))
        },
    },
    Func {
        name: "ceil",
        doc: "The next whole number that is not smaller.",
        params: &[Param::new("number", number)],
        variadic: None,
        examples: &[("ceil(1.2)", "2")],
        result_ty: gives_number,
        call: |args, _| Ok(Value::Number(of(args, 0).ceil())),
    },
    Func {
        name: "floor",
        doc: "The next whole number that is not larger.",
        params: &[Param::new("number", number)],
        variadic: None,
        examples: &[("floor(-1.2)", "-2")],
        result_ty: gives_number,
        call: |args, _| Ok(Value::Number(of(args, 0).floor())),
    },
    Func {
        name: "max",
        doc: "The largest of some numbers.",
        params: &[Param::new("number", number)],
        variadic: Some(Param::new("numbers", number)),
        examples: &[("max(2, 10, 3)", "10")],
        result_ty: gives_number,
        call: |args, _| {
            Ok(args.iter().max_by(|a, b| a.as_number().cmp(&b.as_number())).cloned().unwrap_or_else(|| args[0].clone()))
        },
    },
    Func {
        name: "min",
        doc: "The smallest of some numbers.",
        params: &[Param::new("number", number)],
        variadic: Some(Param::new("numbers", number)),
        examples: &[("min(2, 10, 3)", "2")],
        result_ty: gives_number,
        call: |args, _| {
            Ok(args.iter().min_by(|a, b| a.as_number().cmp(&b.as_number())).cloned().unwrap_or_else(|| args[0].clone()))
        },
    },
    Func {
        name: "parseint",
        doc: "Reads a whole number written in a base from 2 to 62 (36 here).",
        params: &[Param::new("text", string), Param::new("base", number)],
        variadic: None,
        examples: &[(r#"parseint("ff", 16)"#, "255")],
        result_ty: gives_number,
        call: |args, _| {
            let base = u32::try_from(whole(args, 1)?).ok().filter(|base| (2..=36).contains(base));
            let base = base.ok_or_else(|| argument(1, "a base from 2 to 36 is required"))?;
            let parsed = i64::from_str_radix(text(args, 0), base);
            parsed.map(Value::from).map_err(|_| argument(0, format!("it is not a whole number in base {base}")))
        },
    },
    Func {
        name: "pow",
        doc: "A number raised to a whole power.",
        params: &[Param::new("number", number), Param::new("power", number)],
        variadic: None,
        examples: &[("pow(2, 10)", "1024"), ("pow(2, -1)", "0.5")],
        result_ty: gives_number,
        call: |args, _| {
            let power = whole(args, 1)?;
            if power.unsigned_abs() > 10_000 {
                return Err(argument(1, "a power from -10000 to 10000 is required"));
            }
            let undefined = |_| FuncError::Call("the result is not a number".into());
            let mut result = Number::from(1);
            for _ in 0..power.unsigned_abs() {
                result = result.mul(of(args, 0)).map_err(undefined)?;
            }
            let result = if power < 0 { Number::from(1).div(&result).map_err(undefined)? } else { result };
            Ok(Value::Number(result))
        },
    },
    Func {
        name: "signum",
        doc: "-1, 0 or 1 for a negative number, zero, or a positive number.",
        params: &[Param::new("number", number)],
        variadic: None,
        examples: &[("signum(-3)", "-1")],
        result_ty: gives_number,
        call: |args, _| {
            let number = of(args, 0);
            Ok(Value::from(if number.is_negative() { -1 } else { i64::from(!number.is_zero()) }))
        },
    },
];

fn of(args: &[Value], idx: usize) -> &Number {
    args[idx].as_number().expect("the parameter is a number")
}
