//! Object stores. The lock is an object beside the state, `KEY.tflock`, that is only made if it is not there: what Terraform
//! does with `use_lockfile`. A run that was cut off leaves it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::default_provider::region::DefaultRegionChain;
use aws_credential_types::provider::ProvideCredentials as _;
use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::path::Path;
use object_store::{ClientOptions, CredentialProvider, Error, ObjectStore, ObjectStoreExt as _, PutMode, RetryConfig};
use tokio::sync::OnceCell;

use super::settings::Setting;
use super::{Backend, BackendError, BoxFuture, DEFAULT_WORKSPACE, Holder, Kind, Result, Settings};

pub(crate) const S3: Kind = Kind {
    name: "s3",
    settings: &[
        Setting::optional("access_key", &[]),
        Setting::refused("acl", "give the bucket a policy instead"),
        Setting::refused("assume_role", "let a profile of the AWS configuration say it (role_arn)"),
        Setting::required("bucket", &[]),
        Setting::refused(
            "dynamodb_table",
            "the lock is an object beside the state; leave it away, in Terraform use use_lockfile",
        ),
        Setting::optional("encrypt", &[]),
        Setting::optional("endpoint", &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
        Setting::refused("endpoints", "write endpoint = \"https://..\""),
        Setting::required("key", &[]),
        Setting::optional("kms_key_id", &[]),
        Setting::optional("profile", &[]),
        Setting::optional("region", &["AWS_REGION", "AWS_DEFAULT_REGION"]),
        Setting::optional("secret_key", &[]),
        Setting::optional("skip_credentials_validation", &[]),
        Setting::optional("skip_metadata_api_check", &[]),
        Setting::optional("skip_region_validation", &[]),
        Setting::optional("skip_requesting_account_id", &[]),
        Setting::optional("token", &[]),
        Setting::optional("use_lockfile", &[]),
        Setting::optional("use_path_style", &[]),
        Setting::optional("workspace_key_prefix", &[]),
    ],
    connect: |settings, workspace| Ok(Arc::new(S3Place::new(settings, workspace)?)),
};

const PATIENCE: Duration = Duration::from_mins(1);
const LOCK: &str = ".tflock";
const PREFIX: &str = "env:";

#[derive(Debug)]
struct S3Place {
    settings: Settings,
    bucket: String,
    /// Of the default workspace.
    key: String,
    prefix: String,
    state: Path,
    store: OnceCell<Arc<dyn ObjectStore>>,
}

/// Credentials as the `aws` command finds them.
#[derive(Debug)]
struct Chain(DefaultCredentialsChain);

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let found = self.0.provide_credentials().await;
        let found = found.map_err(|error| Error::Generic { store: "S3", source: Box::new(error) })?;
        Ok(Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        }))
    }
}

fn invalid(name: &str, reason: impl std::fmt::Display) -> BackendError {
    BackendError::Setting { name: name.to_owned(), reason: format!("{name}: {reason}") }
}

impl S3Place {
    fn new(settings: &Settings, workspace: &str) -> Result<S3Place> {
        let key = settings.or("key", "").trim_start_matches('/').to_owned();
        let prefix = settings.or("workspace_key_prefix", PREFIX).trim_matches('/').to_owned();
        let path = match workspace {
            DEFAULT_WORKSPACE => key.clone(),
            name => format!("{prefix}/{name}/{key}"),
        };
        let state = Path::parse(&path).map_err(|error| invalid("key", error))?;
        for name in ["encrypt", "use_path_style"] {
            settings.flag(name)?;
        }
        if settings.get("use_lockfile").is_some() && !settings.flag("use_lockfile")? {
            return Err(invalid("use_lockfile", "the state is always locked; `-lock=false` leaves it for one run"));
        }
        let bucket = settings.or("bucket", "").to_owned();
        Ok(S3Place { settings: settings.clone(), bucket, key, prefix, state, store: OnceCell::new() })
    }

    /// Made at the first call: where credentials and the region come from may have to be asked.
    async fn store(&self) -> Result<&Arc<dyn ObjectStore>> {
        self.store.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Arc<dyn ObjectStore>> {
        let settings = &self.settings;
        let profile = settings.get("profile");
        let region = match settings.get("region") {
            Some(region) => region.to_owned(),
            None => {
                let mut chain = DefaultRegionChain::builder();
                if let Some(profile) = profile {
                    chain = chain.profile_name(profile);
                }
                let found = chain.build().region().await;
                let missing =
                    || invalid("region", "it is required, or AWS_REGION in the environment, or one of the profile");
                found.ok_or_else(missing)?.to_string()
            }
        };
        let options = ClientOptions::new().with_timeout(PATIENCE);
        let retry = RetryConfig { retry_timeout: PATIENCE, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(&region)
            .with_client_options(options)
            .with_retry(retry);
        if let Some(endpoint) = settings.get("endpoint") {
            // A store of one's own is reached by paths, as in Terraform only where that is said; plain HTTP is the user's word.
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        builder = builder
            .with_virtual_hosted_style_request(settings.get("endpoint").is_none() && !settings.flag("use_path_style")?);
        builder = match (settings.get("access_key"), settings.get("secret_key")) {
            (Some(id), Some(secret)) => {
                let builder = builder.with_access_key_id(id).with_secret_access_key(secret);
                match settings.get("token") {
                    Some(token) => builder.with_token(token),
                    None => builder,
                }
            }
            (None, None) => {
                let mut chain = DefaultCredentialsChain::builder();
                if let Some(profile) = profile {
                    chain = chain.profile_name(profile);
                }
                builder.with_credentials(Arc::new(Chain(chain.build().await)))
            }
            _ => return Err(invalid("access_key", "it is given together with secret_key")),
        };
        match settings.get("kms_key_id") {
            Some(key) => builder = builder.with_sse_kms_encryption(key),
            None if settings.flag("encrypt")? => {
                let key = "aws_server_side_encryption".parse().map_err(|error| self.failed(&error))?;
                builder = builder.with_config(key, "AES256");
            }
            None => {}
        }
        Ok(Arc::new(builder.build().map_err(|error| self.failed(&error))?))
    }

    fn failed(&self, error: &Error) -> BackendError {
        BackendError::Failed { at: self.at(), reason: error.to_string() }
    }

    fn lock_path(&self) -> Path {
        // As the state itself: nothing of it is encoded once more.
        let path = format!("{}{LOCK}", self.state);
        Path::parse(&path).unwrap_or_else(|_| Path::from(path))
    }

    async fn get(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let found = match self.store().await?.get(path).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(|error| self.failed(&error))?,
        };
        let bytes = found.bytes().await.map_err(|error| self.failed(&error))?;
        Ok(Some(bytes.to_vec()))
    }

    async fn holder(&self) -> Result<Option<Holder>> {
        Ok(self.get(&self.lock_path()).await?.and_then(|bytes| Holder::read(&bytes)))
    }
}

impl Backend for S3Place {
    fn at(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.state)
    }

    fn identity(&self) -> String {
        format!("{} {}", self.at(), self.settings.or("endpoint", ""))
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>>> {
        Box::pin(async { Ok(self.get(&self.state).await?.filter(|bytes| !bytes.is_empty())) })
    }

    fn write<'a>(&'a self, bytes: &'a [u8], lock: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            // Somebody may have broken the lock.
            if let Some(id) = lock {
                match self.holder().await? {
                    Some(holder) if holder.id == id => {}
                    holder => {
                        let text = holder.map_or_else(|| "nobody holds it".to_owned(), |holder| holder.to_string());
                        return Err(BackendError::Lost { at: self.at(), text });
                    }
                }
            }
            let written = self.store().await?.put(&self.state, bytes.to_vec().into()).await;
            written.map(drop).map_err(|error| self.failed(&error))
        })
    }

    fn lock<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let path = self.lock_path();
            // A holder that ends meanwhile takes its lock with it.
            for _ in 0..3 {
                let made = self.store().await?.put_opts(&path, holder.json().into(), PutMode::Create.into()).await;
                match made {
                    Ok(_) => return Ok(()),
                    Err(Error::AlreadyExists { .. }) => {}
                    Err(error) => return Err(self.failed(&error)),
                }
                match self.get(&path).await? {
                    None => {}
                    Some(bytes) => match Holder::read(&bytes) {
                        // The answer to a first try was lost.
                        Some(found) if found.id == holder.id => return Ok(()),
                        Some(found) => return Err(BackendError::Held { at: self.at(), holder: Box::new(found) }),
                        None => {
                            let text = format!("{path} does not say which");
                            return Err(BackendError::HeldBySomebody { at: self.at(), text });
                        }
                    },
                }
            }
            let text = "others come and go; try again".to_owned();
            Err(BackendError::HeldBySomebody { at: self.at(), text })
        })
    }

    fn unlock<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match self.holder().await? {
                Some(holder) if holder.id == id => {}
                Some(holder) => return Err(BackendError::Lost { at: self.at(), text: holder.to_string() }),
                None => return Err(BackendError::Lost { at: self.at(), text: "nobody holds it".to_owned() }),
            }
            let gone = self.store().await?.delete(&self.lock_path()).await;
            gone.map_err(|error| self.failed(&error))
        })
    }

    fn delete(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            match self.store().await?.delete(&self.state).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.failed(&error)),
            }
        })
    }

    fn workspaces(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async {
            let prefix = Path::from(self.prefix.as_str());
            let store = self.store().await?;
            let all: Vec<_> = store.list(Some(&prefix)).try_collect().await.map_err(|error| self.failed(&error))?;
            let name = |path: &Path| {
                let rest = path.as_ref().strip_prefix(self.prefix.as_str())?.strip_prefix('/')?;
                let name = rest.strip_suffix(self.key.as_str())?.strip_suffix('/')?;
                (!name.contains('/')).then(|| name.to_owned())
            };
            let mut names: Vec<String> = all.iter().filter_map(|object| name(&object.location)).collect();
            names.sort();
            Ok(names)
        })
    }
}
