use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::Backend;

/// Answers one call after the other with these statuses, of an object of generation 7 that has this text, and tells what was asked.
fn server(statuses: &'static [u16], text: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/storage/v1/b", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut asked, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                    length = text.trim().parse().unwrap();
                }
                asked.push_str(&line);
            }
            reader.take(length).read_to_string(&mut asked).unwrap();
            let head = "Connection: close\r\nX-Goog-Generation: 7";
            let length = text.len();
            write!(stream, "HTTP/1.1 {status} x\r\n{head}\r\nContent-Length: {length}\r\n\r\n{text}").unwrap();
            tell.send(asked).unwrap();
        }
    });
    (url, told)
}

fn place(settings: &[(&str, &str)]) -> Result<Arc<dyn Backend>> {
    let values: Vec<_> =
        settings.iter().map(|(name, text)| ((*name).to_owned(), value::Value::string(*text))).collect();
    crate::connect("gcs", &values, &|_| None, "default")
}

/// What is kept by a key is never sent without it; the lock is no secret, and Terraform reads it without the key.
#[tokio::test]
async fn the_state_is_written_with_its_key_and_the_lock_without() {
    let key = BASE64_STANDARD.encode([7; 32]);
    let (url, told) = server(&[200, 200, 200], "");
    let settings = [("bucket", "b"), ("access_token", "t"), ("storage_custom_endpoint", url.as_str())];
    let sealed = place(&[&settings[..], &[("encryption_key", key.as_str())]].concat()).unwrap();
    sealed.write(b"{}", None).await.unwrap();
    let asked = told.recv().unwrap();
    assert!(
        asked.starts_with("POST /upload/storage/v1/b/b/o?uploadType=multipart&name=default.tfstate HTTP"),
        "{asked}"
    );
    assert!(asked.contains(&format!("x-goog-encryption-key: {key}\r\n")) && asked.contains("Bearer t\r\n"), "{asked}");
    sealed.read().await.unwrap();
    assert!(told.recv().unwrap().contains("x-goog-encryption-key-sha256: "));
    sealed.lock(&crate::Holder::new("apply", None, "")).await.unwrap();
    let asked = told.recv().unwrap();
    assert!(asked.contains("name=default.tflock&ifGenerationMatch=0") && !asked.contains("encryption"), "{asked}");

    let (url, told) = server(&[200], "");
    let settings = [("bucket", "b"), ("access_token", "t"), ("storage_custom_endpoint", url.as_str())];
    place(&[&settings[..], &[("kms_encryption_key", "k")]].concat()).unwrap().write(b"{}", None).await.unwrap();
    assert!(told.recv().unwrap().contains("&name=default.tfstate&kmsKeyName=k HTTP"));
    let both = [&settings[..], &[("kms_encryption_key", "k"), ("encryption_key", key.as_str())]].concat();
    assert!(place(&both).unwrap_err().to_string().contains("does not go together"));
}

/// A store that is in haste or broken for a moment is asked again; one that says no is not.
#[tokio::test]
async fn what_passes_is_waited_for() {
    let (url, told) = server(&[503, 429, 200, 403], "");
    let settings = [("bucket", "b"), ("access_token", "t"), ("storage_custom_endpoint", url.as_str())];
    let place = place(&settings).unwrap();
    place.write(b"{}", None).await.unwrap();
    assert_eq!(told.iter().take(3).count(), 3);
    let refused = place.write(b"{}", None).await.unwrap_err().to_string();
    assert_eq!(refused, "gs://b/default.tfstate: the store refused to write it: 403 Forbidden");
}

/// Terraform calls a lock by its generation, and so does who reads of it; between a look and the release it may have become another's.
#[tokio::test]
async fn only_the_lock_that_is_meant_is_released() {
    let (url, told) =
        server(&[412, 200, 200, 204, 200, 412, 200, 200], r#"{"ID":"ours","Operation":"apply","Who":"a@b"}"#);
    let settings = [("bucket", "b"), ("access_token", "t"), ("storage_custom_endpoint", url.as_str())];
    let place = place(&settings).unwrap();
    let held = place.lock(&crate::Holder::new("plan", None, "")).await.unwrap_err().to_string();
    assert!(held.ends_with("is locked by another run: apply of a@b since , lock 7"), "{held}");
    place.unlock("ours").await.unwrap();
    let asked: Vec<String> = told.iter().take(4).collect();
    assert!(asked[3].starts_with("DELETE /storage/v1/b/b/o/default.tflock?ifGenerationMatch=7 HTTP"), "{}", asked[3]);
    assert!(matches!(place.unlock("7").await, Err(BackendError::Lost { .. })));
    assert!(matches!(place.unlock("6").await, Err(BackendError::Lost { .. })));
}
