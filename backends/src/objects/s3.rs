//! `s3`: S3, or what speaks its protocol and has conditional writes. The lock is what Terraform makes with `use_lockfile`.

use std::sync::Arc;

use async_trait::async_trait;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::default_provider::region::DefaultRegionChain;
use aws_credential_types::provider::ProvideCredentials as _;
use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::path::Path;
use object_store::{ClientOptions, CredentialProvider, Error, ObjectStore, ObjectStoreExt as _, PutMode, RetryConfig};
use tokio::sync::OnceCell;

use super::{DEFAULT_WORKSPACE, Kind, LOCK, Names, Object, PATIENCE, Place, Result, Setting, Settings, Store, invalid};
use crate::BackendError;

pub(crate) const KIND: Kind = Kind {
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
    connect: |settings, workspace| {
        let names = names(settings, workspace);
        let lock = format!("{}{LOCK}", names.state);
        Ok(Arc::new(Place { store: S3::new(settings, &names)?, lock, names }))
    },
};

const PREFIX: &str = "env:";

#[derive(Debug)]
struct S3 {
    settings: Settings,
    bucket: String,
    at: String,
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

fn names(settings: &Settings, workspace: &str) -> Names {
    let key = settings.or("key", "").trim_start_matches('/');
    let prefix = match settings.or("workspace_key_prefix", PREFIX).trim_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    let suffix = format!("/{key}");
    let state = match workspace {
        DEFAULT_WORKSPACE => key.to_owned(),
        name => format!("{prefix}{name}{suffix}"),
    };
    Names { state, prefix, suffix }
}

/// As it is: nothing of it is encoded once more.
fn path(name: &str) -> Path {
    Path::parse(name).unwrap_or_else(|_| Path::from(name))
}

impl S3 {
    fn new(settings: &Settings, names: &Names) -> Result<S3> {
        Path::parse(&names.state).map_err(|error| invalid("key", error))?;
        for name in ["encrypt", "use_path_style"] {
            settings.flag(name)?;
        }
        if settings.get("use_lockfile").is_some() && !settings.flag("use_lockfile")? {
            return Err(invalid("use_lockfile", "the state is always locked; `-lock=false` leaves it for one run"));
        }
        let bucket = settings.or("bucket", "").to_owned();
        let at = format!("s3://{bucket}/{}", names.state);
        Ok(S3 { settings: settings.clone(), bucket, at, store: OnceCell::new() })
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
        BackendError::Failed { at: self.at.clone(), reason: error.to_string() }
    }
}

impl Store for S3 {
    fn at(&self) -> &str {
        &self.at
    }

    fn identity(&self) -> String {
        format!("{} {}", self.at, self.settings.or("endpoint", ""))
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        let found = match self.store().await?.get(&path(name)).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(|error| self.failed(&error))?,
        };
        let bytes = found.bytes().await.map_err(|error| self.failed(&error))?;
        Ok(Some(Object { bytes: bytes.to_vec(), generation: None }))
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let written = self.store().await?.put(&path(name), bytes.to_vec().into()).await;
        written.map(drop).map_err(|error| self.failed(&error))
    }

    async fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        match self.store().await?.put_opts(&path(name), bytes.to_vec().into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn remove(&self, name: &str, _generation: Option<&str>) -> Result<bool> {
        match self.store().await?.delete(&path(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(true),
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let folder = path(prefix.trim_end_matches('/'));
        let all = self.store().await?.list(Some(&folder)).map_ok(|object| object.location.to_string());
        all.try_collect().await.map_err(|error| self.failed(&error))
    }
}
