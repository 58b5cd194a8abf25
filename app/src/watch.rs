//! Who is told what happens while it happens.

use std::fmt;

use compiler::diag::Diagnostics;
use compiler::source::SourceMap;
use engine::event::Event;
use tokio::sync::watch;

/// A view of what is going on. Results are no business of it: they are what functions return.
pub trait Watch: fmt::Debug + Send + Sync {
    /// A step of a plan or an apply.
    fn event(&self, event: &Event);

    /// What is wrong with a stack, or may be. A function that fails has told why, if it returns [`Failure::Told`].
    ///
    /// [`Failure::Told`]: crate::failure::Failure::Told
    fn diagnostics(&self, diags: &Diagnostics, sources: &SourceMap);

    /// What the user should know, and is no result.
    fn note(&self, text: &str);

    /// Something begins that may take a while, and belongs to no object.
    fn step(&self, text: &str);

    /// How one of this program's commands, such as `init -upgrade`, is called for the stack that is worked on.
    fn command(&self, words: &str) -> String;

    /// Turns true when what is under way shall be brought to an end. Asked when something begins that can be.
    fn cancelled(&self) -> watch::Receiver<bool>;
}
