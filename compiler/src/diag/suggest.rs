//! "Did you mean ..?"

/// More candidates than this are not looked through: a module with many errors is looked through for each.
const MOST: usize = 1_000;

/// The candidate that is nearest to `wrong`, if one is near enough to be what was meant.
pub fn closest<'c>(wrong: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let length = wrong.chars().count();
    let limit = (length / 3).max(1);
    candidates
        .into_iter()
        .take(MOST)
        .filter(|candidate| candidate.len() + limit >= length && candidate.chars().count() <= length + limit)
        .map(|candidate| (distance(wrong, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit || is_plural(wrong, candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// What there is to choose from, of things that are called `what`.
pub fn there_is(names: &[String], what: &str) -> String {
    if names.is_empty() { format!("There are no {what}") } else { format!("There is: {}", names.join(", ")) }
}

fn is_plural(a: &str, b: &str) -> bool {
    a.strip_suffix('s') == Some(b) || b.strip_suffix('s') == Some(a)
}

/// Edits (insert, remove, replace, swap of neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(from != to)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *to && *from == b[j - 1] {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let names = ["nodes", "app", "database"];
        assert_eq!(closest("node", names), Some("nodes"));
        assert_eq!(closest("databsae", names), Some("database"));
        assert_eq!(closest("listener", names), None);
    }
}
