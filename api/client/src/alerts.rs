//! The endpoints of alerts and silences, on the port of the monitor.

use crate::{Client, ClientError};
use lucid_schemas::{
    alert::AlertId,
    http::{
        AcknowledgeBody, AlertList, AlertView, ResolveBody, SilenceAlertBody, SilenceBody, SilenceList, SilenceView,
        TestBody, TestView,
    },
    silence::SilenceId,
};
use std::str::FromStr;

/// Which alerts a list shows; everything is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertQuery {
    /// In one of these states, or `open`; those that are open where empty.
    pub states: Vec<String>,
    /// Of this severity.
    pub severity: Option<String>,
    /// Found by this rule.
    pub rule: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
    /// For the next page: what the page before has named as `next`.
    pub after: Option<String>,
}

impl AlertQuery {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let states = (!self.states.is_empty()).then(|| self.states.join(","));
        let pairs = [
            ("state", states),
            ("severity", self.severity.clone()),
            ("rule", self.rule.clone()),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("after", self.after.clone()),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Client {
    /// `GET /alerts`.
    pub fn alerts(&self, query: &AlertQuery) -> Result<AlertList, ClientError> {
        self.get("/alerts", query.pairs())
    }

    /// `GET /alerts/{id}`.
    pub fn alert(&self, id: &str) -> Result<AlertView, ClientError> {
        self.get(&alert_path(id, "")?, Vec::new())
    }

    /// `POST /alerts/{id}/acknowledge`.
    pub fn acknowledge_alert(&self, id: &str, body: &AcknowledgeBody) -> Result<AlertView, ClientError> {
        self.post(&alert_path(id, "/acknowledge")?, body)
    }

    /// `POST /alerts/{id}/resolve`.
    pub fn resolve_alert(&self, id: &str, body: &ResolveBody) -> Result<AlertView, ClientError> {
        self.post(&alert_path(id, "/resolve")?, body)
    }

    /// `POST /alerts/{id}/silence`.
    pub fn silence_alert(&self, id: &str, body: &SilenceAlertBody) -> Result<SilenceView, ClientError> {
        self.post(&alert_path(id, "/silence")?, body)
    }

    /// `POST /alerts/test`.
    pub fn test_channel(&self, channel: &str) -> Result<TestView, ClientError> {
        self.post("/alerts/test", &TestBody { channel: channel.to_owned() })
    }

    /// `GET /silences`.
    pub fn silences(&self) -> Result<SilenceList, ClientError> {
        self.get("/silences", Vec::new())
    }

    /// `POST /silences`.
    pub fn make_silence(&self, body: &SilenceBody) -> Result<SilenceView, ClientError> {
        self.post("/silences", body)
    }

    /// `DELETE /silences/{id}`.
    pub fn end_silence(&self, id: &str) -> Result<SilenceView, ClientError> {
        let id = checked::<SilenceId>(id)?;
        self.read(self.agent.delete(self.address(&format!("/silences/{id}"))).call())
    }
}

fn alert_path(id: &str, rest: &str) -> Result<String, ClientError> {
    checked::<AlertId>(id).map(|id| format!("/alerts/{id}{rest}"))
}

/// What isn't shaped like an id never gets into a path.
fn checked<T: FromStr<Err = String>>(id: &str) -> Result<T, ClientError> {
    id.parse().map_err(|problem| ClientError::BadId { id: id.chars().take(80).collect(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Service;

    #[test]
    fn hostile_ids_never_reach_a_path() {
        let client = Client::of(Service::Monitor, "http://127.0.0.1:1").expect("a client");
        for id in ["../health", "alert_/x", "alert_x?y=z", "", "backup_20250109_020000_7k3fq2m8ab", "silence_1"] {
            assert!(matches!(client.alert(id), Err(ClientError::BadId { .. })), "{id}");
        }
        for id in ["../health", "silence_/x", "", "alert_1"] {
            assert!(matches!(client.end_silence(id), Err(ClientError::BadId { .. })), "{id}");
        }
        assert_eq!(alert_path("alert_2025", "/resolve").expect("a path"), "/alerts/alert_2025/resolve");
    }
}
