//! The firewall rules that follow from the edges of a stack: a layer's own door, and its way to the layer that it
//! connects to. Nothing else is let in, but the management of the machines itself.
//!
//! Every rule says which layer asked for it. What says nothing of the kind was added by hand: it shows as drift and
//! is taken away.

use value::{Problem, Value};

use crate::context::Context;
use crate::driver::{Driver, Ingress, LayerId, Source, driver_problem};
use crate::layer::{Door, Layer, State, Upstream};

/// How a rule that nobody asked for is shown.
const NOT_ASKED_FOR: &str = "not asked for: ";

struct Rules {
    own: Vec<Ingress>,
    upstream: Option<(Upstream, Vec<Ingress>)>,
}

/// The rules as text, for the plan; none while they cannot be known.
pub(crate) async fn texts<L: Layer>(
    context: &Context,
    state: &State<L::Model>,
    proposed: &Value,
) -> Result<Option<Vec<String>>, Vec<Problem>> {
    // What a reference will say is not known before the layer that it names is.
    let has_unknown_upstream = ["backend", "database"].iter().filter_map(|name| proposed.get(name)).any(|value| {
        !value.is_known()
            || ["id", "cloud", "machines"].iter().any(|part| value.get(part).is_some_and(|part| !part.is_known()))
    });
    if has_unknown_upstream && has_firewall(context, state)? {
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
        let upstream = self.upstream.iter().flat_map(|(upstream, rules)| {
            rules.iter().map(move |rule| upstream_text(&upstream.layer, &rule.to_string()))
        });
        let mut texts: Vec<String> = own.chain(upstream).collect();
        texts.sort();
        texts
    }
}

fn upstream_text(layer: &LayerId, rule: &str) -> String {
    format!("{layer}: {rule}")
}

/// None while addresses are missing that a rule is made of.
async fn rules<L: Layer>(context: &Context, state: &State<L::Model>) -> Result<Option<Rules>, Vec<Problem>> {
    let driver = state.group.driver(context)?;
    let group = &state.group;
    let is_public = group.public.unwrap_or(false);
    // A layer without machines is one of the cloud's own making.
    let is_native = L::wanted(&state.own) == Some(0) && L::door(&state.own) == Door::World;
    let mut own = Vec::new();
    if driver.has_firewall() {
        if !is_native {
            own.extend(driver.management());
        }
        let port = L::port(&state.own);
        match L::door(&state.own) {
            Door::OnRequest => {}
            Door::World => {
                let ports =
                    std::iter::once(port).chain(context.before_change.own_port.filter(|before| *before != port));
                own.extend(ports.map(|port| Ingress { source: Source::World, port }));
            }
            // Over public addresses the cloud does not see which of its own machines somebody is.
            Door::Siblings if is_public => match addresses(state) {
                Some(source) => own.push(Ingress { source, port }),
                None => return Ok(None),
            },
            Door::Siblings => own.push(Ingress { source: Source::Layer(group.layer()), port }),
        }
    }
    let Some(upstream) = L::upstream(&state.own) else { return Ok(Some(Rules { own, upstream: None })) };
    let upstream_driver = context.cloud(&upstream.cloud)?;
    if !upstream_driver.has_firewall() {
        return Ok(Some(Rules { own, upstream: None }));
    }
    let own_cloud = group.cloud.as_deref().unwrap_or(&context.default_cloud);
    let source = if is_native && own_cloud == upstream.cloud {
        let source = driver.balancer_source(&group.layer()).await;
        source
            .map_err(|error| vec![driver_problem("Looking for where the load balancer's requests come from", &error)])?
    } else if own_cloud == upstream.cloud && !upstream.is_public {
        Source::Layer(group.layer())
    } else if let Some(network) = driver.egress() {
        Source::Network(network)
    } else if driver.has_firewall() {
        match addresses(state) {
            Some(source) => source,
            None => return Ok(None),
        }
    } else {
        let detail = format!(
            "The layer {} is on the cloud {:?} and lets in who asks by address, and nobody knows which address the machines of the cloud {own_cloud:?} are seen by there. Say so in the cloud's settings: egress = \"198.51.100.7/32\".",
            upstream.layer, upstream.cloud,
        );
        return Err(vec![Problem::error("an address is not known", detail)]);
    };
    let before = context.before_change.upstream_port.filter(|before| *before != upstream.port);
    let ports = std::iter::once(upstream.port).chain(before);
    let rules = ports.map(|port| Ingress { source: source.clone(), port }).collect();
    Ok(Some(Rules { own, upstream: Some((upstream, rules)) }))
}

fn addresses<M>(state: &State<M>) -> Option<Source> {
    let machines = state.group.machines().iter();
    let mut addresses = machines.map(|machine| machine.address.as_ref()?.parse().ok()).collect::<Option<Vec<_>>>()?;
    addresses.sort();
    Some(Source::Addresses(addresses))
}

/// Makes the rules what they shall be, at the layer's own door and upstream.
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
    if driver.has_firewall() {
        let done = async {
            // A rule that was added by hand may be in the way of the same rule of ours.
            driver.expel_unknown(&layer).await?;
            driver.admit(&layer, &id, &rules.own).await
        };
        done.await.map_err(|error| vec![driver_problem(&format!("Setting the firewall of {layer}"), &error)])?;
    }
    if let Some((upstream, rules)) = &rules.upstream {
        let driver = context.cloud(&upstream.cloud)?;
        let done = driver.admit(&upstream.layer, &id, rules).await;
        done.map_err(|error| vec![driver_problem(&format!("Letting {layer} in at {}", upstream.layer), &error)])?;
    }
    Ok(rules.texts())
}

/// Gives up what the layer asked for at another one's door.
pub(crate) async fn revoke<L: Layer>(context: &Context, state: &State<L::Model>) -> Vec<Problem> {
    let Some(upstream) = L::upstream(&state.own) else { return Vec::new() };
    let driver = match context.cloud(&upstream.cloud) {
        Ok(driver) if driver.has_firewall() => driver,
        Ok(_) => return Vec::new(),
        Err(problems) => return problems,
    };
    let layer = state.group.layer();
    match driver.admit(&upstream.layer, &layer.to_string(), &[]).await {
        Ok(()) => Vec::new(),
        Err(error) => vec![driver_problem(&format!("Taking back the rules of {layer} at {}", upstream.layer), &error)],
    }
}

/// Whether two states connect to different layers.
pub(crate) fn moved<L: Layer>(before: &State<L::Model>, after: &State<L::Model>) -> bool {
    let layer = |state: &State<L::Model>| L::upstream(&state.own).map(|upstream| (upstream.layer, upstream.cloud));
    layer(before).is_some() && layer(before) != layer(after)
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
    let of = async |driver: &dyn Driver, at: &LayerId| {
        let admitted = driver.admitted(at).await;
        admitted.map_err(|error| vec![driver_problem(&format!("Looking at the firewall of {at}"), &error)])
    };
    let mut found = Vec::new();
    let driver = state.group.driver(context)?;
    if driver.has_firewall() {
        for rule in of(&**driver, &layer).await? {
            match rule.by {
                Some(by) if by == id => found.push(rule.text),
                Some(_) => {}
                None => found.push(format!("{NOT_ASKED_FOR}{}", rule.text)),
            }
        }
    }
    if let Some(upstream) = L::upstream(&state.own)
        && let Ok(driver) = context.cloud(&upstream.cloud)
        && driver.has_firewall()
    {
        let rules = of(&**driver, &upstream.layer).await?.into_iter().filter(|rule| rule.by.as_ref() == Some(&id));
        found.extend(rules.map(|rule| upstream_text(&upstream.layer, &rule.text)));
    }
    found.sort();
    Ok((state.group.firewall.is_some() || !found.is_empty()).then_some(found))
}
