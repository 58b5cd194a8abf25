//! A replica set that lost a majority of its members at once, whose disks hang on their successors: the data is there, and
//! the configuration names members that are gone. Source: MongoDB manual, "Reconfigure a Replica Set with Unavailable
//! Members" (a forced reconfiguration).
//!
//! It is forced only where nothing can be lost by it: all members of the layer answer, those that the configuration names
//! and that have data are too few to elect anybody, and the disks that are there are more than half of the voters', so that
//! one of them has every write that a majority has taken. The member with the latest write leads.

use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, doc};
use value::Problem;

use super::admin::{
    ANSWER_PATIENCE, Admin, Login, MemberAddress, NOT_YET_INITIALIZED, POLL, code, failed, host, member_config, votes,
};
use crate::layer::MachineModel;

/// A member that has data of the set, and how far it got.
struct Survivor {
    address: MemberAddress,
    config: Document,
    last_written: (u32, u32),
}

impl Survivor {
    fn version(&self) -> i64 {
        let version = self.config.get("version");
        version.and_then(|version| version.as_i64().or(version.as_i32().map(i64::from))).unwrap_or(1)
    }

    fn members(&self) -> usize {
        self.config.get_array("members").map_or(0, Vec::len)
    }

    /// The hosts that vote.
    fn voters(&self) -> Vec<String> {
        let members = self.config.get_array("members");
        members.into_iter().flatten().filter(|member| votes(member)).filter_map(host).collect()
    }
}

impl Admin {
    /// Says whether the set was brought back to life.
    pub(super) async fn revive_if_needed(&self, machines: &[MachineModel]) -> Result<bool, Problem> {
        if self.primary().await.is_some() {
            return Ok(false);
        }
        let survivors = self.survivors().await;
        let Some(newest) = survivors.iter().max_by_key(|survivor| survivor.version()) else { return Ok(false) };
        let version = newest.version();
        let voters = newest.voters();
        // A disk that was set aside long ago knows an older configuration, and says nothing about what was written since.
        let current: Vec<&Survivor> = survivors.iter().filter(|survivor| survivor.version() == version).collect();
        let is_here = |voter: &&String| current.iter().any(|survivor| survivor.address.text() == **voter);
        if voters.iter().filter(is_here).count() > voters.len() / 2 {
            // They are enough to elect a primary by themselves.
            return Ok(false);
        }
        // Which of the disks were those of voters nobody can tell.
        let at_least = current.len().saturating_sub(newest.members().saturating_sub(voters.len()));
        if at_least <= voters.len() / 2 {
            let detail = format!(
                "Of {} voting members only {at_least} have surely left a disk with data. A write that the others had taken may not be on it, so nothing is forced. If that is accepted: force the configuration by hand (MongoDB manual, \"Reconfigure a Replica Set with Unavailable Members\"), then apply again.",
                voters.len(),
            );
            return Err(Problem::error("the replica set lost its majority", detail));
        }
        let Some(best) = current.iter().max_by_key(|survivor| survivor.last_written) else { return Ok(false) };
        let is_best = |machine: &&MachineModel| MemberAddress::of(machine).is_some_and(|it| it.is(&best.address));
        let Some(machine) = machines.iter().find(is_best) else { return Ok(false) };
        // Alone at first, so that it leads; the others are added as members always are.
        let mut config = best.config.clone();
        config.insert("members", vec![Bson::Document(member_config(machine.id, &best.address, true))]);
        config.insert("version", version + 1);
        let command = doc! { "replSetReconfig": config, "force": true };
        match self.run(&best.address, Login::Administrator, command).await {
            Ok(_) => Ok(true),
            Err(error) => Err(failed("Bringing the replica set back to life", &error)),
        }
    }

    /// The members that know of a set; none if one does not answer. A member with an empty disk knows of nothing, and
    /// will follow the others.
    async fn survivors(&self) -> Vec<Survivor> {
        let mut found = Vec::new();
        for member in self.members() {
            if self.await_answer(member, ANSWER_PATIENCE).await.is_err() {
                return Vec::new();
            }
            let Some(config) = self.known_config(member).await else { continue };
            let Some(last_written) = self.last_written(member).await else { continue };
            found.push(Survivor { address: member.clone(), config, last_written });
        }
        found
    }

    /// What a member knows of its set; none if it knows nobody who may ask, as one with an empty disk. One that has just
    /// started looks first whether any of the hosts that it knows is itself, and tells nothing until then.
    async fn known_config(&self, member: &MemberAddress) -> Option<Document> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match self.run(member, Login::Administrator, doc! { "replSetGetConfig": 1 }).await {
                Ok(answer) => return answer.get_document("config").ok().cloned(),
                Err(error) if code(&error) == Some(NOT_YET_INITIALIZED) && Instant::now() < deadline => {
                    tokio::time::sleep(POLL).await;
                }
                Err(_) => return None,
            }
        }
    }

    /// The time of the last entry of a member's oplog.
    async fn last_written(&self, member: &MemberAddress) -> Option<(u32, u32)> {
        let find = doc! { "find": "oplog.rs", "sort": { "$natural": -1 }, "limit": 1, "projection": { "ts": 1 } };
        let answer = self.run_in("local", member, Login::Administrator, find).await.ok()?;
        let batch = answer.get_document("cursor").ok()?.get_array("firstBatch").ok()?;
        let time = batch.first()?.as_document()?.get_timestamp("ts").ok()?;
        Some((time.time, time.increment))
    }
}
