//! `http`: a server that keeps the state, in Terraform's own small protocol ("Backend Type: http").
//!
//! GET, POST and DELETE of the address; LOCK and UNLOCK with the holder as JSON. 423 and 409 answer with who holds it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest as _, Md5};
use reqwest::{Certificate, Client, Identity, Method, StatusCode, Url};
use sha2::Sha256;

use super::calls::{self, Answer, Patience};
use super::settings::Setting;
use super::{Backend, BackendError, BoxFuture, DEFAULT_WORKSPACE, Holder, Kind, Result, Settings};

pub(crate) const KIND: Kind = Kind {
    name: "http",
    settings: &[
        Setting::required("address", &["TF_HTTP_ADDRESS"]),
        Setting::optional("client_ca_certificate_pem", &["TF_HTTP_CLIENT_CA_CERTIFICATE_PEM"]),
        Setting::optional("client_certificate_pem", &["TF_HTTP_CLIENT_CERTIFICATE_PEM"]),
        Setting::optional("client_private_key_pem", &["TF_HTTP_CLIENT_PRIVATE_KEY_PEM"]),
        Setting::optional("lock_address", &["TF_HTTP_LOCK_ADDRESS"]),
        Setting::optional("lock_method", &["TF_HTTP_LOCK_METHOD"]),
        Setting::optional("password", &["TF_HTTP_PASSWORD"]),
        Setting::optional("retry_max", &["TF_HTTP_RETRY_MAX"]),
        Setting::optional("retry_wait_max", &["TF_HTTP_RETRY_WAIT_MAX"]),
        Setting::optional("retry_wait_min", &["TF_HTTP_RETRY_WAIT_MIN"]),
        Setting::optional("skip_cert_verification", &["TF_HTTP_SKIP_CERT_VERIFICATION"]),
        Setting::optional("unlock_address", &["TF_HTTP_UNLOCK_ADDRESS"]),
        Setting::optional("unlock_method", &["TF_HTTP_UNLOCK_METHOD"]),
        Setting::optional("update_method", &["TF_HTTP_UPDATE_METHOD"]),
        Setting::optional("username", &["TF_HTTP_USERNAME"]),
    ],
    connect: |settings, workspace| {
        if workspace != DEFAULT_WORKSPACE {
            return Err(BackendError::NoWorkspaces { kind: "http" });
        }
        Ok(Arc::new(Http::new(settings)?))
    },
};

/// Of one answer; a state may be large.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Debug)]
struct Http {
    client: Client,
    address: Url,
    update: Method,
    lock: Option<(Method, Url)>,
    unlock: Option<(Method, Url)>,
    login: Option<(String, String)>,
    patience: Patience,
    /// What this process has locked with.
    held: std::sync::Mutex<Option<Holder>>,
}

fn invalid(name: &str, reason: impl std::fmt::Display) -> BackendError {
    BackendError::Setting { name: name.to_owned(), reason: format!("{name}: {reason}") }
}

impl Http {
    fn new(settings: &Settings) -> Result<Http> {
        let url = |name: &str| settings.get(name).map(|text| text.parse::<Url>().map_err(|error| invalid(name, error)));
        let method = |name: &str, default: &str| {
            settings.or(name, default).to_uppercase().parse::<Method>().map_err(|error| invalid(name, error))
        };
        let Some(address) = url("address").transpose()? else { return Err(invalid("address", "it is required")) };
        let lock = url("lock_address").transpose()?;
        let unlock = url("unlock_address").transpose()?;
        if lock.is_some() != unlock.is_some() {
            return Err(invalid(
                "lock_address",
                "it is given together with unlock_address: nobody else would release the lock",
            ));
        }
        // An order that is sent on may become a question on the way, and would seem to be done.
        let mut client = Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        if settings.flag("skip_cert_verification")? {
            client = client.danger_accept_invalid_certs(true);
        }
        if let Some(pem) = settings.get("client_ca_certificate_pem") {
            let certificate = Certificate::from_pem(pem.as_bytes());
            client = client.tls_certs_only([certificate.map_err(|error| invalid("client_ca_certificate_pem", error))?]);
        }
        match (settings.get("client_certificate_pem"), settings.get("client_private_key_pem")) {
            (Some(certificate), Some(key)) => {
                let identity = Identity::from_pem(format!("{certificate}\n{key}").as_bytes());
                client = client.identity(identity.map_err(|error| invalid("client_certificate_pem", error))?);
            }
            (None, None) => {}
            _ => return Err(invalid("client_certificate_pem", "a certificate and its key are given together")),
        }
        let seconds = |name: &str, default| settings.number(name, default).map(Duration::from_secs);
        let login = settings.get("username").map(|name| (name.to_owned(), settings.or("password", "").to_owned()));
        Ok(Http {
            client: client.build().map_err(|error| invalid("address", error))?,
            address,
            update: method("update_method", "POST")?,
            lock: lock.map(|url| Ok((method("lock_method", "LOCK")?, url))).transpose()?,
            unlock: unlock.map(|url| Ok((method("unlock_method", "UNLOCK")?, url))).transpose()?,
            login,
            patience: Patience {
                tries: settings.number("retry_max", 2)?.saturating_add(1),
                pause: (seconds("retry_wait_min", 1)?, seconds("retry_wait_max", 30)?),
                whole: Duration::MAX,
            },
            held: std::sync::Mutex::default(),
        })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Holder>> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn failed(&self, reason: impl std::fmt::Display) -> BackendError {
        BackendError::Failed { at: self.at(), reason: reason.to_string() }
    }

    async fn call(&self, method: &Method, url: &Url, body: Option<&[u8]>) -> Result<Answer> {
        let asked = calls::ask(self.patience, || {
            let mut request = self.client.request(method.clone(), url.clone());
            if let Some((name, password)) = &self.login {
                request = request.basic_auth(name, Some(password));
            }
            if let Some(body) = body {
                let digest = BASE64_STANDARD.encode(Md5::digest(body));
                request = request.header("Content-Type", "application/json").header("Content-MD5", digest);
                request = request.body(body.to_vec());
            }
            Ok(request)
        });
        asked.await.map_err(|error| self.failed(error))
    }

    fn refused(&self, what: &str, answer: &Answer) -> BackendError {
        self.failed(format!("the server refused to {what} it: {}", answer.said()))
    }
}

impl Backend for Http {
    fn at(&self) -> String {
        // A password or a token may be a part of it.
        let mut shown = self.address.clone();
        let _ = shown.set_password(None);
        if shown.query().is_some() {
            shown.set_query(Some("…"));
        }
        shown.to_string().replace("%E2%80%A6", "…")
    }

    fn identity(&self) -> String {
        let query = self.address.query().map(|query| BASE64_STANDARD.encode(Sha256::digest(query)));
        format!("{} {}", self.at(), query.unwrap_or_default()).trim_end().to_owned()
    }

    fn can_lock(&self) -> bool {
        self.lock.is_some()
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>>> {
        Box::pin(async {
            let answer = self.call(&Method::GET, &self.address, None).await?;
            match answer.status {
                StatusCode::OK => Ok(Some(answer.body).filter(|bytes| !bytes.is_empty())),
                StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(None),
                _ => Err(self.refused("read", &answer)),
            }
        })
    }

    fn write<'a>(&'a self, bytes: &'a [u8], lock: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut url = self.address.clone();
            if let Some(id) = lock {
                url.query_pairs_mut().append_pair("ID", id);
            }
            let answer = self.call(&self.update, &url, Some(bytes)).await?;
            match answer.status {
                StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
                StatusCode::LOCKED | StatusCode::CONFLICT => {
                    let text = answer.text();
                    let holder = Holder::read(text.as_bytes()).map_or(text, |holder| holder.to_string());
                    Err(BackendError::Lost { at: self.at(), text: holder })
                }
                _ => Err(self.refused("write", &answer)),
            }
        })
    }

    fn lock<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Some((method, url)) = &self.lock else { return Ok(()) };
            *self.held() = Some(holder.clone());
            let answer = self.call(method, url, Some(&holder.json())).await?;
            match answer.status {
                StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
                StatusCode::LOCKED | StatusCode::CONFLICT => {
                    let text = answer.text();
                    match Holder::read(text.as_bytes()) {
                        // The answer to a first try was lost.
                        Some(found) if found.id == holder.id => Ok(()),
                        Some(found) => Err(BackendError::Held { at: self.at(), holder: Box::new(found) }),
                        None => {
                            let text = "the server does not say which".to_owned();
                            Err(BackendError::HeldBySomebody { at: self.at(), text })
                        }
                    }
                }
                _ => Err(self.refused("lock", &answer)),
            }
        })
    }

    fn unlock<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Some((method, url)) = &self.unlock else { return Ok(()) };
            // As it was locked, which servers may compare; of another run's lock only the id is known.
            let own = self.held().take().filter(|holder| holder.id == id).map(|holder| holder.json());
            let body = own.unwrap_or_else(|| serde_json::json!({ "ID": id }).to_string().into_bytes());
            let answer = self.call(method, url, Some(&body)).await?;
            if answer.status.is_success() { Ok(()) } else { Err(self.refused("unlock", &answer)) }
        })
    }

    fn delete<'a>(&'a self, _lock: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async {
            let answer = self.call(&Method::DELETE, &self.address, None).await?;
            match answer.status {
                status if status.is_success() => Ok(()),
                StatusCode::NOT_FOUND => Ok(()),
                _ => Err(self.refused("delete", &answer)),
            }
        })
    }

    fn workspaces(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
