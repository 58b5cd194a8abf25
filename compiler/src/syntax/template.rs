//! Quoted templates and heredocs: escapes, `~` trims, indentation, and the nesting of `%{ if }` and `%{ for }`.

use std::sync::Arc;

use grammar::Rule;
use pest::iterators::{Pair, Pairs};
use unicode_segmentation::UnicodeSegmentation;
use value::Value;

use super::ast::{Expr, ExprKind, Ident, Part};
use super::lower::Lower;
use crate::diag::Diagnostic;
use crate::source::Span;

/// A part before directives are nested.
enum Token {
    Text(String),
    Interpolation(Expr, Trim),
    Directive(Directive, Trim, Span),
}

enum Directive {
    If(Expr),
    Else,
    EndIf,
    For(Option<Ident>, Ident, Expr),
    EndFor,
}

/// Whether blanks before and after are taken away.
#[derive(Clone, Copy)]
struct Trim {
    before: bool,
    after: bool,
}

impl Lower {
    pub(super) fn string(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let tokens: Vec<Token> = pair.into_inner().map(|part| self.token(part)).collect();
        self.template(tokens, span)
    }

    pub(super) fn template_parts(&mut self, pairs: Pairs<'_, Rule>) -> Vec<Part> {
        let pairs = pairs.filter(|pair| pair.as_rule() != Rule::EOI);
        let mut tokens: Vec<Token> = pairs.map(|part| self.token(part)).collect();
        trim(&mut tokens);
        let (parts, _) = self.nest(&mut tokens.into_iter().peekable(), None);
        parts
    }

    pub(super) fn heredoc(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let mut flush = false;
        let mut lines: Vec<Vec<Token>> = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::heredoc_open => flush = part.as_str() == "<<-",
                // Only where indentation is taken off does each line matter.
                Rule::heredoc_plain if flush => lines.extend(part.as_str().split_inclusive(NEWLINES).map(plain)),
                Rule::heredoc_plain => lines.push(plain(part.as_str())),
                Rule::heredoc_line => lines.push(part.into_inner().map(|part| self.token(part)).collect()),
                _ => {}
            }
        }
        if flush {
            remove_indentation(&mut lines);
        }
        self.template(lines.into_iter().flatten().collect(), span)
    }

    fn token(&mut self, pair: Pair<'_, Rule>) -> Token {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::string_text => Token::Text(self.unescape(pair.as_str(), span)),
            Rule::heredoc_text | Rule::template_text => Token::Text(unescape_signs(pair.as_str())),
            Rule::heredoc_newline => Token::Text(pair.as_str().to_owned()),
            Rule::interpolation => {
                let trim = trims(&pair);
                let expr = pair.into_inner().find(|part| part.as_rule() == Rule::expr);
                Token::Interpolation(self.expr(expr.expect("an interpolation holds an expression")), trim)
            }
            Rule::directive => {
                let trim = trims(&pair);
                let directive = pair.into_inner().nth(1).expect("a directive has a word");
                let directive = match directive.as_rule() {
                    Rule::directive_if => {
                        let condition = directive.into_inner().find(|part| part.as_rule() == Rule::expr);
                        Directive::If(self.expr(condition.expect("`if` has a condition")))
                    }
                    Rule::directive_else => Directive::Else,
                    Rule::directive_endif => Directive::EndIf,
                    Rule::directive_for => {
                        let intro = directive.into_inner().next().expect("`for` has an introduction");
                        let (key_name, value_name, collection) = self.for_intro(intro);
                        Directive::For(key_name, value_name, collection)
                    }
                    Rule::directive_endfor => Directive::EndFor,
                    other => unreachable!("{other:?} is not a directive"),
                };
                Token::Directive(directive, trim, span)
            }
            other => unreachable!("{other:?} is not part of a template"),
        }
    }

    /// A template of text only is a literal; one that is a single interpolation keeps its type when evaluated.
    fn template(&mut self, mut tokens: Vec<Token>, span: Span) -> Expr {
        trim(&mut tokens);
        if tokens.iter().all(|token| matches!(token, Token::Text(_))) {
            let text: String = tokens
                .into_iter()
                .map(|token| if let Token::Text(text) = token { text } else { String::new() })
                .collect();
            return Expr { kind: ExprKind::Literal(Value::string(text)), span };
        }
        let (parts, _) = self.nest(&mut tokens.into_iter().peekable(), None);
        Expr { kind: ExprKind::Template(parts), span }
    }

    /// Reads parts up to the directive that closes `open`; tells whether it was `else`.
    fn nest(
        &mut self,
        tokens: &mut std::iter::Peekable<std::vec::IntoIter<Token>>,
        open: Option<(&'static str, Span)>,
    ) -> (Vec<Part>, bool) {
        let mut parts = Vec::new();
        while let Some(token) = tokens.next() {
            match token {
                Token::Text(text) if text.is_empty() => {}
                Token::Text(text) => parts.push(Part::Text(Arc::from(text))),
                Token::Interpolation(expr, _) => parts.push(Part::Interpolation(expr)),
                Token::Directive(directive, _, span) => match directive {
                    Directive::If(condition) => {
                        let (yes, has_else) = self.nest(tokens, Some(("if", span)));
                        let no = if has_else { self.nest(tokens, Some(("if", span))).0 } else { Vec::new() };
                        parts.push(Part::If { condition, yes, no });
                    }
                    Directive::For(key_name, value_name, collection) => {
                        let (inner, _) = self.nest(tokens, Some(("for", span)));
                        parts.push(Part::For { key_name, value_name, collection, parts: inner });
                    }
                    Directive::Else if matches!(open, Some(("if", _))) => return (parts, true),
                    Directive::EndIf if matches!(open, Some(("if", _))) => return (parts, false),
                    Directive::EndFor if matches!(open, Some(("for", _))) => return (parts, false),
                    Directive::Else | Directive::EndIf | Directive::EndFor => {
                        let label = "this closes nothing that is open here";
                        self.diags.push(Diagnostic::error("misplaced template directive", label).at(span));
                    }
                },
            }
        }
        if let Some((what, span)) = open {
            let label = format!("this `{what}` is never closed");
            let diagnostic = Diagnostic::error("unclosed template directive", label).at(span);
            self.diags.push(diagnostic.note(format!("add `%{{ end{what} }}`")));
        }
        (parts, false)
    }

    fn unescape(&mut self, text: &str, span: Span) -> String {
        let mut out = String::with_capacity(text.len());
        let mut chars = text.char_indices();
        while let Some((at, ch)) = chars.next() {
            if ch != '\\' {
                out.push(ch);
                continue;
            }
            let escape = chars.next().map(|(_, escape)| escape);
            let digits = match escape {
                Some('n') => {
                    out.push('\n');
                    continue;
                }
                Some('r') => {
                    out.push('\r');
                    continue;
                }
                Some('t') => {
                    out.push('\t');
                    continue;
                }
                Some('"') => {
                    out.push('"');
                    continue;
                }
                Some('\\') => {
                    out.push('\\');
                    continue;
                }
                Some('u') => 4,
                Some('U') => 8,
                _ => 0,
            };
            let code: String = chars.clone().take(digits).map(|(_, digit)| digit).collect();
            match u32::from_str_radix(&code, 16).ok().and_then(char::from_u32).filter(|_| code.len() == digits) {
                Some(ch) => {
                    out.push(ch);
                    chars.nth(digits - 1);
                }
                None => {
                    let start = span.start as usize + at;
                    let label = "this is not an escape sequence";
                    self.diags.push(
                        Diagnostic::error("invalid escape sequence", label)
                            .at(Span::new(self.file, start, start + 1 + escape.map_or(0, char::len_utf8)))
                            .note(
                                "known are \\n \\r \\t \\\" \\\\ \\uNNNN and \\UNNNNNNNN; write \\\\ for a backslash",
                            ),
                    );
                }
            }
        }
        unescape_signs(&out)
    }
}

fn unescape_signs(text: &str) -> String {
    text.replace("$${", "${").replace("%%{", "%{")
}

const NEWLINES: [char; 2] = ['\n', '\r'];

/// Text that ends with a newline, which is a token of its own: what takes blanks off it goes no further.
fn plain(text: &str) -> Vec<Token> {
    let line = text.strip_suffix("\r\n").or_else(|| text.strip_suffix(NEWLINES)).unwrap_or(text);
    let newline = Token::Text(text[line.len()..].to_owned());
    if line.is_empty() { vec![newline] } else { vec![Token::Text(line.to_owned()), newline] }
}

fn trims(pair: &Pair<'_, Rule>) -> Trim {
    let text = pair.as_str();
    Trim { before: text[2..].starts_with('~'), after: text.ends_with("~}") }
}

/// `~` takes the blanks off the text that touches it, and nothing beyond that text.
fn trim(tokens: &mut [Token]) {
    for idx in 0..tokens.len() {
        let trim = match &tokens[idx] {
            Token::Interpolation(_, trim) | Token::Directive(_, trim, _) => *trim,
            Token::Text(_) => continue,
        };
        if trim.before
            && let Some(Token::Text(text)) = idx.checked_sub(1).and_then(|before| tokens.get_mut(before))
        {
            text.truncate(text.trim_end().len());
        }
        if trim.after
            && let Some(Token::Text(text)) = tokens.get_mut(idx + 1)
        {
            *text = text.trim_start().to_owned();
        }
    }
}

fn ends_trimmed(line: &[Token]) -> bool {
    match line {
        [.., Token::Interpolation(_, trim) | Token::Directive(_, trim, _), Token::Text(_)] => trim.after,
        _ => false,
    }
}

/// `<<-` takes off every line the indentation that all lines with something on them have in common; others stay as they
/// are.
fn remove_indentation(lines: &mut [Vec<Token>]) {
    let indentation = |line: &Vec<Token>| match line.first() {
        Some(Token::Text(text))
            if text.trim().is_empty()
                && line.len() <= 2
                && line.iter().all(|token| matches!(token, Token::Text(_))) =>
        {
            None
        }
        Some(Token::Text(text)) => {
            Some(text.graphemes(true).take_while(|grapheme| *grapheme == " " || *grapheme == "\t").count())
        }
        Some(Token::Interpolation(..) | Token::Directive(..)) => Some(0),
        None => None,
    };
    // Where `~}` takes the end of a line away, the next one does not begin a line and keeps its blanks, as in HCL's
    // own parser.
    let begins: Vec<bool> = (0..lines.len()).map(|idx| idx == 0 || !ends_trimmed(&lines[idx - 1])).collect();
    let beginning = lines.iter().zip(&begins).filter(|(_, begins)| **begins);
    let common = beginning.filter_map(|(line, _)| indentation(line)).min().unwrap_or(0);
    for (line, _) in lines.iter_mut().zip(begins).filter(|(line, begins)| *begins && indentation(line).is_some()) {
        if let Some(Token::Text(text)) = line.first_mut() {
            let blanks = text.chars().take(common).take_while(|ch| *ch == ' ' || *ch == '\t').count();
            text.drain(..blanks);
        }
    }
}
