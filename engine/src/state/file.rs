//! The state file: Terraform's format, version 4, byte for byte as Terraform writes it where that matters.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compiler::addr::{InstanceAddr, Key, Mode, ModulePath, ProviderAddr, ResourceAddr};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};
use value::codec::json as values;
use value::{Path, Step, Ty};

use super::seal::{self, Opened, Seal, SealError};
use super::{InDoubt, InstanceState, Operation, OutputState, State, private};

/// Named in the file, as the version of Terraform that could have written it.
const TERRAFORM_VERSION: &str = "1.11.4";

const UNFINISHED: &str = "lampwright_unfinished";

const IN_DOUBT: &str = "lampwright_in_doubt";

/// Last in the file: the checksum of everything before it. A letter that is another one may well be a state, too.
const CHECKSUM: &str = ",\n  \"lampwright_sha256\": \"";

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{path} cannot be read")]
    Read {
        path: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("{path} cannot be written")]
    Write {
        path: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("{path} is not a state file: {reason}")]
    Malformed { path: String, reason: String },
    #[error("the writing of {path} was cut off, and its whole copy {copy} cannot be read ({cause}); {advice}")]
    CutOff {
        path: String,
        copy: String,
        cause: std::io::Error,
        /// What there is besides.
        advice: String,
    },
    #[error("{path} has state format {found}; this program reads format 4")]
    Version { path: String, found: String },
    #[error("{path}: {cause}")]
    Sealed { path: String, cause: SealError },
}

/// The state in a file; an empty one if there is no file.
pub fn read(path: &FsPath) -> Result<State, StateError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State::default()),
        Err(cause) => return Err(StateError::Read { path: path.display().to_string(), cause }),
    };
    Ok(decode_or_copy(path, &bytes, &Seal::default())?.state)
}

/// What a state file says.
pub(super) struct Decoded {
    pub(super) state: State,
    /// What it was read from: the file, or its whole copy where the writing of it was cut off; as it would be written now.
    pub(super) bytes: Vec<u8>,
    pub(super) is_from_copy: bool,
    /// It is not what was written.
    pub(super) is_altered: bool,
    /// It is encrypted as it would be now.
    pub(super) is_current: bool,
}

/// What the bytes of a state file say; of one whose writing was cut off, what its whole copy says.
pub(super) fn decode_or_copy(path: &FsPath, bytes: &[u8], seal: &Seal) -> Result<Decoded, StateError> {
    if bytes.first() != Some(&BEING_WRITTEN) {
        return decode_sealed(path, bytes, seal);
    }
    let copy = copy_path(path);
    let whole = std::fs::read(&copy).map_err(|cause| StateError::CutOff {
        path: path.display().to_string(),
        copy: copy.display().to_string(),
        cause,
        advice: without_copy(path),
    })?;
    decode_sealed(&copy, &whole, seal).map(|decoded| Decoded { is_from_copy: true, ..decoded })
}

fn decode_sealed(path: &FsPath, bytes: &[u8], seal: &Seal) -> Result<Decoded, StateError> {
    let failed = |cause| StateError::Sealed { path: path.display().to_string(), cause };
    let Opened { text, is_current } = seal.open(bytes).map_err(failed)?;
    let state = parse(path, &text)?;
    // A backup shall not say what the state does not say any more.
    let bytes = if is_current { bytes.to_vec() } else { sealed(&state, &text, seal).map_err(failed)? };
    Ok(Decoded { state, bytes, is_from_copy: false, is_altered: is_altered(&text), is_current })
}

fn sealed(state: &State, text: &[u8], seal: &Seal) -> Result<Vec<u8>, SealError> {
    seal.seal(text, Some((state.serial, &state.lineage)))
}

/// The bytes of the file.
pub(super) fn encode_sealed(path: &FsPath, state: &State, seal: &Seal) -> Result<Vec<u8>, StateError> {
    let encoded = sealed(state, encode(state).as_bytes(), seal);
    encoded.map_err(|cause| StateError::Sealed { path: path.display().to_string(), cause })
}

/// How to go on with a state file whose writing was cut off, and that has lost its copy.
fn without_copy(path: &FsPath) -> String {
    let backup = backup_path(path);
    let (backup_name, path) = (backup.display(), path.display());
    if backup.is_file() {
        format!(
            "{backup_name} has the state from before that run: put it in the place of {path}, and the next run takes in what the journal beside it still says"
        )
    } else {
        format!("nor is there a {backup_name}: move {path} away, and `import` what exists into a new state")
    }
}

/// Where the state of before the last run is.
pub(super) fn backup_path(path: &FsPath) -> PathBuf {
    private::beside(path, ".backup")
}

pub fn parse(path: &FsPath, bytes: &[u8]) -> Result<State, StateError> {
    if bytes.is_empty() {
        return Ok(State::default());
    }
    let malformed = |reason: String| StateError::Malformed { path: path.display().to_string(), reason };
    let json: Json = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
    match json.get("version").map(ToString::to_string).as_deref() {
        Some("4") => {}
        Some(found) => {
            return Err(StateError::Version { path: path.display().to_string(), found: found.to_owned() });
        }
        None if seal::is_sealed(&json) => {
            let reason =
                "it is encrypted, and nothing says how: an `encryption` block of the stack does, or TF_ENCRYPTION";
            return Err(malformed(reason.to_owned()));
        }
        None => return Err(malformed("it has no version".to_owned())),
    }
    let mut twice = None;
    let state = decode(&json, &mut twice);
    match twice {
        Some(addr) => Err(malformed(format!("it has {addr} twice; take the wrong one out of it"))),
        None => state.ok_or_else(|| malformed("a part of it has a form that is not known".to_owned())),
    }
}

/// Stands at the beginning of a file that is being written, where no state has it.
const BEING_WRITTEN: u8 = 0;

/// Where the new state is whole while the file itself is written.
pub(super) fn copy_path(path: &FsPath) -> PathBuf {
    private::beside(path, ".new")
}

/// Writes through the handle that holds the lock, as Terraform does: whoever waits for the lock waits on this very file, and
/// links to it go on leading to it. At no time is there half a state without a whole one beside it, marked as such; after
/// this returns the new state survives a power cut.
pub(super) fn write(path: &FsPath, file: &File, text: &[u8]) -> Result<(), StateError> {
    let copy = copy_path(path);
    let write = || {
        // The copy that is there may be the only whole state: the file may bear the mark of an earlier run.
        private::install(&copy, text)?;
        // What cannot be written whole is not begun. Not every file system can say.
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, text.len() as u64) {
            Err(error) if [Errno::NOSPC, Errno::DQUOT, Errno::FBIG].contains(&error) => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        private::close_to_others(file);
        file.write_all_at(&[BEING_WRITTEN], 0)?;
        file.sync_data()?;
        file.write_all_at(text.get(1..).unwrap_or_default(), 1)?;
        file.set_len(text.len() as u64)?;
        file.sync_all()?;
        file.write_all_at(text.get(..1).unwrap_or_default(), 0)?;
        file.sync_data()?;
        remove(&copy)
    };
    write().map_err(|cause| {
        let mut first = [BEING_WRITTEN + 1];
        if file.read_at(&mut first, 0).is_ok_and(|_| first != [BEING_WRITTEN]) {
            // It was not begun.
            let _ = remove(&copy);
        }
        StateError::Write { path: path.display().to_string(), cause }
    })
}

/// Whether or not there is one.
pub(super) fn remove(path: &FsPath) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The text of the file.
pub fn encode(state: &State) -> String {
    let outputs = state.outputs.iter().map(|(name, output)| {
        let ty = output.value.ty();
        let mut entry = Map::new();
        entry.insert("value".to_owned(), values::encode(&output.value, &ty));
        entry.insert("type".to_owned(), ty.to_json());
        if output.sensitive {
            entry.insert("sensitive".to_owned(), true.into());
        }
        (name.to_string(), Json::Object(entry))
    });
    let document = ordered(vec![
        ("version", json!(4)),
        ("terraform_version", TERRAFORM_VERSION.into()),
        ("serial", state.serial.into()),
        ("lineage", state.lineage.as_str().into()),
        ("outputs", Json::Object(outputs.collect())),
    ]);
    // serde_json's maps are sorted by key; the order that people and Terraform expect is written by hand.
    let mut text = String::from("{\n");
    for (key, value) in document {
        text.push_str(&format!("  {}: {},\n", Json::from(key), indented(&value, 1)));
    }
    text.push_str("  \"resources\": [");
    let resources = resources(state);
    for (idx, resource) in resources.iter().enumerate() {
        text.push_str(if idx == 0 { "\n    " } else { ",\n    " });
        write_ordered(resource, 2, &mut text);
    }
    text.push_str(if resources.is_empty() { "],\n" } else { "\n  ],\n" });
    // Terraform does not know these fields, and leaves them out when it writes.
    if !state.unfinished.is_empty() {
        let objects = state
            .unfinished
            .iter()
            .map(|(addr, instance)| json!({ "address": addr.to_string(), "object": object_to_json(instance) }));
        let objects = Json::Array(objects.collect());
        text.push_str(&format!("  {}: {},\n", Json::from(UNFINISHED), indented(&objects, 1)));
    }
    if !state.in_doubt.is_empty() {
        let entries = state.in_doubt.iter().map(|(addr, doubt)| {
            let mut entry = doubt_to_json(doubt);
            entry["address"] = addr.to_string().into();
            entry
        });
        let entries = Json::Array(entries.collect());
        text.push_str(&format!("  {}: {},\n", Json::from(IN_DOUBT), indented(&entries, 1)));
    }
    text.push_str("  \"check_results\": null");
    let mut text = values::go_escape(&text);
    let sum = checksum(text.as_bytes());
    text.push_str(CHECKSUM);
    text.push_str(&sum);
    text.push_str("\"\n}\n");
    text
}

fn checksum(text: &[u8]) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a state is another than was written. One that others have written says nothing of that.
fn is_altered(text: &[u8]) -> bool {
    let mark = CHECKSUM.as_bytes();
    let tail = text.len().saturating_sub(mark.len() + 100)..text.len();
    let at = tail.rev().find(|at| text[*at..].starts_with(mark));
    at.is_some_and(|at| text[at + mark.len()..] != *format!("{}\"\n}}\n", checksum(&text[..at])).as_bytes())
}

type Fields = Vec<(&'static str, Field)>;

/// JSON whose keys keep the order that they were given in.
enum Field {
    Plain(Json),
    List(Vec<Fields>),
}

fn ordered(fields: Vec<(&'static str, Json)>) -> Vec<(&'static str, Json)> {
    fields
}

fn write_ordered(fields: &Fields, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth + 1);
    text.push_str("{\n");
    for (idx, (key, field)) in fields.iter().enumerate() {
        text.push_str(&indent);
        text.push_str(&format!("\"{key}\": "));
        match field {
            Field::Plain(json) => text.push_str(&indented(json, depth + 1)),
            Field::List(items) => {
                text.push('[');
                for (idx, item) in items.iter().enumerate() {
                    text.push_str(if idx == 0 { "\n" } else { ",\n" });
                    text.push_str(&"  ".repeat(depth + 2));
                    write_ordered(item, depth + 2, text);
                }
                text.push_str(&format!("\n{indent}]"));
            }
        }
        text.push_str(if idx + 1 == fields.len() { "\n" } else { ",\n" });
    }
    text.push_str(&"  ".repeat(depth));
    text.push('}');
}

fn indented(json: &Json, depth: usize) -> String {
    let pretty = serde_json::to_string_pretty(json).expect("JSON values can be written");
    pretty.replace('\n', &format!("\n{}", "  ".repeat(depth)))
}

fn resources(state: &State) -> Vec<Fields> {
    // By resource: the instances, and what is deposed of them.
    type ByResource<'s> = BTreeMap<(String, Mode, Arc<str>, Arc<str>), Vec<(Key, Option<&'s str>, &'s InstanceState)>>;
    let mut grouped = ByResource::new();
    let group = |addr: &InstanceAddr| (addr.module.to_string(), addr.mode, addr.ty.clone(), addr.name.clone());
    for (addr, instance) in &state.instances {
        grouped.entry(group(addr)).or_default().push((addr.key.clone(), None, instance));
    }
    for ((addr, key), instance) in &state.deposed {
        grouped.entry(group(addr)).or_default().push((addr.key.clone(), Some(key), instance));
    }
    grouped
        .into_iter()
        .map(|((module, mode, ty, name), mut instances)| {
            instances.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
            let mut fields: Fields = Vec::new();
            if !module.is_empty() {
                fields.push(("module", Field::Plain(module.into())));
            }
            let mode = match mode {
                Mode::Managed => "managed",
                Mode::Data => "data",
                // None is ever put into a state.
                Mode::Ephemeral => "ephemeral",
            };
            fields.push(("mode", Field::Plain(mode.into())));
            fields.push(("type", Field::Plain((*ty).into())));
            fields.push(("name", Field::Plain((*name).into())));
            fields.push(("provider", Field::Plain(instances[0].2.provider.to_string().into())));
            let instances =
                instances.into_iter().map(|(key, deposed, instance)| encode_instance(&key, deposed, instance));
            fields.push(("instances", Field::List(instances.collect())));
            fields
        })
        .collect()
}

fn encode_instance(key: &Key, deposed: Option<&str>, instance: &InstanceState) -> Fields {
    let mut fields: Fields = Vec::new();
    match key {
        Key::None => {}
        Key::Int(int) => fields.push(("index_key", Field::Plain((*int).into()))),
        Key::Str(text) => fields.push(("index_key", Field::Plain((**text).into()))),
    }
    if instance.tainted {
        fields.push(("status", Field::Plain("tainted".into())));
    }
    if let Some(deposed) = deposed {
        fields.push(("deposed", Field::Plain(deposed.into())));
    }
    fields.push(("schema_version", Field::Plain(instance.schema_version.into())));
    fields.push(("attributes", Field::Plain(instance.attributes.clone())));
    let paths = instance.sensitive_paths.iter().map(path_to_json).collect();
    fields.push(("sensitive_attributes", Field::Plain(Json::Array(paths))));
    if !instance.private.is_empty() {
        fields.push(("private", Field::Plain(STANDARD.encode(&instance.private).into())));
    }
    if !instance.dependencies.is_empty() {
        let dependencies = instance.dependencies.iter().map(|dependency| Json::from(dependency.to_string())).collect();
        fields.push(("dependencies", Field::Plain(Json::Array(dependencies))));
    }
    if instance.create_before_destroy {
        fields.push(("create_before_destroy", Field::Plain(true.into())));
    }
    if instance.prevent_destroy {
        fields.push(("prevent_destroy", Field::Plain(true.into())));
    }
    fields
}

pub(crate) fn path_to_json(path: &Path) -> Json {
    let steps = path.0.iter().map(|step| match step {
        Step::Attribute(name) => json!({ "type": "get_attr", "value": &**name }),
        Step::Key(key) => json!({ "type": "index", "value": { "value": &**key, "type": "string" } }),
        Step::Index(position) => json!({ "type": "index", "value": { "value": position, "type": "number" } }),
    });
    Json::Array(steps.collect())
}

pub(crate) fn path_from_json(json: &Json) -> Option<Path> {
    let steps = json.as_array()?.iter().map(|step| {
        let value = step.get("value")?;
        match step.get("type")?.as_str()? {
            "get_attr" => Some(Step::Attribute(value.as_str()?.into())),
            "index" => match value.get("value")? {
                Json::String(key) => Some(Step::Key(key.as_str().into())),
                Json::Number(number) => {
                    number.as_u64().and_then(|number| usize::try_from(number).ok()).map(Step::Index)
                }
                _ => None,
            },
            _ => None,
        }
    });
    steps.collect::<Option<_>>().map(Path)
}

/// `twice` names an object that is there more than once.
fn decode(json: &Json, twice: &mut Option<String>) -> Option<State> {
    let mut state = State {
        lineage: json.get("lineage")?.as_str()?.to_owned(),
        serial: json.get("serial")?.as_u64()?,
        ..State::default()
    };
    for (name, output) in json.get("outputs").and_then(Json::as_object).into_iter().flatten() {
        let ty = Ty::from_json(output.get("type")?).ok()?;
        let value = values::decode(output.get("value")?, &ty).ok()?;
        let sensitive = output.get("sensitive").and_then(Json::as_bool).unwrap_or(false);
        state.outputs.insert(name.as_str().into(), OutputState { value, sensitive });
    }
    for resource in json.get("resources").and_then(Json::as_array).into_iter().flatten() {
        let module = match resource.get("module") {
            Some(module) => ModulePath::parse(module.as_str()?)?,
            None => ModulePath::default(),
        };
        let mode = match resource.get("mode")?.as_str()? {
            "managed" => Mode::Managed,
            "data" => Mode::Data,
            _ => return None,
        };
        let provider = ProviderAddr::parse(resource.get("provider")?.as_str()?)?;
        for instance in resource.get("instances")?.as_array()? {
            let addr = InstanceAddr {
                module: module.clone(),
                mode,
                ty: resource.get("type")?.as_str()?.into(),
                name: resource.get("name")?.as_str()?.into(),
                key: match instance.get("index_key") {
                    None | Some(Json::Null) => Key::None,
                    Some(Json::String(key)) => Key::Str(key.as_str().into()),
                    Some(number) => Key::Int(usize::try_from(number.as_u64()?).ok()?),
                },
            };
            let decoded = instance_from_json(instance, &provider)?;
            let name = addr.to_string();
            let (other, name) = match instance.get("deposed").and_then(Json::as_str) {
                Some(key) => (state.deposed.insert((addr, key.to_owned()), decoded), format!("{name} (deposed {key})")),
                None => (state.instances.insert(addr, decoded), name),
            };
            if other.is_some() {
                *twice = Some(name);
                return None;
            }
        }
    }
    for entry in json.get(UNFINISHED).and_then(Json::as_array).into_iter().flatten() {
        let addr = InstanceAddr::parse(entry.get("address")?.as_str()?)?;
        let name = addr.to_string();
        if state.unfinished.insert(addr, object_from_json(entry.get("object")?)?).is_some() {
            *twice = Some(format!("{name} (unfinished)"));
            return None;
        }
    }
    for entry in json.get(IN_DOUBT).and_then(Json::as_array).into_iter().flatten() {
        let addr = InstanceAddr::parse(entry.get("address")?.as_str()?)?;
        state.in_doubt.insert(addr, doubt_from_json(entry)?);
    }
    Some(state)
}

fn instance_from_json(json: &Json, provider: &ProviderAddr) -> Option<InstanceState> {
    let list = |name: &str| json.get(name).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    Some(InstanceState {
        provider: provider.clone(),
        schema_version: json.get("schema_version").and_then(Json::as_u64).unwrap_or(0),
        attributes: json.get("attributes").cloned().unwrap_or(Json::Null),
        sensitive_paths: list("sensitive_attributes").iter().map(path_from_json).collect::<Option<_>>()?,
        private: match json.get("private").and_then(Json::as_str) {
            Some(private) => STANDARD.decode(private).ok()?,
            None => Vec::new(),
        },
        dependencies: list("dependencies").iter().filter_map(|text| ResourceAddr::parse(text.as_str()?)).collect(),
        tainted: json.get("status").and_then(Json::as_str) == Some("tainted"),
        create_before_destroy: json.get("create_before_destroy").and_then(Json::as_bool).unwrap_or(false),
        prevent_destroy: json.get("prevent_destroy").and_then(Json::as_bool).unwrap_or(false),
    })
}

/// An instance that stands alone, with its provider.
pub(crate) fn object_to_json(instance: &InstanceState) -> Json {
    let fields = encode_instance(&Key::None, None, instance);
    let plain = fields.into_iter().map(|(key, field)| match field {
        Field::Plain(json) => (key.to_owned(), json),
        Field::List(_) => (key.to_owned(), Json::Null),
    });
    json!({ "provider": instance.provider.to_string(), "instance": Json::Object(plain.collect()) })
}

pub(crate) fn object_from_json(json: &Json) -> Option<InstanceState> {
    let provider = ProviderAddr::parse(json.get("provider")?.as_str()?)?;
    instance_from_json(json.get("instance")?, &provider)
}

pub(super) fn doubt_to_json(doubt: &InDoubt) -> Json {
    json!({ "provider": doubt.provider.to_string(), "operation": doubt.operation.word(), "times": doubt.times })
}

pub(super) fn doubt_from_json(json: &Json) -> Option<InDoubt> {
    Some(InDoubt {
        provider: ProviderAddr::parse(json.get("provider")?.as_str()?)?,
        operation: Operation::parse(json.get("operation")?.as_str()?)?,
        times: json.get("times").and_then(Json::as_u64).unwrap_or(1),
    })
}
