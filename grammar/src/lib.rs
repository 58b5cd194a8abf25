//! How the stack language looks.
//!
//! `stack.pest` is the grammar, `SPEC.md` its description in words. This crate turns text into pest pairs and
//! says what a rule is called in an error message; it attaches no meaning to anything.
//!
//! **Invariant:** knows nothing of values, files or diagnostics.

use pest::Parser as _;
use pest::error::{ErrorVariant, InputLocation};
use pest::iterators::{Pair, Pairs};

mod recover;
mod rules {
    #[derive(pest_derive::Parser)]
    #[grammar = "stack.pest"]
    pub(crate) struct StackParser;
}
pub use rules::Rule;
use rules::StackParser;

/// A place where the text stops being the language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Byte offset of the first thing that does not fit.
    pub offset: usize,
    /// What could have stood there, in words.
    pub expected: Vec<&'static str>,
    pub kind: SyntaxErrorKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyntaxErrorKind {
    Unexpected,
    /// A bracket, string or heredoc that is opened at `at` and never closed.
    Unclosed {
        at: usize,
        what: &'static str,
    },
    TooDeep,
}

/// One top-level attribute or block, and where in the file its text begins: spans of the pair count from there.
#[derive(Debug)]
pub struct Item<'t> {
    pub base: usize,
    pub pair: Pair<'t, Rule>,
}

/// Reads a file item by item and hands each to `visit`. After an error reading goes on at the next line that
/// looks like the start of a top-level item, so that one run reports an error per broken block.
pub fn parse_file<'t>(text: &'t str, mut visit: impl FnMut(Item<'t>)) -> Vec<SyntaxError> {
    let mut errors = Vec::new();
    // A byte order mark is not text.
    let mut base = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while base < text.len() {
        match StackParser::parse(Rule::next_item, &text[base..]) {
            Ok(mut pairs) => {
                let next_item = pairs.next().expect("a rule that matched yields its pair");
                let consumed = next_item.as_span().end();
                if let Some(pair) = next_item.into_inner().next().filter(|pair| pair.as_rule() != Rule::EOI) {
                    visit(Item { base, pair });
                }
                base += consumed;
            }
            Err(error) => {
                let error = describe(&error, text, base);
                let resume_after = match error.kind {
                    // The rest of the file is the heredoc's text.
                    SyntaxErrorKind::Unclosed { what: recover::HEREDOC, .. } => text.len(),
                    SyntaxErrorKind::Unclosed { at, .. } => at,
                    SyntaxErrorKind::Unexpected | SyntaxErrorKind::TooDeep => error.offset,
                };
                let start = recover::next_item_start(text, base);
                errors.push(error);
                base = recover::next_item_start(text, resume_after.max(start) + 1);
            }
        }
    }
    errors
}

/// Reads one expression that is the whole text.
pub fn parse_expression(text: &str) -> Result<Pairs<'_, Rule>, SyntaxError> {
    StackParser::parse(Rule::lone_expression, text).map_err(|error| describe(&error, text, 0))
}

/// Reads a template that is the whole text, as `templatefile` has them.
pub fn parse_template(text: &str) -> Result<Pairs<'_, Rule>, SyntaxError> {
    StackParser::parse(Rule::lone_template, text).map_err(|error| describe(&error, text, 0))
}

fn describe(error: &pest::error::Error<Rule>, text: &str, base: usize) -> SyntaxError {
    let offset = base
        + match error.location {
            InputLocation::Pos(position) => position,
            InputLocation::Span((start, _)) => start,
        };
    let expected = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => labels(positives),
        // The only custom error that pest makes by itself is its guard against deep recursion.
        ErrorVariant::CustomError { .. } => {
            return SyntaxError { offset, expected: Vec::new(), kind: SyntaxErrorKind::TooDeep };
        }
    };
    let kind = match recover::unclosed(&text[base..], offset - base) {
        Some((at, what)) => SyntaxErrorKind::Unclosed { at: base + at, what },
        None => SyntaxErrorKind::Unexpected,
    };
    SyntaxError { offset, expected, kind }
}

fn labels(rules: &[Rule]) -> Vec<&'static str> {
    let mut labels: Vec<&'static str> = rules.iter().filter_map(|rule| label(*rule)).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// What a rule is called in an error message; `None` for rules whose parts say it better.
pub fn label(rule: Rule) -> Option<&'static str> {
    match rule {
        Rule::EOI | Rule::eol => Some("the end of the line"),
        Rule::WHITESPACE | Rule::COMMENT | Rule::line_comment | Rule::block_comment | Rule::sp | Rule::gap => None,
        Rule::blanks | Rule::ident_char | Rule::ident_start | Rule::postfix => None,
        Rule::next_item | Rule::item => Some("a block or an attribute"),
        Rule::attribute => Some("an attribute"),
        Rule::block => Some("a block"),
        Rule::label | Rule::open_brace => Some("`{`"),
        Rule::body | Rule::one_line_body | Rule::close_brace => Some("`}`"),
        Rule::expr | Rule::operation | Rule::operand | Rule::primary | Rule::name | Rule::call | Rule::number => {
            Some("an expression")
        }
        Rule::parens | Rule::tuple | Rule::object | Rule::string | Rule::heredoc | Rule::for_tuple => {
            Some("an expression")
        }
        Rule::for_object | Rule::unary_op | Rule::heredoc_open | Rule::lone_expression => Some("an expression"),
        Rule::question | Rule::binary_op | Rule::op_or | Rule::op_and | Rule::op_equality => Some("an operator"),
        Rule::op_comparison | Rule::op_sum | Rule::op_product => Some("an operator"),
        Rule::colon => Some("`:`"),
        Rule::function_name => Some("a function name"),
        Rule::arguments => Some("`(`"),
        Rule::expand => Some("`...`"),
        Rule::object_item | Rule::object_key => Some("a key"),
        Rule::object_assign => Some("`=`"),
        Rule::object_sep => Some("`,` or a new line"),
        Rule::for_intro | Rule::kw_for | Rule::directive_for => Some("`for`"),
        Rule::for_cond | Rule::kw_if | Rule::directive_if => Some("`if`"),
        Rule::kw_in => Some("`in`"),
        Rule::get_attr => Some("`.`"),
        Rule::legacy_index | Rule::digits => Some("an index"),
        Rule::attr_splat | Rule::full_splat | Rule::index => Some("`[`"),
        Rule::string_text | Rule::template_text | Rule::heredoc_text | Rule::heredoc_line | Rule::heredoc_plain => {
            Some("text")
        }
        Rule::interpolation | Rule::interpolation_open => Some("`${`"),
        Rule::directive | Rule::directive_open => Some("`%{`"),
        Rule::template_close => Some("`}`"),
        Rule::directive_else => Some("`else`"),
        Rule::directive_endif => Some("`endif`"),
        Rule::directive_endfor => Some("`endfor`"),
        Rule::heredoc_marker | Rule::heredoc_end => Some("the marker of the heredoc"),
        Rule::heredoc_newline => Some("a new line"),
        Rule::ident => Some("a name"),
        Rule::lone_template => Some("a template"),
    }
}
