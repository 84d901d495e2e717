//! S3 servers that answer a range with 200 in place of 206, such as rclone's.
//!
//! Only where the reply says itself, by `Content-Range`, that it is a part; what it holds is checked by its length and its seal.

use async_trait::async_trait;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use reqwest::StatusCode;
use reqwest::header::CONTENT_RANGE;

/// Connects as usual, and corrects the status of such replies.
#[derive(Debug, Default)]
pub(crate) struct PartialConnector {
    usual: ReqwestConnector,
}

#[derive(Debug)]
struct Corrected(HttpClient);

impl HttpConnector for PartialConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Corrected(self.usual.connect(options)?)))
    }
}

#[async_trait]
impl HttpService for Corrected {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut response = self.0.execute(request).await?;
        if response.status() == StatusCode::OK && response.headers().contains_key(CONTENT_RANGE) {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }
}
