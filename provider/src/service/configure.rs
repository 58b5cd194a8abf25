//! The provider's own configuration: clouds, and how this stack's machines are told apart.

use std::collections::BTreeMap;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use value::schema::{Attribute, Block, NestedBlock, Nesting, Schema};
use value::{Path, Problem, Step, Ty, Value};

use crate::context::{BeforeChange, Context};
use crate::driver::{self, Driver, DriverError};
use crate::drivers::{self, Settings, simulated};
use crate::ownership::{Ownership, StateName, digest};

/// The cloud that exists without a word about it.
const LOCAL: &str = "local";

pub(crate) fn provider_schema() -> Schema {
    let drivers: Vec<&str> = drivers::DRIVERS.iter().map(|driver| driver.name).collect();
    let settings: Vec<String> = drivers::DRIVERS
        .iter()
        .flat_map(|driver| driver.all_settings().map(move |(name, doc)| format!("{}: {name} = {doc}", driver.name)))
        .collect();
    let cloud = Block {
        description: "A cloud that layers can be on; its label is the name that `cloud = \"..\"` uses.".to_owned(),
        attributes: BTreeMap::from([
            ("driver".into(), Attribute::required(Ty::String, &format!("how to talk to it: {}", drivers.join(", ")))),
            (
                "settings".into(),
                Attribute::optional(Ty::map(Ty::String), &format!("settings of the driver; {}", settings.join("; "))),
            ),
        ]),
        ..Block::default()
    };
    let block = Block {
        description: "Layers of applications, as machines on clouds.".to_owned(),
        attributes: BTreeMap::from([
            (
                "default_cloud".into(),
                Attribute::optional(Ty::String, "the cloud of layers that name none").default(LOCAL),
            ),
            (
                "scope".into(),
                Attribute::optional(
                    Ty::String,
                    "tells this stack's machines from those of other stacks on the same cloud; made of the stack's folder and the state's name if not set",
                ),
            ),
            (
                "bundle_dir".into(),
                Attribute::optional(Ty::String, "where copies of all configuration files go, for people to read")
                    .default(".lampwright/bundles"),
            ),
        ]),
        blocks: BTreeMap::from([(
            "cloud".into(),
            NestedBlock { block: cloud, nesting: Nesting::Map, min_items: 0, max_items: 0 },
        )]),
        ..Block::default()
    };
    Schema { version: 0, block }
}

/// Checks what can be checked without connecting to anything; unknown parts pass.
pub(super) fn validate(config: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let clouds = config.get("cloud").and_then(Value::as_entries).into_iter().flatten();
    for (name, cloud) in clouds {
        let at = |attribute: &str| {
            Path::attribute("cloud").then(Step::Key(name.clone())).then(Step::Attribute(attribute.into()))
        };
        let Some(driver) = cloud.get("driver").and_then(Value::as_str) else { continue };
        let Some(info) = drivers::find(driver) else {
            let known: Vec<&str> = drivers::DRIVERS.iter().map(|driver| driver.name).collect();
            let detail = format!("There is no driver {driver:?}. There are: {}.", known.join(", "));
            problems.push(Problem::error("unknown driver", detail).at(at("driver")));
            continue;
        };
        for setting in cloud.get("settings").and_then(Value::as_entries).into_iter().flatten().map(|(name, _)| name) {
            if !info.all_settings().any(|(known, _)| **known == **setting) {
                let known: Vec<&str> = info.all_settings().map(|(name, _)| *name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let detail = format!("The driver {driver:?} has no setting {setting:?}. Its settings: {known}.");
                problems.push(Problem::error("unknown setting", detail).at(at("settings")));
            }
        }
    }
    if let Some(scope) = config.get("scope").and_then(Value::as_str)
        && !is_scope(scope)
    {
        let detail = "A scope has 1 to 40 letters, digits, - or _.";
        problems.push(Problem::error("invalid argument", detail).at(Path::attribute("scope")));
    }
    problems
}

/// Set while tests run (`lampwright test`): what a test makes is nobody's but that test's, also where the stack that is
/// tested is applied on the same clouds.
const TEST_VARIABLE: &str = proto::dialect::TEST_VARIABLE;
const LEAVING_VARIABLE: &str = proto::dialect::LEAVING_VARIABLE;

/// The state that this process works for.
pub(super) fn state_name() -> StateName {
    StateName::of_surroundings(&folder(), std::env::var(TEST_VARIABLE).ok().as_deref())
}

pub(super) fn configure(
    config: &Value,
    state: &StateName,
    ownership: &Arc<Ownership>,
    connections: &Connections,
) -> Result<Context, Vec<Problem>> {
    let mut problems = validate(config);
    let mut clouds: BTreeMap<String, Arc<dyn Driver>> = BTreeMap::new();
    for (name, cloud) in config.get("cloud").and_then(Value::as_entries).into_iter().flatten() {
        let Some(info) = cloud.get("driver").and_then(Value::as_str).and_then(drivers::find) else { continue };
        let settings = cloud.get("settings").and_then(Value::as_entries).into_iter().flatten();
        let settings: Settings =
            settings.filter_map(|(name, value)| Some((name.to_string(), value.as_str()?.to_owned()))).collect();
        connect(name, info, &settings, connections, &mut clouds, &mut problems);
    }
    if !clouds.contains_key(LOCAL)
        && let Some(info) = drivers::find(LOCAL)
    {
        connect(LOCAL, info, &Settings::new(), connections, &mut clouds, &mut problems);
    }
    let default_cloud = config.get("default_cloud").and_then(Value::as_str).unwrap_or(LOCAL).to_owned();
    if problems.is_empty() && !clouds.contains_key(&default_cloud) {
        let detail =
            format!("There is no cloud {default_cloud:?}. Add a block cloud {default_cloud:?} {{ driver = .. }}.");
        problems.push(Problem::error("unknown cloud", detail).at(Path::attribute("default_cloud")));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let simulation = simulated::wanted();
    let scope = config.get("scope").and_then(Value::as_str).map(str::to_owned);
    // A simulation looks the same wherever the folder is.
    let scope = scope.unwrap_or_else(|| {
        if simulation.is_some() { "stack".to_owned() } else { default_scope(state.label.as_deref()) }
    });
    let bundle_dir = config.get("bundle_dir").and_then(Value::as_str);
    let bundle_dir = bundle_dir.map_or_else(|| proto::state_name::bundle_folder(state.label.as_deref()), str::to_owned);
    let test = std::env::var(TEST_VARIABLE);
    let is_test = test.is_ok();
    let (scope, bundle_dir) = match test {
        Ok(test) if simulation.is_none() => (format!("{scope}-{test}"), format!(".lampwright/tests/{test}/bundles")),
        _ => (scope, bundle_dir),
    };
    Ok(Context {
        clouds: Arc::new(clouds),
        default_cloud,
        scope,
        bundle_dir: PathBuf::from(bundle_dir),
        claims: Arc::default(),
        sources: Arc::default(),
        findings: Arc::default(),
        layers: Arc::default(),
        ownership: ownership.clone(),
        leaving: Arc::new(leaving()?),
        simulation,
        is_test,
        before_change: BeforeChange::default(),
        address: String::new(),
    })
}

/// What only our own command line says.
fn leaving() -> Result<BTreeMap<String, Vec<String>>, Vec<Problem>> {
    let Ok(text) = std::env::var(LEAVING_VARIABLE) else { return Ok(BTreeMap::new()) };
    serde_json::from_str(&text).map_err(|error| {
        let detail = format!("{LEAVING_VARIABLE} in the environment cannot be read: {error}. Only lampwright sets it.");
        vec![Problem::error("unreadable variable", detail)]
    })
}

/// Clouds that this process has connected to, by driver and settings. A host configures for the plan and once more for the
/// apply: tokens, sessions and what was found of a cloud are good for both.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<BTreeMap<Place, Arc<dyn Driver>>>);

type Place = (&'static str, Settings);

impl Connections {
    fn connect(&self, info: &'static drivers::DriverInfo, settings: &Settings) -> driver::Result<Arc<dyn Driver>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = known.get(&(info.name, settings.clone())) {
            return Ok(driver.clone());
        }
        let driver = if simulated::wanted().is_some() { simulated::of(info) } else { (info.connect)(settings)? };
        known.insert((info.name, settings.clone()), driver.clone());
        Ok(driver)
    }
}

fn connect(
    name: &str,
    info: &'static drivers::DriverInfo,
    settings: &Settings,
    connections: &Connections,
    clouds: &mut BTreeMap<String, Arc<dyn Driver>>,
    problems: &mut Vec<Problem>,
) {
    match connections.connect(info, settings) {
        Ok(driver) => {
            clouds.insert(name.to_owned(), driver);
        }
        Err(error) => {
            let at = Path::attribute("cloud").then(Step::Key(name.into()));
            let at = match &error {
                DriverError::Setting { name, .. } => {
                    at.then(Step::Attribute("settings".into())).then(Step::Key(name.as_str().into()))
                }
                _ => at,
            };
            problems.push(Problem::error("invalid cloud", error.explain()).at(at));
        }
    }
}

fn is_scope(scope: &str) -> bool {
    (1..=40).contains(&scope.len()) && scope.chars().all(|ch| ch.is_ascii_alphanumeric() || ch == '-' || ch == '_')
}

fn folder() -> PathBuf {
    std::env::current_dir().and_then(std::fs::canonicalize).unwrap_or_default()
}

/// The folder of the stack's last name and a part of the digest of its whole path and of the state's name, if that is not
/// the only one of the folder: short, since it becomes part of the paths of unix sockets, and the same on every run.
/// By where a backend keeps the state, else by the folder.
fn default_scope(label: Option<&str>) -> String {
    let place = std::env::var_os(proto::dialect::PLACE_VARIABLE).map(PathBuf::from);
    scope_of(&place.unwrap_or_else(folder), label)
}

fn scope_of(folder: &FsPath, label: Option<&str>) -> String {
    let name: String = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(12)
        .collect();
    let path = folder.as_os_str().as_encoded_bytes();
    let digest = match label {
        None => digest(&[path]),
        Some(label) => digest(&[path, label.as_bytes()]),
    };
    format!("{}-{digest}", if name.is_empty() { "stack" } else { &name })
}
