//! A whole layer: what is peculiar to it. All that happens to it is the fleet's.
use std::time::Duration;

use serde::{Deserialize, Serialize};
use value::{Problem, Ty};

use super::HAPPENED;
use crate::bundle::{Bundle, CHECKED, Program, Service, Signal, TakesUp};
use crate::context::Context;
use crate::field::{Change, Field};
use crate::layer::*;

#[derive(Debug)]
pub(super) struct Dummy;
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(super) struct Model {
    nodes: Option<u64>,
    text: Option<String>,
}

impl Layer for Dummy {
    const NAME: &'static str = "dummy";
    const DEFAULT_NAME: &'static str = "dummy";
    const DOC: &'static str = "Machines that serve a text.";
    const PROGRAMS: &'static [Program] = &[Program { name: "python3", package: "python3", units: &[] }];
    const ROLLOUT: Rollout =
        Rollout { at_once: AtOnce::OneOf(2), ready_within: Duration::from_secs(20), started: "ready" };
    type Model = Model;
    fn fields() -> Vec<Field> {
        let all = [("nodes", Ty::Number, Change::Scales), ("text", Ty::String, Change::Releases)];
        all.map(|(name, ty, change)| Field::required(name, ty, name).change(change)).to_vec()
    }
    fn wanted(own: &Model) -> Option<u64> {
        own.nodes
    }
    fn port(_: &Model) -> u16 {
        8070
    }
    fn bundles(context: &Context, state: &State<Model>) -> Result<Vec<Bundle>, Vec<Problem>> {
        let driver = state.group.driver(context)?;
        let bundle = |machine: &MachineModel| {
            let (mut bundle, layout) = (Bundle::default(), driver.layout(&state.group.key(machine.id)));
            bundle.folders = ["run", "log"].map(str::to_owned).to_vec();
            bundle.add("htdocs/index.html", state.own.text.clone().unwrap_or_default());
            let address = bundle.known(machine.address.as_deref()).to_owned();
            let (port, folder, pid) = (machine.port, layout.path("htdocs"), layout.path("run/pid"));
            let serve = format!("python3 -m http.server {port} --bind {address} -d {folder}");
            bundle.add("etc/server.sh", format!("echo $$ > {pid}\nexec {serve}\n"));
            bundle.services = vec![Service {
                name: "server",
                program: "sh",
                package: "dash",
                cure: None,
                args: vec![layout.path("etc/server.sh")],
                check: vec!["-n".to_owned(), CHECKED.to_owned()],
                config: "etc/server.sh",
                reads: &["etc/"],
                takes_up: TakesUp::ByRestart,
                stop: Signal::Term,
                pid_file: "run/pid",
                logs: &[],
            }];
            bundle
        };
        Ok(state.group.machines().iter().map(bundle).collect())
    }
    async fn ready(node: &Node<Dummy>, _: Began) -> Result<(), Problem> {
        let answered = node.until_answered(node.machine.port, "/", Duration::from_secs(20), |code| code == 200);
        answered.await.map_err(|unanswered| Problem::error("it does not answer", unanswered.text()))
    }
    async fn leave(node: &Node<Dummy>, until: Until) -> Result<(), Problem> {
        HAPPENED.lock().unwrap().push(format!("{} leaves until {until:?}", node.machine.name));
        Ok(())
    }
    async fn rejoin(node: &Node<Dummy>) -> Result<(), Problem> {
        HAPPENED.lock().unwrap().extend(node.has_left.then(|| format!("{} is back", node.machine.name)));
        Ok(())
    }
}
