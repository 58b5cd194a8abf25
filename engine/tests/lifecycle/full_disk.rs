//! What happens when the state cannot be written. (`tests/full_disk.rs` has a disk that really fills up.)

use engine::plan::Goal;
use engine::state::file;

use super::bed::Bed;

/// Where a file should be made, nothing can be.
fn block(bed: &Bed, suffix: &str) {
    std::fs::create_dir(bed.folder.path().join(format!("terraform.tfstate{suffix}"))).expect("a folder");
}

fn unblock(bed: &Bed, suffix: &str) {
    std::fs::remove_dir(bed.folder.path().join(format!("terraform.tfstate{suffix}"))).expect("a folder");
}

/// A stack that still needs its provider.
const NOTHING: &str = "resource \"thing\" \"none\" {\n  count = 0\n}\n";

const STACK: &str = "resource \"thing\" \"a\" {\n  count = 20\n}\n";

#[tokio::test]
async fn nothing_is_made_that_could_not_be_recorded_before() {
    let mut bed = Bed::new();
    let applied = bed.apply_with(STACK, Goal::Configuration, |bed| block(bed, ".journal")).await;
    assert_eq!(applied.calls, Vec::<String>::new());
    assert_eq!((applied.summary.added, applied.summary.not_done.len()), (0, 20));
    assert!(applied.errors.contains("the state cannot be written"), "{}", applied.errors);
    assert!(applied.errors.contains("nothing more was begun"), "{}", applied.errors);
    unblock(&bed, ".journal");
    assert_eq!(bed.apply(STACK).await.summary.added, 20);
}

#[tokio::test]
async fn nothing_is_changed_or_removed_that_could_not_be_recorded_before() {
    let stack = |size: u32| format!("resource \"thing\" \"a\" {{\n  count = 5\n  size  = {size}\n}}\n");
    let mut bed = Bed::new();
    bed.apply(&stack(1)).await;
    for (text, goal) in [(stack(2), Goal::Configuration), (stack(1), Goal::Nothing)] {
        let applied = bed.apply_with(&text, goal, |bed| block(bed, ".journal")).await;
        assert_eq!(applied.calls, Vec::<String>::new());
        assert_eq!(applied.summary.not_done.len(), 5);
        unblock(&bed, ".journal");
    }
    assert_eq!(bed.state().len(), 5);
}

#[tokio::test]
async fn an_object_that_cannot_step_aside_stays_the_object() {
    let stack = |size: u32| {
        format!(
            "resource \"thing\" \"a\" {{\n  size = {size}\n  lifecycle {{\n    create_before_destroy = true\n  }}\n}}\n"
        )
    };
    let mut bed = Bed::new();
    bed.apply(&stack(1)).await;
    bed.provider.plan = engine::host::fake::replace_when_changed("size");
    let applied = bed.apply_with(&stack(2), Goal::Configuration, |bed| block(bed, ".journal")).await;
    assert_eq!(applied.calls, Vec::<String>::new());
    unblock(&bed, ".journal");
    bed.assert_state(&["thing.a"]);
}

#[tokio::test]
async fn what_was_done_and_can_be_written_nowhere_is_kept_elsewhere() {
    let mut bed = Bed::new();
    let stack = "data \"thing\" \"d\" {}\n";
    let blocked = |bed: &Bed| [".journal", ".new"].iter().for_each(|suffix| block(bed, suffix));
    let applied = bed.apply_with(stack, Goal::Configuration, blocked).await;
    let kept = bed.folder.path().join("errored.tfstate");
    let place = bed.state_path();
    assert!(applied.errors.contains(&format!("mv {} {}", kept.display(), place.display())), "{}", applied.errors);
    assert_eq!(applied.summary.unwritten, None);
    [".journal", ".new"].iter().for_each(|suffix| unblock(&bed, suffix));
    // What it says to do does it.
    std::fs::rename(&kept, &place).expect("moved");
    assert_eq!(file::read(&place).expect("a state").instances.len(), 1);
    bed.assert_state(&["data.thing.d"]);
}

#[tokio::test]
async fn a_backup_that_cannot_be_written_is_told_and_no_obstacle() {
    let mut bed = Bed::new();
    bed.apply(STACK).await;
    let applied = bed.apply_with(NOTHING, Goal::Configuration, |bed| block(bed, ".backup")).await;
    assert_eq!(applied.summary.destroyed, 20);
    assert!(applied.errors.contains("warning: there is no backup"), "{}", applied.errors);
    bed.assert_state(&[]);
}
