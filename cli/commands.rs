//! The commands. To add one: a file in `commands/`, a variant and an arm here.

mod apply;
mod bundle;
mod console;
mod export;
mod force_unlock;
mod get;
mod graph;
mod import;
mod init;
mod logs;
mod manual;
mod module;
mod operate;
mod output;
mod package;
mod plan;
mod providers;
mod scale;
mod show;
mod ssh;
mod state;
mod status;
mod taint;
pub(crate) mod test;
mod topics;
mod validate;
mod workspace;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::anyhow;
use app::failure::Result;
use app::inputs::Given;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches, Parser, Subcommand};

use self::plan::CommonArgs;
use crate::environment;
use crate::flags;
use crate::invocation::Invocation;
use crate::print;
use crate::ui::{Telling, Ui};

/// Describe a whole application once, see every change before it is made, apply it on any cloud.
///
/// A stack is a folder with *.stack.hcl files. In such a folder:
///
///   lampwright plan      shows what would be made or changed, file by file
///   lampwright apply     does it
///   lampwright destroy   takes it away again
///
/// Flags may be written with one dash, as Terraform's are: -auto-approve, -var 'nodes=3'. One that
/// is on or off takes a value, too: -auto-approve=false.
#[derive(Debug, Parser)]
#[command(name = "lampwright", version, disable_version_flag = true, verbatim_doc_comment, args_override_self = true)]
pub(crate) struct Cli {
    /// Go to this folder first
    #[arg(long, global = true, value_name = "DIR")]
    chdir: Option<PathBuf>,
    /// No colour, also on a terminal
    #[arg(long, global = true)]
    no_color: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch modules and providers that are missing, and check that everything is there
    Init(init::InitArgs),
    /// Fetch modules of git repositories, and nothing else of `init`
    Get(get::GetArgs),
    /// Check the stack without looking at what exists
    Validate(validate::ValidateArgs),
    /// Show what would be made, changed and removed, with every file that would differ
    Plan(plan::PlanArgs),
    /// Make what the stack describes, after showing the plan
    Apply(apply::ApplyArgs),
    /// Remove everything that the stack has made
    Destroy(apply::DestroyArgs),
    /// Record something that exists already, such as a layer whose state was lost
    Import(import::ImportArgs),
    /// Print the outputs of the stack
    Output(output::OutputArgs),
    /// Print what exists, or a saved plan
    Show(show::ShowArgs),
    /// Show how every machine and daemon is; exit code 2 if something is not well
    Status(status::StatusArgs),
    /// Show what the daemons of all machines have written, by time
    Logs(logs::LogsArgs),
    Scale(scale::ScaleArgs),
    Ssh(ssh::SshArgs),
    State(state::StateArgs),
    Taint(taint::TaintArgs),
    Untaint(taint::UntaintArgs),
    /// Record what there is, without a question: `apply -refresh-only -auto-approve`
    Refresh(apply::RefreshArgs),
    Providers(providers::ProvidersArgs),
    Bundle(bundle::BundleArgs),
    Test(test::TestArgs),
    /// Evaluate expressions against the stack, line by line
    Console(console::ConsoleArgs),
    /// Work on a module that others reuse
    Module(module::ModuleArgs),
    /// Write the stack and the modules it calls as Terraform modules
    Export(export::ExportArgs),
    Graph(graph::GraphArgs),
    ForceUnlock(force_unlock::ForceUnlockArgs),
    Workspace(workspace::WorkspaceArgs),
    Completion(manual::CompletionArgs),
    Man(manual::ManArgs),
    Docs(topics::TopicArgs),
    /// Print the version
    Version(VersionArgs),
}

#[derive(Debug, Args)]
struct VersionArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What a command comes to: the exit code.
pub(crate) type Outcome = Result<u8>;

impl Cli {
    /// How what is to be said is said.
    pub(crate) fn ui(&self) -> anyhow::Result<Ui> {
        let common = self.command.common();
        let json = match &self.command {
            Command::Test(args) => args.json.read(),
            _ => common.map(|common| common.json.read()).unwrap_or_default(),
        };
        Ui::new(Telling {
            colour: !self.no_color,
            is_compact: common.is_some_and(|common| common.compact_warnings),
            json,
            folder: self.chdir.clone(),
        })
    }
}

impl Command {
    /// The flags of those that plan.
    fn common(&self) -> Option<&CommonArgs> {
        match self {
            Command::Plan(args) => Some(&args.common),
            Command::Apply(args) => Some(&args.change.common),
            Command::Destroy(args) => Some(&args.change.common),
            Command::Refresh(args) => Some(&args.common),
            Command::Import(args) => Some(&args.common),
            Command::Scale(args) => Some(&args.change.common),
            Command::Test(_) | Command::Status(_) | Command::Logs(_) | Command::Ssh(_) => None,
            Command::Init(_) | Command::Validate(_) | Command::Output(_) | Command::Show(_) => None,
            Command::State(_) | Command::Taint(_) | Command::Untaint(_) => None,
            Command::Bundle(_) | Command::Console(_) | Command::Module(_) | Command::Export(_) => None,
            Command::Completion(_) | Command::Man(_) | Command::Docs(_) => None,
            Command::Get(_) | Command::Version(_) | Command::Graph(_) => None,
            Command::ForceUnlock(_) | Command::Workspace(_) | Command::Providers(_) => None,
        }
    }
}

pub(crate) async fn run(cli: Cli, invocation: &Invocation) -> Outcome {
    start_log(&invocation.ui);
    if let Some(folder) = cli.chdir.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(anyhow!("cannot go to the folder {}: it is not there, or no folder", folder.display()).into());
    }
    invocation.ui.version();
    environment::check(&Cli::command());
    match cli.command {
        Command::Init(args) => init::run(&args, invocation).await,
        Command::Get(args) => get::run(&args, invocation),
        Command::Validate(args) => validate::run(&args, invocation).await,
        Command::Plan(args) => plan::run(&args, invocation).await,
        Command::Apply(args) => apply::run(&args, invocation).await,
        Command::Destroy(args) => apply::run_destroy(&args, invocation).await,
        Command::Import(args) => import::run(&args, invocation).await,
        Command::Bundle(args) => bundle::run(&args, invocation).await,
        Command::Test(args) => test::run(&args, invocation).await,
        Command::Output(args) => output::run(&args, invocation).await,
        Command::Show(args) => show::run(&args, invocation).await,
        Command::Status(args) => status::run(&args, invocation).await,
        Command::Logs(args) => logs::run(&args, invocation).await,
        Command::Scale(args) => scale::run(&args, invocation).await,
        Command::Ssh(args) => ssh::run(&args, invocation).await,
        Command::State(args) => state::run(&args, invocation).await,
        Command::Taint(args) => taint::run(&args, invocation).await,
        Command::Untaint(args) => taint::run_untaint(&args, invocation).await,
        Command::Refresh(args) => apply::run_refresh(args, invocation).await,
        Command::Completion(args) => Ok(manual::completion(&args)),
        Command::Man(args) => manual::man(&args, invocation),
        Command::Docs(args) => topics::run(&args),
        Command::Graph(args) => graph::run(&args, invocation),
        Command::Providers(args) => providers::run(&args, invocation).await,
        Command::ForceUnlock(args) => force_unlock::run(&args, invocation).await,
        Command::Workspace(args) => workspace::run(&args, invocation).await,
        Command::Console(args) => console::run(&args, invocation).await,
        Command::Module(args) => module::run(&args, invocation).await,
        Command::Export(args) => export::run(&args, invocation).await,
        Command::Version(args) => {
            let version = env!("CARGO_PKG_VERSION");
            print::line(&if args.json {
                serde_json::json!({ "lampwright_version": version, "terraform_version": "1.11.4" }).to_string()
            } else {
                format!("lampwright {version}")
            });
            Ok(crate::exit::SUCCESS)
        }
    }
}

/// `lampwright help TOPIC`, where the topic is no command.
fn with_topics(args: Vec<OsString>) -> Vec<OsString> {
    let is_topic = |name: &str| topics::is_topic(name) && Cli::command().find_subcommand(name).is_none();
    let is_help = |help: &OsString| help == "help";
    // Flags before a command, such as -chdir, do not matter to help.
    let is_flag = |arg: &&OsString| arg.to_str().is_some_and(|arg| arg.starts_with('-'));
    let flags = args.iter().skip(1).take_while(is_flag).count();
    match &args[..] {
        [program, rest @ ..] => match &rest[flags..] {
            [help, topic] if is_help(help) && topic.to_str().is_some_and(is_topic) => {
                vec![program.clone(), "docs".into(), topic.clone()]
            }
            // Help on help is the whole of it.
            [help, rest @ .., flag] if is_help(help) && (flag == "--help" || flag == "-h") => {
                [program.clone(), help.clone()].into_iter().chain(rest.iter().cloned()).collect()
            }
            _ => args,
        },
        [] => args,
    }
}

/// `lampwright --version`, as every program has it.
fn with_version(args: Vec<OsString>) -> Vec<OsString> {
    let asks = |arg: &OsString| matches!(arg.to_str(), Some("--version" | "-V" | "-v"));
    match args.as_slice() {
        [program, flag, rest @ ..] if asks(flag) => {
            [program.clone(), "version".into()].into_iter().chain(rest.iter().cloned()).collect()
        }
        _ => args,
    }
}

/// What to say of something that Terraform or others have and that is not there, by what clap found unknown: what comes
/// nearest.
pub(crate) fn hint(error: &clap::Error) -> Option<String> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.trim_start_matches('-')),
        _ => None,
    };
    let nearest = match error.kind() {
        ErrorKind::InvalidSubcommand => match word(ContextKind::InvalidSubcommand)? {
            "up" | "deploy" | "create" | "start" => "`apply` makes what the stack describes",
            "down" | "delete" | "remove" | "rm" | "stop" => "`destroy` removes what the stack has made",
            "ps" | "list" | "ls" => "`status` shows how everything is, `show` prints what exists",
            "log" => "`logs` shows what the daemons have written",
            "exec" | "shell" | "connect" => "`ssh MACHINE -- COMMAND` runs a command on a machine",
            "rollback" => "go back to the earlier text of the stack and the application, and `apply`",
            "modules" => "`get` fetches modules and counts them, `graph` shows what is in them",
            "fmt" | "login" | "logout" | "cloud" | "query" | "stacks" | "metadata" => {
                "Terraform has this command; it is not there yet"
            }
            _ => return None,
        },
        ErrorKind::UnknownArgument => match word(ContextKind::InvalidArg)?.split('=').next()? {
            "target" | "exclude" | "target-file" | "exclude-file" => "`plan`, `apply` and `destroy` take it",
            "replace" => "`plan` and `apply` take it: -replace=ADDRESS",
            "refresh-only" => "`plan` and `apply` take it",
            "generate-config-out" => "`plan` takes it",
            "backend" | "backend-config" | "migrate-state" | "reconfigure" | "force-copy" | "lockfile" => {
                "`init` takes it"
            }
            "plugin-dir" => "`provider_installation` of the CLI configuration names folders of providers",
            "get-plugins" | "verify-plugins" => "Terraform has this flag no more; `init` installs and verifies",
            "platform" | "fs-mirror" | "net-mirror" => "`providers lock` takes it",
            "compact-warnings" => "`plan`, `apply`, `destroy` and `refresh` take it",
            "test-directory" => "`test` and `validate` take it",
            "backup" | "concise" => "Terraform has this flag; it is not there yet",
            _ => return None,
        },
        _ => return None,
    };
    let what = match error.kind() {
        ErrorKind::InvalidSubcommand => format!("there is no command `{}`", word(ContextKind::InvalidSubcommand)?),
        _ => format!("there is no flag `-{}`", word(ContextKind::InvalidArg)?.split('=').next()?),
    };
    Some(format!("{what}: {nearest}"))
}

/// What clap found wrong, with flags as people write them; none where it shows help.
pub(crate) fn told(error: &clap::Error) -> Option<String> {
    let text = error.render().to_string();
    let mut told = String::new();
    let mut before = ' ';
    let mut rest = text.strip_prefix("error: ")?.trim_end();
    while let Some(ch) = rest.chars().next() {
        let is_flag = rest.strip_prefix("--").is_some_and(|name| name.starts_with(|ch: char| ch.is_ascii_lowercase()));
        rest = &rest[ch.len_utf8()..];
        if !(is_flag && " '[<(".contains(before)) {
            told.push(ch);
        }
        before = ch;
    }
    Some(told)
}

/// LAMPWRIGHT_LOG or TF_LOG: off, error, warn, info, debug, trace.
fn start_log(ui: &Ui) {
    let given = ["LAMPWRIGHT_LOG", "TF_LOG"].into_iter().find_map(|name| Some((name, environment::variable(name)?)));
    let Some((name, level)) = given else { return };
    let level = match level.to_lowercase().as_str() {
        "off" => return,
        "error" => tracing::Level::ERROR,
        "warn" => tracing::Level::WARN,
        "info" => tracing::Level::INFO,
        "debug" => tracing::Level::DEBUG,
        "trace" => tracing::Level::TRACE,
        // As Terraform has it, but that this is no JSON.
        _ => {
            print::note(&format!("{name} is none of off, error, warn, info, debug and trace: all is logged, as text"));
            tracing::Level::TRACE
        }
    };
    // The crates below us would drown everything else.
    let filter = format!("warn,engine={level},plugin={level},compiler={level},lampwright={level}");
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ui.terminal().err_has_colour)
        .with_writer(std::io::stderr)
        .try_init();
}

/// The command line as clap reads it, with what the environment adds.
pub(crate) fn arguments(args: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
    let program = Cli::command();
    let args = environment::arguments(args, &program, &environment::variable)?;
    Ok(with_topics(with_version(flags::canonical(args, &program)?)))
}

/// Where variables get their values from.
#[derive(Debug, Clone, Default)]
pub(crate) struct InputArgs {
    given: Vec<Given>,
}

impl InputArgs {
    /// In their order.
    pub(crate) fn given(&self) -> &[Given] {
        &self.given
    }
}

/// Only for clap: it does not keep the order between two flags by itself.
#[derive(Debug, Args)]
struct RawInputArgs {
    /// A value for a variable; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    var: Vec<String>,
    /// A file with values for variables; may be given several times
    #[arg(long, value_name = "FILE")]
    var_file: Vec<PathBuf>,
}

impl FromArgMatches for InputArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<InputArgs, clap::Error> {
        let raw = RawInputArgs::from_arg_matches(matches)?;
        let positions = |name: &str| matches.indices_of(name).into_iter().flatten().collect::<Vec<_>>();
        let read = |text: String| match text.split_once('=') {
            Some((name, text)) => Ok(Given::Variable { name: name.trim().to_owned(), text: text.to_owned() }),
            // Not the text: it may have a secret.
            None => Err(clap::Error::raw(
                clap::error::ErrorKind::ValueValidation,
                "-var is written 'name=value', and one has no `=`\n",
            )),
        };
        let variables: Vec<Given> = raw.var.into_iter().map(read).collect::<Result<_, _>>()?;
        let variables = positions("var").into_iter().zip(variables);
        let files = positions("var_file").into_iter().zip(raw.var_file.into_iter().map(Given::File));
        let mut given: Vec<(usize, Given)> = variables.chain(files).collect();
        given.sort_by_key(|(position, _)| *position);
        Ok(InputArgs { given: given.into_iter().map(|(_, given)| given).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = InputArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for InputArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        RawInputArgs::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        RawInputArgs::augment_args_for_update(command)
    }
}
