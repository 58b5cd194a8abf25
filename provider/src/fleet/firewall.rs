//! The firewall rules that follow from the edges of a stack: a layer's own door, and its ways to the layers that it
//! connects to. Nothing else is let in, but the management of the machines itself.
//!
//! Every rule says which layer asked for it. What says nothing of the kind was added by hand: it shows as drift and
//! is taken away.

use value::{Path, Problem, Step};

use crate::context::{Context, Edge};
use crate::driver::{Driver, Firewall, Ingress, LayerId, Source, driver_problem};
use crate::layer::{Door, Layer, Reference, State};

/// How a rule that nobody asked for is shown.
const NOT_ASKED_FOR: &str = "not asked for: ";

struct Rules {
    own: Vec<Ingress>,
    /// At the doors of the layers that this one connects to.
    edges: Vec<(Edge, Vec<Ingress>)>,
}

/// The rules as text, for the plan; none while they cannot be known.
pub(crate) async fn texts<L: Layer>(
    context: &Context,
    state: &State<L::Model>,
) -> Result<Option<Vec<String>>, Vec<Problem>> {
    // What a reference will say is not known before the layer that it names is.
    let is_unknown = |reference: &Reference| {
        let at = Path::attribute(reference.at);
        ["id", "cloud", "machines"].iter().any(|part| !state.is_known(&at.then(Step::Attribute((*part).into()))))
    };
    if L::references(&state.own).iter().any(is_unknown) && has_firewall(context, state)? {
        return Ok(None);
    }
    Ok(rules::<L>(context, state).await?.map(|rules| rules.texts()))
}

fn has_firewall<M>(context: &Context, state: &State<M>) -> Result<bool, Vec<Problem>> {
    let own = state.group.driver(context)?;
    Ok(context.clouds.values().any(|driver| driver.has_firewall()) && own.has_firewall())
}

impl Rules {
    fn texts(&self) -> Vec<String> {
        let own = self.own.iter().map(Ingress::to_string);
        let edges = self
            .edges
            .iter()
            .flat_map(|(edge, rules)| rules.iter().map(move |rule| edge_text(&edge.layer, &rule.to_string())));
        let mut texts: Vec<String> = own.chain(edges).collect();
        texts.sort();
        texts.dedup();
        texts
    }
}

fn edge_text(layer: &LayerId, rule: &str) -> String {
    format!("{layer}: {rule}")
}

/// The layers that this one connects to, each once.
pub(super) fn edges<L: Layer>(state: &State<L::Model>) -> Vec<Edge> {
    let mut edges: Vec<Edge> = L::references(&state.own).iter().filter_map(Reference::edge).collect();
    edges.sort();
    edges.dedup();
    edges
}

/// None while addresses are missing that a rule is made of.
async fn rules<L: Layer>(context: &Context, state: &State<L::Model>) -> Result<Option<Rules>, Vec<Problem>> {
    let driver = state.group.driver(context)?;
    let Some(own) = own_rules::<L>(context, &**driver, state) else { return Ok(None) };
    let mut edges = Vec::new();
    for edge in self::edges::<L>(state) {
        if !context.cloud(&edge.cloud)?.has_firewall() {
            continue;
        }
        let Some(source) = source::<L>(context, &**driver, state, &edge).await? else { return Ok(None) };
        let before =
            context.before_change.edges.iter().filter(|before| before.leads_to(&edge)).map(|before| before.port);
        let mut ports: Vec<u16> = std::iter::once(edge.port).chain(before).collect();
        ports.sort_unstable();
        ports.dedup();
        let rules = ports.into_iter().map(|port| Ingress { source: source.clone(), port }).collect();
        edges.push((edge, rules));
    }
    Ok(Some(Rules { own, edges }))
}

/// At the layer's own door.
fn own_rules<L: Layer>(context: &Context, driver: &dyn Driver, state: &State<L::Model>) -> Option<Vec<Ingress>> {
    let mut own = Vec::new();
    let Some(firewall) = driver.firewall() else { return Some(own) };
    if !L::is_managed(&state.own) {
        own.extend(firewall.management());
    }
    let port = L::port(&state.own);
    match L::door(&state.own) {
        Door::OnRequest => {}
        Door::World => {
            let ports = std::iter::once(port).chain(context.before_change.own_port.filter(|before| *before != port));
            own.extend(ports.map(|port| Ingress { source: Source::World, port }));
        }
        // Over public addresses the cloud does not see which of its own machines somebody is.
        Door::Siblings if state.group.public.unwrap_or(false) => {
            own.push(Ingress { source: addresses(state)?, port });
        }
        Door::Siblings => own.push(Ingress { source: Source::Layer(state.group.layer()), port }),
    }
    Some(own)
}

/// Who the layer's machines are at the other end of an edge; none while that is not known.
async fn source<L: Layer>(
    context: &Context,
    driver: &dyn Driver,
    state: &State<L::Model>,
    edge: &Edge,
) -> Result<Option<Source>, Vec<Problem>> {
    let group = &state.group;
    let own_cloud = group.cloud.as_deref().unwrap_or(&context.default_cloud);
    // Two names of one network see each other as one.
    let is_near = own_cloud == edge.cloud
        || driver
            .network()
            .is_some_and(|network| context.cloud(&edge.cloud).is_ok_and(|it| it.network() == Some(network)));
    if let Some(balancers) = driver.balancers().filter(|_| L::is_managed(&state.own) && is_near) {
        let source = balancers.source(&group.layer()).await;
        let failed = |error| vec![driver_problem("Looking for where the load balancer's requests come from", &error)];
        return source.map(Some).map_err(failed);
    }
    if own_cloud == edge.cloud && !edge.is_public {
        return Ok(Some(Source::Layer(group.layer())));
    }
    if let Some(network) = driver.egress() {
        return Ok(Some(Source::Network(network)));
    }
    if driver.has_firewall() && !L::is_managed(&state.own) {
        return Ok(addresses(state));
    }
    let (who, come) = if L::is_managed(&state.own) { ("a load balancer", "comes") } else { ("machines", "come") };
    let detail = format!(
        "The firewall of the layer {} on the cloud {:?} goes by addresses, and the address that {who} of the cloud {own_cloud:?} {come} from is not known there. Write it into the settings of that cloud: egress = \"198.51.100.7/32\".",
        edge.layer, edge.cloud,
    );
    Err(vec![Problem::error("an address is not known", detail)])
}

fn addresses<M>(state: &State<M>) -> Option<Source> {
    let machines = state.group.machines().iter();
    let mut addresses = machines.map(|machine| machine.address.as_ref()?.parse().ok()).collect::<Option<Vec<_>>>()?;
    addresses.sort();
    Some(Source::Addresses(addresses))
}

/// Makes the rules what they shall be, at the layer's own door and at those that it goes to.
pub(crate) async fn apply<L: Layer>(context: &Context, state: &mut State<L::Model>) -> Vec<Problem> {
    match settle::<L>(context, state).await {
        Ok(texts) => {
            state.group.firewall = Some(texts);
            Vec::new()
        }
        Err(problems) => problems,
    }
}

async fn settle<L: Layer>(context: &Context, state: &State<L::Model>) -> Result<Vec<String>, Vec<Problem>> {
    let Some(rules) = rules::<L>(context, state).await? else { return Ok(Vec::new()) };
    let layer = state.group.layer();
    let id = layer.to_string();
    let driver = state.group.driver(context)?;
    if let Some(firewall) = driver.firewall() {
        let done = async {
            // A rule that was added by hand may be in the way of the same rule of ours.
            firewall.expel_unknown(&layer).await?;
            firewall.admit(&layer, &id, &rules.own).await
        };
        done.await.map_err(|error| vec![driver_problem(&format!("Setting the firewall of {layer}"), &error)])?;
    }
    for (edge, rules) in merged(&rules.edges) {
        let Some(firewall) = context.cloud(&edge.cloud)?.firewall() else { continue };
        let done = firewall.admit(&edge.layer, &id, &rules).await;
        done.map_err(|error| vec![driver_problem(&format!("Letting {layer} in at {}", edge.layer), &error)])?;
    }
    Ok(rules.texts())
}

/// The rules at each door together: what one edge asks for must not take away what another one has.
fn merged(edges: &[(Edge, Vec<Ingress>)]) -> Vec<(&Edge, Vec<Ingress>)> {
    let mut doors: Vec<(&Edge, Vec<Ingress>)> = Vec::new();
    for (edge, rules) in edges {
        match doors.iter_mut().find(|(door, _)| door.leads_to(edge)) {
            Some((_, all)) => all.extend(rules.iter().filter(|rule| !all.contains(rule)).cloned().collect::<Vec<_>>()),
            None => doors.push((edge, rules.clone())),
        }
    }
    doors
}

/// Gives up what the layer asked for at the doors of others, but for those that it still goes to.
pub(crate) async fn revoke<L: Layer>(
    context: &Context,
    state: &State<L::Model>,
    still: Option<&State<L::Model>>,
) -> Vec<Problem> {
    let still = still.map(edges::<L>).unwrap_or_default();
    let layer = state.group.layer();
    let mut problems = Vec::new();
    for edge in edges::<L>(state).iter().filter(|edge| !still.iter().any(|kept| kept.leads_to(edge))) {
        match context.cloud(&edge.cloud) {
            Ok(driver) => {
                let Some(firewall) = driver.firewall() else { continue };
                let revoked = firewall.admit(&edge.layer, &layer.to_string(), &[]).await;
                let what = || format!("Taking back the rules of {layer} at {}", edge.layer);
                problems.extend(revoked.err().map(|error| driver_problem(&what(), &error)));
            }
            Err(unknown) => problems.extend(unknown),
        }
    }
    problems
}

/// What is there of the recorded rules, and what is there besides.
pub(crate) async fn read<L: Layer>(context: &Context, state: &mut State<L::Model>) -> Vec<Problem> {
    match present::<L>(context, state).await {
        Ok(Some(present)) => {
            state.group.firewall = Some(present);
            Vec::new()
        }
        Ok(None) => Vec::new(),
        Err(problems) => problems,
    }
}

async fn present<L: Layer>(context: &Context, state: &State<L::Model>) -> Result<Option<Vec<String>>, Vec<Problem>> {
    let layer = state.group.layer();
    let id = layer.to_string();
    let of = async |firewall: &dyn Firewall, at: &LayerId| {
        let admitted = firewall.admitted(at).await;
        admitted.map_err(|error| vec![driver_problem(&format!("Looking at the firewall of {at}"), &error)])
    };
    let mut found = Vec::new();
    let driver = state.group.driver(context)?;
    if let Some(firewall) = driver.firewall() {
        for rule in of(firewall, &layer).await? {
            match rule.by {
                Some(by) if by == id => found.push(rule.text),
                Some(_) => {}
                None => found.push(format!("{NOT_ASKED_FOR}{}", rule.text)),
            }
        }
    }
    let mut doors: Vec<Edge> = Vec::new();
    for edge in edges::<L>(state) {
        if !doors.iter().any(|door| door.leads_to(&edge)) {
            doors.push(edge);
        }
    }
    for edge in doors {
        if let Ok(driver) = context.cloud(&edge.cloud)
            && let Some(firewall) = driver.firewall()
        {
            let rules = of(firewall, &edge.layer).await?.into_iter().filter(|rule| rule.by.as_ref() == Some(&id));
            found.extend(rules.map(|rule| edge_text(&edge.layer, &rule.text)));
        }
    }
    found.sort();
    Ok((state.group.firewall.is_some() || !found.is_empty()).then_some(found))
}
