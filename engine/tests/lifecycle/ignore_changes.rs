//! `ignore_changes`: what others change, or the configuration no longer says, stays.

use engine::host::fake::replace_when_changed;

use super::bed::{Bed, NOTHING_TO_DO};

fn stack(ignore: &str, body: &str) -> String {
    format!(
        "resource \"tagged\" \"a\" {{\n{body}\n  lifecycle {{\n    ignore_changes = {ignore}\n  }}\n}}\n\
         output \"tags\" {{\n  value = tagged.a.tags\n}}\noutput \"rules\" {{\n  value = tagged.a.rule\n}}\n"
    )
}

/// What the second configuration changes of what the first has made.
async fn changed(ignore: &str, first: &str, second: &str) -> String {
    let mut bed = Bed::new();
    let applied = bed.apply(&stack(ignore, first)).await;
    assert_eq!(applied.errors, "");
    let plan = bed.plan(&stack(ignore, second)).await;
    let applied = bed.apply(&stack(ignore, second)).await;
    assert_eq!(applied.errors, "");
    assert_eq!(bed.plan(&stack(ignore, second)).await, NOTHING_TO_DO);
    plan
}

#[tokio::test]
async fn a_key_that_comes_or_goes_is_ignored() {
    let both = "tags = { a = \"1\", b = \"1\" }";
    for (first, second) in [
        ("tags = { b = \"1\" }", both),
        (both, "tags = { b = \"1\" }"),
        (both, "tags = { a = \"2\", b = \"1\" }"),
        ("tags = { a = \"1\" }", ""),
    ] {
        assert_eq!(changed("[tags[\"a\"]]", first, second).await, NOTHING_TO_DO, "{first} then {second}");
    }
}

#[tokio::test]
async fn other_keys_are_not_ignored() {
    let plan = changed("[tags[\"a\"]]", "tags = { a = \"1\", b = \"1\" }", "tags = { b = \"2\", c = \"1\" }").await;
    assert!(plan.contains("tags[\"b\"] = \"1\" → \"2\"") && plan.contains("tags[\"c\"] = \"1\""), "{plan}");
    assert!(!plan.contains("tags[\"a\"]"), "{plan}");
}

#[tokio::test]
async fn keys_in_blocks_and_in_objects_are_ignored() {
    let rule = |labels: &str| format!("rule {{\n    labels = {{ {labels} }}\n  }}");
    let ignore = "[rule[0].labels[\"a\"]]";
    assert_eq!(changed(ignore, &rule("b = \"1\""), &rule("a = \"1\", b = \"1\"")).await, NOTHING_TO_DO);
    assert_eq!(changed(ignore, &rule("a = \"1\", b = \"1\""), &rule("b = \"1\"")).await, NOTHING_TO_DO);
    let plan = changed(ignore, &rule("a = \"1\""), &rule("a = \"2\", b = \"2\"")).await;
    assert!(plan.contains("rule[0].labels[\"b\"]") && !plan.contains("rule[0].labels[\"a\"]"), "{plan}");
    let ignore = "[any[\"a\"]]";
    assert_eq!(changed(ignore, "any = { b = 1 }", "any = { a = 1, b = 1 }").await, NOTHING_TO_DO);
    assert_eq!(changed(ignore, "any = { a = 1, b = 1 }", "any = { b = 1 }").await, NOTHING_TO_DO);
}

#[tokio::test]
async fn whole_blocks_are_ignored() {
    let rule = |port: u32| format!("rule {{\n    port = {port}\n  }}\n");
    for ignore in ["[rule]", "all"] {
        let two = format!("{}{}", rule(1), rule(2));
        assert_eq!(changed(ignore, &rule(1), &two).await, NOTHING_TO_DO);
        assert_eq!(changed(ignore, &two, &rule(3)).await, NOTHING_TO_DO);
        assert_eq!(changed(ignore, &rule(1), "").await, NOTHING_TO_DO);
    }
    assert_eq!(changed("[rule[0].port]", &rule(1), &rule(2)).await, NOTHING_TO_DO);
    let plan = changed("[rule[1].port]", &rule(1), &rule(2)).await;
    assert!(plan.contains("rule[0].port = 1 → 2"), "{plan}");
}

/// What is not known in the plan is ignored in the apply as well.
#[tokio::test]
async fn a_key_of_unknown_value_is_ignored() {
    let text = |key: &str| {
        format!("resource \"thing\" \"b\" {{\n}}\n{}", stack("[tags[\"a\"]]", &format!("tags = {{ {key} b = \"1\" }}")))
    };
    let mut bed = Bed::new();
    bed.apply(&text("").replace("resource \"thing\" \"b\" {\n}\n", "")).await;
    let applied = bed.apply(&text("a = thing.b.id,")).await;
    assert_eq!((applied.errors.as_str(), &*applied.calls), ("", &["create thing.b".to_owned()][..]));
    assert_eq!(bed.plan(&text("a = thing.b.id,")).await, NOTHING_TO_DO);
}

/// As terraform: what is made anew is made as the configuration says.
#[tokio::test]
async fn a_replacement_ignores_nothing() {
    let text = |size: u32, name: &str| stack("[name]", &format!("size = {size}\n  name = \"{name}\""));
    let mut bed = Bed::new();
    bed.apply(&text(1, "old")).await;
    bed.provider.plan = replace_when_changed("size");
    let applied = bed.apply(&text(2, "new")).await;
    assert_eq!(applied.errors, "");
    let attributes = bed.store().state().instances.values().next().unwrap().attributes.clone();
    assert_eq!(attributes["name"], "new");
}
