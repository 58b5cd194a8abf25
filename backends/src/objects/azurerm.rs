//! `azurerm`: blobs of Azure. The lock is a lease of the state's own blob, without an end, and who holds it is in the blob's
//! metadata, as Terraform has both. A run that was cut off leaves them.
//!
//! **Invariant:** a lease of ours is never without its holder: that is written first, and the lease is taken only of a blob that
//! still says so. A holder that is written and has no lease holds nothing.

mod blob;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use object_store::RetryConfig;
use object_store::azure::{AzureCredentialProvider, MicrosoftAzureBuilder, authority_hosts};
use reqwest::{Client, Url};
use tokio::sync::OnceCell;

use self::blob::{Container, Done, If, Metadata, Properties};
use super::{
    Backend, BackendError, BoxFuture, DEFAULT_WORKSPACE, Holder, Kind, Names, PATIENCE, Result, Setting, Settings,
    invalid,
};

pub(crate) const KIND: Kind = Kind {
    name: "azurerm",
    settings: &[
        Setting::optional("access_key", &["ARM_ACCESS_KEY"]),
        Setting::refused("ado_pipeline_service_connection_id", NO_EXCHANGE),
        // Ours, for what has another name than an account of the environment.
        Setting::optional("blob_endpoint", &["AZURE_STORAGE_SERVICE_ENDPOINT"]),
        Setting::optional("client_certificate", &["ARM_CLIENT_CERTIFICATE"]),
        Setting::refused("client_certificate_password", NO_CERTIFICATE),
        Setting::optional("client_certificate_path", &["ARM_CLIENT_CERTIFICATE_PATH"]),
        Setting::optional("client_id", &["ARM_CLIENT_ID"]),
        Setting::optional("client_id_file_path", &["ARM_CLIENT_ID_FILE_PATH"]),
        Setting::optional("client_secret", &["ARM_CLIENT_SECRET"]),
        Setting::optional("client_secret_file_path", &["ARM_CLIENT_SECRET_FILE_PATH"]),
        Setting::required("container_name", &[]),
        Setting::refused("endpoint", "of managed identities it is msi_endpoint, of blobs blob_endpoint"),
        Setting::optional("environment", &["ARM_ENVIRONMENT"]),
        Setting::required("key", &[]),
        Setting::refused("metadata_host", "say blob_endpoint"),
        Setting::optional("msi_endpoint", &["ARM_MSI_ENDPOINT"]),
        Setting::refused("oidc_request_token", NO_EXCHANGE),
        Setting::optional("oidc_request_url", &["ARM_OIDC_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_URL"]),
        Setting::optional("oidc_token", &["ARM_OIDC_TOKEN"]),
        Setting::optional("oidc_token_file_path", &["ARM_OIDC_TOKEN_FILE_PATH"]),
        Setting::optional("resource_group_name", &[]),
        Setting::optional("sas_token", &["ARM_SAS_TOKEN"]),
        Setting::optional("snapshot", &["ARM_SNAPSHOT"]),
        Setting::required("storage_account_name", &[]),
        Setting::optional("subscription_id", &["ARM_SUBSCRIPTION_ID"]),
        Setting::optional("tenant_id", &["ARM_TENANT_ID"]),
        Setting::optional("use_aks_workload_identity", &["ARM_USE_AKS_WORKLOAD_IDENTITY"]),
        Setting::optional("use_azuread_auth", &["ARM_USE_AZUREAD"]),
        Setting::optional("use_cli", &["ARM_USE_CLI"]),
        Setting::optional("use_msi", &["ARM_USE_MSI"]),
        Setting::optional("use_oidc", &["ARM_USE_OIDC"]),
    ],
    connect: |settings, workspace| Ok(Arc::new(Azure::new(settings, workspace)?)),
};

const NO_CERTIFICATE: &str = "a client is known by its secret here (client_secret), or by a token in a file (use_oidc)";
const NO_EXCHANGE: &str = "write the token into a file, and say oidc_token_file_path";
/// Of the metadata: the holder as JSON, in base64.
const HOLDER: &str = "terraformlockid";
/// Between the key and the name of a workspace.
const WORKSPACE: &str = "env:";

#[derive(Debug)]
struct Azure {
    settings: Settings,
    names: Names,
    /// The account and its container, without an end.
    url: Url,
    at: String,
    keeps_snapshots: bool,
    client: Client,
    container: OnceCell<Container>,
    /// Whether this run has removed the blob: its lease went with it.
    is_removed: AtomicBool,
}

/// What is peculiar to each of Azure's clouds.
fn environment(settings: &Settings) -> Result<(&'static str, &'static str)> {
    match settings.or("environment", "public").to_lowercase().as_str() {
        "public" => Ok(("blob.core.windows.net", authority_hosts::AZURE_PUBLIC_CLOUD)),
        "usgovernment" => Ok(("blob.core.usgovcloudapi.net", authority_hosts::AZURE_GOVERNMENT)),
        "china" => Ok(("blob.core.chinacloudapi.cn", authority_hosts::AZURE_CHINA)),
        other => Err(invalid("environment", format!("it is public, usgovernment or china, not {other:?}"))),
    }
}

fn names(settings: &Settings, workspace: &str) -> Names {
    let key = settings.or("key", "");
    let prefix = format!("{key}{WORKSPACE}");
    let state = match workspace {
        DEFAULT_WORKSPACE => key.to_owned(),
        name => format!("{prefix}{name}"),
    };
    Names { state, prefix, suffix: String::new() }
}

impl Azure {
    fn new(settings: &Settings, workspace: &str) -> Result<Azure> {
        let names = names(settings, workspace);
        let account = settings.or("storage_account_name", "");
        let (suffix, _) = environment(settings)?;
        let endpoint =
            settings.get("blob_endpoint").map_or_else(|| format!("https://{account}.{suffix}"), str::to_owned);
        let mut url = endpoint.parse::<Url>().map_err(|error| invalid("blob_endpoint", error))?;
        if url.query().is_some() || url.cannot_be_a_base() {
            return Err(invalid("blob_endpoint", "it is the URL of the account"));
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(settings.or("container_name", ""));
        }
        let keeps_snapshots = settings.flag("snapshot")?;
        let at = format!("{url}/{}", names.state);
        let client = Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        let client = client.build().map_err(|error| invalid("blob_endpoint", error))?;
        Ok(Azure {
            settings: settings.clone(),
            names,
            url,
            at,
            keeps_snapshots,
            client,
            container: OnceCell::new(),
            is_removed: AtomicBool::new(false),
        })
    }

    async fn container(&self) -> Result<&Container> {
        let make = || async {
            Ok(Container {
                client: self.client.clone(),
                account: self.settings.or("storage_account_name", "").to_owned(),
                url: self.url.clone(),
                credentials: credentials(&self.settings)?,
                at: self.at.clone(),
            })
        };
        self.container.get_or_try_init(make).await
    }

    fn held(&self, found: &Properties) -> BackendError {
        match holder(&found.metadata) {
            Some(holder) => BackendError::Held { at: self.at.clone(), holder: Box::new(holder) },
            None => BackendError::HeldBySomebody { at: self.at.clone(), text: NAMELESS.to_owned() },
        }
    }

    /// Of a lock that was ours to be.
    fn lost(&self, found: Option<&Properties>) -> BackendError {
        let text = match found {
            Some(found) if found.is_leased => {
                holder(&found.metadata).map_or_else(|| NAMELESS.to_owned(), |holder| holder.to_string())
            }
            Some(_) | None => "nobody holds it".to_owned(),
        };
        BackendError::Lost { at: self.at.clone(), text }
    }
}

const NAMELESS: &str = "its lease does not say whose it is; `az storage blob lease break` ends it";

/// In the order in which Terraform looks for them.
fn credentials(settings: &Settings) -> Result<AzureCredentialProvider> {
    let retry = RetryConfig { retry_timeout: PATIENCE, ..RetryConfig::default() };
    let (_, authority) = environment(settings)?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(settings.or("storage_account_name", ""))
        .with_container_name(settings.or("container_name", ""))
        .with_authority_host(authority)
        .with_retry(retry);
    let kind;
    if let Some(key) = settings.get("access_key").filter(|key| !key.is_empty()) {
        builder = builder.with_access_key(key);
        kind = "access_key";
    } else if let Some(token) = settings.get("sas_token").filter(|token| !token.is_empty()) {
        let pairs = object_store::azure::split_sas(token).map_err(|error| invalid("sas_token", error))?;
        builder = builder.with_sas_authorization(pairs);
        kind = "sas_token";
    } else if settings.flag("use_azuread_auth")? {
        (builder, kind) = identity(settings, builder)?;
    } else {
        return Err(invalid(
            "access_key",
            "it is required, or ARM_ACCESS_KEY in the environment, or sas_token, or use_azuread_auth = true; it is not looked for by resource_group_name",
        ));
    }
    let built = builder.with_credential_type(kind).build();
    Ok(built
        .map_err(|error| invalid(if kind.ends_with("key") { "access_key" } else { kind }, error))?
        .credentials()
        .clone())
}

/// Who asks for a token.
fn identity(settings: &Settings, mut builder: MicrosoftAzureBuilder) -> Result<(MicrosoftAzureBuilder, &'static str)> {
    let has = |name: &str| settings.get(name).is_some_and(|text| !text.is_empty());
    for name in ["client_certificate", "client_certificate_path"] {
        if has(name) {
            return Err(invalid(name, format!("it is not honoured: {NO_CERTIFICATE}")));
        }
    }
    let client = text_or_file(settings, "client_id", "client_id_file_path")?;
    let secret = text_or_file(settings, "client_secret", "client_secret_file_path")?;
    if let Some(client) = &client {
        builder = builder.with_client_id(client);
    }
    if let Some(tenant) = settings.get("tenant_id") {
        builder = builder.with_tenant_id(tenant);
    }
    if let Some(secret) = secret {
        return Ok((builder.with_client_secret(secret), "client_secret"));
    }
    if settings.flag("use_oidc")? || settings.flag("use_aks_workload_identity")? {
        return match settings.get("oidc_token_file_path") {
            Some(path) => Ok((builder.with_federated_token_file(path), "workload_identity")),
            None if has("oidc_token") => Err(invalid("oidc_token", format!("it is not honoured: {NO_EXCHANGE}"))),
            None => Err(invalid("oidc_request_url", format!("no token is asked for there: {NO_EXCHANGE}"))),
        };
    }
    if settings.flag("use_msi")? {
        if let Some(endpoint) = settings.get("msi_endpoint") {
            builder = builder.with_msi_endpoint(endpoint);
        }
        return Ok((builder, "managed_identity"));
    }
    if settings.get("use_cli").is_none() || settings.flag("use_cli")? {
        return Ok((builder, "azure_cli"));
    }
    Err(invalid(
        "use_azuread_auth",
        "nothing says who asks: client_id with client_secret, use_oidc, use_msi or use_cli",
    ))
}

fn text_or_file(settings: &Settings, name: &str, file: &str) -> Result<Option<String>> {
    if let Some(text) = settings.get(name).filter(|text| !text.is_empty()) {
        return Ok(Some(text.to_owned()));
    }
    let Some(path) = settings.get(file) else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| invalid(file, format!("{path}: {error}")))?;
    Ok(Some(text.trim().to_owned()))
}

fn holder(metadata: &Metadata) -> Option<Holder> {
    let (_, text) = metadata.iter().find(|(name, _)| name == HOLDER)?;
    Holder::read(&BASE64_STANDARD.decode(text).ok()?)
}

/// What else a blob says of itself, and this holder.
fn with_holder(metadata: &Metadata, holder: Option<&Holder>) -> Metadata {
    let mut all: Metadata = metadata.iter().filter(|(name, _)| name != HOLDER).cloned().collect();
    all.extend(holder.map(|holder| (HOLDER.to_owned(), BASE64_STANDARD.encode(holder.json()))));
    all
}

impl Backend for Azure {
    fn at(&self) -> String {
        self.at.clone()
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>>> {
        Box::pin(async {
            // A blob that was made for its lease is empty.
            let found = self.container().await?.read(&self.names.state).await?;
            Ok(found.filter(|bytes| !bytes.is_empty()))
        })
    }

    fn write<'a>(&'a self, bytes: &'a [u8], lock: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (container, name) = (self.container().await?, &self.names.state);
            let found = container.properties(name).await?;
            // Somebody may have broken the lock: the store compares.
            let when = lock.map_or(If::Free, If::Leased);
            let mut done = Done::Yes;
            if self.keeps_snapshots && found.is_some() {
                done = container.snapshot(name, when).await?;
            }
            if done == Done::Yes {
                let metadata = found.map(|found| found.metadata).unwrap_or_default();
                done = container.write(name, bytes, &metadata, when).await?;
            }
            match done {
                Done::Yes => Ok(()),
                Done::No => {
                    let found = container.properties(name).await?;
                    Err(match (lock, &found) {
                        (None, Some(found)) if found.is_leased => self.held(found),
                        (_, found) => self.lost(found.as_ref()),
                    })
                }
            }
        })
    }

    fn lock<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (container, name) = (self.container().await?, &self.names.state);
            // Others come and go.
            for _ in 0..10 {
                let Some(found) = container.properties(name).await? else {
                    // There is no lease without a blob.
                    container.write(name, &[], &with_holder(&Metadata::new(), Some(holder)), If::New).await?;
                    continue;
                };
                let says = self::holder(&found.metadata).map(|said| said.id);
                let is_ours = says.as_ref() == Some(&holder.id);
                if found.is_leased && !is_ours {
                    return Err(self.held(&found));
                }
                if !is_ours {
                    let metadata = with_holder(&found.metadata, Some(holder));
                    container.describe(name, &metadata, If::Etag(&found.etag)).await?;
                    continue;
                }
                // It is ours already where the answer to a first try was lost.
                if container.lease(name, &holder.id, If::Etag(&found.etag)).await? == Done::Yes {
                    return Ok(());
                }
            }
            let text = "others come and go; try again".to_owned();
            Err(BackendError::HeldBySomebody { at: self.at.clone(), text })
        })
    }

    fn unlock<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if self.is_removed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let (container, name) = (self.container().await?, &self.names.state);
            let found = container.properties(name).await?;
            if !found.as_ref().is_some_and(|found| found.is_leased) {
                return Err(self.lost(found.as_ref()));
            }
            // The store knows no other ids than these, and better than what is written there whose it is.
            let is_id = uuid::Uuid::parse_str(id).is_ok();
            // One that was made for its lease is no state: workspaces are known by theirs.
            let is_empty = is_id && found.as_ref().is_some_and(|found| found.is_empty);
            if is_empty && container.remove(name, false, If::Leased(id)).await? == Done::Yes {
                return Ok(());
            }
            if !is_id || container.release(name, id).await? == Done::No {
                let now = container.properties(name).await?;
                return Err(self.lost(now.as_ref()));
            }
            if let Some(found) = found {
                // Whoever holds it meanwhile has written another name: theirs stays. One that stays holds nothing.
                let _ = container.describe(name, &with_holder(&found.metadata, None), If::Etag(&found.etag)).await;
            }
            Ok(())
        })
    }

    fn delete<'a>(&'a self, lock: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (container, name) = (self.container().await?, &self.names.state);
            let done = container.remove(name, true, lock.map_or(If::Free, If::Leased)).await?;
            if done == Done::No
                && let Some(found) = container.properties(name).await?
            {
                return Err(self.held(&found));
            }
            self.is_removed.store(true, Ordering::Relaxed);
            Ok(())
        })
    }

    fn workspaces(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async { Ok(self.names.workspaces(&self.container().await?.list(&self.names.prefix).await?)) })
    }
}
