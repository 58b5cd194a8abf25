//! The operations of [`proto::dialect`], over gRPC.

use proto::lampwright::operations_server::Operations;
use proto::lampwright::{Answer, Question};
use tonic::{Request, Response, Status};
use value::Problem;
use value::codec::msgpack;

use crate::service::SharedService;

#[derive(Debug)]
pub(super) struct Answers {
    pub(super) service: SharedService,
}

#[tonic::async_trait]
impl Operations for Answers {
    async fn ask(&self, request: Request<Question>) -> Result<Response<Answer>, Status> {
        let answer = match self.answer(request.into_inner()).await {
            Ok(result) => Answer { result: result.to_string().into_bytes(), problem: String::new() },
            Err(problems) => {
                let texts = problems.iter().map(|problem| format!("{}: {}", problem.summary, problem.detail));
                Answer { result: Vec::new(), problem: texts.collect::<Vec<_>>().join("\n") }
            }
        };
        Ok(Response::new(answer))
    }
}

impl Answers {
    async fn answer(&self, question: Question) -> Result<serde_json::Value, Vec<Problem>> {
        let Question { operation, type_name, address, state, arguments } = question;
        let context = self.service.context(Some(&address)).map_err(|problem| vec![problem])?;
        let resource = self.service.resource(&type_name).map_err(|problem| vec![problem])?;
        let unreadable = |error: &dyn std::fmt::Display| {
            vec![Problem::error("unreadable question", format!("The host sent what cannot be read: {error}."))]
        };
        let state = msgpack::decode(&state, &resource.schema().block.implied_ty());
        let state = state.map_err(|error| unreadable(&error))?;
        let arguments = serde_json::from_slice(&arguments).map_err(|error| unreadable(&error))?;
        resource.operate(&context, &operation, &state, arguments).await
    }
}
