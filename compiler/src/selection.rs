//! Which providers a rule is for: `include` and `exclude` of the CLI configuration.

use crate::addr::ProviderSource;

/// `HOST/NAMESPACE/TYPE`, each of which may be `*`; what is left out in front is what a source has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern([String; 3]);

impl Pattern {
    pub fn parse(text: &str) -> Option<Pattern> {
        let mut parts: Vec<&str> = text.split('/').collect();
        if parts == ["*"] {
            parts.insert(0, "*");
        }
        if parts.len() == 1 {
            parts.insert(0, "hashicorp");
        }
        if parts.len() == 2 {
            parts.insert(0, ProviderSource::DEFAULT_HOST);
        }
        let parts = <[&str; 3]>::try_from(parts).ok()?;
        (!parts.contains(&"")).then(|| Pattern(parts.map(str::to_owned)))
    }

    fn fits(&self, source: &ProviderSource) -> bool {
        let parts = [&source.host, &source.namespace, &source.ty];
        self.0.iter().zip(parts).all(|(pattern, part)| pattern == "*" || **pattern == **part)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Empty: all.
    pub include: Vec<Pattern>,
    pub exclude: Vec<Pattern>,
}

impl Selection {
    pub fn takes(&self, source: &ProviderSource) -> bool {
        let fits = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.fits(source));
        (self.include.is_empty() || fits(&self.include)) && !fits(&self.exclude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_of_hosts_namespaces_and_types() {
        let fits = |pattern: &str, source: &str| {
            Pattern::parse(pattern).unwrap().fits(&ProviderSource::parse(source).unwrap())
        };
        assert!(fits("example.com/*/*", "example.com/a/b"));
        assert!(!fits("example.com/*/*", "a/b"));
        assert!(fits("*/*/*", "a/b") && fits("hashicorp/*", "null") && fits("null", "hashicorp/null"));
        assert!(!fits("hashicorp/aws", "null"));
        assert_eq!((Pattern::parse("a/b/c/d"), Pattern::parse("a//c")), (None, None));
    }

    #[test]
    fn what_is_excluded_is_not_taken_though_it_is_included() {
        let patterns = |texts: &[&str]| texts.iter().filter_map(|text| Pattern::parse(text)).collect();
        let selection = Selection { include: patterns(&["acme/*"]), exclude: patterns(&["acme/old"]) };
        let takes = |source| selection.takes(&ProviderSource::parse(source).unwrap());
        assert_eq!(["acme/new", "acme/old", "other/new"].map(takes), [true, false, false]);
        assert!(Selection::default().takes(&ProviderSource::builtin()));
    }
}
