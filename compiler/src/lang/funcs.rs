//! The functions of the language. A function is one item: its documentation, its examples (which are its tests
//! and its reference page) and its code.
//!
//! To add one, write a [`Func`] into the family's list; a new family is a file and a line in [`FAMILIES`].

mod collection;
mod conversion;
mod csv;
mod date;
mod digest;
mod encoding;
mod file;
mod file_set;
mod format;
mod list;
mod map;
mod network;
mod number;
mod pattern;
mod random;
mod set;
mod string;
mod template;
mod yaml;

use std::borrow::Cow;
use std::sync::Arc;

use value::value::Refinement;
use value::{Ty, Value};

use crate::lang::eval::Scope;
use crate::source::SourceLoader;
use crate::surroundings::Surroundings;

#[derive(Debug)]
pub struct Func {
    pub name: &'static str,
    pub doc: &'static str,
    pub params: &'static [Param],
    pub variadic: Option<Param>,
    /// Expression and what it gives, as the console prints it.
    pub examples: &'static [(&'static str, &'static str)],
    /// What is known of the result when not enough is known of the arguments.
    pub unknown: fn(&[Value]) -> Value,
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

    /// Elements may be unknown.
    const fn shallow(self) -> Param {
        Param { known: Known::AtTheTop, ..self }
    }

    /// Parts may be unknown or marked, and stay so: the function moves them about.
    const fn of_parts(self) -> Param {
        Param { marks: ArgumentMarks::OfParts, known: Known::AtTheTop, ..self }
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
#[expect(missing_debug_implementations, reason = "borrows a scope, which need not be printable")]
pub struct CallContext<'c> {
    pub scope: &'c dyn Scope,
}

impl<'c> CallContext<'c> {
    fn loader(&self) -> Option<&'c dyn SourceLoader> {
        self.scope.loader()
    }

    /// The folder that relative paths start from.
    fn folder(&self) -> &'static str {
        self.scope.folder()
    }

    fn surroundings(&self) -> Option<&'c Surroundings> {
        self.scope.surroundings()
    }
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

fn failed(message: impl Into<Message>) -> FuncError {
    FuncError::Call(message.into())
}

/// Refuses what would be larger than a value may be, before it is made.
fn fits(size: usize) -> Result<(), FuncError> {
    if size > value::size::MAX_SIZE { Err(failed(TOO_LARGE)) } else { Ok(()) }
}

pub(crate) const TOO_LARGE: &str = "the result would be larger than a value may be, which is 256 MiB";

const FAMILIES: &[&[Func]] = &[
    collection::FUNCS,
    conversion::FUNCS,
    csv::FUNCS,
    date::FUNCS,
    digest::FUNCS,
    encoding::FUNCS,
    file::FUNCS,
    file_set::FUNCS,
    format::FUNCS,
    list::FUNCS,
    map::FUNCS,
    network::FUNCS,
    number::FUNCS,
    pattern::FUNCS,
    random::FUNCS,
    set::FUNCS,
    string::FUNCS,
    template::FUNCS,
    yaml::FUNCS,
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

impl Func {
    /// What a user is told of it: its parameters with their types, what it does, and examples.
    pub fn reference(&self) -> String {
        let shown = |param: &Param, more: &str| match (param.ty)() {
            Ty::Dynamic => format!("{}{more}", param.name),
            ty => format!("{}{more}: {ty}", param.name),
        };
        let params = self.params.iter().map(|param| shown(param, ""));
        let params: Vec<String> = params.chain(self.variadic.iter().map(|param| shown(param, "..."))).collect();
        let mut out = format!("{}({})\n\n{}\n", self.name, params.join(", "), self.doc);
        for (expression, value) in self.examples {
            out.push_str(&format!("\n  {expression}\n  = {}\n", value.replace('\n', "\n    ")));
        }
        out
    }
}

// Types of parameters, as functions so that they can stand in constants.
fn any() -> Ty {
    Ty::Dynamic
}
fn string() -> Ty {
    Ty::String
}
fn number() -> Ty {
    Ty::Number
}
fn list() -> Ty {
    Ty::list(Ty::Dynamic)
}
fn strings() -> Ty {
    Ty::list(Ty::String)
}
fn booleans() -> Ty {
    Ty::list(Ty::Bool)
}
fn set_of_any() -> Ty {
    Ty::set(Ty::Dynamic)
}

// What is known of a result.
pub(crate) fn not_null(ty: Ty) -> Value {
    Value::Unknown(ty, Some(Arc::new(Refinement { not_null: true, ..Refinement::default() })))
}
/// A string of which the beginning is known.
fn begins_with(prefix: &str) -> Value {
    let prefix = value::value::known_prefix(prefix).to_owned();
    Value::Unknown(
        Ty::String,
        Some(Arc::new(Refinement { not_null: true, string_prefix: prefix, ..Refinement::default() })),
    )
}
fn gives_any(_: &[Value]) -> Value {
    Value::DYNAMIC
}
fn gives_string(_: &[Value]) -> Value {
    not_null(Ty::String)
}
fn gives_number(_: &[Value]) -> Value {
    not_null(Ty::Number)
}
fn gives_bool(_: &[Value]) -> Value {
    not_null(Ty::Bool)
}
fn gives_strings(_: &[Value]) -> Value {
    not_null(Ty::list(Ty::String))
}
fn gives_numbers(_: &[Value]) -> Value {
    not_null(Ty::list(Ty::Number))
}

// Arguments have been converted to the types of their parameters, so these cannot miss.
fn text(args: &[Value], idx: usize) -> &str {
    args[idx].as_str().expect("the parameter is a string")
}

fn items(args: &[Value], idx: usize) -> Result<&[Value], FuncError> {
    args[idx].as_items().ok_or_else(|| argument(idx, "a list, set or tuple is required"))
}

/// The elements of what has an order.
fn ordered(args: &[Value], idx: usize) -> Result<&[Value], FuncError> {
    match &args[idx] {
        Value::List(_, items) | Value::Tuple(items) => Ok(items),
        _ => Err(argument(idx, "a list or tuple is required")),
    }
}

fn whole(args: &[Value], idx: usize) -> Result<i64, FuncError> {
    let number = args[idx].as_number().expect("the parameter is a number");
    number.to_i64().ok_or_else(|| argument(idx, format!("a whole number is required, not {number}")))
}

/// A list if the argument is one or a set, else a tuple.
fn sequence_like(args: &[Value], result: Vec<Value>) -> Value {
    match args.first().map(Value::unmarked) {
        Some(Value::List(ty, _) | Value::Set(ty, _)) => Value::list(ty.clone(), result),
        _ => Value::tuple(result),
    }
}

#[cfg(test)]
mod tests;
