use engine::plan::{Goal, file};
use engine::state::seal::Seal;
use engine::{apply, plan::Action};

use super::bed::{Bed, plan_for};

#[tokio::test]
async fn a_saved_plan_reads_back_and_applies() {
    let mut bed = Bed::new();
    bed.set("size", 3);
    let text = "variable \"size\" {}\nresource \"thing\" \"a\" {\n  size = var.size\n}\n";
    let (run, sources) = bed.run(text).await;
    let mut store = bed.store();
    let (plan, _) = plan_for(&run, &store, Goal::Configuration).await;
    let path = bed.folder.path().join("plan");
    file::write(&path, &plan, &run.program, sources.files(), &run.inputs, "here", &Seal::default()).unwrap();
    let saved = file::read(&path, &Seal::default()).unwrap();
    let decoded = file::decode(&saved, run.providers.schemas()).unwrap();
    let changes: Vec<_> = decoded.changes.values().map(|change| (change.addr.to_string(), change.action)).collect();
    assert_eq!(changes, [("thing.a".to_owned(), Action::Create)]);
    assert_eq!(
        saved.inputs.get("size").and_then(|input| input.value.as_number().and_then(value::Number::to_i64)),
        Some(3)
    );
    let (summary, diags) = apply::apply(&run, &mut store, &decoded).await;
    assert_eq!((summary.added, diags.has_errors()), (1, false));
}

#[test]
fn another_file_is_not_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    std::fs::write(&path, "{}").unwrap();
    assert!(matches!(file::read(&path, &Seal::default()), Err(file::PlanFileError::Malformed { .. })));
}
