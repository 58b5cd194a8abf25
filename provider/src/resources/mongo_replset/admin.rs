//! Commands to a replica set, through MongoDB's own driver.
//!
//! Every command goes over a direct connection to one member: the set as a whole may not exist yet, or have no
//! primary. Source: MongoDB 6.0 manual, "Replica Set Commands".

use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{AuthMechanism, ClientOptions, Credential, ServerAddress};
use value::Problem;

use super::MAX_VOTERS;
use crate::driver::{Driver, LayerId, MachineKey};
use crate::layer::MachineModel;

pub(super) const ADMIN: &str = "lampwright";
pub(super) const APPLICATION: &str = "app";
pub(super) const POLL: Duration = Duration::from_millis(100);
const COMMAND_PATIENCE: Duration = Duration::from_secs(5);
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(20);

// MongoDB's error codes (`src/mongo/base/error_codes.yml`).
const ALREADY_INITIALIZED: i32 = 23;
const CONFIG_IN_PROGRESS: i32 = 109;
const CONFIG_NOT_COMMITTED: i32 = 308;
const NOT_PRIMARY: i32 = 10_107;
pub(super) const NOT_YET_INITIALIZED: i32 = 94;

pub(super) struct Admin {
    members: Vec<MemberAddress>,
    driver: Arc<dyn Driver>,
    layer: LayerId,
    replica_set: String,
    pub(super) database: String,
    pub(super) secrets: Secrets,
}

pub(super) struct Secrets {
    pub(super) admin_password: String,
    pub(super) app_password: String,
    pub(super) key: String,
}

/// Who gives a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    /// Learns no more than `hello` tells.
    Nobody,
    /// As members log in at each other, by their key: the only way in before there are users, since no member knows
    /// the localhost exception (docs/decisions/0014).
    Member,
    Administrator,
    Application,
}

/// How the set knows a member.
#[derive(Debug, Clone)]
pub(super) struct MemberAddress {
    /// None for a member that only the set's own configuration tells of.
    id: Option<u64>,
    host: String,
    port: u16,
}

impl MemberAddress {
    pub(super) fn of(machine: &MachineModel) -> Option<MemberAddress> {
        Some(MemberAddress { id: Some(machine.id), host: machine.address.clone()?, port: machine.port })
    }

    /// Whether both are the same member; only one side may know its id.
    pub(super) fn is(&self, other: &MemberAddress) -> bool {
        self.host == other.host && self.port == other.port
    }

    pub(super) fn text(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Admin {
    pub(super) fn new(
        driver: Arc<dyn Driver>,
        layer: LayerId,
        machines: &[MachineModel],
        replica_set: String,
        database: String,
        secrets: Secrets,
    ) -> Admin {
        let members = machines.iter().filter_map(MemberAddress::of).collect();
        Admin { members, driver, layer, replica_set, database, secrets }
    }

    /// Members that leave may be the primary.
    pub(super) fn also_ask(&mut self, machines: &[MachineModel]) {
        self.members.extend(machines.iter().filter_map(MemberAddress::of));
    }

    async fn connect(&self, member: &MemberAddress, login: Login) -> Result<Client, Error> {
        let (host, port) = match member.id {
            Some(id) => {
                let reached = self.driver.reach(&MachineKey { layer: self.layer.clone(), id }, member.port).await;
                let reached = reached.map_err(|error| Error::custom(error.explain()))?;
                (reached.ip().to_string(), reached.port())
            }
            None => (member.host.clone(), member.port),
        };
        let address = ServerAddress::Tcp { host, port: Some(port) };
        let mut options = ClientOptions::builder()
            .hosts(vec![address])
            .direct_connection(true)
            .server_selection_timeout(Duration::from_secs(2))
            .connect_timeout(Duration::from_secs(2))
            .app_name("lampwright".to_owned())
            .build();
        options.credential = self.credential(login);
        Client::with_options(options)
    }

    fn credential(&self, login: Login) -> Option<Credential> {
        let Secrets { admin_password, app_password, key } = &self.secrets;
        let (user, password, source) = match login {
            Login::Nobody => return None,
            Login::Member => ("__system", key, "local"),
            Login::Administrator => (ADMIN, admin_password, "admin"),
            Login::Application => (APPLICATION, app_password, "admin"),
        };
        let credential = Credential::builder().username(user.to_owned()).password(password.clone());
        // The other mechanism would take a digest of the key for the key.
        Some(credential.source(source.to_owned()).mechanism(AuthMechanism::ScramSha256).build())
    }

    pub(super) async fn run(&self, member: &MemberAddress, login: Login, command: Document) -> Result<Document, Error> {
        self.run_in("admin", member, login, command).await
    }

    pub(super) async fn run_in(
        &self,
        database: &str,
        member: &MemberAddress,
        login: Login,
        command: Document,
    ) -> Result<Document, Error> {
        self.run_for(COMMAND_PATIENCE, database, member, login, command).await
    }

    async fn run_for(
        &self,
        patience: Duration,
        database: &str,
        member: &MemberAddress,
        login: Login,
        command: Document,
    ) -> Result<Document, Error> {
        let client = self.connect(member, login).await?;
        let answer = tokio::time::timeout(patience, client.database(database).run_command(command)).await;
        client.shutdown().immediate(true).await;
        answer.unwrap_or_else(|_| Err(Error::custom(format!("no answer within {} s", patience.as_secs()))))
    }

    /// What a member says of itself; nobody needs to be logged in for it.
    async fn hello(&self, member: &MemberAddress) -> Option<Document> {
        self.run(member, Login::Nobody, doc! { "hello": 1 }).await.ok()
    }

    pub(super) async fn primary(&self) -> Option<MemberAddress> {
        for member in &self.members {
            if let Some(hello) = self.hello(member).await
                && hello.get_bool("isWritablePrimary").unwrap_or(false)
            {
                return Some(member.clone());
            }
        }
        None
    }

    pub(super) async fn primary_name(&self, machines: &[MachineModel]) -> Option<String> {
        let primary = self.primary().await?;
        let machine = machines.iter().find(|machine| MemberAddress::of(machine).is_some_and(|it| it.is(&primary)))?;
        Some(machine.name.clone())
    }

    /// Runs a command on the primary, and again when the primary changed in between.
    pub(super) async fn on_primary(&self, what: &str, command: Document) -> Result<Document, Problem> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut last: Option<Error> = None;
        while Instant::now() < deadline {
            if let Some(primary) = self.primary().await {
                match self.run(&primary, Login::Administrator, command.clone()).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) if is_passing(&error) => last = Some(error),
                    Err(error) => return Err(failed(what, &error)),
                }
            }
            tokio::time::sleep(POLL).await;
        }
        match last {
            Some(error) => Err(failed(what, &error)),
            None => Err(no_primary(what)),
        }
    }

    pub(super) fn members(&self) -> &[MemberAddress] {
        &self.members
    }

    pub(super) async fn await_answer(&self, member: &MemberAddress, patience: Duration) -> Result<(), Problem> {
        let deadline = Instant::now() + patience;
        while self.hello(member).await.is_none() {
            if Instant::now() > deadline {
                let detail = format!("The member at {} does not answer.", member.text());
                return Err(Problem::error("a member is not reachable", detail));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Whether a member is primary or follows one, as it says itself: it is asked before there are users, too. None if it is in
    /// no set.
    async fn follows(&self, member: &MemberAddress) -> Option<bool> {
        let hello = self.hello(member).await?;
        let says = |name: &str| hello.get_bool(name).unwrap_or(false);
        hello.contains_key("setName").then(|| says("isWritablePrimary") || says("secondary"))
    }

    /// Waits until a member that was restarted is back in its set, if it is in one.
    pub(super) async fn await_return(&self, member: &MemberAddress, patience: Duration) -> Result<(), Problem> {
        let started = Instant::now();
        self.await_answer(member, patience).await?;
        while self.follows(member).await == Some(false) {
            if started.elapsed() > patience {
                let detail =
                    format!("{} did not become primary or secondary within {} s.", member.text(), patience.as_secs());
                return Err(Problem::error("a member does not follow", detail));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Initiates the set unless a member knows of one; says whether it did.
    pub(super) async fn initiate_if_needed(&self, machines: &[MachineModel]) -> Result<bool, Problem> {
        let Some(first) = self.members.first() else { return Ok(false) };
        self.await_answer(first, ANSWER_PATIENCE).await?;
        for member in &self.members {
            if self.hello(member).await.is_some_and(|hello| hello.contains_key("setName")) {
                return Ok(false);
            }
        }
        let members: Vec<Document> = machines
            .iter()
            .filter_map(|machine| Some((machine, MemberAddress::of(machine)?)))
            .enumerate()
            .map(|(position, (machine, address))| member_config(machine.id, &address, position < MAX_VOTERS))
            .collect();
        // Elections a second or two after a failure, rather than ten, suit members that are near each other.
        let config = doc! {
            "_id": &self.replica_set,
            "members": members,
            "settings": { "electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500 },
        };
        // It makes and syncs the oplog's first file, on a disk that may be busy.
        let patience = ANSWER_PATIENCE * 3;
        match self.run_for(patience, "admin", first, Login::Member, doc! { "replSetInitiate": config }).await {
            Ok(_) => Ok(true),
            // It has not read its configuration yet.
            Err(error) if code(&error) == Some(ALREADY_INITIALIZED) => Ok(false),
            Err(error) => Err(failed("Initiating the replica set", &error)),
        }
    }

    pub(super) async fn wait_for_primary(&self, patience: Duration) -> Result<(), Problem> {
        let deadline = Instant::now() + patience;
        while self.primary().await.is_none() {
            if Instant::now() > deadline {
                return Err(no_primary("Waiting for an election"));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// The version that the members run.
    pub(super) async fn version(&self) -> Result<String, Problem> {
        let info = self.on_primary("Asking for the version", doc! { "buildInfo": 1 }).await?;
        Ok(info.get_str("version").unwrap_or_default().to_owned())
    }

    /// Of the first member that says so.
    pub(super) async fn version_of_any(&self) -> Option<String> {
        for member in &self.members {
            if let Ok(info) = self.run(member, Login::Administrator, doc! { "buildInfo": 1 }).await {
                return info.get_str("version").ok().map(str::to_owned);
            }
        }
        None
    }

    pub(super) async fn set_majority_writes(&self) -> Result<(), Problem> {
        let command = doc! {
            "setDefaultRWConcern": 1,
            "defaultWriteConcern": { "w": "majority", "wtimeout": 10_000 },
            "writeConcern": { "w": "majority", "wtimeout": 20_000 },
        };
        self.on_primary("Making majority writes the default", command).await.map(drop)
    }

    async fn config(&self) -> Result<Document, Problem> {
        let answer = self.on_primary("Reading the replica set's configuration", doc! { "replSetGetConfig": 1 }).await?;
        answer
            .get_document("config")
            .cloned()
            .map_err(|_| Problem::error("unexpected answer of mongod", "It sent no configuration."))
    }

    /// Changes the list of members by one, and waits until a majority has the change.
    async fn reconfigure(&self, what: &str, change: impl Fn(&mut Vec<Bson>)) -> Result<(), Problem> {
        // The set changes its configuration by itself, too (a new member becomes a voter): then ours is out of date
        // and is made again.
        let mut tries = 0;
        loop {
            let mut config = self.config().await?;
            let version = config.get_i32("version").unwrap_or(1);
            config.insert("version", version + 1);
            if let Ok(members) = config.get_array_mut("members") {
                change(members);
            }
            match self.on_primary(what, doc! { "replSetReconfig": config }).await {
                Ok(_) => break,
                Err(problem) if tries == 5 => return Err(problem),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(POLL).await;
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let committed = self.on_primary(what, doc! { "replSetGetConfig": 1, "commitmentStatus": true }).await?;
            if committed.get_bool("commitmentStatus").unwrap_or(false) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Problem::error(
                    "a reconfiguration is not committed",
                    format!("{what}: no majority of members has it after 30 s."),
                ));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Says whether the member was missing.
    pub(super) async fn add_member(&self, machine: &MachineModel) -> Result<bool, Problem> {
        let Some(address) = MemberAddress::of(machine) else { return Ok(false) };
        let config = self.config().await?;
        let members = config.get_array("members").cloned().unwrap_or_default();
        if members.iter().any(|member| host(member) == Some(address.text())) {
            return Ok(false);
        }
        let voters = members.iter().filter(|member| votes(member)).count();
        let member = member_config(machine.id, &address, voters < MAX_VOTERS);
        let id = machine.id as i32;
        self.reconfigure(&format!("Adding {}", machine.name), |members| {
            members.retain(|member| member.as_document().and_then(|member| member.get_i32("_id").ok()) != Some(id));
            members.push(Bson::Document(member.clone()));
        })
        .await?;
        Ok(true)
    }

    /// Takes every member out that is not one of `machines`; tells their addresses.
    pub(super) async fn remove_others(&self, machines: &[MachineModel]) -> Result<Vec<String>, Problem> {
        let wanted: Vec<String> = machines.iter().filter_map(MemberAddress::of).map(|address| address.text()).collect();
        let config = self.config().await?;
        let members = config.get_array("members").cloned().unwrap_or_default();
        let others: Vec<String> = members.iter().filter_map(host).filter(|host| !wanted.contains(host)).collect();
        for other in &others {
            self.remove_member(other).await?;
        }
        Ok(others)
    }

    /// Takes a member out; the primary steps down first.
    async fn remove_member(&self, address: &str) -> Result<(), Problem> {
        self.step_down(address).await?;
        self.reconfigure(&format!("Removing {address}"), |members| {
            members.retain(|member| host(member).as_deref() != Some(address));
        })
        .await
    }

    /// Waits until the members but one are a majority that follows: then that one may stop. Of two members none can stop
    /// without that, and one has nobody else.
    pub(super) async fn await_majority_without(&self, member: &MemberAddress) -> Result<(), Problem> {
        let voters = self.members.len().min(MAX_VOTERS);
        if voters < 3 || self.follows(member).await.is_none() {
            return Ok(());
        }
        let deadline = Instant::now() + ANSWER_PATIENCE * 3;
        loop {
            let mut well = 0;
            for other in self.members.iter().filter(|other| !other.is(member)) {
                well += usize::from(self.follows(other).await == Some(true));
            }
            if well > voters / 2 {
                return Ok(());
            }
            if Instant::now() > deadline {
                let detail = format!(
                    "{} has to be restarted, and only {well} of the {voters} members would be left that follow the set, which are no majority: writes would stop. Nothing was changed on it. Apply again when the others are well.",
                    member.text()
                );
                return Err(Problem::error("this change would lose the majority of the replica set", detail));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Another member is primary afterwards, if this one was.
    pub(super) async fn step_down(&self, address: &str) -> Result<(), Problem> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Some(primary) = self.primary().await.filter(|primary| primary.text() == address) {
            if Instant::now() > deadline {
                let detail = format!("{address} is the primary and no other member takes over.");
                return Err(Problem::error("the primary cannot step down", detail));
            }
            // The answer may be lost together with the connection; what counts is who the primary is afterwards.
            let command = doc! { "replSetStepDown": 60, "secondaryCatchUpPeriodSecs": 5 };
            if let Err(error) = self.run(&primary, Login::Administrator, command).await {
                tracing::debug!("step down of {address}: {error}");
            }
            tokio::time::sleep(POLL).await;
        }
        self.wait_for_primary(Duration::from_secs(30)).await
    }

    /// Waits until every member is primary or secondary, and counts as a voter.
    pub(super) async fn wait_until_all_follow(
        &self,
        machines: &[MachineModel],
        patience: Duration,
    ) -> Result<(), Problem> {
        let deadline = Instant::now() + patience;
        loop {
            let states = self.member_states().await.unwrap_or_default();
            let behind: Vec<&str> = machines
                .iter()
                .filter(|machine| {
                    !states.iter().any(|(address, healthy)| {
                        *healthy && MemberAddress::of(machine).is_some_and(|it| it.is(address))
                    })
                })
                .map(|machine| machine.name.as_str())
                .collect();
            if behind.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let detail = format!(
                    "{} did not become primary or secondary within {} s.",
                    behind.join(", "),
                    patience.as_secs()
                );
                return Err(Problem::error("a member does not follow", detail));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Every member of the set and whether it is primary or secondary, as the first member that answers sees it.
    pub(super) async fn member_states(&self) -> Option<Vec<(MemberAddress, bool)>> {
        for member in &self.members {
            let Ok(status) = self.run(member, Login::Administrator, doc! { "replSetGetStatus": 1 }).await else {
                continue;
            };
            let Ok(members) = status.get_array("members") else { continue };
            let states = members.iter().filter_map(|member| {
                let member = member.as_document()?;
                let (host, port) = member.get_str("name").ok()?.rsplit_once(':')?;
                let address = MemberAddress { id: None, host: host.to_owned(), port: port.parse().ok()? };
                // 1 is PRIMARY, 2 is SECONDARY.
                let healthy = matches!(member.get_i32("state"), Ok(1 | 2));
                Some((address, healthy))
            });
            return Some(states.collect());
        }
        None
    }
}

pub(super) fn member_config(id: u64, address: &MemberAddress, votes: bool) -> Document {
    let weight = i32::from(votes);
    doc! { "_id": id as i32, "host": address.text(), "votes": weight, "priority": weight }
}

pub(super) fn host(member: &Bson) -> Option<String> {
    member.as_document()?.get_str("host").ok().map(str::to_owned)
}

pub(super) fn votes(member: &Bson) -> bool {
    let votes = member.as_document().and_then(|member| member.get("votes"));
    !matches!(votes, Some(Bson::Int32(0) | Bson::Int64(0)))
}

pub(super) fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

/// Errors that go away by themselves: an election, or a reconfiguration that is still under way.
fn is_passing(error: &Error) -> bool {
    match code(error) {
        Some(code) => {
            matches!(code, CONFIG_IN_PROGRESS | CONFIG_NOT_COMMITTED | NOT_PRIMARY)
                || error.to_string().contains("not primary")
        }
        None => true,
    }
}

pub(super) fn failed(what: &str, error: &Error) -> Problem {
    // What we say ourselves is not in the driver's text of it.
    let ours = match &*error.kind {
        ErrorKind::Custom(ours) => ours.downcast_ref::<String>(),
        _ => None,
    };
    match ours {
        Some(ours) => Problem::error("the replica set did not answer", format!("{what} failed: {ours}. Apply again.")),
        None => Problem::error("the replica set refused", format!("{what} failed: {error}")),
    }
}

pub(super) fn no_primary(what: &str) -> Problem {
    Problem::error(
        "the replica set has no primary",
        format!(
            "{what}: no member is primary, so nothing can be changed. A majority of members must run; apply again once they do."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_say_ourselves_is_told() {
        let problem = failed("Initiating the replica set", &Error::custom("no answer within 5 s".to_owned()));
        assert_eq!(problem.detail, "Initiating the replica set failed: no answer within 5 s. Apply again.");
    }
}
