//! What modules tell providers of themselves, in `provider_meta` blocks: it goes with what is asked of their objects.

use value::{Path, Value};

use crate::addr::{InstanceAddr, ProviderSource};
use crate::binding::{ProviderSchemas, Schemas};
use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::declare::ProviderMeta;
use crate::lang::eval::body::{Spans, Target};
use crate::lang::eval::{Ctx, NoScope};
use crate::program::Program;

impl Program {
    /// Reports what no provider can be told.
    pub fn check_provider_metas(&self, schemas: &Schemas, diags: &mut Diagnostics) {
        for id in self.ids() {
            for meta in &self.module(id).decl.provider_metas {
                let source = self.source_of(id, &meta.name.name);
                match schemas.get(&source) {
                    Some(provider) => drop(read(meta, &source, provider, diags)),
                    None => {
                        let label = format!("{} is no provider in use", source.short());
                        let diagnostic = Diagnostic::error("unknown provider", label).at(meta.name.span);
                        let names = self.module(id).decl.required_providers.keys().map(|name| &**name);
                        diags.push(diagnostic.suggest(&meta.name.name, names));
                    }
                }
            }
        }
    }

    /// What the module of an object tells the object's provider.
    pub fn provider_meta(&self, addr: &InstanceAddr, source: &ProviderSource, schemas: &Schemas) -> Option<Value> {
        let mut telling = self.ids().filter(|id| !self.module(*id).decl.provider_metas.is_empty()).peekable();
        telling.peek()?;
        let path = addr.module.config_path();
        let module = telling.find(|id| self.module(*id).path == path)?;
        let mut metas = self.module(module).decl.provider_metas.iter();
        let meta = metas.find(|meta| self.source_of(module, &meta.name.name) == *source)?;
        // What is wrong with it was reported before anything was asked.
        read(meta, source, schemas.get(source)?, &mut Diagnostics::default())
    }
}

/// It is the same for all objects of the module: references have no meaning in it.
fn read(
    meta: &ProviderMeta,
    source: &ProviderSource,
    provider: &ProviderSchemas,
    diags: &mut Diagnostics,
) -> Option<Value> {
    let Some(schema) = &provider.meta else {
        let label = format!("{} takes nothing that modules say of themselves", source.short());
        diags.push(Diagnostic::error("unsupported block", label).at(meta.header));
        return None;
    };
    let is_ours = *source == ProviderSource::lampwright();
    let target = Target { kind: "provider_meta", header: meta.header, is_ours, is_stored: false };
    let mut ctx = Ctx::new(&NoScope);
    let value = ctx.decode_body(&meta.body, &schema.block, &target, &Path::root(), &mut Spans::default());
    diags.extend(ctx.diags);
    Some(value.unmark_deep().0)
}
