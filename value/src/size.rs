//! How large a value is, and how large it may be.

use crate::Value;

/// The most that one value may be: bytes of its strings and keys, and [`PART`] for each of its parts. A part that occurs
/// twice counts twice, as everything that goes through a value meets it twice.
pub const MAX_SIZE: usize = 256 << 20;

/// What a part of a value counts beside its text.
pub const PART: usize = 32;

impl Value {
    /// Its size. Counting stops where it is larger than [`MAX_SIZE`].
    pub fn size(&self) -> usize {
        let mut size = 0;
        count(self, &mut size);
        size
    }
}

fn count(value: &Value, size: &mut usize) {
    *size = size.saturating_add(PART);
    match value {
        Value::Unknown(..) | Value::Null(_) | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => *size = size.saturating_add(text.len()),
        Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => {
            for item in items.iter() {
                if *size > MAX_SIZE {
                    return;
                }
                count(item, size);
            }
        }
        Value::Map(_, entries) | Value::Object(entries) => {
            for (key, entry) in entries.iter() {
                if *size > MAX_SIZE {
                    return;
                }
                *size = size.saturating_add(key.len());
                count(entry, size);
            }
        }
        Value::Marked(_, inner) => count(inner, size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_counts_as_often_as_it_occurs() {
        let mut value = Value::from("0123456789");
        assert_eq!(value.size(), PART + 10);
        for _ in 0..64 {
            value = Value::tuple(vec![value.clone(), value]);
        }
        assert!(value.size() > MAX_SIZE);
    }
}
