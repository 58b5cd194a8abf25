//! Where a resource is in a stack, as our own engine tells it: what its machines are called and told apart by.

/// The parts of an address that make names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The modules that lead to the resource, as one word; empty in the root module.
    pub module: String,
    /// The resource's own name, with its key if it has one.
    pub name: String,
}

impl Place {
    /// `module.shop["eu"].lamp_cluster.web[1]`: module `shop-eu`, name `web-1`.
    pub fn of(address: &str) -> Place {
        let parts = split(address);
        let resource = parts.len().saturating_sub(2);
        let modules = parts[..resource].iter().filter(|part| **part != "module").map(|part| word(part));
        Place {
            module: modules.collect::<Vec<_>>().join("-"),
            name: parts.last().map(|part| word(part)).unwrap_or_default(),
        }
    }
}

/// Keys may hold dots, so an address is not simply split at them.
fn split(address: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = address;
    while !rest.is_empty() {
        let end = match (rest.find('.'), rest.find('[')) {
            (Some(dot), Some(bracket)) if bracket < dot => rest.find(']').map_or(rest.len(), |close| close + 1),
            (Some(dot), _) => dot,
            (None, _) => rest.len(),
        };
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start_matches('.');
    }
    parts
}

/// Small letters, digits and single hyphens.
fn word(part: &str) -> String {
    let plain: String = part.chars().map(|ch| if ch.is_ascii_alphanumeric() { ch } else { '-' }).collect();
    plain.split('-').filter(|piece| !piece.is_empty()).collect::<Vec<_>>().join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[track_caller]
    fn check(address: &str, module: &str, name: &str) {
        assert_eq!(Place::of(address), Place { module: module.to_owned(), name: name.to_owned() });
    }

    #[test]
    fn names_follow_from_addresses() {
        check("lamp_cluster.web", "", "web");
        check("lamp_cluster.web[1]", "", "web-1");
        check("module.shop[\"e.u\"].lamp_cluster.web", "shop-e-u", "web");
        check("module.a.module.b.lb_pool.Lb_1", "a-b", "lb-1");
        check("", "", "");
    }
}
