//! `lampwright scale`: another number of machines, by the variable that says it.

use app::scale::{self, ScaleRequest, Scaled};
use clap::Args;
use engine::plan::Goal;

use super::Outcome;
use super::apply::{ChangeArgs, NOTHING, Ways, agree_and_make};
use crate::invocation::Invocation;
use crate::proposal::Proposal;

/// Change how many machines layers have
///
/// The number is that of a variable, as in `nodes = var.web_nodes`. Its new value is written to scale.auto.tfvars beside the
/// stack, which plan and apply read (and Terraform, too), so that the next plan agrees.
///
///   lampwright scale web=5             there shall be five
///   lampwright scale web=+2 cache=-1   two more, and one less
///   lampwright scale --remove web-3    one less, and it is web-3 that leaves
///   lampwright scale web=+0 --remove web-3   a new machine in the place of web-3
///
/// Where no machine is named, those leave first that are not well, then the newest.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ScaleArgs {
    /// The number of machines of a layer, by the address or name of its resource: LAYER=N, LAYER=+N or LAYER=-N
    #[arg(value_name = "LAYER=N", required_unless_present = "remove")]
    changes: Vec<String>,
    /// A machine that leaves; may be given several times
    #[arg(long, value_name = "MACHINE")]
    remove: Vec<String>,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

pub(crate) async fn run(args: &ScaleArgs, invocation: &Invocation) -> Outcome {
    let ChangeArgs { inputs: given, common, .. } = &args.change;
    let mut stack = invocation.stack()?;
    let inputs = stack.inputs(given.given())?;
    let request = common.request(&stack, inputs, Goal::Configuration)?;
    let asked =
        ScaleRequest { changes: args.changes.clone(), remove: args.remove.clone(), given: given.given().to_vec() };
    let scaling = scale::read(&mut stack, &request, &asked).await?;
    let changes = scaling.changes.clone();
    let proposed = scaling.propose(&stack, &request).await?;
    let again = |not_done: &[String]| command(invocation, &changes, not_done);
    let unfold = args.changes.iter().fold(invocation.proposal("scale"), Proposal::argument);
    let unfold = args.remove.iter().fold(unfold, |all, machine| all.argument("-remove").argument(machine));
    agree_and_make(&stack, proposed, &args.change, Ways { unfold, again: &again }, NOTHING, invocation).await
}

/// What goes on where it was cut off. The numbers are recorded by then, so they are not relative any more; which machines
/// leave is recorded nowhere.
fn command(invocation: &Invocation, changes: &[Scaled], not_done: &[String]) -> Proposal {
    let changes: Vec<&Scaled> = changes.iter().filter(|change| not_done.contains(&change.addr.to_string())).collect();
    if changes.is_empty() {
        return invocation.proposal_to(Goal::Configuration);
    }
    let numbers = changes.iter().map(|change| format!("{}={}", change.addr, change.number));
    let proposal = numbers.fold(invocation.proposal("scale"), Proposal::argument);
    let leaving = changes.iter().flat_map(|change| &change.leaving);
    leaving.fold(proposal, |proposal, machine| proposal.argument("-remove").argument(machine))
}
