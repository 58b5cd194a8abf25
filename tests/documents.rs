//! What documents show is what the program takes.

use crate::sandbox::{Sandbox, repository};

/// The stacks of a document, in their order.
fn stacks(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("docs").join(document)).expect("UTF-8");
    let blocks = text.split("```hcl\n").skip(1);
    blocks.map(|block| block.split("```").next().expect("an end").to_owned()).collect()
}

fn layer(name: &str) -> String {
    format!("resource \"lamp_cluster\" \"{name}\" {{\n  nodes = 2\n  app   = \"./app\"\n}}\n")
}

#[test]
fn blocks_about_objects_are_taken() {
    let sandbox = Sandbox::new();
    sandbox.write("stack/app/index.php", "<?php\n");
    let described = [layer("front"), String::new(), layer("web"), layer("web")];
    let shown = stacks("planning.md");
    assert_eq!(shown.len(), described.len());
    for (block, described) in shown.iter().zip(described) {
        sandbox.write("stack/main.stack.hcl", &format!("{}{described}{block}", sandbox.provider_block()));
        sandbox.lampwright("stack", &["validate"]).success();
    }
}

#[test]
fn blocks_about_states_are_taken() {
    let sandbox = Sandbox::new();
    sandbox.write("stack/app/index.php", "<?php\n");
    let shown = stacks("state.md");
    let [backend, encryption] = shown.as_slice() else { panic!("{shown:#?}") };
    let variable = |name: &str| format!("variable \"{name}\" {{}}\n");
    sandbox.write("stack/main.stack.hcl", &format!("{backend}{}", variable("region")));
    let refused = sandbox.lampwright("stack", &["state", "list"]).failure();
    assert!(refused.contains("its state is in a backend (s3), which was not used here yet"), "{refused}");
    let text = format!("{}{}{encryption}{}", sandbox.provider_block(), layer("web"), variable("passphrase"));
    sandbox.write("stack/main.stack.hcl", &text);
    let args = ["apply", "-auto-approve", "-var", "passphrase=sixteen bytes and more"];
    sandbox.lampwright("stack", &args).success();
    let state = std::fs::read_to_string(sandbox.join("stack/terraform.tfstate")).expect("a state");
    assert!(state.contains("\"encrypted_data\""), "{state}");
    sandbox.lampwright("stack", &["destroy", "-auto-approve", "-var", "passphrase=sixteen bytes and more"]).success();
}
