//! Words for what is done to objects.

use engine::plan::Action;

pub(crate) fn doing(action: Action) -> &'static str {
    match action {
        Action::NoOp => "checking",
        Action::Read => "reading",
        Action::Create => "creating",
        Action::Update => "changing",
        Action::Replace { .. } => "replacing",
        Action::Delete => "removing",
        Action::Forget => "forgetting",
    }
}

pub(crate) fn done(action: Action) -> &'static str {
    match action {
        Action::NoOp => "checked",
        Action::Read => "read",
        Action::Create => "created",
        Action::Update => "changed",
        Action::Replace { .. } => "replaced",
        Action::Delete => "removed",
        Action::Forget => "forgotten",
    }
}
