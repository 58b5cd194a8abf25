//! From the syntax of RE2 to that of the crate `regex`, which finds the same matches in linear time.
//!
//! What is text in one and means something in the other is escaped, classes become ASCII, and what only the crate knows is
//! refused.

use std::iter::Peekable;
use std::str::Chars;

/// What RE2 refuses is refused here or by the crate.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut translation = Translation { rest: pattern.chars().peekable(), out: String::new(), names: Names::default() };
    translation.run()?;
    Ok(translation.out)
}

#[derive(Default)]
struct Names {
    has_numbered: bool,
    has_named: bool,
}

struct Translation<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
    names: Names,
}

/// The highest count of a repetition.
const MAX_REPEAT: u32 = 1000;

/// What a repetition would repeat.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Atom,
    Repetition,
}

impl Translation<'_> {
    fn run(&mut self) -> Result<(), String> {
        let mut before = Before::Nothing;
        let mut groups = Vec::new();
        while let Some(ch) = self.rest.next() {
            before = match ch {
                '\\' => self.escape(before)?,
                '[' => {
                    self.class()?;
                    Before::Atom
                }
                '(' => {
                    groups.push(());
                    self.group(&mut groups)?
                }
                ')' => {
                    groups.pop().ok_or("there is a ) without a (")?;
                    self.out.push(')');
                    Before::Atom
                }
                '|' => {
                    self.out.push('|');
                    Before::Nothing
                }
                '*' | '+' | '?' => {
                    self.out.push(ch);
                    self.repeated(before)?
                }
                '{' => match self.counts() {
                    Some(counts) => {
                        self.out.push_str(&counts?);
                        self.repeated(before)?
                    }
                    None => {
                        self.out.push_str("\\{");
                        Before::Atom
                    }
                },
                '.' | '^' | '$' => {
                    self.out.push(ch);
                    Before::Atom
                }
                ch => {
                    self.out.push_str(&regex::escape(ch.encode_utf8(&mut [0; 4])));
                    Before::Atom
                }
            };
        }
        if self.names.has_named && self.names.has_numbered {
            return Err("either all groups have names or none".to_owned());
        }
        if groups.is_empty() { Ok(()) } else { Err("a ( is never closed".to_owned()) }
    }

    fn repeated(&mut self, before: Before) -> Result<Before, String> {
        if self.rest.next_if_eq(&'?').is_some() {
            self.out.push('?');
        }
        match before {
            Before::Nothing => Err("there is nothing before a repetition".to_owned()),
            Before::Repetition => Err("a repetition is repeated; write ( ) around it".to_owned()),
            Before::Atom => Ok(Before::Repetition),
        }
    }

    /// `n}`, `n,}` or `n,m}`; anything else leaves the brace as text.
    fn counts(&mut self) -> Option<Result<String, String>> {
        let mut ahead = self.rest.clone();
        let text: String = ahead.by_ref().take_while(|ch| *ch != '}').collect();
        // Whether the brace was there, or the text ended.
        if self.rest.clone().nth(text.chars().count()) != Some('}') {
            return None;
        }
        let (least, most) = match text.split_once(',') {
            Some((least, most)) => (least, Some(most)),
            None => (text.as_str(), None),
        };
        let is_number = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_digit())
                && (text.len() == 1 || !text.starts_with('0'))
        };
        if !is_number(least) || !most.is_none_or(|most| most.is_empty() || is_number(most)) {
            return None;
        }
        let bounds = [Some(least), most.filter(|most| !most.is_empty())];
        let numbers: Vec<u32> = bounds.into_iter().flatten().map(|bound| bound.parse().unwrap_or(u32::MAX)).collect();
        self.rest = ahead;
        if numbers.iter().any(|number| *number > MAX_REPEAT) || !numbers.is_sorted() {
            return Some(Err(format!("{{{text}}} is not a repetition: at most {MAX_REPEAT}, the lower number first")));
        }
        Some(Ok(format!("{{{text}}}")))
    }

    fn group(&mut self, groups: &mut Vec<()>) -> Result<Before, String> {
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            self.names.has_numbered = true;
            return Ok(Before::Nothing);
        }
        self.out.push('?');
        let is_name = match self.rest.peek() {
            Some('P') => {
                self.rest.next();
                self.rest.next_if_eq(&'<').ok_or("(?P must be followed by a <name>")?;
                true
            }
            _ => self.rest.next_if_eq(&'<').is_some(),
        };
        if is_name {
            self.names.has_named = true;
            let mut name = String::new();
            loop {
                match self.rest.next() {
                    Some('>') => break,
                    Some(ch) if ch.is_ascii_alphanumeric() || ch == '_' => name.push(ch),
                    _ => return Err("a name of a group is made of letters, digits and _".to_owned()),
                }
            }
            if name.is_empty() {
                return Err("a group has an empty name".to_owned());
            }
            self.out.push_str(&format!("P<{name}>"));
            return Ok(Before::Nothing);
        }
        let mut has_sign = false;
        loop {
            match self.rest.next() {
                Some(flag @ ('i' | 'm' | 's' | 'U')) => self.out.push(flag),
                Some('-') if !has_sign => {
                    has_sign = true;
                    self.out.push('-');
                }
                Some(':') => {
                    self.out.push(':');
                    return Ok(Before::Nothing);
                }
                Some(')') => {
                    self.out.push(')');
                    groups.pop();
                    return Ok(Before::Nothing);
                }
                Some(other) => return Err(format!("(?{other} is not known")),
                None => return Err("a ( is never closed".to_owned()),
            }
        }
    }

    fn escape(&mut self, before: Before) -> Result<Before, String> {
        match self.rest.next().ok_or("it ends in a backslash")? {
            'Q' => Ok(self.quoted(before)),
            'A' => self.push("\\A"),
            'z' => self.push("\\z"),
            'b' => self.push("(?-u:\\b)"),
            'B' => self.push("(?-u:\\B)"),
            ch => {
                match escaped(ch, &mut self.rest)? {
                    Escaped::Class(class, is_negated) => {
                        self.out.push_str(&format!("[{}{class}]", if is_negated { "^" } else { "" }));
                    }
                    Escaped::Property(property) => self.out.push_str(&property),
                    Escaped::Char(ch) => self.out.push_str(&regex::escape(ch.encode_utf8(&mut [0; 4]))),
                }
                Ok(Before::Atom)
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "one arm of a match whose others can fail")]
    fn push(&mut self, text: &str) -> Result<Before, String> {
        self.out.push_str(text);
        Ok(Before::Atom)
    }

    /// Text up to `\E` or the end.
    fn quoted(&mut self, before: Before) -> Before {
        let rest: String = self.rest.clone().collect();
        let quoted = rest.split_once("\\E").map_or(rest.as_str(), |(quoted, _)| quoted);
        let taken = quoted.chars().count() + if quoted.len() < rest.len() { 2 } else { 0 };
        self.rest.by_ref().take(taken).for_each(drop);
        self.out.push_str(&regex::escape(quoted));
        if quoted.is_empty() { before } else { Before::Atom }
    }

    fn class(&mut self) -> Result<(), String> {
        const OPEN: &str = "a [ is never closed";
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            let ch = self.rest.next().ok_or(OPEN)?;
            if ch == ']' && !is_first {
                break;
            }
            is_first = false;
            if ch == '[' && self.rest.peek() == Some(&':') {
                let ahead: String = self.rest.clone().take_while(|ch| *ch != ']').collect();
                if ahead.len() > 1 && ahead.ends_with(':') {
                    let name = ahead[1..ahead.len() - 1].to_owned();
                    self.rest.by_ref().take(ahead.chars().count() + 1).for_each(drop);
                    self.out.push_str(&ascii_class(&name)?);
                    continue;
                }
            }
            let low = match ch {
                '\\' => match self.class_escape()? {
                    Escaped::Char(ch) => ch,
                    Escaped::Class(class, is_negated) => {
                        self.out.push_str(&format!("[{}{class}]", if is_negated { "^" } else { "" }));
                        continue;
                    }
                    Escaped::Property(property) => {
                        self.out.push_str(&property);
                        continue;
                    }
                },
                ch => ch,
            };
            let mut ahead = self.rest.clone();
            let is_range = ahead.next() == Some('-') && !matches!(ahead.peek(), Some(']') | None);
            if !is_range {
                self.out.push_str(&in_class(low));
                continue;
            }
            self.rest.next();
            let high = match self.rest.next().ok_or(OPEN)? {
                '\\' => match self.class_escape()? {
                    Escaped::Char(ch) => ch,
                    Escaped::Class(..) | Escaped::Property(_) => {
                        return Err("a range ends in a character, not in a class".to_owned());
                    }
                },
                ch => ch,
            };
            if high < low {
                return Err(format!("{low}-{high} is not a range"));
            }
            self.out.push_str(&format!("{}-{}", in_class(low), in_class(high)));
        }
        self.out.push(']');
        Ok(())
    }

    fn class_escape(&mut self) -> Result<Escaped, String> {
        let ch = self.rest.next().ok_or("it ends in a backslash")?;
        escaped(ch, &mut self.rest)
    }
}

enum Escaped {
    Char(char),
    /// The inside of a class, and whether it is what is not in it.
    Class(&'static str, bool),
    Property(String),
}

/// What a backslash and a character mean, inside of a class or not.
fn escaped(ch: char, rest: &mut Peekable<Chars<'_>>) -> Result<Escaped, String> {
    let class = |class| Ok(Escaped::Class(class, ch.is_ascii_uppercase()));
    match ch {
        'd' | 'D' => class("0-9"),
        's' | 'S' => class("\\t\\n\\x0C\\r "),
        'w' | 'W' => class("0-9A-Za-z_"),
        'p' | 'P' => property(ch == 'P', rest).map(Escaped::Property),
        'a' => Ok(Escaped::Char('\u{7}')),
        'f' => Ok(Escaped::Char('\u{c}')),
        'n' => Ok(Escaped::Char('\n')),
        'r' => Ok(Escaped::Char('\r')),
        't' => Ok(Escaped::Char('\t')),
        'v' => Ok(Escaped::Char('\u{b}')),
        'x' => {
            let digits: String = if rest.next_if_eq(&'{').is_some() {
                let digits: String = rest.by_ref().take_while(|ch| *ch != '}').collect();
                digits
            } else {
                let digits: String = rest.by_ref().take(2).collect();
                if digits.len() == 2 { digits } else { String::new() }
            };
            let code =
                u32::from_str_radix(&digits, 16).ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            code.and_then(char::from_u32).map(Escaped::Char).ok_or_else(|| format!("\\x{digits} is not a character"))
        }
        // One digit from 1 to 7 alone would be a reference back.
        '0'..='7' if ch == '0' || matches!(rest.peek(), Some('0'..='7')) => {
            let mut code = ch as u32 - '0' as u32;
            for _ in 0..2 {
                if let Some(digit) = rest.next_if(|digit| ('0'..='7').contains(digit)) {
                    code = code * 8 + (digit as u32 - '0' as u32);
                }
            }
            char::from_u32(code).map(Escaped::Char).ok_or_else(|| "a code is not a character".to_owned())
        }
        ch if ch.is_ascii_punctuation() || (ch.is_ascii() && !ch.is_ascii_alphanumeric()) => Ok(Escaped::Char(ch)),
        ch => Err(format!("\\{ch} is not known")),
    }
}

/// `\pN`, `\p{Greek}`: general categories and scripts, as Unicode writes them.
fn property(is_negated: bool, rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let name: String = match rest.next() {
        Some('{') => rest.by_ref().take_while(|ch| *ch != '}').collect(),
        Some(ch) => ch.to_string(),
        None => return Err("\\p needs a name".to_owned()),
    };
    let (name, is_negated) = match name.strip_prefix('^') {
        Some(name) => (name, !is_negated),
        None => (name.as_str(), is_negated),
    };
    // The crate takes names in any case and of other properties.
    let is_category = matches!(
        name,
        "Any"
            | "C"
            | "Cc"
            | "Cf"
            | "Co"
            | "Cs"
            | "L"
            | "Ll"
            | "Lm"
            | "Lo"
            | "Lt"
            | "Lu"
            | "M"
            | "Mc"
            | "Me"
            | "Mn"
            | "N"
            | "Nd"
            | "Nl"
            | "No"
            | "P"
            | "Pc"
            | "Pd"
            | "Pe"
            | "Pf"
            | "Pi"
            | "Po"
            | "Ps"
            | "S"
            | "Sc"
            | "Sk"
            | "Sm"
            | "So"
            | "Z"
            | "Zl"
            | "Zp"
            | "Zs"
    );
    let is_script = name.len() > 2
        && name.split('_').all(|word| word.starts_with(|ch: char| ch.is_ascii_uppercase()))
        && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let written = if is_category { name.to_owned() } else { format!("sc={name}") };
    let pattern = format!("\\{}{{{written}}}", if is_negated { 'P' } else { 'p' });
    if (is_category || is_script) && regex::Regex::new(&pattern).is_ok() {
        Ok(pattern)
    } else {
        Err(format!("{name} is no category and no script of Unicode"))
    }
}

fn ascii_class(name: &str) -> Result<String, String> {
    let known = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
        "word", "xdigit",
    ];
    if known.contains(&name.strip_prefix('^').unwrap_or(name)) {
        Ok(format!("[:{name}:]"))
    } else {
        Err(format!("[:{name}:] is not known"))
    }
}

/// A character in a class, where the crate knows operators that RE2 does not.
fn in_class(ch: char) -> String {
    regex::escape(ch.encode_utf8(&mut [0; 4]))
}
