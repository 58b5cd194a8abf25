//! What standard output and standard error are, and what the environment says of colours and of the size.

use std::io::IsTerminal as _;

use rustix::termios::tcgetwinsize;

type Lookup<'l> = &'l dyn Fn(&str) -> Option<String>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// A person reads standard output.
    pub(crate) is_read: bool,
    /// Lines of standard output can be written anew.
    pub(crate) is_live: bool,
    pub(crate) out_has_colour: bool,
    pub(crate) err_has_colour: bool,
}

/// A wish of the user's that is no variable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) colour: bool,
}

impl Terminal {
    pub(crate) fn of_process(wish: Wish, lookup: Lookup<'_>) -> Terminal {
        Terminal::of(wish, std::io::stdout().is_terminal(), std::io::stderr().is_terminal(), lookup)
    }

    /// <https://no-color.org>, <https://bixense.com/clicolors>
    fn of(wish: Wish, out_is_terminal: bool, err_is_terminal: bool, lookup: Lookup<'_>) -> Terminal {
        let given = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let is_dumb = given("TERM").is_none_or(|name| name == "dumb");
        let is_forced = given("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let is_refused = !wish.colour || given("NO_COLOR").is_some();
        let is_off = given("CLICOLOR").is_some_and(|value| value == "0");
        let has_colour = |is_terminal: bool| !is_refused && (is_forced || is_terminal && !is_dumb && !is_off);
        // The log goes to standard error without asking anybody.
        let level = ["LAMPWRIGHT_LOG", "TF_LOG"].into_iter().find_map(given);
        let has_log = err_is_terminal && level.is_some_and(|level| !level.eq_ignore_ascii_case("off"));
        Terminal {
            is_read: out_is_terminal,
            is_live: out_is_terminal && !is_dumb && !has_log,
            out_has_colour: has_colour(out_is_terminal),
            err_has_colour: has_colour(err_is_terminal),
        }
    }
}

/// Columns and lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) lines: usize,
}

impl Size {
    /// As it is now.
    pub(crate) fn now() -> Size {
        let given = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
        let window = tcgetwinsize(std::io::stdout()).ok();
        let found = |of: fn(rustix::termios::Winsize) -> u16| window.map(of).filter(|number| *number > 0);
        Size {
            columns: given.or_else(|| found(|window| window.ws_col).map(usize::from)).unwrap_or(80),
            lines: found(|window| window.ws_row).map_or(24, usize::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(colour: bool, terminal: bool, variables: &[(&str, &str)]) -> Terminal {
        let lookup =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Terminal::of(Wish { colour }, terminal, terminal, &lookup)
    }

    #[test]
    fn colours_are_asked_for_and_refused() {
        const X: (&str, &str) = ("TERM", "xterm");
        for (colour, terminal, variables, expected) in [
            (true, true, &[X][..], true),
            (true, false, &[X], false),
            (false, true, &[X], false),
            (true, true, &[X, ("NO_COLOR", "1")], false),
            (true, true, &[X, ("NO_COLOR", "")], true),
            (true, true, &[X, ("CLICOLOR", "0")], false),
            (true, true, &[X, ("CLICOLOR", "1")], true),
            (true, false, &[("CLICOLOR_FORCE", "1")], true),
            (true, false, &[("CLICOLOR_FORCE", "0")], false),
            (true, true, &[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")], true),
            (true, true, &[X, ("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
            (false, true, &[X, ("CLICOLOR_FORCE", "1")], false),
            (true, true, &[("TERM", "dumb")], false),
            (true, true, &[], false),
        ] {
            let found = check(colour, terminal, variables);
            assert_eq!((found.out_has_colour, found.err_has_colour), (expected, expected), "{variables:?}");
        }
    }

    #[test]
    fn lines_are_written_anew_where_that_works() {
        const X: (&str, &str) = ("TERM", "xterm");
        for (terminal, variables, expected) in [
            (true, &[X][..], true),
            (false, &[X], false),
            (true, &[("TERM", "dumb")], false),
            (true, &[], false),
            (true, &[X, ("NO_COLOR", "1")], true),
            (true, &[X, ("TF_LOG", "debug")], false),
            (true, &[X, ("TF_LOG", "off")], true),
        ] {
            assert_eq!(check(true, terminal, variables).is_live, expected, "{variables:?}");
        }
    }
}
