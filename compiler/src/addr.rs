//! Addresses: names of resources and their instances, as users and state files write them.

use std::fmt;
use std::sync::Arc;

/// Which instance of a counted or keyed object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    None,
    Int(usize),
    Str(Arc<str>),
}

/// An instance of a module: the calls that lead to it from the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ModulePath(pub Vec<(Arc<str>, Key)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    Managed,
    Data,
    /// Opened while a run needs it, and never stored.
    Ephemeral,
}

/// A resource block, whatever its instances: in every instance of its module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceAddr {
    pub module: Vec<Arc<str>>,
    pub mode: Mode,
    pub ty: Arc<str>,
    pub name: Arc<str>,
}

/// One instance of a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceAddr {
    pub module: ModulePath,
    pub mode: Mode,
    pub ty: Arc<str>,
    pub name: Arc<str>,
    pub key: Key,
}

/// A provider configuration: which provider, under which alias, configured in which module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderAddr {
    pub module: Vec<Arc<str>>,
    pub source: ProviderSource,
    pub alias: Option<Arc<str>>,
}

/// The local name of the provider that is built in.
pub(crate) const BUILTIN: &str = "terraform";

/// `host/namespace/type`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderSource {
    pub host: Arc<str>,
    pub namespace: Arc<str>,
    pub ty: Arc<str>,
}

impl ProviderSource {
    pub const DEFAULT_HOST: &str = "registry.terraform.io";

    /// Reads `type`, `namespace/type` or `host/namespace/type`.
    pub fn parse(text: &str) -> Option<ProviderSource> {
        let parts: Vec<&str> = text.split('/').collect();
        let fine =
            |part: &&str| !part.is_empty() && part.chars().all(|ch| ch.is_ascii_alphanumeric() || "-_.:".contains(ch));
        if !parts.iter().all(fine) {
            return None;
        }
        let (host, namespace, ty) = match parts.as_slice() {
            [ty] => (Self::DEFAULT_HOST, "hashicorp", *ty),
            [namespace, ty] => (Self::DEFAULT_HOST, *namespace, *ty),
            [host, namespace, ty] => (*host, *namespace, *ty),
            _ => return None,
        };
        Some(ProviderSource { host: host.into(), namespace: namespace.into(), ty: ty.into() })
    }

    /// Our own.
    pub fn lampwright() -> ProviderSource {
        ProviderSource { host: Self::DEFAULT_HOST.into(), namespace: "lampwright".into(), ty: "lampwright".into() }
    }

    /// The one that is a part of this program, and of Terraform.
    pub fn builtin() -> ProviderSource {
        ProviderSource { host: "terraform.io".into(), namespace: "builtin".into(), ty: BUILTIN.into() }
    }

    /// Without the host where that is the default one.
    pub fn short(&self) -> String {
        if &*self.host == Self::DEFAULT_HOST { format!("{}/{}", self.namespace, self.ty) } else { self.to_string() }
    }
}

impl fmt::Display for ProviderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.host, self.namespace, self.ty)
    }
}

/// As state files write it: `module.a.provider["host/namespace/type"].alias`.
impl fmt::Display for ProviderAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.module {
            write!(f, "module.{name}.")?;
        }
        write!(f, "provider[\"{}\"]", self.source)?;
        match &self.alias {
            Some(alias) => write!(f, ".{alias}"),
            None => Ok(()),
        }
    }
}

impl ProviderAddr {
    pub fn parse(text: &str) -> Option<ProviderAddr> {
        let (module, rest) = text.split_once("provider[\"")?;
        let module = module.split_terminator('.').collect::<Vec<_>>();
        let module = module.chunks(2).map(|pair| match pair {
            ["module", name] => Some(Arc::from(*name)),
            _ => None,
        });
        let (source, alias) = rest.split_once("\"]")?;
        Some(ProviderAddr {
            module: module.collect::<Option<_>>()?,
            source: ProviderSource::parse(source)?,
            alias: alias.strip_prefix('.').map(Arc::from),
        })
    }
}

impl Key {
    /// None means every key.
    fn means(&self, key: &Key) -> bool {
        *self == Key::None || self == key
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::None => Ok(()),
            Key::Int(int) => write!(f, "[{int}]"),
            Key::Str(text) => write!(f, "[\"{}\"]", text.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }
}

impl fmt::Display for ModulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, (name, key)) in self.0.iter().enumerate() {
            write!(f, "{}module.{name}{key}", if idx == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

impl ModulePath {
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn child(&self, name: Arc<str>, key: Key) -> ModulePath {
        let mut calls = self.0.clone();
        calls.push((name, key));
        ModulePath(calls)
    }

    /// Whether another one is the same or is in it. A call without a key means all of its instances.
    pub fn leads_to(&self, inner: &ModulePath) -> bool {
        let mut pairs = self.0.iter().zip(&inner.0);
        self.0.len() <= inner.0.len() && pairs.all(|(own, its)| own.0 == its.0 && own.1.means(&its.1))
    }

    /// The names of the calls, without keys.
    pub fn config_path(&self) -> Vec<Arc<str>> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Reads `module.a["x"].module.b`.
    pub fn parse(text: &str) -> Option<ModulePath> {
        let mut calls = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            rest = rest.strip_prefix("module.")?;
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let name: Arc<str> = rest[..end].into();
            rest = &rest[end..];
            let (key, after) = parse_key(rest)?;
            rest = after.strip_prefix('.').unwrap_or(after);
            calls.push((name, key));
        }
        Some(ModulePath(calls))
    }
}

fn parse_key(text: &str) -> Option<(Key, &str)> {
    let Some(inner) = text.strip_prefix('[') else { return Some((Key::None, text)) };
    if let Some(quoted) = inner.strip_prefix('"') {
        let mut key = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, ch)) = chars.next() {
            match ch {
                '\\' => key.push(chars.next()?.1),
                '"' => return Some((Key::Str(key.into()), quoted[at + 1..].strip_prefix(']')?)),
                _ => key.push(ch),
            }
        }
        return None;
    }
    let (digits, rest) = inner.split_once(']')?;
    Some((Key::Int(digits.parse().ok()?), rest))
}

impl fmt::Display for ResourceAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.module {
            write!(f, "module.{name}.")?;
        }
        write!(f, "{}{}.{}", self.mode.prefix(), self.ty, self.name)
    }
}

impl Mode {
    pub fn prefix(self) -> &'static str {
        match self {
            Mode::Managed => "",
            Mode::Data => "data.",
            Mode::Ephemeral => "ephemeral.",
        }
    }
}

impl fmt::Display for InstanceAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.module.is_root() { "" } else { "." };
        write!(f, "{}{dot}{}{}.{}{}", self.module, self.mode.prefix(), self.ty, self.name, self.key)
    }
}

impl InstanceAddr {
    pub fn resource(&self) -> ResourceAddr {
        ResourceAddr {
            module: self.module.config_path(),
            mode: self.mode,
            ty: self.ty.clone(),
            name: self.name.clone(),
        }
    }

    /// Reads an address as a user types it.
    pub fn parse(text: &str) -> Option<InstanceAddr> {
        let mut module = ModulePath::default();
        let mut rest = text;
        while let Some(after) = rest.strip_prefix("module.") {
            let end = after.find(['.', '['])?;
            let (key, after_key) = parse_key(&after[end..])?;
            module = module.child(after[..end].into(), key);
            rest = after_key.strip_prefix('.')?;
        }
        let of = |mode: Mode| Some((mode, rest.strip_prefix(mode.prefix())?));
        let (mode, rest) = of(Mode::Data).or_else(|| of(Mode::Ephemeral)).unwrap_or((Mode::Managed, rest));
        let (ty, rest) = rest.split_once('.')?;
        let end = rest.find('[').unwrap_or(rest.len());
        let (key, after) = parse_key(&rest[end..])?;
        let name = &rest[..end];
        (after.is_empty() && !ty.is_empty() && !name.is_empty() && !name.contains('.')).then(|| InstanceAddr {
            module,
            mode,
            ty: ty.into(),
            name: name.into(),
            key,
        })
    }
}

/// Several objects by one address: all that is in a module, all instances of a resource, or one of them. A module or resource
/// that is named without its key means all that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    Module(ModulePath),
    Object(InstanceAddr),
}

impl Selector {
    /// `module.NAME[KEY].. TYPE.NAME[KEY]`, by its words.
    pub(crate) fn of_words(words: Vec<(Arc<str>, Key)>) -> Option<Selector> {
        let mut words = words.into_iter().peekable();
        let mut module = ModulePath::default();
        while let Some((word, Key::None)) = words.peek()
            && &**word == "module"
        {
            words.next();
            let (name, key) = words.next()?;
            module = module.child(name, key);
        }
        let Some((ty, Key::None)) = words.next() else {
            return (!module.is_root()).then_some(Selector::Module(module));
        };
        let (name, key) = words.next()?;
        let is_whole = words.next().is_none() && !matches!(&*ty, "data" | "ephemeral");
        is_whole.then_some(Selector::Object(InstanceAddr { module, mode: Mode::Managed, ty, name, key }))
    }

    pub fn parse(text: &str) -> Option<Selector> {
        let module = ModulePath::parse(text).filter(|path| !path.is_root()).map(Selector::Module);
        module.or_else(|| InstanceAddr::parse(text).map(Selector::Object))
    }

    pub fn matches(&self, addr: &InstanceAddr) -> bool {
        match self {
            Selector::Module(path) => path.leads_to(&addr.module),
            Selector::Object(object) => {
                object.module.leads_to(&addr.module) && self.may_match(&addr.resource()) && object.key.means(&addr.key)
            }
        }
    }

    /// The module that it means, or that its object is in.
    pub fn module(&self) -> &ModulePath {
        match self {
            Selector::Module(path) => path,
            Selector::Object(object) => &object.module,
        }
    }

    /// Whether it means all instances of a resource, as far as its module has one instance.
    pub fn is_whole(&self, resource: &ResourceAddr) -> bool {
        let has_no_keys = |path: &ModulePath| path.0.iter().all(|(_, key)| *key == Key::None);
        let is_plain = match self {
            Selector::Module(path) => has_no_keys(path),
            Selector::Object(object) => has_no_keys(&object.module) && object.key == Key::None,
        };
        is_plain && self.may_match(resource)
    }

    /// Whether it may mean instances of a resource.
    pub fn may_match(&self, resource: &ResourceAddr) -> bool {
        match self {
            Selector::Module(path) => resource.module.starts_with(&path.config_path()),
            Selector::Object(object) => object.resource() == *resource,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Module(path) => path.fmt(f),
            Selector::Object(object) => object.fmt(f),
        }
    }
}

impl ResourceAddr {
    /// Reads the form that state files have in `dependencies`.
    pub fn parse(text: &str) -> Option<ResourceAddr> {
        InstanceAddr::parse(text).filter(|addr| addr.key == Key::None).map(|addr| addr.resource())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back() {
        for text in ["a.b", "data.a.b[0]", "module.m[\"x.y\"].module.n.a.b[\"k\\\"\"]"] {
            assert_eq!(InstanceAddr::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "a", "a.b.c", "module.m", "a.b[", "a.b[x]"] {
            assert_eq!(InstanceAddr::parse(text), None, "{text}");
        }
        assert_eq!(ModulePath::parse("module.a[1].module.b").unwrap().to_string(), "module.a[1].module.b");
        let text = "module.a.provider[\"registry.terraform.io/lampwright/lampwright\"].eu";
        assert_eq!(ProviderAddr::parse(text).unwrap().to_string(), text);
    }
}
