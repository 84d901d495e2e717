//! What can be asked of a list.

/// Which jobs a list shows; everything is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Of this kind.
    pub kind: Option<String>,
    /// In one of these states.
    pub states: Vec<String>,
    /// Asked for at this time (RFC 3339) or later.
    pub since: Option<String>,
    /// Asked for before this time (RFC 3339).
    pub until: Option<String>,
    /// Requires this label of its worker.
    pub label: Option<String>,
    /// Has this text in its id, its database, its error's message, or the name of who asked for it.
    pub text: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
    /// After this job, for the next page.
    pub after: Option<String>,
}

impl JobQuery {
    /// As the pairs of a query.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let states = (!self.states.is_empty()).then(|| self.states.join(","));
        [
            ("kind", self.kind.clone()),
            ("state", states),
            ("since", self.since.clone()),
            ("until", self.until.clone()),
            ("label", self.label.clone()),
            ("text", self.text.clone()),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("after", self.after.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}
