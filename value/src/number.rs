//! Numbers as Terraform computes them: binary floating point with a mantissa of 512 bits, rounded half to even,
//! printed as the shortest decimal that reads back as the same number.
//!
//! **Invariant:** a whole number that fits an `i64` is always `Int`, so equal numbers are structurally equal, but for the
//! two zeros.

mod decimal;

pub use decimal::Digits;

use std::cmp::Ordering;
use std::str::FromStr;

use num_bigint::{BigInt, BigUint, Sign};

const PRECISION: u64 = 512;
/// Beyond this binary exponent a number overflows to infinity (or underflows to zero). It bounds the memory that
/// a sum of numbers of very different size takes; `1e300000` still is a number.
const MAX_EXPONENT: i64 = 1 << 20;

#[derive(Debug, Clone)]
pub struct Number(Repr);

#[derive(Debug, Clone)]
enum Repr {
    Int(i64),
    /// It equals zero and is printed with its sign, as in Terraform.
    NegativeZero,
    /// `mantissa * 2^exponent`; the mantissa is odd and at most 512 bits long. One that was a double and that nothing was
    /// computed from yet is printed as doubles are.
    Big {
        mantissa: BigInt,
        exponent: i64,
        is_double: bool,
    },
    Infinity {
        negative: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("{0:?} is not a number")]
    NotANumber(String),
    #[error("the result is not a number (such as 0 / 0)")]
    Undefined,
}

impl Number {
    pub const ZERO: Number = Number(Repr::Int(0));
    const NEGATIVE_ZERO: Number = Number(Repr::NegativeZero);

    pub fn infinity(negative: bool) -> Number {
        Number(Repr::Infinity { negative })
    }

    pub fn is_infinite(&self) -> bool {
        matches!(self.0, Repr::Infinity { .. })
    }

    /// The number as an `i64`, if it is whole and fits.
    pub fn to_i64(&self) -> Option<i64> {
        match self.0 {
            Repr::Int(int) => Some(int),
            Repr::NegativeZero => Some(0),
            Repr::Big { .. } | Repr::Infinity { .. } => None,
        }
    }

    pub fn to_usize(&self) -> Option<usize> {
        self.to_i64().and_then(|int| usize::try_from(int).ok())
    }

    pub fn is_whole(&self) -> bool {
        match &self.0 {
            Repr::Int(_) | Repr::NegativeZero => true,
            Repr::Big { exponent, .. } => *exponent >= 0,
            Repr::Infinity { .. } => false,
        }
    }

    /// The nearest `f64`.
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            Repr::Int(int) => *int as f64,
            Repr::NegativeZero => -0.0,
            Repr::Infinity { negative } => {
                if *negative {
                    f64::NEG_INFINITY
                } else {
                    f64::INFINITY
                }
            }
            Repr::Big { mantissa, exponent, .. } => decimal::nearest_double(mantissa, *exponent),
        }
    }

    /// `Some` only if the `f64` is the same number, not merely near it.
    pub fn to_f64_exact(&self) -> Option<f64> {
        let float = self.to_f64();
        (Number::from_f64(float).as_ref() == Ok(self)).then_some(float)
    }

    pub fn from_f64(float: f64) -> Result<Number, NumberError> {
        if float.is_nan() {
            return Err(NumberError::Undefined);
        }
        if float.is_infinite() {
            return Ok(Number::infinity(float < 0.0));
        }
        if float == 0.0 && float.is_sign_negative() {
            return Ok(Number::NEGATIVE_ZERO);
        }
        let bits = float.to_bits();
        let fraction = bits & ((1 << 52) - 1);
        let raw_exponent = ((bits >> 52) & 0x7ff) as i64;
        let (mantissa, exponent) =
            if raw_exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, raw_exponent - 1075) };
        let mantissa = BigInt::from(mantissa);
        let number = rounded(if float < 0.0 { -mantissa } else { mantissa }, exponent);
        Ok(match number.0 {
            Repr::Big { mantissa, exponent, .. } => Number(Repr::Big { mantissa, exponent, is_double: true }),
            other => Number(other),
        })
    }

    /// A whole number in digits of a base from 2 to 62: letters are digits of either case, and of two cases where one is
    /// not enough.
    pub fn parse_whole(text: &str, base: u32) -> Option<Number> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => (Sign::Minus, rest),
            None => (Sign::Plus, text.strip_prefix('+').unwrap_or(text)),
        };
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'z' => Some(byte - b'a' + 10),
            b'A'..=b'Z' => Some(byte - b'A' + if base > 36 { 36 } else { 10 }),
            _ => None,
        };
        let digits: Vec<u8> = digits.bytes().map(digit).collect::<Option<_>>()?;
        let magnitude = if digits.is_empty() { None } else { BigUint::from_radix_be(&digits, base) };
        Some(rounded(BigInt::from_biguint(sign, magnitude?), 0))
    }

    pub fn is_negative(&self) -> bool {
        match &self.0 {
            Repr::Int(int) => *int < 0,
            Repr::NegativeZero => false,
            Repr::Big { mantissa, .. } => mantissa.sign() == Sign::Minus,
            Repr::Infinity { negative } => *negative,
        }
    }

    pub fn is_zero(&self) -> bool {
        matches!(self.0, Repr::Int(0) | Repr::NegativeZero)
    }

    #[must_use]
    pub fn negated(&self) -> Number {
        match &self.0 {
            Repr::Int(0) => Number::NEGATIVE_ZERO,
            Repr::NegativeZero => Number::ZERO,
            Repr::Int(int) => int.checked_neg().map_or_else(|| rounded(-BigInt::from(*int), 0), Number::from),
            // 2^63 is one that has no other negative form.
            Repr::Big { mantissa, exponent, is_double: false } => rounded(-mantissa, *exponent),
            Repr::Big { mantissa, exponent, is_double } => {
                Number(Repr::Big { mantissa: -mantissa, exponent: *exponent, is_double: *is_double })
            }
            Repr::Infinity { negative } => Number::infinity(!negative),
        }
    }

    pub fn add(&self, other: &Number) -> Result<Number, NumberError> {
        if let (Repr::Int(a), Repr::Int(b)) = (&self.0, &other.0)
            && let Some(sum) = a.checked_add(*b)
        {
            return Ok(Number::from(sum));
        }
        match (self.parts(), other.parts()) {
            (Some((a, a_exp)), Some((b, b_exp))) => {
                let exponent = a_exp.min(b_exp);
                let sum = (a << (a_exp - exponent) as u64) + (b << (b_exp - exponent) as u64);
                Ok(rounded(sum, exponent))
            }
            (Some(_), None) => Ok(other.clone()),
            (None, Some(_)) => Ok(self.clone()),
            (None, None) if self == other => Ok(self.clone()),
            (None, None) => Err(NumberError::Undefined),
        }
    }

    pub fn sub(&self, other: &Number) -> Result<Number, NumberError> {
        self.add(&other.negated())
    }

    pub fn mul(&self, other: &Number) -> Result<Number, NumberError> {
        if self.is_zero() || other.is_zero() {
            return match self.is_infinite() || other.is_infinite() {
                true => Err(NumberError::Undefined),
                false => Ok(Number::zero(self.has_sign() != other.has_sign())),
            };
        }
        if let (Repr::Int(a), Repr::Int(b)) = (&self.0, &other.0)
            && let Some(product) = a.checked_mul(*b)
        {
            return Ok(Number::from(product));
        }
        match (self.parts(), other.parts()) {
            (Some((a, a_exp)), Some((b, b_exp))) => Ok(rounded(a * b, a_exp + b_exp)),
            _ => Ok(Number::infinity(self.is_negative() != other.is_negative())),
        }
    }

    /// Division by zero gives an infinity, as in Terraform; `0 / 0` is undefined.
    pub fn div(&self, other: &Number) -> Result<Number, NumberError> {
        match (self.parts(), other.parts()) {
            (Some(_), Some(_)) if other.is_zero() && self.is_zero() => Err(NumberError::Undefined),
            (Some(_), Some(_)) if other.is_zero() => Ok(Number::infinity(self.has_sign() != other.has_sign())),
            (Some(_), _) if self.is_zero() => Ok(Number::zero(self.has_sign() != other.has_sign())),
            (Some((a, a_exp)), Some((b, b_exp))) => Ok(divided(&a, &b, a_exp - b_exp)),
            (Some(_), None) => Ok(Number::ZERO),
            (None, Some(_)) => Ok(Number::infinity(self.is_negative() != other.is_negative())),
            (None, None) => Err(NumberError::Undefined),
        }
    }

    /// The remainder of a division that truncates towards zero: `-5 % 3` is `-2`. Of a division by zero all remains, as in
    /// Terraform.
    pub fn rem(&self, other: &Number) -> Result<Number, NumberError> {
        match (self.parts(), other.parts()) {
            (Some(_), Some(_)) if other.is_zero() => Ok(self.clone()),
            (Some((a, a_exp)), Some((b, b_exp))) => {
                let exponent = a_exp.min(b_exp);
                Ok(rounded((a << (a_exp - exponent) as u64) % (b << (b_exp - exponent) as u64), exponent))
            }
            (Some(_), None) => Ok(self.clone()),
            (None, Some(_) | None) => Err(NumberError::Undefined),
        }
    }

    /// Rounded towards negative infinity.
    #[must_use]
    pub fn floor(&self) -> Number {
        match &self.0 {
            // `>>` on a BigInt rounds towards negative infinity.
            Repr::Big { mantissa, exponent, .. } if *exponent < 0 => rounded(mantissa >> exponent.unsigned_abs(), 0),
            Repr::Int(_) | Repr::NegativeZero | Repr::Big { .. } | Repr::Infinity { .. } => self.clone(),
        }
    }

    #[must_use]
    pub fn ceil(&self) -> Number {
        let ceil = self.negated().floor().negated();
        if ceil.is_zero() { Number::zero(self.is_zero() && self.has_sign()) } else { ceil }
    }

    fn zero(has_sign: bool) -> Number {
        if has_sign { Number::NEGATIVE_ZERO } else { Number::ZERO }
    }

    /// Whether it is negative, or the zero that is printed so.
    fn has_sign(&self) -> bool {
        self.is_negative() || matches!(self.0, Repr::NegativeZero)
    }

    /// Mantissa and exponent of a finite number.
    fn parts(&self) -> Option<(BigInt, i64)> {
        match &self.0 {
            Repr::Int(int) => Some((BigInt::from(*int), 0)),
            Repr::NegativeZero => Some((BigInt::ZERO, 0)),
            Repr::Big { mantissa, exponent, .. } => Some((mantissa.clone(), *exponent)),
            Repr::Infinity { .. } => None,
        }
    }
}

/// Rounds to 512 bits, half to even, and brings the result into its only form.
fn rounded(mantissa: BigInt, exponent: i64) -> Number {
    rounded_sticky(mantissa, exponent, false)
}

/// As [`rounded`]; `sticky` says that the true value lies a little beyond `mantissa` (in magnitude), as after a
/// division that left a remainder. It needs more than 513 bits of mantissa to have an effect that is right.
fn rounded_sticky(mantissa: BigInt, mut exponent: i64, sticky: bool) -> Number {
    let (sign, mut magnitude) = mantissa.into_parts();
    let bits = magnitude.bits();
    if bits > PRECISION {
        let drop = bits - PRECISION;
        let half_is_set = magnitude.bit(drop - 1);
        let below_half = sticky || magnitude.trailing_zeros().is_some_and(|zeros| zeros < drop - 1);
        magnitude >>= drop;
        exponent += drop as i64;
        if half_is_set && (below_half || magnitude.bit(0)) {
            magnitude += 1u32;
        }
    }
    let Some(zeros) = magnitude.trailing_zeros() else { return Number::ZERO };
    magnitude >>= zeros;
    exponent += zeros as i64;
    if exponent + magnitude.bits() as i64 > MAX_EXPONENT {
        return Number::infinity(sign == Sign::Minus);
    }
    if exponent < -MAX_EXPONENT {
        return Number::ZERO;
    }
    let mantissa = BigInt::from_biguint(sign, magnitude);
    if (0..64).contains(&exponent)
        && let Ok(int) = i64::try_from(&mantissa << exponent as u64)
    {
        return Number(Repr::Int(int));
    }
    Number(Repr::Big { mantissa, exponent, is_double: false })
}

fn divided(numerator: &BigInt, denominator: &BigInt, exponent: i64) -> Number {
    // Enough bits that the quotient has at least two more than the precision; the remainder is the sticky bit.
    let wanted = PRECISION + 2 + denominator.bits();
    let shift = wanted.saturating_sub(numerator.bits());
    let shifted = numerator << shift;
    let quotient = &shifted / denominator;
    let exact = &quotient * denominator == shifted;
    rounded_sticky(quotient, exponent - shift as i64, !exact)
}

impl From<i64> for Number {
    fn from(int: i64) -> Number {
        Number(Repr::Int(int))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        match (&self.0, &other.0) {
            (Repr::Big { mantissa, exponent, .. }, Repr::Big { mantissa: other, exponent: other_exponent, .. }) => {
                mantissa == other && exponent == other_exponent
            }
            (Repr::Infinity { negative }, Repr::Infinity { negative: other }) => negative == other,
            _ => matches!((self.to_i64(), other.to_i64()), (Some(a), Some(b)) if a == b),
        }
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        let rank = |number: &Number| match number.0 {
            Repr::Infinity { negative: true } => -1,
            Repr::Int(_) | Repr::NegativeZero | Repr::Big { .. } => 0,
            Repr::Infinity { negative: false } => 1,
        };
        if let (Repr::Int(a), Repr::Int(b)) = (&self.0, &other.0) {
            return a.cmp(b);
        }
        match (self.parts(), other.parts()) {
            (Some((a, a_exp)), Some((b, b_exp))) => {
                let exponent = a_exp.min(b_exp);
                (a << (a_exp - exponent) as u64).cmp(&(b << (b_exp - exponent) as u64))
            }
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

/// Decimal notation, with an optional fraction and exponent.
impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Number, NumberError> {
        let bad = || NumberError::NotANumber(text.to_owned());
        if let Ok(int) = text.parse::<i64>()
            && int != 0
        {
            return Ok(Number::from(int));
        }
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if matches!(unsigned, "Inf" | "inf") {
            return Ok(Number::infinity(negative));
        }
        let (digits, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i64>().map_err(|_| bad())?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad());
        }
        let magnitude = BigUint::parse_bytes(all.as_bytes(), 10).ok_or_else(bad)?;
        let sign = if negative { Sign::Minus } else { Sign::Plus };
        let mantissa = BigInt::from_biguint(sign, magnitude);
        let exponent = exponent.saturating_sub(fraction.len() as i64);
        // 10^(2^20) has more than 2^20 bits: such a number overflows or underflows whatever its digits are.
        if exponent > MAX_EXPONENT || exponent < -MAX_EXPONENT - all.len() as i64 {
            return if mantissa.sign() == Sign::NoSign || exponent < 0 {
                Ok(Number::zero(negative))
            } else {
                Ok(Number::infinity(negative))
            };
        }
        let power = BigInt::from(10u32).pow(exponent.unsigned_abs() as u32);
        if mantissa.sign() == Sign::NoSign {
            return Ok(Number::zero(negative));
        }
        Ok(if exponent >= 0 { rounded(mantissa * power, 0) } else { divided(&mantissa, &power, 0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(found: &Number, expected: &str) {
        assert_eq!(found.to_string(), expected);
    }

    /// Terraform 1.11.4 prints these (`terraform console`).
    #[test]
    fn prints_the_shortest_decimal_of_512_bits() {
        let third = "0.3333333333333333333333333333333333333333333333333333333333333333333333333333333333333333\
                     333333333333333333333333333333333333333333333333333333333333333335";
        let found = number("1").div(&number("3")).unwrap().to_string();
        assert!(found.starts_with("0.33333") && found.ends_with("335"), "{found}");
        assert_eq!(found.len(), 157, "{third}");
        check(&number("0.1").add(&number("0.2")).unwrap(), "0.3");
        check(&number("1.5"), "1.5");
        check(&number("-0.25"), "-0.25");
        check(&number("1e3"), "1000");
        check(&number("1e400"), &format!("1{}", "0".repeat(400)));
        check(&number("18446744073709551616"), "18446744073709551616");
        check(&number("123456789012345678901234567890.5"), "123456789012345678901234567890.5");
    }

    #[test]
    fn one_minus_nine_tenths_shows_its_rounding() {
        let found = number("1").sub(&number("0.9")).unwrap().to_string();
        assert!(found.starts_with("0.1000000000000000") && found.len() > 100, "{found}");
    }

    #[test]
    fn remainder_truncates() {
        check(&number("-5").rem(&number("3")).unwrap(), "-2");
        check(&number("5.5").rem(&number("2")).unwrap(), "1.5");
    }

    #[test]
    fn floor_and_ceil() {
        check(&number("-1.5").floor(), "-2");
        check(&number("-1.5").ceil(), "-1");
        check(&number("1.5").ceil(), "2");
    }

    #[test]
    fn extremes_neither_panic_nor_explode() {
        check(&number("1").div(&Number::ZERO).unwrap(), "+Inf");
        assert_eq!(Number::ZERO.div(&Number::ZERO), Err(NumberError::Undefined));
        check(&number("1e999999999999"), "+Inf");
        check(&number("1e-999999999999"), "0");
        check(&number(&i64::MIN.to_string()).negated(), "9223372036854775808");
        assert!(number("1e300000").add(&number("1e-300000")).unwrap() >= number("1e300000"));
    }

    #[test]
    fn doubles_round_trip() {
        for float in [0.1, 1.0 / 3.0, 1e300, -2.5e-300, 5e-324, f64::MAX] {
            assert_eq!(Number::from_f64(float).unwrap().to_f64_exact(), Some(float));
        }
        assert_eq!(number("0.1").to_f64_exact(), None);
    }
}
