//! `mongo_replset`: a MongoDB replica set with keyFile authentication and majority writes.
//!
//! Order under change: a new member is started and becomes a voter only once it has the data; members leave one
//! at a time, a primary steps down before; nothing is begun that would lose the majority of voters.

mod admin;
mod data;
mod refusals;
mod revive;
mod users;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use value::{Path, Problem, Ty};

use crate::bundle::mongod::{self, CREDENTIALS, Member};
use crate::bundle::{Bundle, Program};
use crate::context::Context;
use crate::driver::{Archive, Driver, LayerId, driver_problem};
use crate::field::{Change, Field};
use crate::fleet;
use crate::layer::{AtOnce, Began, Door, Group, Layer, MachineModel, Node, Probe, Question, Rollout, State, Until};
use crate::seed;
use admin::{Admin, MemberAddress, Secrets};
use refusals::{refuse_loss_of_majority, refuse_new_addresses, refuse_version};

#[derive(Debug)]
pub(super) struct MongoReplset;

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(super) struct ArchiveModel {
    url: Option<String>,
    sha256: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(super) struct Model {
    members: Option<u64>,
    replica_set: Option<String>,
    version: Option<String>,
    disk_gb: Option<u64>,
    archive: Option<ArchiveModel>,
    cache_gb: Option<f64>,
    port: Option<u16>,
    database: Option<String>,
    credentials: Option<Credentials>,
    uri: Option<String>,
}

/// Made once, when the set is.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(super) struct Credentials {
    admin_password: Option<String>,
    app_password: Option<String>,
    key: Option<String>,
}

/// MongoDB manual, "MongoDB Limits and Thresholds".
const MAX_VOTERS: usize = 7;
const DISK_GB: u64 = 10;
const PORT: u16 = 27017;
const REPLICA_SET: &str = "rs0";
const DATABASE: &str = "app";

impl Layer for MongoReplset {
    const NAME: &'static str = "mongo_replset";
    const DEFAULT_NAME: &'static str = "db";
    const DOC: &'static str = "A MongoDB replica set: keyFile authentication, majority writes.";
    const HAS_DATA: bool = true;
    const PROGRAMS: &'static [Program] =
        &[Program { name: "mongod", package: "mongodb-org-server", units: &["mongod"] }];
    const LEAVING: &'static str = "leaving the replica set first, one at a time";
    const ROLLOUT: Rollout = Rollout { at_once: AtOnce::One, ready_within: Duration::from_mins(1), started: "started" };
    const FOUND: &'static [&'static str] = &["members", "replica_set", "port", "uri"];
    const SOUGHT: &'static [&'static str] = &["database"];
    type Model = Model;

    fn fields() -> Vec<Field> {
        let credentials =
            Ty::object([("admin_password", Ty::String), ("app_password", Ty::String), ("key", Ty::String)]);
        vec![
            Field::settled(
                "members",
                Ty::Number,
                "how many members, a whole number from 1 to 50, of which up to 7 vote",
            )
            .default(3)
            // MongoDB manual, "MongoDB Limits and Thresholds".
            .whole(1..=50)
            .change(Change::Scales),
            Field::settled("replica_set", Ty::String, "the name of the replica set")
                .default(REPLICA_SET)
                .text(word)
                .change(Change::Replaces),
            Field::optional("version", Ty::String, "the version that mongod must have, such as 6.0; any if not set")
                .text(version)
                .change(Change::Checked),
            Field::settled(
                "disk_gb",
                Ty::Number,
                "size of each member's data disk in GB; the local cloud has no disks of a size and only records it",
            )
            .default(DISK_GB)
            .change(Change::NewMachines),
            Field::object(
                "archive",
                "where a machine whose image has no mongod gets it from; on this machine it has to be installed",
                vec![
                    Field::required("url", Ty::String, "a tar archive with a file mongod, as MongoDB offers them").text(url),
                    Field::required("sha256", Ty::String, "its SHA-256, 64 hexadecimal digits").text(sha256),
                ],
            )
            .change(Change::NewMachines),
            Field::optional(
                "cache_gb",
                Ty::Number,
                "size of each member's cache in GiB, from 0.25 to 10000; follows the memory of the machine if not set, and is 0.25 on the local cloud, where members share it",
            )
            .number(0.25..=10_000.0)
            .change(Change::Restarts),
            Field::settled("port", Ty::Number, "the port that members listen on")
                .default(PORT)
                .whole(1..=65535)
                .change(Change::Replaces),
            Field::settled("database", Ty::String, "the name of the application's database")
                .default(DATABASE)
                .text(word)
                .change(Change::InPlace(
                    "in place: the application is led to another database; the old one's data stays",
                )),
            Field::computed("credentials", credentials, "generated passwords, and the key that members know each other by")
                .sensitive(),
            Field::computed("uri", Ty::String, "connection string for the application; names every member").sensitive(),
        ]
    }

    fn validate(state: &State<Model>) -> Vec<Problem> {
        state.own.members.and_then(even).into_iter().collect()
    }

    fn wanted(own: &Model) -> Option<u64> {
        own.members
    }

    fn port(own: &Model) -> u16 {
        own.port.unwrap_or(PORT)
    }

    fn archives(own: &Model) -> Vec<Archive> {
        let archive = own.archive.as_ref().and_then(|archive| {
            Some(Archive { program: "mongod", url: archive.url.clone()?, sha256: archive.sha256.clone()? })
        });
        archive.into_iter().collect()
    }

    fn disk_gb(own: &Model) -> Option<u64> {
        own.disk_gb
    }

    async fn data(context: &Context, state: &State<Model>) -> String {
        data::databases(context, state).await
    }

    fn data_change(prior: &Model, planned: &Model) -> Option<String> {
        data::change_of_database(prior, planned)
    }

    /// Nothing is started before there are credentials.
    fn has_written(own: &Model) -> bool {
        own.credentials.is_some()
    }

    fn probes(_: &Model, port: u16) -> Vec<Probe> {
        vec![Probe {
            service: "mongod",
            question: Question::Bytes { port, name: "hello", bytes: mongod::hello() },
            patience: Duration::from_secs(10),
        }]
    }

    fn door(_: &Model) -> Door {
        Door::Siblings
    }

    fn plan(context: &Context, planned: &mut State<Model>, prior: Option<&State<Model>>) -> Result<(), Vec<Problem>> {
        let own = &mut planned.own;
        if context.simulation.is_some() {
            own.credentials.get_or_insert_with(|| Credentials::simulated(&planned.group.layer()));
        }
        if let Some(prior) = prior {
            refuse_loss_of_majority(&prior.group, &planned.group)?;
            if prior.group.id == planned.group.id && prior.group.cloud == planned.group.cloud {
                data::refuse_new_set_name(context, prior, own).map_err(|problem| vec![problem])?;
                refuse_new_addresses(context, &prior.group, &planned.group)?;
                let runs = context.findings.version(&prior.group.layer()).filter(|_| own.port == prior.own.port);
                if let (Some(wanted), Some(runs)) = (&own.version, runs) {
                    refuse_version(wanted, &runs).map_err(|problem| vec![problem])?;
                }
            }
        }
        Ok(())
    }

    fn computed(state: &mut State<Model>, _: Option<&State<Model>>) {
        state.own.uri = uri(&state.own, &state.group);
    }

    fn summary(_: &Context, planned: &State<Model>) -> String {
        let own = &planned.own;
        let members = own.members.map_or_else(|| "?".to_owned(), |members| members.to_string());
        let plural = if own.members == Some(1) { "" } else { "s" };
        format!(
            "{members} member{plural}, majority writes, keyFile authentication, {} GB each",
            own.disk_gb.unwrap_or(DISK_GB)
        )
    }

    fn bundles(context: &Context, state: &State<Model>) -> Result<Vec<Bundle>, Vec<Problem>> {
        let driver = state.group.driver(context)?;
        let own = &state.own;
        let credentials = own.credentials.as_ref().filter(|credentials| credentials.admin_password.is_some());
        let json = credentials.map(|credentials| serde_json::to_string(credentials).expect("credentials are plain"));
        let machines = state.group.machines().iter();
        Ok(machines
            .map(|machine| {
                let member = Member {
                    name: &machine.name,
                    address: machine.address.as_deref(),
                    port: machine.port,
                    replica_set: own.replica_set.as_deref().unwrap_or("rs0"),
                    key: credentials.and_then(|credentials| credentials.key.as_deref()),
                    credentials: json.as_deref(),
                    cache_gb: own.cache_gb,
                };
                mongod::render(&member, &driver.layout(&state.group.key(machine.id)))
            })
            .collect())
    }

    async fn prepare(context: &Context, state: &mut State<Model>) -> Result<(), Vec<Problem>> {
        if state.own.credentials.is_none() {
            let driver = state.group.driver(context)?.clone();
            data::refuse_closed(&*driver, state).await.map_err(|problem| vec![problem])?;
            state.own.credentials = Some(adopted(&*driver, state).await.unwrap_or_else(Credentials::generate));
        }
        Ok(())
    }

    /// The others elect a primary, where they can: then nobody waits for the one that is ended.
    async fn before_end(context: &Context, state: &State<Model>, hung: &[u64]) {
        let others = state.group.machines().len() - hung.len();
        if others > hung.len()
            && let Some(admin) = admin_of(context, state, |machine| !hung.contains(&machine.id))
            && admin.wait_for_primary(ELECTION_PATIENCE).await.is_err()
        {
            tracing::warn!("no other member has become primary within {} s", ELECTION_PATIENCE.as_secs());
        }
    }

    /// One that was restarted follows the set again. What is started becomes a member, or follows, with all others; but one
    /// that was stopped for another size has to follow before the next one leaves.
    async fn ready(node: &Node<MongoReplset>, began: Began) -> Result<(), Problem> {
        let admin = admin(&node.context, &node.layer).filter(|_| began == Began::Restarted || node.was_off);
        match admin.zip(MemberAddress::of(&node.machine)) {
            Some((admin, member)) => admin.await_return(&member, MongoReplset::ROLLOUT.ready_within).await,
            None => Ok(()),
        }
    }

    /// Another one is primary before. One that is removed has left the set by then. Where the others are no majority, nobody
    /// leaves.
    async fn leave(node: &Node<MongoReplset>, until: Until) -> Result<(), Problem> {
        let admin = admin(&node.context, &node.layer).filter(|_| until == Until::Changed);
        let Some((admin, member)) = admin.zip(MemberAddress::of(&node.machine)) else { return Ok(()) };
        admin.await_majority_without(&member).await?;
        if admin.primary().await.is_some_and(|primary| primary.is(&member)) {
            admin.step_down(&member.text()).await?;
        }
        Ok(())
    }

    async fn join(
        context: &Context,
        prior: Option<&State<Model>>,
        state: &mut State<Model>,
        leaving: &[MachineModel],
    ) -> Result<(), Vec<Problem>> {
        form_set(context, state, leaving).await.map_err(|problem| vec![problem])?;
        if prior.is_none()
            // Whoever has used the data that is taken up may have made some.
            && state.group.restored_from.as_deref().is_none_or(str::is_empty)
            && let Some(admin) = admin(context, state)
        {
            admin.refuse_other_users().await.map_err(|problem| vec![problem])?;
        }
        Ok(())
    }

    /// The set's credentials are on every member.
    async fn imported(context: &Context, group: &Group) -> Result<Model, Vec<Problem>> {
        let port = fleet::number_after(context, group, "etc/mongod.conf", "port:").await?;
        let replica_set = fleet::word_after(context, group, "etc/mongod.conf", "replSetName:").await?;
        let mut own = Model {
            members: Some(group.machines().len() as u64),
            replica_set,
            version: None,
            disk_gb: None,
            archive: None,
            cache_gb: None,
            port,
            database: None,
            credentials: None,
            uri: None,
        };
        let driver = group.driver(context)?.clone();
        let state = State { group: group.clone(), own: own.clone(), unknown: Vec::new() };
        own.credentials = adopted(&*driver, &state).await;
        if own.credentials.is_none() {
            let detail = "None of its members could be asked for the credentials of the replica set, so it cannot be managed. Repair one of them first.";
            return Err(vec![Problem::error("nothing to import", detail)]);
        }
        Ok(own)
    }

    /// A member whose process runs and which is no part of the set, or cannot follow it, is not well either.
    async fn read(context: &Context, state: &mut State<Model>) -> Vec<Problem> {
        // Who is known not to answer is not asked.
        let Some(admin) = admin_of(context, state, MachineModel::is_up) else { return Vec::new() };
        let Some(states) = admin.member_states().await else { return Vec::new() };
        for machine in state.group.machines.iter_mut().flatten().filter(|machine| machine.is_up()) {
            let found = states.iter().find(|(address, _)| MemberAddress::of(machine).is_some_and(|it| it.is(address)));
            match found {
                None => "not in the replica set".clone_into(&mut machine.status),
                Some((_, healthy)) if !healthy => "not following the replica set".clone_into(&mut machine.status),
                Some(_) => {}
            }
        }
        if let Some(version) = admin.version_of_any().await {
            context.findings.note_version(state.group.layer(), version);
        }
        let others = admin.other_users().await;
        if others.is_empty() { Vec::new() } else { vec![users::other_users_problem(Problem::warning, &others)] }
    }
}

/// Makes the set what it shall be: initiated, with its users, every member in it and the leaving ones out.
async fn form_set(context: &Context, state: &mut State<Model>, leaving: &[MachineModel]) -> Result<(), Problem> {
    let Some(mut admin) = admin(context, state) else { return Ok(()) };
    let members = state.group.machines().to_vec();
    admin.also_ask(leaving);
    if admin.revive_if_needed(&members).await? {
        context.progress("most members were lost; the replica set goes on with their disks");
    } else if admin.initiate_if_needed(&members).await? {
        context.progress("replica set initiated, electing a primary");
    }
    admin.wait_for_primary(MongoReplset::ROLLOUT.ready_within).await?;
    admin.create_users().await?;
    if let Some(database) = &state.own.database {
        admin.grant(database).await?;
    }
    admin.set_majority_writes().await?;
    if let Some(wanted) = &state.own.version {
        refuse_version(wanted, &admin.version().await?)?;
    }
    for machine in &members {
        if admin.add_member(machine).await? {
            context.progress(&format!("{} syncing", machine.name));
        }
    }
    admin.wait_until_all_follow(&members, MongoReplset::ROLLOUT.ready_within).await?;
    // Also members that a run that was cut off has left in the set.
    for removed in admin.remove_others(&members).await? {
        context.progress(&format!("{removed} left the replica set"));
    }
    if let Some(primary) = admin.primary_name(&members).await {
        context.progress(&format!("{primary} primary, {} secondary", members.len().saturating_sub(1)));
    }
    Ok(())
}

/// How long the other members may take to elect one of them (`electionTimeoutMillis` is 2000).
const ELECTION_PATIENCE: Duration = Duration::from_secs(15);

/// Credentials that a set from a run that was cut off has already.
async fn adopted(driver: &dyn Driver, state: &State<Model>) -> Option<Credentials> {
    for machine in state.group.machines() {
        let found = driver.read(&state.group.key(machine.id), CREDENTIALS).await;
        match found {
            Ok(Some(bytes)) => match serde_json::from_slice(&bytes) {
                Ok(credentials) => return Some(credentials),
                Err(error) => tracing::warn!("the credentials on {} are not readable: {error}", machine.name),
            },
            Ok(None) => {}
            Err(error) => tracing::warn!("{}", driver_problem("Looking for credentials", &error).detail),
        }
    }
    None
}

fn admin(context: &Context, state: &State<Model>) -> Option<Admin> {
    admin_of(context, state, |_| true)
}

/// One that asks only some of the members.
fn admin_of(context: &Context, state: &State<Model>, is_asked: impl Fn(&MachineModel) -> bool) -> Option<Admin> {
    let machines: Vec<MachineModel> =
        state.group.machines().iter().filter(|machine| is_asked(machine)).cloned().collect();
    let credentials = state.own.credentials.as_ref()?;
    Some(Admin::new(
        state.group.driver(context).ok()?.clone(),
        state.group.layer(),
        &machines,
        state.own.replica_set.clone()?,
        state.own.database.clone()?,
        Secrets {
            admin_password: credentials.admin_password.clone()?,
            app_password: credentials.app_password.clone()?,
            key: credentials.key.clone()?,
        },
    ))
}

fn uri(own: &Model, group: &Group) -> Option<String> {
    let password = own.credentials.as_ref()?.app_password.as_deref()?;
    let hosts: Option<Vec<String>> = group
        .machines()
        .iter()
        .map(|machine| Some(format!("{}:{}", machine.address.as_deref()?, machine.port)))
        .collect();
    let hosts = hosts.filter(|hosts| !hosts.is_empty())?.join(",");
    let (database, set) = (own.database.as_deref()?, own.replica_set.as_deref()?);
    Some(format!(
        "mongodb://app:{password}@{hosts}/{database}?replicaSet={set}&authSource=admin&w=majority&retryWrites=true&readPreference=primaryPreferred"
    ))
}

/// An even number of voters survives no more than the odd one below it, and has one more that can fail.
fn even(members: u64) -> Option<Problem> {
    let is_even = members > 0 && members.is_multiple_of(2) && members <= MAX_VOTERS as u64;
    is_even.then(|| {
        let (majority, survives) = (members / 2 + 1, members / 2 - 1);
        let lost = if survives == 0 { "none".to_owned() } else { survives.to_string() };
        let detail = format!(
            "Writes need a majority of the members, which is {majority} of {members}: the set survives the loss of {lost}, as one of {} does. An odd number of members is the better choice.",
            members - 1
        );
        Problem::warning("an even number of members", detail).at(Path::attribute("members"))
    })
}

/// MongoDB's names of databases have less than 64 bytes.
fn word(text: &str) -> Option<String> {
    let is_word =
        (1..64).contains(&text.len()) && text.chars().all(|ch| ch.is_ascii_alphanumeric() || ch == '-' || ch == '_');
    (!is_word).then(|| "Up to 63 letters, digits, - and _ are allowed.".to_owned())
}

fn version(text: &str) -> Option<String> {
    let is_version = text.split('.').all(|part| !part.is_empty() && part.chars().all(|ch| ch.is_ascii_digit()));
    (!is_version).then(|| "A version is written like 6.0 or 6.0.5.".to_owned())
}

fn invalid(attribute: &'static str, detail: String) -> Problem {
    Problem::error("invalid argument", detail).at(Path::attribute(attribute))
}

impl Credentials {
    fn simulated(layer: &LayerId) -> Credentials {
        let secret = |name: &str| Some(seed::secret(layer, name));
        Credentials { admin_password: secret("admin"), app_password: secret("app"), key: secret("key") }
    }

    /// From the system's random source; 244 bits each.
    fn generate() -> Credentials {
        let secret = || format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        Credentials {
            admin_password: Some(secret()),
            app_password: Some(secret()),
            key: Some(format!("{}{}", secret(), secret())),
        }
    }
}

/// As a shell and a loader of Python take it: no spaces, no control characters.
fn url(text: &str) -> Option<String> {
    let is_plain = |ch: char| ch.is_ascii_graphic() && !"'\"\\`<>".contains(ch);
    let fits = ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme)) && text.chars().all(is_plain);
    (!fits).then(|| format!("{text:?} is no URL that begins with https:// or http://."))
}

fn sha256(text: &str) -> Option<String> {
    let fits = text.len() == 64 && text.chars().all(|ch| ch.is_ascii_digit() || ('a'..='f').contains(&ch));
    (!fits).then(|| format!("{text:?} is no SHA-256: 64 digits and letters from a to f."))
}
