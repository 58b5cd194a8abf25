//! Paths, and files of the module: read through the loader, so that the compiler itself touches no disk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use value::Value;

use super::{CallContext, Func, FuncError, Param, argument, failed, fits, gives_bool, gives_string, string, text};
use crate::source::{LoadError, join_path};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "abspath",
        doc: "A path from the root of the disk; a relative one begins in the folder where the program runs.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"abspath("/a/../b")"#, r#""/b""#)],
        unknown: gives_string,
        call: |args, context| {
            let path = text(args, 0);
            let cwd = context.surroundings().map_or("", |surroundings| surroundings.cwd.as_str());
            if !path.starts_with('/') && !cwd.starts_with('/') {
                return Err(argument(0, "where the program runs is not known here"));
            }
            Ok(Value::string(join_path(cwd, path)))
        },
    },
    Func {
        name: "basename",
        doc: "The last part of a path.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"basename("a/b.txt")"#, r#""b.txt""#)],
        unknown: gives_string,
        call: |args, _| {
            let path = text(args, 0);
            Ok(match path.trim_end_matches('/') {
                "" if path.is_empty() => ".".into(),
                "" => "/".into(),
                path => path.rsplit('/').next().unwrap_or_default().into(),
            })
        },
    },
    Func {
        name: "dirname",
        doc: "A path without its last part.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"dirname("a/b.txt")"#, r#""a""#), (r#"dirname("b.txt")"#, r#"".""#)],
        unknown: gives_string,
        call: |args, _| {
            let folder =
                text(args, 0).rsplit_once('/').map_or(".", |(folder, _)| if folder.is_empty() { "/" } else { folder });
            Ok(Value::string(join_path(".", folder)))
        },
    },
    Func {
        name: "file",
        doc: "The text of a file; relative paths start at the folder of the root module, so write \"${path.module}/name\".",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"can(file("/no/such/file"))"#, "false")],
        unknown: gives_string,
        call: |args, context| read_text(args, context).map(Value::string),
    },
    Func {
        name: "filebase64",
        doc: "The bytes of a file, in base64.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"can(filebase64("/no/such/file"))"#, "false")],
        unknown: gives_string,
        call: |args, context| Ok(Value::string(STANDARD.encode(read(args, context)?))),
    },
    Func {
        name: "fileexists",
        doc: "Whether there is a file. A folder in its place is an error.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"fileexists("/no/such/file")"#, "false")],
        unknown: gives_bool,
        call: |args, context| {
            let path = path(args, context);
            let loader = context.loader();
            let found = loader.map_or(Err(LoadError::NotFound(path.clone())), |loader| loader.read(&path));
            if found.is_err() && loader.is_some_and(|loader| loader.entries(&path).is_ok()) {
                return Err(argument(0, format!("{path:?} is a folder")));
            }
            Ok(Value::Bool(found.is_ok()))
        },
    },
    Func {
        name: "pathexpand",
        doc: "A path with the folder of the user for a ~ at its beginning.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"pathexpand("/a/b")"#, r#""/a/b""#)],
        unknown: gives_string,
        call: |args, context| {
            let path = text(args, 0);
            let Some(below) = path.strip_prefix('~') else { return Ok(path.into()) };
            if !below.is_empty() && !below.starts_with('/') {
                return Err(argument(0, "folders of other users are not known: write ~/ at the beginning"));
            }
            let home = context.surroundings().and_then(|surroundings| surroundings.home.as_deref());
            let home = home.ok_or_else(|| failed("which folder is the user's is not known here"))?;
            Ok(Value::string(join_path(home, below.trim_start_matches('/'))))
        },
    },
];

/// The path that an argument names, from where the loader begins.
fn path(args: &[Value], context: &CallContext<'_>) -> String {
    let home = context.surroundings().and_then(|surroundings| surroundings.home.as_deref());
    match (text(args, 0).strip_prefix("~/"), home) {
        (Some(below), Some(home)) => join_path(home, below),
        _ => join_path(context.folder(), text(args, 0)),
    }
}

pub(super) fn read(args: &[Value], context: &CallContext<'_>) -> Result<Vec<u8>, FuncError> {
    let path = path(args, context);
    let found = match context.loader() {
        Some(loader) => loader.read(&path),
        None => Err(LoadError::NotFound(path)),
    };
    let bytes = found.map_err(|error| argument(0, error.to_string()))?;
    fits(bytes.len())?;
    Ok(bytes)
}

pub(super) fn read_text(args: &[Value], context: &CallContext<'_>) -> Result<String, FuncError> {
    String::from_utf8(read(args, context)?).map_err(|_| argument(0, "the file is not UTF-8"))
}
