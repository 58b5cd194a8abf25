//! `pg`: a table of PostgreSQL, as Terraform has it ("Backend Type: pg").
//!
//! The lock is an advisory one of the session (PostgreSQL manual, "Advisory Locks"): it ends with the connection, so a run
//! that was cut off leaves none. The name of the session says who holds it.

mod connection;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::Setting;
use super::{Backend, BackendError, BoxFuture, DEFAULT_WORKSPACE, Holder, Kind, Result, Settings};
use connection::Connection;

pub(crate) const KIND: Kind = Kind {
    name: "pg",
    settings: &[
        Setting::required("conn_str", &["PG_CONN_STR"]),
        Setting::optional("schema_name", &["PG_SCHEMA_NAME"]),
        Setting::optional("skip_index_creation", &["PG_SKIP_INDEX_CREATION"]),
        Setting::optional("skip_schema_creation", &["PG_SKIP_SCHEMA_CREATION"]),
        Setting::optional("skip_table_creation", &["PG_SKIP_TABLE_CREATION"]),
    ],
    connect: |settings, workspace| Ok(Arc::new(Pg::new(settings, workspace)?)),
};

const SCHEMA: &str = "terraform_remote_state";
const PATIENCE: Duration = Duration::from_secs(30);
/// Who makes a new state holds this one (Terraform's).
const CREATION: i64 = -1;

#[derive(Debug)]
struct Pg {
    connection: Connection,
    /// Quoted.
    schema: String,
    at: String,
    workspace: String,
    skips: Skips,
    /// One session, which holds the lock. None before it is needed.
    session: Mutex<Option<Session>>,
}

#[derive(Debug)]
struct Skips {
    schema: bool,
    table: bool,
    index: bool,
}

struct Session {
    client: Client,
    /// The number of the advisory lock that is held, and the id that it was given.
    held: Option<(i64, String)>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("held", &self.held).finish_non_exhaustive()
    }
}

/// As SQL has it (PostgreSQL manual, "Identifiers and Key Words").
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Pg {
    fn new(settings: &Settings, workspace: &str) -> Result<Pg> {
        let invalid = |reason: String| BackendError::Setting {
            name: "conn_str".to_owned(),
            reason: format!("conn_str: {reason}"),
        };
        let mut connection = Connection::parse(settings.or("conn_str", "")).map_err(invalid)?;
        let config = &mut connection.config;
        config.connect_timeout(PATIENCE).application_name("lampwright");
        let schema = settings.or("schema_name", SCHEMA);
        let hosts: Vec<String> = config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let at =
            format!("pg {}/{}, {schema}.states, {workspace:?}", hosts.join(","), config.get_dbname().unwrap_or(""));
        let skips = Skips {
            schema: settings.flag("skip_schema_creation")?,
            table: settings.flag("skip_table_creation")?,
            index: settings.flag("skip_index_creation")?,
        };
        let session = Mutex::new(None);
        Ok(Pg { connection, schema: quoted(schema), at, workspace: workspace.to_owned(), skips, session })
    }

    fn failed(&self, error: &tokio_postgres::Error) -> BackendError {
        BackendError::Failed { at: self.at.clone(), reason: connection::explain(error) }
    }

    async fn connect(&self) -> Result<Session> {
        let failed = |error| self.failed(&error);
        let config = &self.connection.config;
        let tls = self.connection.tls().map_err(|reason| BackendError::Failed { at: self.at.clone(), reason })?;
        // The connection ends with the client.
        let client = match tls {
            None => {
                let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
                tokio::spawn(connection);
                client
            }
            Some(tls) => {
                let (client, connection) = config.connect(MakeRustlsConnect::new(tls)).await.map_err(failed)?;
                tokio::spawn(connection);
                client
            }
        };
        let Pg { schema, skips, .. } = self;
        // IF NOT EXISTS asks for the right to make it, also where it is there (PostgreSQL manual, "CREATE SCHEMA", "CREATE TABLE").
        // Whoever may only work with what an administrator has made shall not need that.
        let make = async |is_skipped: bool, is_there: &str, name: &str, command: String| {
            let is_there = format!("SELECT {is_there}($1) IS NOT NULL");
            if is_skipped || client.query_one(&is_there, &[&name]).await?.get(0) {
                return Ok(());
            }
            match client.batch_execute(&command).await {
                // Two who make the same at once: one of them is refused, in spite of IF NOT EXISTS.
                Err(_) if client.query_one(&is_there, &[&name]).await?.get(0) => Ok(()),
                made => made,
            }
        };
        let relation = "to_regclass";
        let schema_command = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
        make(skips.schema, "to_regnamespace", schema, schema_command).await.map_err(failed)?;
        let sequence = "CREATE SEQUENCE IF NOT EXISTS public.global_states_id_seq AS bigint";
        let table = format!(
            "{sequence}; CREATE TABLE IF NOT EXISTS {schema}.states (id bigint NOT NULL DEFAULT nextval('public.global_states_id_seq') PRIMARY KEY, name text UNIQUE, data text)"
        );
        make(skips.table, relation, &format!("{schema}.states"), table).await.map_err(failed)?;
        let index = format!("CREATE UNIQUE INDEX IF NOT EXISTS states_by_name ON {schema}.states (name)");
        make(skips.index, relation, &format!("{schema}.states_by_name"), index).await.map_err(failed)?;
        Ok(Session { client, held: None })
    }

    /// Works with the session. One that holds a lock and is gone is not replaced: the lock is gone with it.
    async fn with<T>(&self, work: impl AsyncFnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let mut place = self.session.lock().await;
        if place.as_ref().is_some_and(|session| session.client.is_closed()) {
            let gone = place.take();
            if gone.is_some_and(|session| session.held.is_some()) {
                let text = "the connection that held it has ended".to_owned();
                return Err(BackendError::Lost { at: self.at.clone(), text });
            }
        }
        let session = match &mut *place {
            Some(session) => session,
            None => place.insert(self.connect().await?),
        };
        work(session).await
    }

    async fn try_lock(&self, session: &Session, number: i64) -> Result<bool> {
        let row = session.client.query_one("SELECT pg_try_advisory_lock($1)", &[&number]).await;
        Ok(row.map_err(|error| self.failed(&error))?.get(0))
    }

    /// The number of the state's lock; none if there is no state.
    async fn number(&self, session: &Session) -> Result<Option<i64>> {
        let query = format!("SELECT id FROM {}.states WHERE name = $1", self.schema);
        let row = session.client.query_opt(&query, &[&self.workspace]).await.map_err(|error| self.failed(&error))?;
        Ok(row.map(|row| row.get(0)))
    }

    /// The session that has an advisory lock, as far as the server tells (PostgreSQL manual, "pg_locks": a number of eight
    /// bytes is two of four).
    async fn holder(&self, session: &Session, number: i64) -> BackendError {
        let query = "SELECT a.application_name, coalesce(a.client_addr::text, 'a socket'), a.backend_start::text FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.classid = $1 AND l.objid = $2";
        let (high, low) = ((number >> 32) as u32, number as u32);
        let row = session.client.query_opt(query, &[&high, &low]).await.ok().flatten();
        let text = row.map_or_else(
            || "the server does not say which".to_owned(),
            |row| {
                let [name, from, since] =
                    [0, 1, 2].map(|column| row.get::<_, Option<String>>(column).unwrap_or_default());
                format!("{name} from {from} since {since}; the lock ends with that session")
            },
        );
        BackendError::HeldBySomebody { at: self.at.clone(), text }
    }
}

impl Backend for Pg {
    fn at(&self) -> String {
        self.at.clone()
    }

    fn identity(&self) -> String {
        let config = &self.connection.config;
        format!("{} {:?} {:?} {:?}", self.at, config.get_hostaddrs(), config.get_ports(), config.get_user())
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>>> {
        Box::pin(self.with(async |session| {
            let query = format!("SELECT data FROM {}.states WHERE name = $1", self.schema);
            let row =
                session.client.query_opt(&query, &[&self.workspace]).await.map_err(|error| self.failed(&error))?;
            let data = row.and_then(|row| row.get::<_, Option<String>>(0));
            Ok(data.map(String::into_bytes).filter(|data| !data.is_empty()))
        }))
    }

    fn write<'a>(&'a self, bytes: &'a [u8], _: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.with(async move |session| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let command = format!(
                "INSERT INTO {}.states (name, data) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET data = $2",
                self.schema
            );
            let done = session.client.execute(&command, &[&self.workspace, &text]).await;
            done.map(drop).map_err(|error| self.failed(&error))
        }))
    }

    fn lock<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.with(async move |session| {
            // A session gets the same lock as often as it asks for it.
            if session.held.is_some() {
                let text = "this process has it already".to_owned();
                return Err(BackendError::HeldBySomebody { at: self.at.clone(), text });
            }
            let name = format!("lampwright {}, {}, {}", holder.operation, holder.who, holder.info);
            let named = session.client.execute("SELECT set_config('application_name', $1, false)", &[&name]).await;
            named.map_err(|error| self.failed(&error))?;
            let number = match self.number(session).await? {
                Some(number) => number,
                None => {
                    // Nobody else makes it meanwhile.
                    if !self.try_lock(session, CREATION).await? {
                        return Err(self.holder(session, CREATION).await);
                    }
                    let insert = format!(
                        "INSERT INTO {}.states (name, data) VALUES ($1, '') ON CONFLICT DO NOTHING",
                        self.schema
                    );
                    let made = session.client.execute(&insert, &[&self.workspace]).await;
                    let freed = session.client.execute("SELECT pg_advisory_unlock($1)", &[&CREATION]).await;
                    made.and(freed).map_err(|error| self.failed(&error))?;
                    let number = self.number(session).await?;
                    number.ok_or_else(|| BackendError::Failed {
                        at: self.at.clone(),
                        reason: "the row that was made is not there".to_owned(),
                    })?
                }
            };
            if !self.try_lock(session, number).await? {
                return Err(self.holder(session, number).await);
            }
            // Whoever has ended in between may have removed the row with this number, and a new one has another lock.
            if self.number(session).await? != Some(number) {
                let freed = session.client.execute("SELECT pg_advisory_unlock($1)", &[&number]).await;
                freed.map_err(|error| self.failed(&error))?;
                let text = "others come and go; try again".to_owned();
                return Err(BackendError::HeldBySomebody { at: self.at.clone(), text });
            }
            session.held = Some((number, holder.id.clone()));
            Ok(())
        }))
    }

    fn unlock<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut place = self.session.lock().await;
            let Some((number, _)) = place.as_mut().and_then(|session| session.held.take_if(|(_, held)| held == id))
            else {
                let text = "a lock of PostgreSQL ends with its session: end that process, or its session (pg_terminate_backend)";
                return Err(BackendError::HeldBySomebody { at: self.at.clone(), text: text.to_owned() });
            };
            let Some(session) = place.as_ref() else { return Ok(()) };
            // A row that was made for the lock alone is no state.
            let empty = format!("DELETE FROM {}.states WHERE name = $1 AND data = ''", self.schema);
            session.client.execute(&empty, &[&self.workspace]).await.map_err(|error| self.failed(&error))?;
            let freed = session.client.execute("SELECT pg_advisory_unlock($1)", &[&number]).await;
            freed.map(drop).map_err(|error| self.failed(&error))
        })
    }

    fn delete<'a>(&'a self, _lock: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.with(async |session| {
            let command = format!("DELETE FROM {}.states WHERE name = $1", self.schema);
            let done = session.client.execute(&command, &[&self.workspace]).await;
            done.map(drop).map_err(|error| self.failed(&error))
        }))
    }

    fn workspaces(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(self.with(async |session| {
            let query = format!("SELECT name FROM {}.states WHERE name <> $1 ORDER BY name", self.schema);
            let rows =
                session.client.query(&query, &[&DEFAULT_WORKSPACE]).await.map_err(|error| self.failed(&error))?;
            Ok(rows.into_iter().map(|row| row.get(0)).collect())
        }))
    }
}
