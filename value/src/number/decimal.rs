//! Numbers in decimal notation.

use std::fmt;

use num_bigint::{BigInt, BigUint, Sign};

use super::{Number, PRECISION, Repr};

/// The digits of a number without its sign: `0.d1d2.. * 10^point`, in which no digit before or after is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Digits {
    /// From 0 to 9 each; none for zero.
    pub digits: Vec<u8>,
    pub point: i64,
}

impl Number {
    /// The shortest decimal that reads back as this number; `None` for an infinity.
    pub fn shortest_digits(&self) -> Option<Digits> {
        match &self.0 {
            Repr::Int(_) | Repr::NegativeZero => self.exact_digits(),
            Repr::Big { mantissa, exponent, is_double } => {
                let precision = if *is_double { f64::MANTISSA_DIGITS.into() } else { PRECISION };
                let (digits, point) = shortest(mantissa.magnitude(), *exponent, precision);
                Some(Digits { digits, point })
            }
            Repr::Infinity { .. } => None,
        }
    }

    /// All digits that it has; `None` for an infinity.
    pub fn exact_digits(&self) -> Option<Digits> {
        let (mantissa, exponent) = self.parts()?;
        let magnitude = mantissa.magnitude();
        // m / 2^e is m * 5^e / 10^e.
        let (scaled, places) = match u64::try_from(exponent) {
            Ok(exponent) => (magnitude << exponent, 0),
            Err(_) => {
                let places = exponent.unsigned_abs();
                (magnitude * BigUint::from(5u32).pow(places as u32), places as i64)
            }
        };
        let mut digits: Vec<u8> = scaled.to_string().bytes().map(|digit| digit - b'0').collect();
        let point = digits.len() as i64 - places;
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Some(if digits.is_empty() { Digits { digits, point: 0 } } else { Digits { digits, point } })
    }
}

impl Number {
    /// A whole number in the digits of a base from 2 to 36, without its sign; `None` for another number.
    pub fn whole_in_base(&self, base: u32) -> Option<String> {
        let (mantissa, exponent) = self.parts()?;
        let magnitude = mantissa.magnitude() << u64::try_from(exponent).ok()?;
        Some(magnitude.to_str_radix(base))
    }
}

impl Digits {
    /// The first `count` digits, the last one rounded half to even.
    #[must_use]
    pub fn rounded(mut self, count: i64) -> Digits {
        if count < 0 {
            return Digits { digits: Vec::new(), point: 0 };
        }
        let count = count as usize;
        if count >= self.digits.len() {
            return self;
        }
        let rest = self.digits.split_off(count);
        let is_more = rest[0] > 5 || (rest[0] == 5 && rest.len() > 1);
        let is_half = rest[0] == 5 && rest.len() == 1;
        if is_more || (is_half && self.digits.last().is_some_and(|last| last % 2 == 1)) {
            let mut carried = true;
            for digit in self.digits.iter_mut().rev() {
                *digit = if *digit == 9 { 0 } else { *digit + 1 };
                if *digit != 0 {
                    carried = false;
                    break;
                }
            }
            if carried {
                self.digits.insert(0, 1);
                self.point += 1;
            }
        }
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        if self.digits.is_empty() { Digits { digits: Vec::new(), point: 0 } } else { self }
    }
}

/// Plain decimal notation, never an exponent, as Terraform prints numbers.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Int(int) => write!(f, "{int}"),
            Repr::NegativeZero => f.write_str("-0"),
            Repr::Infinity { negative } => f.write_str(if *negative { "-Inf" } else { "+Inf" }),
            Repr::Big { mantissa, .. } => {
                if mantissa.sign() == Sign::Minus {
                    f.write_str("-")?;
                }
                let Digits { digits, point } = self.shortest_digits().unwrap_or_default();
                write_plain(f, &digits, point)
            }
        }
    }
}

/// The shortest decimal identifies a number among those of 512 bits, so it rounds to the right double.
pub(super) fn nearest_double(mantissa: &BigInt, exponent: i64) -> f64 {
    let (digits, point) = shortest(mantissa.magnitude(), exponent, PRECISION);
    let digits: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
    let sign = if mantissa.sign() == Sign::Minus { "-" } else { "" };
    format!("{sign}0.{digits}e{point}").parse().unwrap_or(f64::NAN)
}

/// Digits `d1 d2 ..` and a position such that `0.d1d2.. * 10^point` is the shortest decimal that rounds to
/// `magnitude * 2^exponent` at so many bits (Steele and White's free-format algorithm on big integers).
fn shortest(magnitude: &BigUint, exponent: i64, precision: u64) -> (Vec<u8>, i64) {
    let shift = precision - magnitude.bits();
    let mantissa = magnitude << shift;
    let exponent = exponent - shift as i64;
    // The interval of decimals that read back as this number is half a unit of the last place to either side (Go makes no
    // exception for powers of two, below which it is a quarter). Its ends belong to it when the mantissa is even.
    let inclusive = !mantissa.bit(0);
    let one = BigUint::from(1u32);
    let unit = |extra: u64| if exponent >= 0 { &one << (exponent as u64 + extra) } else { &one << extra };
    let mut value = (&mantissa << 2u32) * unit(0);
    let mut above = unit(1);
    let mut below = unit(1);
    let mut scale = if exponent >= 0 { BigUint::from(4u32) } else { &one << (exponent.unsigned_abs() + 2) };
    let mut point = (((precision as i64 + exponent) as f64) * std::f64::consts::LOG10_2).ceil() as i64;
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
