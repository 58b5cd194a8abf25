//! What to do after an error: find what was left open, and where to go on.

pub(crate) const HEREDOC: &str = "heredoc";

/// The offset of the next line at or after `from` that starts with a name in its first column; the end if none.
pub(crate) fn next_item_start(text: &str, from: usize) -> usize {
    let mut offset = from.min(text.len());
    while !text.is_char_boundary(offset) {
        offset += 1;
    }
    // Not in the middle of a line, unless the line begins right here.
    if offset > 0 && !text[..offset].ends_with('\n') {
        match text[offset..].find('\n') {
            Some(newline) => offset += newline + 1,
            None => return text.len(),
        }
    }
    for line in text[offset..].split_inclusive('\n') {
        if line.starts_with(|first: char| first.is_alphabetic() || first == '_') {
            return offset;
        }
        offset += line.len();
    }
    text.len()
}

/// The innermost bracket, string or comment that is still open where reading stopped, if that is why it stopped:
/// at the end of the text, or at a line that looks like a new top-level item.
pub(crate) fn unclosed(text: &str, stopped_at: usize) -> Option<(usize, &'static str)> {
    let mut open = Scanner::default();
    let mut lines = 0;
    let mut suspect = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let looks_like_item = looks_like_block_header(line);
        if lines > 0 && looks_like_item && suspect.is_none() && open.heredoc.is_none() {
            suspect = open.stack.last().copied();
        }
        if let Some(string) = open.scan_line(line, start) {
            // A quoted string cannot span lines.
            if start + line.len() > stopped_at && string <= stopped_at {
                return Some((string, "string"));
            }
        }
        lines += usize::from(looks_like_item || !line.trim().is_empty());
        start += line.len();
        if start > stopped_at && start < text.len() && suspect.is_none() {
            break;
        }
    }
    let reached_end = text[stopped_at.min(text.len())..].trim().is_empty();
    if let Some((at, _)) = open.heredoc
        && reached_end
    {
        return Some((at, HEREDOC));
    }
    // Everything is closed in the end: the error is a local one.
    let last = open.stack.last().copied()?;
    let (at, bracket) = suspect.filter(|suspect| open.stack.contains(suspect)).unwrap_or(last);
    if !reached_end && suspect.is_none() {
        return None;
    }
    if at > stopped_at {
        return None;
    }
    Some((
        at,
        match bracket {
            b'{' => "block or object",
            b'[' => "list",
            _ => "parenthesis",
        },
    ))
}

/// `word "label" {` at the first column.
fn looks_like_block_header(line: &str) -> bool {
    line.starts_with(|first: char| first.is_alphabetic()) && line.trim_end().ends_with('{') && !line.contains('=')
}

/// Brackets that are open, read roughly: enough to point at a place, not to decide what is valid.
#[derive(Default)]
struct Scanner<'t> {
    stack: Vec<(usize, u8)>,
    heredoc: Option<(usize, &'t str)>,
    in_comment: bool,
}

impl<'t> Scanner<'t> {
    /// Scans one line; returns the offset of a string that the line leaves open.
    fn scan_line(&mut self, line: &'t str, start: usize) -> Option<usize> {
        if let Some((_, marker)) = self.heredoc {
            if line.trim() == marker {
                self.heredoc = None;
            }
            return None;
        }
        let bytes = line.as_bytes();
        let mut string: Option<usize> = None;
        // Depth of the stack at which an interpolation inside the string began.
        let mut interpolations: Vec<(usize, usize)> = Vec::new();
        let mut idx = 0;
        while idx < bytes.len() {
            let rest = &line.as_bytes()[idx..];
            if self.in_comment {
                if rest.starts_with(b"*/") {
                    self.in_comment = false;
                    idx += 1;
                }
            } else if let Some(opened) = string {
                match bytes[idx] {
                    b'\\' => idx += 1,
                    b'"' => string = None,
                    b'$' | b'%' if rest.get(1) == Some(&b'{') => {
                        interpolations.push((opened, self.stack.len()));
                        self.stack.push((start + idx + 1, b'{'));
                        string = None;
                        idx += 1;
                    }
                    _ => {}
                }
            } else {
                match bytes[idx] {
                    b'#' => break,
                    b'/' if rest.starts_with(b"//") => break,
                    b'/' if rest.starts_with(b"/*") => self.in_comment = true,
                    b'"' => string = Some(start + idx),
                    b'<' if rest.starts_with(b"<<") => {
                        let marker = line[idx + 2..].trim_start_matches('-').trim();
                        if !marker.is_empty() && marker.chars().all(|ch| ch.is_alphanumeric() || ch == '_' || ch == '-')
                        {
                            self.heredoc = Some((start + idx, marker));
                            break;
                        }
                    }
                    bracket @ (b'(' | b'[' | b'{') => self.stack.push((start + idx, bracket)),
                    b')' | b']' | b'}' => {
                        self.stack.pop();
                        if interpolations.last().is_some_and(|(_, depth)| *depth == self.stack.len()) {
                            string = interpolations.pop().map(|(opened, _)| opened);
                        }
                    }
                    _ => {}
                }
            }
            idx += 1;
        }
        string
    }
}
