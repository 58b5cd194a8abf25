//! How states and plans are encrypted: what the `encryption` block says, and what the environment says besides. As the backend, it
//! is needed before anything else is known.

use std::fmt;
use std::sync::Arc;

use value::Value;

use crate::backend::Given;
use crate::diag::{Diagnostic, Diagnostics};
use crate::evaluation::Inputs;
use crate::lang::declare::encryption::{self, EncryptionDecl, Named, Target, reference};
use crate::lang::eval::evaluate;
use crate::program::Program;
use crate::source::{SourceLoader, SourceMap};
use crate::syntax;
use crate::syntax::ast::{Attribute, Body};

/// For states, plans, and states of other stacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encryption {
    pub state: Methods,
    pub plan: Methods,
    /// By the name of the data source; `None` is for all others.
    pub remote_states: Vec<(Option<Arc<str>>, Methods)>,
}

/// The first one writes; each is tried to read. None: nothing is encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Methods(pub Vec<Method>);

impl Methods {
    /// Whether what is written cannot be read by everybody.
    pub fn encrypts(&self) -> bool {
        matches!(self.0.first(), Some(Method::AesGcm { .. }))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    Unencrypted,
    AesGcm {
        key: Box<Pbkdf2>,
        /// Has to be the same for whoever reads.
        aad: Vec<u8>,
    },
}

/// A key from a passphrase (RFC 8018).
#[derive(Clone, PartialEq, Eq)]
pub struct Pbkdf2 {
    /// By which its metadata is found in a file.
    pub address: String,
    pub passphrase: String,
    pub key_length: usize,
    pub iterations: u32,
    pub salt_length: usize,
    pub hash: Hash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha512,
}

impl fmt::Debug for Pbkdf2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pbkdf2").field("address", &self.address).finish_non_exhaustive()
    }
}

/// OpenTofu's limits.
const MIN_PASSPHRASE: usize = 16;
const MIN_ITERATIONS: u32 = 200_000;
const ITERATIONS: u32 = 600_000;
/// More would keep whoever reads it busy for minutes.
pub const MAX_ITERATIONS: u32 = 50_000_000;

/// Of the root module, with the text of TF_ENCRYPTION.
pub fn settings(
    program: &Program,
    inputs: &Inputs,
    loader: &dyn SourceLoader,
    variable: Option<&str>,
    sources: &mut SourceMap,
) -> Result<Encryption, Diagnostics> {
    let mut diags = Diagnostics::default();
    let mut decl = program.root().encryption.clone().unwrap_or_default();
    if let Some(text) = variable.map(str::trim).filter(|text| !text.is_empty()) {
        if text.starts_with('{') {
            let label = "it is read in HCL only, and this is JSON";
            diags.push(Diagnostic::error("TF_ENCRYPTION cannot be read", label));
            return Err(diags);
        }
        let file = sources.add("TF_ENCRYPTION", text);
        let (body, found) = syntax::parse_file(file, sources);
        diags.extend(found);
        merge(&mut decl, encryption::body(&body, &mut diags));
    }
    let given = Given::new(program.root(), inputs, loader);
    let mut reader = Reader { decl: &decl, given, diags };
    let state = reader.target(decl.state.as_ref());
    let plan = reader.target(decl.plan.as_ref());
    let default = decl.remote_states.default.iter().map(|target| (None, target));
    let named = decl.remote_states.named.iter().map(|(name, target)| (Some(name.clone()), target));
    let remote_states = named.chain(default).map(|(name, target)| (name, reader.target(Some(target)))).collect();
    if reader.diags.has_errors() { Err(reader.diags) } else { Ok(Encryption { state, plan, remote_states }) }
}

/// What the environment says is stronger, argument by argument.
fn merge(decl: &mut EncryptionDecl, given: EncryptionDecl) {
    for (into, from) in [(&mut decl.key_providers, given.key_providers), (&mut decl.methods, given.methods)] {
        for one in from {
            match into.iter_mut().find(|known| (&known.ty.name, &known.name.name) == (&one.ty.name, &one.name.name)) {
                Some(known) => {
                    let is_given = |attribute: &Attribute| one.body.attribute(&attribute.name.name).is_some();
                    known.body.attributes.retain(|attribute| !is_given(attribute));
                    known.body.attributes.extend(one.body.attributes);
                }
                None => into.push(one),
            }
        }
    }
    for (into, from) in [(&mut decl.state, given.state), (&mut decl.plan, given.plan)] {
        if let Some(from) = from {
            let enforced = from.enforced || into.as_ref().is_some_and(|target| target.enforced);
            let before = into.take();
            let (method, fallback) = before.map_or((None, None), |target| (target.method, target.fallback));
            *into = Some(Target {
                enforced,
                method: from.method.or(method),
                fallback: from.fallback.or(fallback),
                span: from.span,
            });
        }
    }
    decl.remote_states.default = given.remote_states.default.or(decl.remote_states.default.take());
    for (name, target) in given.remote_states.named {
        decl.remote_states.named.retain(|(known, _)| *known != name);
        decl.remote_states.named.push((name, target));
    }
}

struct Reader<'p> {
    decl: &'p EncryptionDecl,
    given: Given<'p>,
    diags: Diagnostics,
}

impl Reader<'_> {
    fn target(&mut self, target: Option<&Target>) -> Methods {
        let mut methods = Vec::new();
        let mut next = target;
        while let Some(target) = next {
            match &target.method {
                Some((ty, name)) => methods.extend(self.method(ty, name, target)),
                None => {
                    let label = "`method` is required here";
                    self.diags.push(Diagnostic::error("missing argument", label).at(target.span));
                }
            }
            next = target.fallback.as_deref();
        }
        if let Some(target) = target.filter(|target| target.enforced)
            && methods.contains(&Method::Unencrypted)
        {
            let label = "`enforced` is set, and one of its methods does not encrypt";
            self.diags.push(Diagnostic::error("encryption is enforced", label).at(target.span));
        }
        Methods(methods)
    }

    fn method(&mut self, ty: &str, name: &str, target: &Target) -> Option<Method> {
        let decl = self.decl;
        let known = decl.methods.iter().find(|known| (&*known.ty.name, &*known.name.name) == (ty, name));
        let Some(method) = known else {
            let label = format!("there is no `method \"{ty}\" \"{name}\"`");
            self.diags.push(Diagnostic::error("reference to nothing", label).at(target.span));
            return None;
        };
        match ty {
            "unencrypted" => {
                self.only(&method.body, &[]);
                Some(Method::Unencrypted)
            }
            "aes_gcm" => self.aes_gcm(method),
            other => {
                let label = format!("there is no method {other:?} here; there are: aes_gcm, unencrypted");
                self.diags.push(Diagnostic::error("unsupported method", label).at(method.header));
                None
            }
        }
    }

    fn aes_gcm(&mut self, method: &Named) -> Option<Method> {
        self.only(&method.body, &["aad", "keys"]);
        let Some(keys) = method.body.attribute("keys") else {
            self.diags.push(Diagnostic::error("missing argument", "`keys` is required here").at(method.header));
            return None;
        };
        let Some((ty, name)) = reference(&keys.expr, "key_provider") else {
            let label = "a key provider is required here, such as key_provider.pbkdf2.name";
            self.diags.push(Diagnostic::error("invalid keys", label).at(keys.expr.span));
            return None;
        };
        let decl = self.decl;
        let known = decl.key_providers.iter().find(|known| (&known.ty.name, &known.name.name) == (&ty, &name));
        let Some(provider) = known else {
            let label = format!("there is no `key_provider \"{ty}\" \"{name}\"`");
            self.diags.push(Diagnostic::error("reference to nothing", label).at(keys.expr.span));
            return None;
        };
        let mut aad = Vec::new();
        if let Some(attribute) = method.body.attribute("aad") {
            let bytes = self.value(attribute);
            let byte = |item: &Value| match item {
                Value::Number(number) => number.to_usize().and_then(|number| u8::try_from(number).ok()),
                _ => None,
            };
            match bytes.as_items().map(|items| items.iter().map(byte).collect::<Option<Vec<u8>>>()) {
                Some(Some(bytes)) => aad = bytes,
                _ => self.wrong(attribute, "a list of numbers from 0 to 255 is required here"),
            }
        }
        Some(Method::AesGcm { key: Box::new(self.pbkdf2(provider)?), aad })
    }

    fn pbkdf2(&mut self, provider: &Named) -> Option<Pbkdf2> {
        let (ty, name) = (&provider.ty.name, &provider.name.name);
        if &**ty != "pbkdf2" {
            let label = format!("there is no key provider {ty:?} here; there is: pbkdf2");
            self.diags.push(Diagnostic::error("unsupported key provider", label).at(provider.header));
            return None;
        }
        let body = &provider.body;
        self.only(
            body,
            &["encrypted_metadata_alias", "hash_function", "iterations", "key_length", "passphrase", "salt_length"],
        );
        let mut key = Pbkdf2 {
            address: format!("key_provider.{ty}.{name}"),
            passphrase: String::new(),
            key_length: 32,
            iterations: ITERATIONS,
            salt_length: 32,
            hash: Hash::Sha512,
        };
        for attribute in &body.attributes {
            let value = self.value(attribute);
            let text = value.as_str();
            let number = match &value {
                Value::Number(number) => number.to_usize(),
                _ => None,
            };
            match (&*attribute.name.name, text, number) {
                ("passphrase", Some(text), _) if text.len() >= MIN_PASSPHRASE => text.clone_into(&mut key.passphrase),
                ("passphrase", _, _) => {
                    self.wrong(attribute, &format!("a text of at least {MIN_PASSPHRASE} bytes is required here"));
                }
                ("encrypted_metadata_alias", Some(text), _) => text.clone_into(&mut key.address),
                ("hash_function", Some("sha256"), _) => key.hash = Hash::Sha256,
                ("hash_function", Some("sha512"), _) => key.hash = Hash::Sha512,
                ("key_length", _, Some(number @ (16 | 24 | 32))) => key.key_length = number,
                ("salt_length", _, Some(number @ 1..=1024)) => key.salt_length = number,
                ("iterations", _, Some(number))
                    if u32::try_from(number).is_ok_and(|n| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(&n)) =>
                {
                    key.iterations = number as u32;
                }
                ("hash_function", _, _) => self.wrong(attribute, "sha256 or sha512 is required here"),
                ("key_length", _, _) => self.wrong(attribute, "16, 24 or 32 is required here"),
                ("salt_length", _, _) => self.wrong(attribute, "a number from 1 to 1024 is required here"),
                ("iterations", _, _) => {
                    let label = format!("a number from {MIN_ITERATIONS} to {MAX_ITERATIONS} is required here");
                    self.wrong(attribute, &label);
                }
                // What does not belong was told.
                _ => {}
            }
        }
        if body.attribute("passphrase").is_none() {
            let label = "`passphrase` is required here, or in TF_ENCRYPTION";
            self.diags.push(Diagnostic::error("missing argument", label).at(provider.header));
        }
        Some(key)
    }

    fn value(&mut self, attribute: &Attribute) -> Value {
        evaluate(&attribute.expr, &self.given, &mut self.diags).unmark_deep().0
    }

    fn wrong(&mut self, attribute: &Attribute, label: &str) {
        // What could not be evaluated was told.
        if !self.diags.has_errors() {
            self.diags.push(Diagnostic::error("invalid encryption", label.to_owned()).at(attribute.expr.span));
        }
    }

    fn only(&mut self, body: &Body, known: &[&str]) {
        for attribute in body.attributes.iter().filter(|attribute| !known.contains(&&*attribute.name.name)) {
            let label = format!("there is no argument `{}` here", attribute.name.name);
            let diagnostic = Diagnostic::error("unknown argument", label).at(attribute.name.span);
            self.diags.push(diagnostic.suggest(&attribute.name.name, known.iter().copied()));
        }
        for block in &body.blocks {
            let label = format!("there is no block `{}` here", block.kind.name);
            self.diags.push(Diagnostic::error("unknown block", label).at(block.header));
        }
    }
}
