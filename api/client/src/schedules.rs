//! The endpoints of schedules.

use crate::{Client, ClientError};
use lucid_schemas::{
    http::{JobView, ScheduleBody, ScheduleList, ScheduleView},
    schedule::check_name,
};
use serde_json::Value;

impl Client {
    /// `GET /schedules`.
    pub fn schedules(&self) -> Result<ScheduleList, ClientError> {
        self.get("/schedules", Vec::new())
    }

    /// `GET /schedules/{name}`; `None` where there is none.
    pub fn schedule(&self, name: &str) -> Result<Option<ScheduleView>, ClientError> {
        match self.get(&path(name, "")?, Vec::new()) {
            Ok(schedule) => Ok(Some(schedule)),
            Err(ClientError::Refused(problem)) if problem.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `PUT /schedules/{name}`: makes or replaces it; where the body names a version, only that one.
    pub fn put_schedule(&self, name: &str, body: &ScheduleBody<Value>) -> Result<ScheduleView, ClientError> {
        let address = self.address(&path(name, "")?);
        self.read(self.agent.put(address).send_json(body))
    }

    /// `POST /schedules/{name}/pause`.
    pub fn pause_schedule(&self, name: &str) -> Result<ScheduleView, ClientError> {
        let address = self.address(&path(name, "/pause")?);
        self.read(self.agent.post(address).send_empty())
    }

    /// `POST /schedules/{name}/resume`.
    pub fn resume_schedule(&self, name: &str) -> Result<ScheduleView, ClientError> {
        let address = self.address(&path(name, "/resume")?);
        self.read(self.agent.post(address).send_empty())
    }

    /// `POST /schedules/{name}/run`.
    pub fn run_schedule(&self, name: &str) -> Result<JobView, ClientError> {
        let address = self.address(&path(name, "/run")?);
        self.read(self.agent.post(address).send_empty())
    }

    /// `DELETE /schedules/{name}`.
    pub fn remove_schedule(&self, name: &str) -> Result<(), ClientError> {
        let address = self.address(&path(name, "")?);
        let (status, text) = self.text(self.agent.delete(address).call())?;
        if status == 204 { Ok(()) } else { self.parse(status, &text) }
    }
}

/// The path of a schedule. What isn't shaped like a name never gets into a path.
fn path(name: &str, rest: &str) -> Result<String, ClientError> {
    check_name(name).map_err(|problem| ClientError::BadId { id: name.chars().take(80).collect(), problem })?;
    Ok(format!("/schedules/{name}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_never_reach_a_path() {
        let client = Client::new("http://127.0.0.1:1").expect("a client");
        for name in ["../health", "a/b", "x?y=z", "", "a b", ".."] {
            assert!(matches!(client.schedule(name), Err(ClientError::BadId { .. })), "{name}");
        }
        assert_eq!(path("BACKUP_SCHEDULE.shop", "/run").expect("a path"), "/schedules/BACKUP_SCHEDULE.shop/run");
    }
}
