//! The functions of the language. A function is one item: its documentation, its examples (which are its tests
//! and its reference page) and its code.
//!
//! To add one, write a [`Func`] into the family's list; a new family is a file and a line in [`FAMILIES`].

mod collection;
mod conversion;
mod encoding;
mod file;
mod network;
mod number;
mod set;
mod string;

use std::borrow::Cow;

use value::{Ty, Value};

use crate::source::SourceLoader;

#[derive(Debug)]
pub struct Func {
    pub name: &'static str,
    pub doc: &'static str,
    pub params: &'static [Param],
    pub variadic: Option<Param>,
    /// Expression and what it gives, as the console prints it.
    pub examples: &'static [(&'static str, &'static str)],
    /// The type of the result, for when arguments are unknown.
    pub result_ty: fn(&[Value]) -> Ty,
    pub call: fn(&[Value], &CallContext<'_>) -> Result<Value, FuncError>,
}

#[derive(Debug, Clone, Copy)]
pub struct Param {
    pub name: &'static str,
    pub ty: fn() -> Ty,
    pub allows_null: bool,
    pub marks: ArgumentMarks,
    pub known: Known,
}

/// What becomes of the marks of an argument before the function has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentMarks {
    /// All are taken off; if there was one, the result is marked.
    TakenOff,
    /// As that, of the one at the top; parts keep theirs, and nothing is looked at.
    OfParts,
    /// The function has them.
    Kept,
}

/// How much of an argument has to be known for the function to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    Wholly,
    /// Elements may be unknown.
    AtTheTop,
    NotAtAll,
}

impl Param {
    const fn new(name: &'static str, ty: fn() -> Ty) -> Param {
        Param { name, ty, allows_null: false, marks: ArgumentMarks::TakenOff, known: Known::Wholly }
    }

    const fn nullable(self) -> Param {
        Param { allows_null: true, ..self }
    }

    /// Elements may be unknown or marked.
    const fn shallow(self) -> Param {
        Param { known: Known::AtTheTop, ..self }
    }

    /// Parts keep their marks: the function gives one of them.
    const fn of_parts(self) -> Param {
        Param { marks: ArgumentMarks::OfParts, ..self }
    }

    /// The function decides what is known of its result.
    const fn may_be_unknown(self) -> Param {
        Param { known: Known::NotAtAll, ..self }
    }

    const fn anything(self) -> Param {
        Param { known: Known::NotAtAll, marks: ArgumentMarks::Kept, allows_null: true, ..self }
    }

    pub fn is_known_enough(&self, value: &Value) -> bool {
        match self.known {
            Known::Wholly => value.is_wholly_known(),
            Known::AtTheTop => value.is_known(),
            Known::NotAtAll => true,
        }
    }
}

/// What a function may reach besides its arguments.
#[expect(missing_debug_implementations, reason = "borrows a loader, which need not be printable")]
pub struct CallContext<'c> {
    pub loader: Option<&'c dyn SourceLoader>,
    /// The folder that relative paths start from.
    pub folder: &'c str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FuncError {
    Argument { index: usize, message: Message },
    Call(Message),
}

/// What is wrong. One that is borrowed stands in the program and tells no values; one that is made may tell some, and
/// is kept back where an argument is sensitive.
pub type Message = Cow<'static, str>;

fn argument(index: usize, message: impl Into<Message>) -> FuncError {
    FuncError::Argument { index, message: message.into() }
}

/// Refuses what would be larger than a value may be, before it is made.
fn fits(size: usize) -> Result<(), FuncError> {
    if size > value::size::MAX_SIZE { Err(FuncError::Call(TOO_LARGE.into())) } else { Ok(()) }
}

pub(crate) const TOO_LARGE: &str = "the result would be larger than a value may be, which is 256 MiB";

const FAMILIES: &[&[Func]] = &[
    collection::FUNCS,
    conversion::FUNCS,
    encoding::FUNCS,
    file::FUNCS,
    network::FUNCS,
    number::FUNCS,
    set::FUNCS,
    string::FUNCS,
];

/// Functions that see expressions instead of values (`eval/call.rs`), for listings.
pub const SPECIAL: &[(&str, &str)] = &[
    ("can", "Whether an expression can be evaluated without an error."),
    ("try", "The first of its arguments that can be evaluated without an error."),
];

pub fn all() -> impl Iterator<Item = &'static Func> {
    FAMILIES.iter().copied().flatten()
}

pub fn find(name: &str) -> Option<&'static Func> {
    all().find(|func| func.name == name)
}

impl Func {
    /// `join(separator, lists...)`
    pub fn signature(&self) -> String {
        let mut names: Vec<String> = self.params.iter().map(|param| param.name.to_owned()).collect();
        names.extend(self.variadic.iter().map(|param| format!("{}...", param.name)));
        format!("{}({}): {}", self.name, names.join(", "), self.doc)
    }
}

// Types of parameters and results, as functions so that they can stand in constants.
fn any() -> Ty {
    Ty::Dynamic
}
fn string() -> Ty {
    Ty::String
}
fn number() -> Ty {
    Ty::Number
}
fn boolean() -> Ty {
    Ty::Bool
}
fn list() -> Ty {
    Ty::list(Ty::Dynamic)
}
fn strings() -> Ty {
    Ty::list(Ty::String)
}
fn set_of_any() -> Ty {
    Ty::set(Ty::Dynamic)
}
fn gives_any(_: &[Value]) -> Ty {
    Ty::Dynamic
}
fn gives_string(_: &[Value]) -> Ty {
    Ty::String
}
fn gives_number(_: &[Value]) -> Ty {
    Ty::Number
}
fn gives_bool(_: &[Value]) -> Ty {
    Ty::Bool
}
fn gives_strings(_: &[Value]) -> Ty {
    Ty::list(Ty::String)
}

// Arguments have been converted to the types of their parameters, so these cannot miss.
fn text(args: &[Value], idx: usize) -> &str {
    args[idx].as_str().expect("the parameter is a string")
}

fn items(args: &[Value], idx: usize) -> Result<&[Value], FuncError> {
    args[idx].as_items().ok_or_else(|| argument(idx, "a list, set or tuple is required"))
}

fn whole(args: &[Value], idx: usize) -> Result<i64, FuncError> {
    let number = args[idx].as_number().expect("the parameter is a number");
    number.to_i64().ok_or_else(|| argument(idx, format!("a whole number is required, not {number}")))
}

/// A list if all elements have one type, else a tuple.
fn sequence_like(args: &[Value], result: Vec<Value>) -> Value {
    match args.first().map(Value::unmarked) {
        Some(Value::List(ty, _) | Value::Set(ty, _)) => Value::list(ty.clone(), result),
        _ => Value::tuple(result),
    }
}

#[cfg(test)]
mod tests;
