//! Text in configuration files: for each format one function that writes a text so that the format's reader gives it
//! back as it was, or refuses what the format cannot carry.
//!
//! What users write is checked before, with its place (`validate` of the resources); what is refused here says that a
//! check is missing, and no such file reaches a machine ([`super::Bundle::refused`]).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A text that a format cannot carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub format: &'static str,
    pub text: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot carry {:?}", self.format, self.text)
    }
}

pub type Encoded = Result<String, Refused>;

fn refuse_if(is_refused: bool, format: &'static str, text: &str) -> Result<(), Refused> {
    if is_refused { Err(Refused { format, text: text.to_owned() }) } else { Ok(()) }
}

/// Means the same in every format, quoted or not.
fn is_plain(text: &str) -> bool {
    let fits = |ch: char| ch.is_ascii_alphanumeric() || "/._-".contains(ch);
    text.starts_with(|ch: char| ch.is_ascii_alphabetic() || ch == '/') && text.chars().all(fits)
}

/// In a comment that ends with the line.
pub fn comment(text: &str) -> Encoded {
    refuse_if(text.contains(|ch: char| ch.is_control() || ch == '\\'), "a comment", text)?;
    Ok(text.to_owned())
}

/// A word of HAProxy's configuration (manual, section 2.2): in single quotes nothing means anything but their end.
pub fn haproxy(text: &str) -> Encoded {
    refuse_if(text.contains(|ch: char| ch.is_ascii_control()), "HAProxy's configuration", text)?;
    if is_plain(text) || text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() || text == "*" {
        return Ok(text.to_owned());
    }
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}

/// Between double quotes of Apache httpd's configuration: a backslash stands for itself unless another one, or the
/// quote, follows (`ap_getword_conf`). `${..}` is replaced before anybody sees quotes.
pub fn httpd(text: &str) -> Encoded {
    refuse_if(text.contains(|ch: char| ch.is_ascii_control()) || text.contains("${"), "httpd's configuration", text)?;
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(ch) = chars.next() {
        let is_escape = ch == '\\' && matches!(chars.peek(), Some('\\' | '"') | None);
        if ch == '"' || is_escape {
            out.push('\\');
        }
        out.push(ch);
    }
    Ok(out)
}

/// As [`httpd`], for a regular expression that matches the text.
pub fn httpd_pattern(text: &str) -> Encoded {
    let is_literal = |ch: char| ch.is_alphanumeric() || "/_-".contains(ch);
    httpd(&text.chars().flat_map(|ch| if is_literal(ch) { vec![ch] } else { vec!['\\', ch] }).collect::<String>())
}

/// A value in a file of PHP-FPM's (`zend_ini_scanner`): single quotes carry all but themselves, which stand in double
/// ones beside them. FPM reads line by line.
pub fn fpm(text: &str) -> Encoded {
    // `$pool` in the middle of a value, and any name at its beginning, stand for something else.
    refuse_if(text.contains(['\0', '\n', '$']), "PHP-FPM's configuration", text)?;
    // A bare word may be the name of a constant.
    if is_plain(text) && text.starts_with('/') {
        return Ok(text.to_owned());
    }
    let parts: Vec<String> =
        text.split('\'').map(|part| if part.is_empty() { String::new() } else { format!("'{part}'") }).collect();
    Ok(if text.is_empty() { "''".to_owned() } else { parts.join("\"'\"") })
}

/// A string of PHP: single quotes carry every byte but two.
pub fn php(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A scalar of YAML that is a string, also where it looks like something else. What some reader takes for the end of a
/// line is written as a number.
pub fn yaml(text: &str) -> Encoded {
    refuse_if(text.contains('\0'), "YAML", text)?;
    let is_word = !["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    if is_plain(text) && is_word || text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()) {
        return Ok(text.to_owned());
    }
    let escaped = text.chars().map(|ch| match ch {
        '"' | '\\' => format!("\\{ch}"),
        ' '..='~' => ch.to_string(),
        '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}'
            if !matches!(ch, '\u{2028}' | '\u{2029}') =>
        {
            ch.to_string()
        }
        '\0'..='\u{ff}' => format!("\\x{:02x}", ch as u32),
        '\u{100}'..='\u{ffff}' => format!("\\u{:04x}", ch as u32),
        _ => format!("\\U{:08x}", ch as u32),
    });
    Ok(format!("\"{}\"", escaped.collect::<String>()))
}

/// A word of a POSIX shell.
pub fn shell(text: &str) -> Encoded {
    refuse_if(text.contains('\0'), "a shell script", text)?;
    if is_plain(text) {
        return Ok(text.to_owned());
    }
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}
