//! go-plugin's own services. The host opens both streams and expects nothing on them; Shutdown must end the
//! process within two seconds, or the host kills it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::plugin::grpc_broker_server::GrpcBroker;
use proto::plugin::grpc_controller_server::GrpcController;
use proto::plugin::grpc_stdio_server::GrpcStdio;
use proto::plugin::{ConnInfo, StdioData};
use tokio::sync::Notify;
use tokio_stream::{Pending, pending};
use tonic::{Request, Response, Status, Streaming};

use crate::service::Service;

pub(super) struct Stdio;

#[tonic::async_trait]
impl GrpcStdio for Stdio {
    type StreamStdioStream = Pending<Result<StdioData, Status>>;

    async fn stream_stdio(&self, _: Request<()>) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(Response::new(pending()))
    }
}

pub(super) struct Broker;

#[tonic::async_trait]
impl GrpcBroker for Broker {
    type StartStreamStream = Pending<Result<ConnInfo, Status>>;

    async fn start_stream(&self, _: Request<Streaming<ConnInfo>>) -> Result<Response<Self::StartStreamStream>, Status> {
        Ok(Response::new(pending()))
    }
}

pub(super) struct Controller {
    pub(super) stop: Arc<Notify>,
    /// Holds the socket; removed at the end.
    pub(super) folder: PathBuf,
    pub(super) service: Arc<Service>,
}

#[tonic::async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _: Request<()>) -> Result<Response<()>, Status> {
        self.stop.notify_waiters();
        self.service.end();
        // The answer goes out first. The host's open streams would keep a graceful end waiting for ever.
        let folder = self.folder.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = std::fs::remove_dir_all(folder);
            std::process::exit(0);
        });
        Ok(Response::new(()))
    }
}
