//! Who we are, as users of OpenStack say it: settings, clouds.yaml, or the OS_ variables.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::driver::{DriverError, Result};
use crate::drivers::Settings;

pub(super) struct Credentials {
    pub(super) auth_url: String,
    /// The body of a request for a token.
    pub(super) auth: Json,
    pub(super) region: Option<String>,
    /// public, internal or admin.
    pub(super) interface: String,
    /// Where they came from, for messages.
    pub(super) source: String,
}

/// The file's own names.
#[derive(Debug, Deserialize)]
struct CloudsFile {
    #[serde(default)]
    clouds: BTreeMap<String, CloudEntry>,
}

#[derive(Debug, Default, Deserialize)]
struct CloudEntry {
    #[serde(default)]
    auth: BTreeMap<String, String>,
    region_name: Option<String>,
    interface: Option<String>,
}

impl Credentials {
    pub(super) fn find(settings: &Settings, environment: &dyn Fn(&str) -> Option<String>) -> Result<Credentials> {
        let cloud = settings.get("clouds_yaml_name").cloned().or_else(|| environment("OS_CLOUD"));
        let (entry, source) = match cloud {
            Some(name) => from_file(settings, &name, environment)?,
            None => (from_environment(environment), "the OS_ variables".to_owned()),
        };
        let region = settings.get("region").cloned().or(entry.region_name);
        let interface = entry.interface.unwrap_or_else(|| "public".to_owned());
        let interface = interface.trim_end_matches("URL").to_owned();
        let mut auth = entry.auth;
        auth.extend(settings.get("auth_url").map(|url| ("auth_url".to_owned(), url.clone())));
        let missing = |name: &str| DriverError::Setting {
            name: name.to_owned(),
            reason: format!(
                "{source} has no {name}. Set OS_CLOUD to the name of a cloud in clouds.yaml, or the OS_ variables as an openrc file does"
            ),
        };
        let auth_url = auth.get("auth_url").cloned().ok_or_else(|| missing("auth_url"))?;
        let auth_url = auth_url.trim_end_matches('/');
        let auth_url = if auth_url.ends_with("/v3") { auth_url.to_owned() } else { format!("{auth_url}/v3") };
        let auth = identity(&auth).map_err(missing)?;
        Ok(Credentials { auth_url, auth, region, interface, source })
    }
}

/// `Err` is the name of what is missing.
fn identity(auth: &BTreeMap<String, String>) -> std::result::Result<Json, &'static str> {
    let get = |name: &str| auth.get(name);
    if let (Some(id), Some(secret)) = (get("application_credential_id"), get("application_credential_secret")) {
        let credential = json!({ "id": id, "secret": secret });
        // It belongs to a project, so no scope is named.
        return Ok(
            json!({ "identity": { "methods": ["application_credential"], "application_credential": credential } }),
        );
    }
    let password = get("password").ok_or("password")?;
    let domain =
        |kind: &str| match (get(&format!("{kind}_domain_id")), get(&format!("{kind}_domain_name")), get("domain_id")) {
            (Some(id), _, _) | (None, None, Some(id)) => json!({ "id": id }),
            (None, Some(name), _) => json!({ "name": name }),
            (None, None, None) => json!({ "id": "default" }),
        };
    let user = match (get("user_id"), get("username")) {
        (Some(id), _) => json!({ "id": id, "password": password }),
        (None, Some(name)) => json!({ "name": name, "domain": domain("user"), "password": password }),
        (None, None) => return Err("username"),
    };
    let project = match (get("project_id"), get("project_name")) {
        (Some(id), _) => json!({ "id": id }),
        (None, Some(name)) => json!({ "name": name, "domain": domain("project") }),
        (None, None) => return Err("project_name"),
    };
    Ok(json!({
        "identity": { "methods": ["password"], "password": { "user": user } },
        "scope": { "project": project },
    }))
}

fn from_environment(environment: &dyn Fn(&str) -> Option<String>) -> CloudEntry {
    const NAMES: &[&str] = &[
        "application_credential_id",
        "application_credential_secret",
        "auth_url",
        "domain_id",
        "password",
        "project_domain_id",
        "project_domain_name",
        "project_id",
        "project_name",
        "user_domain_id",
        "user_domain_name",
        "user_id",
        "username",
    ];
    let get = |name: &str| environment(&format!("OS_{}", name.to_uppercase())).filter(|value| !value.is_empty());
    let auth = NAMES.iter().filter_map(|name| Some(((*name).to_owned(), get(name)?)));
    CloudEntry { auth: auth.collect(), region_name: get("region_name"), interface: get("interface") }
}

/// Where python-openstackclient looks, and secure.yaml beside it for what is secret.
fn from_file(
    settings: &Settings,
    name: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(CloudEntry, String)> {
    let mut places: Vec<PathBuf> = Vec::new();
    let named = settings.get("clouds_yaml").cloned().or_else(|| environment("OS_CLIENT_CONFIG_FILE"));
    match named {
        Some(file) => places.push(PathBuf::from(file)),
        None => {
            places.push(PathBuf::from("clouds.yaml"));
            places.extend(environment("HOME").map(|home| PathBuf::from(home).join(".config/openstack/clouds.yaml")));
            places.push(PathBuf::from("/etc/openstack/clouds.yaml"));
        }
    }
    let bad = |reason: String| DriverError::Setting { name: "clouds_yaml".to_owned(), reason };
    let Some(file) = places.iter().find(|file| file.exists()) else {
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        return Err(bad(format!("there is no clouds.yaml; looked for: {}", places.join(", "))));
    };
    let read = |file: &PathBuf| -> Result<CloudsFile> {
        let text = std::fs::read_to_string(file).map_err(|source| DriverError::Io {
            what: "reading the clouds",
            path: file.display().to_string(),
            source,
        })?;
        serde_saphyr::from_str(&text).map_err(|error| bad(format!("{} cannot be read: {error}", file.display())))
    };
    let mut clouds = read(file)?.clouds;
    let known: Vec<String> = clouds.keys().cloned().collect();
    let mut entry = clouds
        .remove(name)
        .ok_or_else(|| bad(format!("{} has no cloud {name:?}; it has: {}", file.display(), known.join(", "))))?;
    let secure = file.with_file_name("secure.yaml");
    if secure.exists()
        && let Some(secret) = read(&secure)?.clouds.remove(name)
    {
        entry.auth.extend(secret.auth);
    }
    Ok((entry, format!("{name:?} in {}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_cloud_of_clouds_yaml_and_its_secret_part() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clouds.yaml");
        std::fs::write(
            &file,
            "clouds:\n  paris:\n    auth:\n      auth_url: https://id.example:5000\n      username: me\n      project_name: shop\n      user_domain_name: Default\n      project_domain_name: Default\n    region_name: fr1\n    interface: internal\n",
        )
        .unwrap();
        std::fs::write(folder.path().join("secure.yaml"), "clouds:\n  paris:\n    auth:\n      password: s3cret\n")
            .unwrap();
        let settings = Settings::from([
            ("clouds_yaml".to_owned(), file.display().to_string()),
            ("clouds_yaml_name".to_owned(), "paris".to_owned()),
        ]);
        let found = Credentials::find(&settings, &nothing).unwrap();
        assert_eq!(found.auth_url, "https://id.example:5000/v3");
        assert_eq!((found.region.as_deref(), found.interface.as_str()), (Some("fr1"), "internal"));
        assert_eq!(found.auth["identity"]["password"]["user"]["password"], "s3cret");
        assert_eq!(found.auth["scope"]["project"], json!({ "name": "shop", "domain": { "name": "Default" } }));
        let other = Settings::from([
            ("clouds_yaml_name".to_owned(), "rome".to_owned()),
            ("clouds_yaml".to_owned(), file.display().to_string()),
        ]);
        let error = Credentials::find(&other, &nothing).err().unwrap().to_string();
        assert!(error.contains("has no cloud \"rome\"; it has: paris"), "{error}");
    }

    #[test]
    fn an_application_credential_names_no_scope() {
        let environment = |name: &str| {
            let known = [
                ("OS_AUTH_URL", "http://k/v3"),
                ("OS_APPLICATION_CREDENTIAL_ID", "i"),
                ("OS_APPLICATION_CREDENTIAL_SECRET", "s"),
            ];
            known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let found = Credentials::find(&Settings::new(), &environment).unwrap();
        assert_eq!(found.auth["identity"]["methods"], json!(["application_credential"]));
        assert!(found.auth.get("scope").is_none());
    }

    #[test]
    fn what_is_missing_is_named() {
        let environment = |name: &str| (name == "OS_AUTH_URL").then(|| "http://k".to_owned());
        let error = Credentials::find(&Settings::new(), &environment).err().unwrap().to_string();
        assert!(error.contains("the OS_ variables has no password"), "{error}");
    }
}
