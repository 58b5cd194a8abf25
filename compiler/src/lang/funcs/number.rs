//! Numbers.

use value::{Number, Value};

use super::{Func, FuncError, Param, any, argument, failed, gives_number, number, whole};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "abs",
        doc: "A number without its sign.",
        params: &[Param::new("number", number)],
        variadic: None,
        examples: &[("abs(-2.5)", "2.5")],
        unknown: gives_number,
        call: |args, _| {
            let number = of(args, 0);
            Ok(Value::Number(if number.is_zero() {
                Number::ZERO
            } else if number.is_negative() {
                number.negated()
            } else {
                number.clone()
            }))
        },
    },
    Func {
        name: "ceil",
        doc: "The next whole number that is not smaller.",
        params: &[Param::new("number", number)],
        variadic: None,
        examples: &[("ceil(1.2)", "2")],
        unknown: gives_number,
        call: |args, _| Ok(Value::Number(of(args, 0).ceil())),
    },
    Func {
        name: "floor",
        doc: "The next whole number that is not larger.",
        params: &[Param::new("number", number)],
        variadic: None,
        examples: &[("floor(-1.2)", "-2")],
        unknown: gives_number,
        call: |args, _| Ok(Value::Number(of(args, 0).floor())),
    },
    Func {
        name: "log",
        doc: "The logarithm of a number to a base, in double precision.",
        params: &[Param::new("number", number), Param::new("base", number)],
        variadic: None,
        examples: &[("log(16, 2)", "4")],
        unknown: gives_number,
        call: |args, _| of_float(of(args, 0).to_f64().ln() / of(args, 1).to_f64().ln()),
    },
    Func {
        name: "max",
        doc: "The largest of some numbers.",
        params: &[Param::new("number", number)],
        variadic: Some(Param::new("numbers", number)),
        examples: &[("max(2, 10, 3)", "10")],
        unknown: gives_number,
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
        unknown: gives_number,
        call: |args, _| {
            Ok(args.iter().min_by(|a, b| a.as_number().cmp(&b.as_number())).cloned().unwrap_or_else(|| args[0].clone()))
        },
    },
    Func {
        name: "parseint",
        doc: "Reads a whole number written in a base from 2 to 62.",
        params: &[Param::new("text", any), Param::new("base", number)],
        variadic: None,
        examples: &[(r#"parseint("ff", 16)"#, "255")],
        unknown: gives_number,
        call: |args, _| {
            let Value::String(text) = &args[0] else { return Err(argument(0, "a string is required")) };
            let base = u32::try_from(whole(args, 1)?).ok().filter(|base| (2..=62).contains(base));
            let base = base.ok_or_else(|| argument(1, "a base from 2 to 62 is required"))?;
            let parsed = Number::parse_whole(text, base);
            parsed.map(Value::Number).ok_or_else(|| argument(0, format!("it is not a whole number in base {base}")))
        },
    },
    Func {
        name: "pow",
        doc: "A number raised to a power, in double precision.",
        params: &[Param::new("number", number), Param::new("power", number)],
        variadic: None,
        examples: &[("pow(2, 10)", "1024"), ("pow(2, -1)", "0.5")],
        unknown: gives_number,
        call: |args, _| of_float(power(of(args, 0).to_f64(), of(args, 1).to_f64())),
    },
    Func {
        name: "signum",
        doc: "-1, 0 or 1 for a whole number that is negative, zero, or positive.",
        params: &[Param::new("number", number)],
        variadic: None,
        examples: &[("signum(-3)", "-1")],
        unknown: gives_number,
        call: |args, _| {
            let number = of(args, 0);
            if !number.is_whole() {
                return Err(argument(0, format!("a whole number is required, not {number}")));
            }
            Ok(Value::from(if number.is_negative() { -1 } else { i64::from(!number.is_zero()) }))
        },
    },
];

fn of(args: &[Value], idx: usize) -> &Number {
    args[idx].as_number().expect("the parameter is a number")
}

/// By squaring, in which Go's rounding is the same: other ways give another last digit here and there.
fn power(base: f64, exponent: f64) -> f64 {
    let magnitude = exponent.abs();
    let is_ordinary = base.is_finite() && base != 0.0 && magnitude < 9.0e15 && (base > 0.0 || magnitude.fract() == 0.0);
    let is_root = magnitude.to_bits() == 0.5_f64.to_bits();
    if !is_ordinary || exponent == 0.0 || is_root {
        return base.powf(exponent);
    }
    let (mut whole, mut fraction) = (magnitude.trunc(), magnitude.fract());
    if fraction > 0.5 {
        fraction -= 1.0;
        whole += 1.0;
    }
    let mut result = if fraction == 0.0 { 1.0 } else { (fraction * base.ln()).exp() };
    let mut result_exponent = 0_i64;
    // The base is mantissa * 2^exponent, with a mantissa from 0.5 to 1.
    let (mut mantissa, mut mantissa_exponent) = parts(base);
    let mut left = whole as u64;
    while left != 0 {
        if mantissa_exponent.abs() > 1 << 12 {
            // It is too large or too small whatever follows.
            result_exponent += mantissa_exponent;
            break;
        }
        if left & 1 == 1 {
            result *= mantissa;
            result_exponent += mantissa_exponent;
        }
        mantissa *= mantissa;
        mantissa_exponent *= 2;
        if mantissa < 0.5 {
            mantissa += mantissa;
            mantissa_exponent -= 1;
        }
        left >>= 1;
    }
    if exponent < 0.0 {
        result = 1.0 / result;
        result_exponent = -result_exponent;
    }
    let half = (result_exponent / 2).clamp(-1100, 1100) as i32;
    let rest = (result_exponent - i64::from(half)).clamp(-1100, 1100) as i32;
    result * 2.0_f64.powi(half) * 2.0_f64.powi(rest)
}

/// Mantissa from 0.5 to 1, with the sign, and exponent.
fn parts(float: f64) -> (f64, i64) {
    let (float, scaled) = if float.is_subnormal() { (float * 2.0_f64.powi(60), 60) } else { (float, 0) };
    let bits = float.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i64 - 1022;
    (f64::from_bits((bits & !(0x7ff << 52)) | (1022 << 52)), exponent - scaled)
}

/// As the shortest decimal that tells the float from others.
fn of_float(float: f64) -> Result<Value, FuncError> {
    let number = Number::from_f64(float);
    number.map(Value::Number).map_err(|_| failed("the result is not a number"))
}
