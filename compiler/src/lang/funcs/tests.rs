use crate::console;
use crate::diag::render::render;

#[test]
fn every_example_is_true() {
    for func in super::all() {
        assert!(!func.examples.is_empty() && !func.doc.is_empty(), "{} needs documentation", func.name);
        for (expression, expected) in func.examples {
            let mut sources = crate::source::SourceMap::default();
            match console::evaluate_constant(expression, &mut sources) {
                Ok(value) => assert_eq!(console::show(&value), *expected, "{expression}"),
                Err(diags) => panic!("{expression}\n{}", render(&diags, &sources)),
            }
        }
    }
}

#[test]
fn families_are_sorted_and_names_are_unique() {
    let mut names: Vec<&str> = super::all().map(|func| func.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count >= 40, "{count}");
    for family in super::FAMILIES {
        assert!(family.is_sorted_by_key(|func| func.name), "{}", family[0].name);
    }
}
