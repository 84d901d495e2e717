//! Who somebody is to a service: the token that he shows, and as whom he comes with it.

use crate::{
    Client, ClientError,
    agent::{self, Shown},
};
use lucid_schemas::http::WhoView;

impl Client {
    /// Trusts these certificates, in PEM form, instead of the system's. Before a token is given.
    ///
    /// # Errors
    /// Where there is none among them.
    pub fn with_roots(mut self, pem: &[u8]) -> Result<Self, ClientError> {
        self.roots = Some(agent::roots(pem)?);
        self.agent = agent::open(None, self.roots.clone());
        Ok(self)
    }

    /// Shows this token with every request.
    ///
    /// # Errors
    /// Where it can't be a token.
    pub fn with_token(mut self, token: &str) -> Result<Self, ClientError> {
        self.agent = agent::open(Some((agent::bearer(token)?, Shown::Always)), self.roots.clone());
        Ok(self)
    }

    /// Shows this token, which nobody has named, with every request that asks for something; reading mostly needs none, and shows none: whoever
    /// has taken the port of a service that is down would have it.
    ///
    /// # Errors
    /// Where it can't be a token.
    pub fn with_found_token(mut self, token: &str) -> Result<Self, ClientError> {
        self.agent = agent::open(Some((agent::bearer(token)?, Shown::WhenAsking)), self.roots.clone());
        Ok(self)
    }

    /// `GET /whoami`.
    pub fn whoami(&self) -> Result<WhoView, ClientError> {
        self.get("/whoami", Vec::new())
    }
}
