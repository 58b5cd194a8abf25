//! Files of the module, read through the loader, so that the compiler itself touches no disk.

use value::{Ty, Value};

use super::{CallContext, Func, FuncError, Param, argument, fits, gives_bool, gives_string, string, text};
use crate::source::{LoadError, join_path};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "basename",
        doc: "The last part of a path.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"basename("a/b.txt")"#, r#""b.txt""#)],
        result_ty: gives_string,
        call: |args, _| Ok(text(args, 0).trim_end_matches('/').rsplit('/').next().unwrap_or_default().into()),
    },
    Func {
        name: "dirname",
        doc: "A path without its last part.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"dirname("a/b.txt")"#, r#""a""#), (r#"dirname("b.txt")"#, r#"".""#)],
        result_ty: gives_string,
        call: |args, _| Ok(text(args, 0).rsplit_once('/').map_or(".", |(folder, _)| folder).into()),
    },
    Func {
        name: "file",
        doc: "The text of a file; relative paths start at the folder of the root module, so write \"${path.module}/name\".",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"can(file("/no/such/file"))"#, "false")],
        result_ty: gives_string,
        call: |args, context| {
            let bytes = read(args, context)?;
            let text = String::from_utf8(bytes).map_err(|_| argument(0, "the file is not UTF-8"))?;
            Ok(Value::string(text))
        },
    },
    Func {
        name: "fileexists",
        doc: "Whether there is a file.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"fileexists("/no/such/file")"#, "false")],
        result_ty: gives_bool,
        call: |args, context| match load(args, context) {
            Ok(_) => Ok(Value::Bool(true)),
            Err(_) => Ok(Value::Bool(false)),
        },
    },
];

fn load(args: &[Value], context: &CallContext<'_>) -> Result<Vec<u8>, LoadError> {
    let path = join_path(context.folder, text(args, 0));
    match context.loader {
        Some(loader) => loader.read(&path),
        None => Err(LoadError::NotFound(path)),
    }
}

fn read(args: &[Value], context: &CallContext<'_>) -> Result<Vec<u8>, FuncError> {
    debug_assert_eq!(args[0].ty(), Ty::String);
    let bytes = load(args, context).map_err(|error| argument(0, error.to_string()))?;
    fits(bytes.len())?;
    Ok(bytes)
}
