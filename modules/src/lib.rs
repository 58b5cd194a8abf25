//! The library of stack modules, as folders beside this file (`NAME/*.stack.hcl`, a README, examples, tests with their
//! snapshots), and all of them in the program, at the program's version.

mod files {
    include!(concat!(env!("OUT_DIR"), "/files.rs"));
}

/// What comes before a module's name in `source = "lampwright/lamp"`.
pub const PREFIX: &str = "lampwright/";

/// The names of all modules, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = files::FILES.iter().filter_map(|(path, _)| path.split('/').next()).collect();
    names.dedup();
    names
}

/// The files of a module: path below its folder, and content. None if there is no such module.
pub fn files(name: &str) -> Option<Vec<(&'static str, &'static [u8])>> {
    let own = files::FILES.iter().filter_map(|(path, content)| {
        let (module, rest) = path.split_once('/')?;
        (module == name).then_some((rest, *content))
    });
    let found: Vec<(&str, &[u8])> = own.collect();
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_in_the_program() {
        assert!(names().contains(&"lamp"), "{:?}", names());
        let lamp = files("lamp").unwrap();
        assert!(lamp.iter().any(|(path, content)| *path == "main.stack.hcl" && !content.is_empty()));
        assert!(files("lam").is_none());
    }
}
