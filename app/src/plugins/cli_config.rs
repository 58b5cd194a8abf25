//! Terraform's CLI configuration: TF_CLI_CONFIG_FILE, else ~/.terraformrc and ~/.terraform.d/*.tfrc and *.tfrc.json.
//!
//! Of it is honoured what says where plugins are and where they come from: `provider_installation`, `plugin_cache_dir`,
//! `credentials` and `host`. The rest is about Terraform's own updates and HCP Terraform, which are not there; what may have been
//! meant to choose a plugin is told.
//!
//! As in Terraform, the file is looked up from where the command was started, and the folders that it names from where -chdir
//! leads to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use compiler::addr::ProviderSource;
use compiler::selection::{Pattern, Selection};
use registry::{Hosts, Method, Origin};
use serde_json::Value as Json;

use crate::host::{Environment, Host};

#[derive(Debug, Default)]
pub(crate) struct CliConfig {
    /// Folders of plugins that are being developed.
    pub(crate) overrides: BTreeMap<ProviderSource, PathBuf>,
    /// Where packages come from, if that is said.
    pub(crate) origins: Option<Vec<Origin>>,
    /// Where packages are kept for all stacks.
    pub(crate) cache: Option<PathBuf>,
    /// What is in the cache is taken though the lock does not know it yet.
    pub(crate) trusts_cache: bool,
    pub(crate) hosts: Hosts,
    /// What has no effect.
    pub(crate) told: Vec<String>,
}

pub(crate) fn read(host: &Host) -> anyhow::Result<CliConfig> {
    let mut config = CliConfig::default();
    for path in files(host) {
        // As Terraform has it, a file that is named and not there is told, and nothing more.
        if !path.exists() {
            let path = path.display();
            config.told.push(format!("there is no CLI configuration file {path}, which TF_CLI_CONFIG_FILE names"));
            continue;
        }
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path).with_context(|| format!("the CLI configuration {name}"))?;
        let items = parse(&text).with_context(|| format!("the CLI configuration {name}"))?;
        config.take(&items, &name, home(&host.environment).as_deref())?;
    }
    config.take_variables(&host.environment)?;
    Ok(config)
}

fn files(host: &Host) -> Vec<PathBuf> {
    let variable = |name| host.environment.text(name);
    if let Some(path) = variable("TF_CLI_CONFIG_FILE").or_else(|| variable("TERRAFORM_CONFIG")) {
        return vec![host.started_in.join(path)];
    }
    let Some(home) = home(&host.environment) else { return Vec::new() };
    let folder = std::fs::read_dir(home.join(".terraform.d")).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".tfrc") || name.ends_with(".tfrc.json")
    };
    let mut found: Vec<PathBuf> = folder.filter(is_ours).collect();
    found.sort();
    found.insert(0, home.join(".terraformrc"));
    found.retain(|path| path.is_file());
    found
}

impl CliConfig {
    fn take(&mut self, items: &[Item], file: &str, home: Option<&Path>) -> anyhow::Result<()> {
        for item in items {
            match (item.name.as_str(), &item.value) {
                ("provider_installation", Given::Items(methods)) => self.installation(methods, file, home)?,
                ("plugin_cache_dir", Given::Text(path)) => self.cache = Some(expanded(path, home)),
                ("plugin_cache_may_break_dependency_lock_file", Given::Text(text)) => {
                    self.trusts_cache = text == "true";
                }
                ("credentials", Given::Items(hosts)) => {
                    for (host, settings) in blocks_in(hosts) {
                        if let Some(token) = text_in(settings, "token") {
                            self.hosts.tokens.insert(host.to_owned(), token.to_owned());
                        }
                    }
                }
                ("host", Given::Items(hosts)) => {
                    for (host, settings) in blocks_in(hosts) {
                        let services = settings.iter().filter(|item| item.name == "services");
                        let services = services.filter_map(|item| match &item.value {
                            Given::Items(services) => Some(services),
                            Given::Text(_) | Given::Texts(_) => None,
                        });
                        let places = services.flatten().filter_map(|item| match &item.value {
                            Given::Text(place) => Some((item.name.clone(), place.clone())),
                            Given::Items(_) | Given::Texts(_) => None,
                        });
                        self.hosts.services.insert(host.to_owned(), places.collect());
                    }
                }
                ("providers", _) => self.told.push(format!("{file}: `providers` has no effect; use dev_overrides")),
                ("credentials_helper", _) => {
                    self.told
                        .push(format!("{file}: `credentials_helper` has no effect; use credentials or TF_TOKEN_HOST"));
                }
                ("disable_checkpoint" | "disable_checkpoint_signature", _) => {}
                (name, _) => self.told.push(format!("{file}: `{name}` is not known, and has no effect")),
            }
        }
        Ok(())
    }

    fn installation(&mut self, methods: &[Item], file: &str, home: Option<&Path>) -> anyhow::Result<()> {
        for method in methods {
            let Given::Items(entries) = &method.value else { bail!("{file}: `{}` is a block", method.name) };
            let name = method.name.as_str();
            let setting = |setting: &str| {
                let missing = || format!("{file}: {name} has no `{setting}`");
                text_in(entries, setting).with_context(missing)
            };
            let method = match name {
                "dev_overrides" => {
                    for Item { name, value, .. } in entries {
                        let source = ProviderSource::parse(name);
                        let (Some(source), Given::Text(path)) = (source, value) else {
                            bail!("{file}: dev_overrides has lines as \"namespace/type\" = \"/folder\", not {name:?}");
                        };
                        self.overrides.insert(source, expanded(path, home));
                    }
                    continue;
                }
                "filesystem_mirror" => Method::Folder(expanded(setting("path")?, home)),
                "network_mirror" => {
                    let address = setting("url")?;
                    network(address).with_context(|| format!("{file}: the `url` of network_mirror"))?
                }
                "direct" => Method::Direct,
                other => bail!("{file}: provider_installation has no `{other}`"),
            };
            let patterns = |name: &str| -> anyhow::Result<Vec<Pattern>> {
                let texts = entries.iter().filter(|item| item.name == name).map(|item| match &item.value {
                    Given::Texts(texts) => Ok(texts),
                    Given::Text(_) | Given::Items(_) => bail!("{file}: `{name}` is a list of texts"),
                });
                let texts = texts.collect::<anyhow::Result<Vec<_>>>()?;
                let wrong = |text: &String| format!("{file}: {text:?} is no pattern as HOST/NAMESPACE/*");
                texts.into_iter().flatten().map(|text| Pattern::parse(text).with_context(|| wrong(text))).collect()
            };
            let selection = Selection { include: patterns("include")?, exclude: patterns("exclude")? };
            self.origins.get_or_insert_default().push(Origin { method, selection });
        }
        // What is only developed says nothing of where the rest comes from.
        Ok(())
    }

    fn take_variables(&mut self, environment: &Environment) -> anyhow::Result<()> {
        if let Some(path) = environment.text("TF_PLUGIN_CACHE_DIR") {
            self.cache = Some(path.into());
        }
        if let Some(text) = environment.text("TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE") {
            self.trusts_cache = text != "0" && text != "false";
        }
        for (name, token) in environment.texts() {
            // Dots of names are written as underscores, and dashes as two of them.
            let Some(host) = name.strip_prefix("TF_TOKEN_") else { continue };
            let host = host.replace("__", "-").replace('_', ".");
            self.hosts.tokens.insert(host, token);
        }
        let number = |name: &str| match environment.text(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).with_context(|| format!("{name} is no number: {text:?}")),
        };
        self.hosts.timeout =
            number("TF_REGISTRY_CLIENT_TIMEOUT")?.map(|seconds: u32| Duration::from_secs(seconds.into()));
        self.hosts.retries = number("TF_REGISTRY_DISCOVERY_RETRY")?;
        Ok(())
    }
}

/// Blocks with a label, by it.
/// A mirror over the network, by its address.
pub(super) fn network(address: &str) -> anyhow::Result<Method> {
    if !address.starts_with("https://") || !address.ends_with('/') {
        bail!("{address:?} is no address of a mirror: one begins with https:// and ends with a slash");
    }
    Ok(Method::Network(address.parse().with_context(|| format!("{address:?}"))?))
}

fn blocks_in(items: &[Item]) -> impl Iterator<Item = (&str, &[Item])> {
    items.iter().filter_map(|item| match &item.value {
        Given::Items(settings) => Some((item.name.as_str(), settings.as_slice())),
        Given::Text(_) | Given::Texts(_) => None,
    })
}

fn text_in<'i>(items: &'i [Item], name: &str) -> Option<&'i str> {
    items.iter().find(|item| item.name == name).and_then(|item| match &item.value {
        Given::Text(text) => Some(text.as_str()),
        Given::Items(_) | Given::Texts(_) => None,
    })
}

pub(super) fn home(environment: &Environment) -> Option<PathBuf> {
    environment.os("HOME").map(PathBuf::from)
}

fn expanded(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/").or_else(|| path.strip_prefix("$HOME/")), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => Path::new(path).to_owned(),
    }
}

/// `name = value`, `name "label" { .. }`.
#[derive(Debug, PartialEq)]
struct Item {
    name: String,
    value: Given,
}

#[derive(Debug, PartialEq)]
enum Given {
    Text(String),
    Texts(Vec<String>),
    Items(Vec<Item>),
}

/// As Terraform, by what the text begins with, whatever the file is called.
fn parse(text: &str) -> anyhow::Result<Vec<Item>> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if !text.starts_with('{') {
        return parse_hcl(text);
    }
    match serde_json::from_str(text).context("it begins with `{`, as JSON does")? {
        Json::Object(entries) => items_of_json(&entries),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => Ok(Vec::new()),
    }
}

/// Of a list of blocks each is an item.
fn items_of_json(entries: &serde_json::Map<String, Json>) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    for (name, json) in entries {
        let mut add = |value| items.push(Item { name: name.clone(), value });
        match json {
            Json::Null => {}
            Json::Bool(_) | Json::Number(_) => add(Given::Text(json.to_string())),
            Json::String(text) => add(Given::Text(text.clone())),
            Json::Object(entries) => add(Given::Items(items_of_json(entries)?)),
            Json::Array(list) if list.is_empty() => {}
            Json::Array(list) => match (texts(list), blocks(list)) {
                (Some(texts), _) => add(Given::Texts(texts)),
                (None, Some(blocks)) => {
                    for block in blocks {
                        add(Given::Items(items_of_json(block)?));
                    }
                }
                (None, None) => bail!("the list {name:?} has texts or blocks, not both, and nothing else"),
            },
        }
    }
    Ok(items)
}

fn texts(list: &[Json]) -> Option<Vec<String>> {
    list.iter().map(|json| json.as_str().map(str::to_owned)).collect()
}

fn blocks(list: &[Json]) -> Option<Vec<&serde_json::Map<String, Json>>> {
    list.iter().map(Json::as_object).collect()
}

#[derive(Debug, PartialEq)]
enum Token {
    Text(String),
    Sign(char),
}

/// The first version of HCL, as far as this file uses it: names may stand in quotes, which the second does not have.
fn parse_hcl(text: &str) -> anyhow::Result<Vec<Item>> {
    let mut tokens = tokens(text)?.into_iter().peekable();
    let items = body(&mut tokens)?;
    match tokens.next() {
        None => Ok(items),
        Some(Token::Sign(sign)) => bail!("a name is expected, not `{sign}`"),
        // A body ends only before what is no name.
        Some(Token::Text(_)) => bail!("a name is expected"),
    }
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<Token>>;

fn body(tokens: &mut Tokens) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    while let Some(Token::Text(name)) = tokens.next_if(|token| matches!(token, Token::Text(_))) {
        let mut labels = Vec::new();
        while let Some(Token::Text(label)) = tokens.next_if(|token| matches!(token, Token::Text(_))) {
            labels.push(label);
        }
        let assigned = tokens.next_if(|token| *token == Token::Sign('=')).is_some();
        let value = match tokens.next() {
            Some(Token::Sign('{')) => {
                let items = body(tokens)?;
                if tokens.next() != Some(Token::Sign('}')) {
                    bail!("the block {name:?} is not closed");
                }
                Given::Items(items)
            }
            Some(Token::Text(text)) if assigned => Given::Text(text),
            Some(Token::Sign('[')) if assigned => {
                let mut texts = Vec::new();
                loop {
                    match tokens.next() {
                        Some(Token::Text(text)) => texts.push(text),
                        Some(Token::Sign(',')) => {}
                        Some(Token::Sign(']')) => break Given::Texts(texts),
                        _ => bail!("the list {name:?} is not closed"),
                    }
                }
            }
            _ => bail!("{name:?} has no value"),
        };
        tokens.next_if(|token| *token == Token::Sign(','));
        // A label is a block around, as JSON has it.
        let value = labels.into_iter().rev().fold(value, |value, name| Given::Items(vec![Item { name, value }]));
        items.push(Item { name, value });
    }
    Ok(items)
}

fn tokens(text: &str) -> anyhow::Result<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(ch) = rest.chars().next() {
        if rest.starts_with('#') || rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if rest.starts_with("/*") {
            let Some((_, after)) = rest.split_once("*/") else { bail!("a comment is not closed") };
            rest = after;
        } else if ch.is_whitespace() {
            rest = rest.trim_start();
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let mut content = String::new();
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next() {
                    Some((end, '"')) => break end,
                    Some((_, '\\')) => content.extend(chars.next().map(|(_, ch)| ch)),
                    Some((_, '\n')) | None => bail!("a text in quotes is not closed"),
                    Some((_, ch)) => content.push(ch),
                }
            };
            found.push(Token::Text(content));
            rest = &quoted[end + 1..];
        } else if "{}=[],".contains(ch) {
            found.push(Token::Sign(ch));
            rest = &rest[1..];
        } else {
            let end = rest.find(|ch: char| ch.is_whitespace() || "{}=[],\"#".contains(ch)).unwrap_or(rest.len());
            found.push(Token::Text(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(config: &CliConfig) -> Vec<String> {
        let source = ProviderSource::parse("example.com/a/b").unwrap();
        config.origins.iter().flatten().map(|origin| origin.shown(&source)).collect()
    }

    #[test]
    fn what_says_where_plugins_are_is_read() {
        let text = r#"
# as people write it
plugin_cache_dir   = "/cache" // and so
disable_checkpoint = true
credentials "app.terraform.io" { token = "x" }
host "example.com" {
  services = { "providers.v1" = "http://127.0.0.1:1/" }
}
provider_installation {
  dev_overrides { "example.test/held/probe" = "/dev/probe", "hashicorp/null" = "/dev/null2" }
  filesystem_mirror {
    path    = "/mirror"
    include = ["example.com/*/*"]
  }
  network_mirror { url = "https://mirror.test/" }
  direct {}
}
surprise = 1
"#;
        let mut config = CliConfig::default();
        config.take(&parse(text).unwrap(), "rc", None).unwrap();
        let overrides: Vec<String> =
            config.overrides.iter().map(|(source, path)| format!("{source} {}", path.display())).collect();
        assert_eq!(
            overrides,
            ["example.test/held/probe /dev/probe", "registry.terraform.io/hashicorp/null /dev/null2"]
        );
        assert_eq!(origins(&config), ["/mirror", "https://mirror.test/", "example.com"]);
        assert_eq!(config.cache, Some(PathBuf::from("/cache")));
        assert_eq!(config.hosts.tokens["app.terraform.io"], "x");
        assert_eq!(config.hosts.services["example.com"]["providers.v1"], "http://127.0.0.1:1/");
        assert_eq!(config.told, ["rc: `surprise` is not known, and has no effect"]);
    }

    /// Terraform takes either for either name of a file.
    #[test]
    fn json_says_the_same() {
        let text = r#"
{
  "plugin_cache_dir": "/cache", "disable_checkpoint": true, "credentials": { "app.terraform.io": { "token": "x" } },
  "provider_installation": [{
    "dev_overrides": { "example.test/held/probe": "/dev/probe" },
    "filesystem_mirror": [{ "path": "/one", "include": ["example.com/*/*"] }, { "path": "/two", "exclude": [] }],
    "network_mirror": { "url": "https://mirror.test/" },
    "direct": {}
  }],
  "surprise": 1, "nothing": null
}"#;
        let mut config = CliConfig::default();
        config.take(&parse(text).unwrap(), "rc", None).unwrap();
        assert_eq!(config.overrides.len(), 1);
        let mut found = origins(&config);
        found.sort();
        assert_eq!(found, ["/one", "/two", "example.com", "https://mirror.test/"]);
        assert_eq!(config.hosts.tokens["app.terraform.io"], "x");
        assert_eq!(config.told, ["rc: `surprise` is not known, and has no effect"]);
    }

    #[test]
    fn what_is_wrong_is_said_in_words_of_the_language() {
        for (text, told) in [
            ("}", "a name is expected, not `}`"),
            ("a = 1 = 2", "a name is expected, not `=`"),
            ("{ \"a\": [[\"x\"]] }", "the list \"a\" has texts or blocks, not both, and nothing else"),
            ("{ \"a\": [\"x\", {}] }", "the list \"a\" has texts or blocks, not both, and nothing else"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), told);
        }
        let told = format!("{:#}", parse("{ \"a\": hunter2 }").unwrap_err());
        assert!(told.contains("line 1") && !told.contains("hunter2"), "{told}");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in ["a = ", "a {", "}", "a = \"x", "/* a", "a = [\"x\"", "= 1"] {
            assert!(parse(text).is_err(), "{text}");
        }
        let bad = parse("provider_installation { dev_overrides { \"a b\" = \"/x\" } }").unwrap();
        assert!(CliConfig::default().take(&bad, "rc", None).is_err());
    }
}
