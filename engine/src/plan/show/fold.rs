//! A plan that is too long for whoever reads it. What is not shown is counted, and the way to see it is said.

use std::fmt::Write as _;

use compiler::addr::ResourceAddr;
use compiler::text::{Style, Text};
use indexmap::IndexMap;

use super::{Action, Change, INFALLIBLE, style};

/// More changes than this are summed up; longer lists of other things are cut.
pub(super) const MANY: usize = 50;
/// The lines of one change.
pub(super) const LONG: usize = 40;

#[derive(Debug, Clone)]
pub struct Fold {
    /// The command that shows all.
    pub unfold: String,
}

impl Fold {
    /// The first lines of a text. What would leave out a line or two is not worth it.
    pub(super) fn cut(&self, text: Text, most: usize) -> Text {
        const FEW: usize = 3;
        let lines = text.lines();
        if lines.len() <= most + FEW {
            return text;
        }
        let mut out = Text::default();
        for line in &lines[..most] {
            line.iter().for_each(|(style, piece)| out.push(*style, piece));
            out.push(Style::Plain, "\n");
        }
        out.line(Style::Faint, &format!("      … {} more lines: `{}`", lines.len() - most, self.unfold));
        out
    }

    /// Changes by what is done to which resource, or to which type where there are many resources, too.
    pub(super) fn summary(&self, changes: &[&Change], out: &mut Text) {
        let by_resource = grouped(changes, ToString::to_string);
        let groups = match by_resource.len() {
            few if few <= MANY => by_resource,
            _ => grouped(changes, |resource| format!("{}{} (all)", resource.mode.prefix(), resource.ty)),
        };
        let width = groups.keys().map(|(_, name)| name.len()).max().unwrap_or(0);
        let most = groups.values().max().map_or(0, |count| count.to_string().len());
        let mut list = Text::default();
        for ((symbol, name), count) in &groups {
            let plural = if *count == 1 { "" } else { "s" };
            let line = format!("  {} {name:width$}   {count:most$} object{plural}", symbol.symbol());
            list.line(style(*symbol), &line);
        }
        out.append(self.cut(list, MANY));
        writeln!(out, "\n  {} changes, which are not shown one by one: `{}`", changes.len(), self.unfold)
            .expect(INFALLIBLE);
    }
}

fn grouped(changes: &[&Change], name: impl Fn(&ResourceAddr) -> String) -> IndexMap<(Action, String), usize> {
    let mut groups = IndexMap::new();
    for change in changes {
        *groups.entry((change.action, name(&change.addr.resource()))).or_default() += 1;
    }
    groups
}
