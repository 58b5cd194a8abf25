//! Writes `proto/src/gen/*.rs` from the `.proto` files: `cargo regen`, in the root of the repository.
//!
//! The generated files are committed so that nobody who builds the project needs a generator;
//! `cargo regen -- --check` fails when they are not what the `.proto` files give.

use std::path::Path;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let check = std::env::args().any(|argument| argument == "--check");
    let target = Path::new("proto/src/gen");
    let scratch = Path::new("target/regen");
    std::fs::create_dir_all(scratch)?;
    let configure = || tonic_prost_build::configure().out_dir(scratch).build_transport(false);
    // Clients go by `proto/src/rpc.rs`, in both versions of the protocol. Default stubs answer "unimplemented" to calls that we do not serve; they do not go with streaming services.
    let tfplugin6 = protox::compile(["tfplugin6.proto"], ["proto"])?;
    configure().build_client(false).generate_default_stubs(true).compile_fds(tfplugin6)?;
    let tfplugin5 = protox::compile(["tfplugin5.proto"], ["proto"])?;
    let shared = configure().build_client(false).build_server(false).extern_path(".tfplugin6", "crate::tfplugin6");
    shared.compile_fds(tfplugin5)?;
    configure().compile_fds(protox::compile(["plugin.proto"], ["proto"])?)?;
    configure().compile_fds(protox::compile(["lampwright.proto"], ["proto"])?)?;
    for name in ["lampwright.rs", "plugin.rs", "tfplugin5.rs", "tfplugin6.rs"] {
        let fresh = std::fs::read_to_string(scratch.join(name))?;
        let path = target.join(name);
        if check {
            let committed = std::fs::read_to_string(&path).with_context(|| format!("{} is missing", path.display()))?;
            if committed != fresh {
                bail!("{} is not what proto/*.proto give; run `cargo regen` and commit", path.display());
            }
        } else {
            std::fs::create_dir_all(target)?;
            std::fs::write(&path, fresh)?;
        }
    }
    Ok(())
}
