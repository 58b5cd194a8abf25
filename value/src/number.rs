//! Numbers as Terraform computes them: binary floating point with a mantissa of 512 bits, rounded half to even,
//! printed as the shortest decimal that reads back as the same number.
//!
//! **Invariant:** a whole number that fits an `i64` is always `Int`, so equal numbers are structurally equal.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use num_bigint::{BigInt, BigUint, Sign};

const PRECISION: u64 = 512;
/// Beyond this binary exponent a number overflows to infinity (or underflows to zero). It bounds the memory that
/// a sum of numbers of very different size takes; `1e300000` still is a number.
const MAX_EXPONENT: i64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number(Repr);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Repr {
    Int(i64),
    /// `mantissa * 2^exponent`; the mantissa is odd and at most 512 bits long.
    Big {
        mantissa: BigInt,
        exponent: i64,
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
            Repr::Big { .. } | Repr::Infinity { .. } => None,
        }
    }

    pub fn to_usize(&self) -> Option<usize> {
        self.to_i64().and_then(|int| usize::try_from(int).ok())
    }

    pub fn is_whole(&self) -> bool {
        match &self.0 {
            Repr::Int(_) => true,
            Repr::Big { exponent, .. } => *exponent >= 0,
            Repr::Infinity { .. } => false,
        }
    }

    /// The nearest `f64`.
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            Repr::Int(int) => *int as f64,
            Repr::Infinity { negative } => {
                if *negative {
                    f64::NEG_INFINITY
                } else {
                    f64::INFINITY
                }
            }
            // The shortest decimal identifies the number among 512-bit ones, so it rounds to the right f64.
            Repr::Big { .. } => self.to_string().parse().unwrap_or(f64::NAN),
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
        let bits = float.to_bits();
        let fraction = bits & ((1 << 52) - 1);
        let raw_exponent = ((bits >> 52) & 0x7ff) as i64;
        let (mantissa, exponent) =
            if raw_exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, raw_exponent - 1075) };
        let mantissa = BigInt::from(mantissa);
        Ok(rounded(if float < 0.0 { -mantissa } else { mantissa }, exponent))
    }

    pub fn is_negative(&self) -> bool {
        match &self.0 {
            Repr::Int(int) => *int < 0,
            Repr::Big { mantissa, .. } => mantissa.sign() == Sign::Minus,
            Repr::Infinity { negative } => *negative,
        }
    }

    pub fn is_zero(&self) -> bool {
        self.0 == Repr::Int(0)
    }

    #[must_use]
    pub fn negated(&self) -> Number {
        match &self.0 {
            Repr::Int(int) => int.checked_neg().map_or_else(|| rounded(-BigInt::from(*int), 0), Number::from),
            Repr::Big { mantissa, exponent } => rounded(-mantissa, *exponent),
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
        if let (Repr::Int(a), Repr::Int(b)) = (&self.0, &other.0)
            && let Some(product) = a.checked_mul(*b)
        {
            return Ok(Number::from(product));
        }
        match (self.parts(), other.parts()) {
            (Some((a, a_exp)), Some((b, b_exp))) => Ok(rounded(a * b, a_exp + b_exp)),
            _ if self.is_zero() || other.is_zero() => Err(NumberError::Undefined),
            _ => Ok(Number::infinity(self.is_negative() != other.is_negative())),
        }
    }

    /// Division by zero gives an infinity, as in Terraform; `0 / 0` is undefined.
    pub fn div(&self, other: &Number) -> Result<Number, NumberError> {
        match (self.parts(), other.parts()) {
            (Some(_), Some(_)) if other.is_zero() && self.is_zero() => Err(NumberError::Undefined),
            (Some(_), Some(_)) if other.is_zero() => Ok(Number::infinity(self.is_negative())),
            (Some((a, a_exp)), Some((b, b_exp))) => Ok(divided(&a, &b, a_exp - b_exp)),
            (Some(_), None) => Ok(Number::ZERO),
            (None, Some(_)) => Ok(Number::infinity(self.is_negative() != other.is_negative())),
            (None, None) => Err(NumberError::Undefined),
        }
    }

    /// The remainder of a division that truncates towards zero: `-5 % 3` is `-2`.
    pub fn rem(&self, other: &Number) -> Result<Number, NumberError> {
        match (self.parts(), other.parts()) {
            (Some(_), Some(_)) if other.is_zero() => Err(NumberError::Undefined),
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
            Repr::Big { mantissa, exponent } if *exponent < 0 => rounded(mantissa >> exponent.unsigned_abs(), 0),
            Repr::Int(_) | Repr::Big { .. } | Repr::Infinity { .. } => self.clone(),
        }
    }

    #[must_use]
    pub fn ceil(&self) -> Number {
        self.negated().floor().negated()
    }

    /// Mantissa and exponent of a finite number.
    fn parts(&self) -> Option<(BigInt, i64)> {
        match &self.0 {
            Repr::Int(int) => Some((BigInt::from(*int), 0)),
            Repr::Big { mantissa, exponent } => Some((mantissa.clone(), *exponent)),
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
    Number(Repr::Big { mantissa, exponent })
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

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        let rank = |number: &Number| match number.0 {
            Repr::Infinity { negative: true } => -1,
            Repr::Int(_) | Repr::Big { .. } => 0,
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
            && !text.starts_with('+')
        {
            return Ok(Number::from(int));
        }
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
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
                Ok(Number::ZERO)
            } else {
                Ok(Number::infinity(negative))
            };
        }
        let power = BigInt::from(10u32).pow(exponent.unsigned_abs() as u32);
        Ok(if exponent >= 0 { rounded(mantissa * power, 0) } else { divided(&mantissa, &power, 0) })
    }
}

/// Plain decimal notation, never an exponent, as Terraform prints numbers.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Int(int) => write!(f, "{int}"),
            Repr::Infinity { negative } => f.write_str(if *negative { "-Inf" } else { "Inf" }),
            Repr::Big { mantissa, exponent } => {
                if mantissa.sign() == Sign::Minus {
                    f.write_str("-")?;
                }
                let (digits, point) = shortest(mantissa.magnitude(), *exponent);
                write_plain(f, &digits, point)
            }
        }
    }
}

/// Digits `d1 d2 ..` and a position such that `0.d1d2.. * 10^point` is the shortest decimal that rounds to
/// `magnitude * 2^exponent` at 512 bits (Steele and White's free-format algorithm on big integers).
fn shortest(magnitude: &BigUint, exponent: i64) -> (Vec<u8>, i64) {
    let shift = PRECISION - magnitude.bits();
    let mantissa = magnitude << shift;
    let exponent = exponent - shift as i64;
    // The interval of decimals that read back as this number is half a unit of the last place to either side,
    // and only a quarter below a power of two. Its ends belong to it when the mantissa is even.
    let inclusive = !mantissa.bit(0);
    let is_power_of_two = magnitude.bits() == 1;
    let one = BigUint::from(1u32);
    let unit = |extra: u64| if exponent >= 0 { &one << (exponent as u64 + extra) } else { &one << extra };
    let mut value = (&mantissa << 2u32) * unit(0);
    let mut above = unit(1);
    let mut below = if is_power_of_two { unit(0) } else { unit(1) };
    let mut scale = if exponent >= 0 { BigUint::from(4u32) } else { &one << (exponent.unsigned_abs() + 2) };
    let mut point = (((PRECISION as i64 + exponent) as f64) * std::f64::consts::LOG10_2).ceil() as i64;
    let power = BigUint::from(10u32).pow(point.unsigned_abs() as u32);
    if point >= 0 {
        scale *= &power;
    } else {
        value *= &power;
        above *= &power;
        below *= &power;
    }
    let reaches = |sum: &BigUint, scale: &BigUint| if inclusive { sum >= scale } else { sum > scale };
    if reaches(&(&value + &above), &scale) {
        scale *= 10u32;
        point += 1;
    }
    // The estimate may be one too high.
    while &value * 10u32 < scale && !reaches(&((&value + &above) * 10u32), &scale) {
        value *= 10u32;
        above *= 10u32;
        below *= 10u32;
        point -= 1;
    }
    let mut digits = Vec::new();
    loop {
        value *= 10u32;
        above *= 10u32;
        below *= 10u32;
        let digit = &value / &scale;
        value -= &digit * &scale;
        let mut digit = u8::try_from(digit).expect("the scale keeps every digit below ten");
        let low = if inclusive { value <= below } else { value < below };
        let high = reaches(&(&value + &above), &scale);
        if low || high {
            if high && (!low || &value * 2u32 >= scale) {
                digit += 1;
            }
            digits.push(digit);
            break;
        }
        digits.push(digit);
    }
    // Rounding the last digit up to ten carries.
    while digits.last() == Some(&10) {
        digits.pop();
        match digits.last_mut() {
            Some(last) => *last += 1,
            None => {
                digits.push(1);
                point += 1;
            }
        }
    }
    (digits, point)
}

fn write_plain(f: &mut fmt::Formatter<'_>, digits: &[u8], point: i64) -> fmt::Result {
    let mut text = String::new();
    let all = digits.iter().map(|digit| char::from(b'0' + digit));
    if point <= 0 {
        text.push_str("0.");
        text.extend(std::iter::repeat_n('0', point.unsigned_abs() as usize));
        text.extend(all);
    } else {
        let point = point as usize;
        for (idx, digit) in all.enumerate() {
            if idx == point {
                text.push('.');
            }
            text.push(digit);
        }
        text.extend(std::iter::repeat_n('0', point.saturating_sub(digits.len())));
    }
    f.write_str(&text)
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
        check(&number("1").div(&Number::ZERO).unwrap(), "Inf");
        assert_eq!(Number::ZERO.div(&Number::ZERO), Err(NumberError::Undefined));
        check(&number("1e999999999999"), "Inf");
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
