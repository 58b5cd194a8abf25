//! Which provider a resource belongs to, and with which configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use value::schema::{Function, Schema};

use crate::addr::{BUILTIN, InstanceAddr, Mode, ProviderAddr, ProviderSource, ResourceAddr};
use crate::diag::Diagnostic;
use crate::lang::declare::{ModuleDecl, ProviderRef, Resource};
use crate::program::{ModuleId, Program};
use crate::source::Span;

/// What the providers in use say they have.
pub type Schemas = IndexMap<ProviderSource, Arc<ProviderSchemas>>;

#[derive(Debug, Clone, Default)]
pub struct ProviderSchemas {
    pub provider: Arc<Schema>,
    /// Of what modules tell it of themselves, if it wants to be told.
    pub meta: Option<Arc<Schema>>,
    pub resources: BTreeMap<Arc<str>, Arc<Schema>>,
    pub data_sources: BTreeMap<Arc<str>, Arc<Schema>>,
    pub ephemeral_resources: BTreeMap<Arc<str>, Arc<Schema>>,
    pub functions: BTreeMap<Arc<str>, Arc<Function>>,
}

impl ProviderSchemas {
    pub fn get(&self, mode: Mode, ty: &str) -> Option<&Arc<Schema>> {
        match mode {
            Mode::Managed => self.resources.get(ty),
            Mode::Data => self.data_sources.get(ty),
            Mode::Ephemeral => self.ephemeral_resources.get(ty),
        }
    }
}

/// A provider that a program needs, where that is said (if it is), and the version that is asked for.
#[derive(Debug, Clone)]
pub struct Requirement {
    pub source: ProviderSource,
    pub version: Option<String>,
    pub span: Option<Span>,
}

impl Program {
    /// Every provider that is in use, each once.
    pub fn requirements(&self) -> Vec<Requirement> {
        let mut found: IndexMap<ProviderSource, Requirement> = IndexMap::new();
        for requirement in self.ids().flat_map(|id| self.required_by(id)) {
            let version = requirement.version.clone();
            let entry = found.entry(requirement.source.clone()).or_insert(requirement);
            entry.version = entry.version.take().or(version);
        }
        found.into_values().collect()
    }

    /// Everything in a module, without those that it calls, that needs a provider.
    pub fn required_by(&self, id: ModuleId) -> impl Iterator<Item = Requirement> {
        let decl = &self.module(id).decl;
        let required = decl.required_providers.values().map(|required| Requirement {
            source: required.source.clone(),
            version: required.version.clone(),
            span: Some(required.span),
        });
        let needed = |source, span| Requirement { source, version: None, span: Some(span) };
        let configured = decl.providers.iter().map(move |config| {
            let source = self.source_of(id, &config.name.name);
            needed(source, config.header)
        });
        let described = decl.resources.values().map(move |resource| {
            let source = match &resource.provider {
                Some(reference) => self.source_of(id, &reference.name),
                // Whether it really is ours is decided by the schemas.
                None => implied(decl, &resource.ty.name).unwrap_or_else(ProviderSource::lampwright),
            };
            needed(source, resource.header)
        });
        // What is imported may have no block yet.
        let imported = decl.imports.iter().filter_map(move |import| {
            let addr = import.target()?;
            let source = implied(decl, &addr.ty).filter(|_| addr.module.is_root())?;
            Some(needed(source, import.span))
        });
        required.chain(configured).chain(described).chain(imported)
    }

    /// The constraints on the versions of providers, of all modules.
    pub fn wanted_versions(&self) -> BTreeMap<ProviderSource, Vec<String>> {
        let mut wanted: BTreeMap<ProviderSource, Vec<String>> = BTreeMap::new();
        let required = self.ids().flat_map(|id| self.module(id).decl.required_providers.values());
        for (source, version) in required.filter_map(|required| Some((&required.source, required.version.as_ref()?))) {
            let versions = wanted.entry(source.clone()).or_default();
            if !versions.contains(version) {
                versions.push(version.clone());
            }
        }
        wanted
    }

    /// What a local name of a provider means in a module.
    pub fn source_of(&self, module: ModuleId, local_name: &str) -> ProviderSource {
        match self.module(module).decl.required_providers.get(local_name) {
            Some(required) => required.source.clone(),
            None if local_name == "lampwright" => ProviderSource::lampwright(),
            None if local_name == BUILTIN => ProviderSource::builtin(),
            None => ProviderSource::parse(local_name).unwrap_or_else(ProviderSource::lampwright),
        }
    }

    /// The provider of a resource, and the schema of its type.
    pub fn bind(
        &self,
        module: ModuleId,
        resource: &Resource,
        schemas: &Schemas,
    ) -> Result<(ProviderAddr, Arc<Schema>), Diagnostic> {
        let ty = &resource.ty.name;
        let decl = &self.module(module).decl;
        let (source, alias) = match &resource.provider {
            Some(reference) => (self.source_of(module, &reference.name), reference.alias.clone()),
            None => match implied(decl, ty) {
                Some(source) => (source, None),
                None => (self.source_by_schema(module, resource, schemas)?, None),
            },
        };
        let schema = schemas.get(&source).and_then(|provider| provider.get(resource.mode, ty)).cloned();
        let schema = schema.ok_or_else(|| Program::unknown_type(resource, schemas))?;
        let reference = resource.provider.as_ref().map(|reference| reference.name.clone());
        let addr = self.configuration(module, &source, reference.as_deref(), alias.as_deref());
        let addr = addr.ok_or_else(|| {
            let label = format!(
                "there is no configuration of {} with the alias `{}`",
                source.short(),
                alias.as_deref().unwrap_or("")
            );
            let span = resource.provider.as_ref().map_or(resource.header, |reference| reference.span);
            Diagnostic::error("unknown provider configuration", label).at(span)
        })?;
        Ok((addr, schema))
    }

    /// The one provider in use that has the type.
    fn source_by_schema(
        &self,
        module: ModuleId,
        resource: &Resource,
        schemas: &Schemas,
    ) -> Result<ProviderSource, Diagnostic> {
        let decl = &self.module(module).decl;
        let own: Vec<ProviderSource> =
            decl.required_providers.values().map(|required| required.source.clone()).collect();
        let has = |source: &&ProviderSource| {
            schemas.get(*source).is_some_and(|provider| provider.get(resource.mode, &resource.ty.name).is_some())
        };
        let lampwright = ProviderSource::lampwright();
        let mut candidates = own.iter().chain(Some(&lampwright).filter(|ours| !own.contains(ours))).filter(has);
        match (candidates.next(), candidates.next()) {
            (Some(source), None) => Ok(source.clone()),
            (None, _) => Err(Program::unknown_type(resource, schemas)),
            (Some(one), Some(other)) => {
                let label = format!("both {} and {} have this type", one.short(), other.short());
                let diagnostic = Diagnostic::error("ambiguous resource type", label).at(resource.ty.span);
                Err(diagnostic.note("say which one with the argument `provider`"))
            }
        }
    }

    /// The provider that an object of this type would have in the root module; an error says why there is none.
    pub fn provider_of_type(&self, ty: &str, schemas: &Schemas) -> Result<(ProviderAddr, Arc<Schema>), String> {
        let decl = self.root();
        let has =
            |source: &&ProviderSource| schemas.get(*source).is_some_and(|all| all.get(Mode::Managed, ty).is_some());
        let implied = implied(decl, ty);
        let mut candidates = match &implied {
            Some(source) => vec![source],
            None => schemas.keys().collect(),
        };
        candidates.retain(has);
        let [source] = candidates[..] else {
            return Err(match candidates.len() {
                0 => format!("no provider in use has a resource type `{ty}`"),
                _ => format!("several providers have the resource type `{ty}`"),
            });
        };
        let schema = schemas.get(source).and_then(|all| all.get(Mode::Managed, ty)).cloned();
        let addr = self.configuration(crate::program::ROOT, source, None, None);
        addr.zip(schema).ok_or_else(|| format!("{} is not configured", source.short()))
    }

    fn unknown_type(resource: &Resource, schemas: &Schemas) -> Diagnostic {
        let ty = &resource.ty.name;
        let types = |provider: &ProviderSchemas| -> Vec<Arc<str>> {
            match resource.mode {
                Mode::Managed => provider.resources.keys().cloned().collect(),
                Mode::Data => provider.data_sources.keys().cloned().collect(),
                Mode::Ephemeral => provider.ephemeral_resources.keys().cloned().collect(),
            }
        };
        let all: Vec<Arc<str>> = schemas.values().flat_map(|provider| types(provider)).collect();
        let kind = match resource.mode {
            Mode::Managed => "resource",
            Mode::Data => "data source",
            Mode::Ephemeral => "ephemeral resource",
        };
        let label = format!("no provider in use has a {kind} type `{ty}`");
        let diagnostic = Diagnostic::error("unknown type", label).at(resource.ty.span);
        let in_use: Vec<String> = schemas.keys().map(ProviderSource::short).collect();
        diagnostic.suggest(ty, all.iter().map(|name| &**name)).note(format!("providers in use: {}", in_use.join(", ")))
    }

    /// The provider of an object that a state has: that of its resource, or that it was made with if there is no such
    /// resource any more. `None`: that is not there any more, and nothing tells how it was configured.
    pub fn provider_of(
        &self,
        addr: &InstanceAddr,
        made_with: &ProviderAddr,
        schemas: &Schemas,
    ) -> Option<ProviderAddr> {
        let key = (addr.mode, addr.ty.clone(), addr.name.clone());
        let path = addr.module.config_path();
        let module = self.ids().find(|id| self.module(*id).path == path);
        let resource = module.and_then(|module| Some((module, self.module(module).decl.resources.get(&key)?)));
        if let Some((module, resource)) = resource
            && let Ok((provider, _)) = self.bind(module, resource, schemas)
        {
            return Some(provider);
        }
        // In the root module a default one needs no block.
        let is_default = made_with.module.is_empty() && made_with.alias.is_none();
        (is_default || self.has_provider_block(made_with)).then(|| made_with.clone())
    }

    /// Whether there is a block of this resource.
    pub fn has_resource(&self, addr: &ResourceAddr) -> bool {
        let mut modules = self.ids().filter(|id| self.module(*id).path == addr.module);
        let key = (addr.mode, addr.ty.clone(), addr.name.clone());
        modules.any(|id| self.module(id).decl.resources.contains_key(&key))
    }

    /// Whether a block configures this provider; one without a block needs no configuration.
    pub fn has_provider_block(&self, addr: &ProviderAddr) -> bool {
        let mut modules = self.ids().filter(|id| self.module(*id).path == addr.module);
        modules.any(|id| {
            let mut blocks = self.module(id).decl.providers.iter();
            blocks.any(|block| block.alias == addr.alias && self.source_of(id, &block.name.name) == addr.source)
        })
    }

    /// The configuration that a module uses of a provider: its own, one that its caller passes, or the default one
    /// that it inherits. `None` if an alias does not exist.
    pub fn configuration(
        &self,
        module: ModuleId,
        source: &ProviderSource,
        local_name: Option<&str>,
        alias: Option<&str>,
    ) -> Option<ProviderAddr> {
        let this = self.module(module);
        let found =
            this.decl.providers.iter().find(|config| {
                config.alias.as_deref() == alias && self.source_of(module, &config.name.name) == *source
            });
        if found.is_some() {
            return Some(ProviderAddr {
                module: this.path.clone(),
                source: source.clone(),
                alias: alias.map(Arc::from),
            });
        }
        let Some(parent) = this.parent else {
            return alias.is_none().then(|| ProviderAddr { module: Vec::new(), source: source.clone(), alias: None });
        };
        let call = this.path.last().and_then(|name| self.module(parent).decl.calls.get(name))?;
        let fits = |inner: &ProviderRef| {
            inner.alias.as_deref() == alias
                && (local_name == Some(&*inner.name) || self.source_of(module, &inner.name) == *source)
        };
        match call.providers.iter().find(|(inner, _)| fits(inner)) {
            Some((_, outer)) => {
                let outer_source = self.source_of(parent, &outer.name);
                self.configuration(parent, &outer_source, Some(&outer.name), outer.alias.as_deref())
            }
            None if alias.is_none() => self.configuration(parent, source, None, None),
            None => None,
        }
    }
}

/// The provider that the name of a type says.
fn implied(module: &ModuleDecl, ty: &str) -> Option<ProviderSource> {
    match module.required_providers.get(prefix(ty)) {
        Some(required) => Some(required.source.clone()),
        None if prefix(ty) == BUILTIN => Some(ProviderSource::builtin()),
        None => None,
    }
}

fn prefix(ty: &str) -> &str {
    ty.split_once('_').map_or(ty, |(prefix, _)| prefix)
}
