use super::*;
use crate::driver::{LayerId, Order};
use crate::drivers;

/// A machine of the local cloud, which nothing runs on yet.
async fn machine(folder: &tempfile::TempDir, third: u32) -> (std::sync::Arc<dyn Driver>, MachineKey) {
    let settings = [
        ("root".to_owned(), folder.path().display().to_string()),
        ("network".to_owned(), format!("127.62.{third}.0/24")),
    ];
    let driver = (drivers::find("local").unwrap().connect)(&settings.into_iter().collect()).unwrap();
    let key = MachineKey { layer: LayerId { scope: "t".to_owned(), name: "db".to_owned() }, id: 1 };
    let order = Order {
        layer: key.layer.clone(),
        ids: vec![1],
        owner: String::new(),
        need: crate::driver::Need::default(),
        takes_up: Vec::new(),
        takes: std::collections::BTreeSet::new(),
    };
    assert!(driver.create(&order, &|_| ()).await.failure.is_none());
    (driver, key)
}

fn hello(port: u16) -> Question {
    Question::Bytes { port, name: "hello", bytes: crate::bundle::mongod::hello() }
}

fn probe(question: Question) -> Vec<Probe> {
    vec![Probe { service: "it", question, patience: Duration::from_millis(1) }]
}

/// A server whose queue is full takes no connection, and one that is stopped takes it and says nothing.
#[tokio::test]
async fn who_takes_connections_and_says_nothing_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    let (driver, key) = machine(&folder, 1).await;
    let address = driver.reach(&key, 8080).await.unwrap();
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    for question in [Question::Get { port: 8080, path: "/".to_owned() }, hello(8080)] {
        let silence = silent_now(&*driver, &key, &probe(question)).await.unwrap();
        assert_eq!(silence.service, "it");
        assert!(silence.what.starts_with("asked 2 times for ") && silence.what.contains("no answer"), "{silence}");
    }
    drop(listener);
}

/// The answer comes late, and yet it comes: nothing is ended for it.
#[tokio::test]
async fn who_answers_at_last_does_not_hang() {
    let folder = tempfile::tempdir().unwrap();
    let (driver, key) = machine(&folder, 2).await;
    let address = driver.reach(&key, 8080).await.unwrap();
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let server = tokio::spawn(async move {
        // The first two who ask get nothing.
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(listener.accept().await.unwrap());
        }
        let (mut stream, _) = listener.accept().await.unwrap();
        // All of the question, or the end of the connection would be an abort.
        let mut question = [0; 256];
        while !question.ends_with(b"\r\n\r\n") && stream.read(&mut question).await.unwrap() == question.len() {}
        stream.write_all(b"HTTP/1.0 503 Busy\r\n\r\n").await.unwrap();
    });
    let question = Question::Get { port: 8080, path: "/".to_owned() };
    let patient = vec![Probe { service: "it", question, patience: Duration::from_mins(1) }];
    assert_eq!(silent_for_long(&*driver, &key, &patient).await, None);
    server.await.unwrap();
}

#[tokio::test]
async fn mongod_is_asked_in_its_own_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let (driver, key) = machine(&folder, 3).await;
    let address = driver.reach(&key, 27017).await.unwrap();
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut message = [0; 52];
        stream.read_exact(&mut message).await.unwrap();
        // As long as it says, an OP_MSG, and a document of MongoDB's own library.
        assert_eq!(message[..4], 52u32.to_le_bytes());
        let document = mongodb::bson::Document::from_reader(&message[21..]).unwrap();
        assert_eq!(document, mongodb::bson::doc! { "hello": 1, "$db": "admin" });
        stream.write_all(&[0; 16]).await.unwrap();
    });
    assert_eq!(silent_now(&*driver, &key, &probe(hello(27017))).await, None);
    server.await.unwrap();
}
