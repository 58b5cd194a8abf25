//! Encodings of text by the names that the register of character sets has for them.

use encoding_rs::Encoding;

pub(super) enum Charset {
    Latin1,
    Utf16 { is_big_endian: bool, has_mark: bool },
    Other(&'static Encoding),
}

pub(super) fn find(name: &str) -> Option<Charset> {
    let name = name.to_ascii_lowercase();
    Some(match name.as_str() {
        // What browsers take for windows-1252.
        "iso-8859-1" | "latin1" | "l1" | "iso_8859-1" => Charset::Latin1,
        "utf-16" => Charset::Utf16 { is_big_endian: true, has_mark: true },
        "utf-16be" => Charset::Utf16 { is_big_endian: true, has_mark: false },
        "utf-16le" => Charset::Utf16 { is_big_endian: false, has_mark: false },
        // Names that only browsers know.
        "utf8" | "us-ascii" | "ascii" | "unicode" | "replacement" | "cp1252" | "x-cp1252" | "x-user-defined" => {
            return None;
        }
        name => Charset::Other(Encoding::for_label(name.as_bytes())?),
    })
}

impl Charset {
    /// None if a character is not in it.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<u8>> {
        match self {
            Charset::Latin1 => text.chars().map(|ch| u8::try_from(ch as u32).ok()).collect(),
            Charset::Utf16 { is_big_endian, has_mark } => {
                let mark = if *has_mark { Some(0xfeff) } else { None };
                let units = mark.into_iter().chain(text.encode_utf16());
                let bytes = |unit: u16| if *is_big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() };
                Some(units.flat_map(bytes).collect())
            }
            Charset::Other(encoding) => {
                let (bytes, _, has_unmappable) = encoding.encode(text);
                if has_unmappable { None } else { Some(bytes.into_owned()) }
            }
        }
    }

    pub(super) fn decode(&self, bytes: &[u8]) -> Option<String> {
        match self {
            Charset::Latin1 => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
            Charset::Utf16 { is_big_endian, has_mark } => {
                let is_little = *has_mark && bytes.starts_with(&[0xff, 0xfe]);
                let (pairs, rest) = bytes.as_chunks::<2>();
                let unit = |pair: &[u8; 2]| {
                    if *is_big_endian && !is_little { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) }
                };
                let units = pairs.iter().map(unit).filter(|unit| !*has_mark || *unit != 0xfeff);
                let text: Result<String, _> = char::decode_utf16(units).collect();
                if rest.is_empty() { text.ok() } else { None }
            }
            Charset::Other(encoding) => {
                encoding.decode_without_bom_handling_and_without_replacement(bytes).map(std::borrow::Cow::into_owned)
            }
        }
    }
}
