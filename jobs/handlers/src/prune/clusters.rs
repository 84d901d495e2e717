//! Whose backups a repository holds, and whose of them a prune judges.

use crate::error::{Error, Result};
use bson::{Bson, DateTime, Document, doc};
use lucid_repository::{Candidate, Repository, RepositoryError, Scope};
use lucid_schemas::{Code, PruneSpec};
use std::{collections::BTreeMap, fmt};

/// Clusters in the result, or in an error.
const CLUSTERS_TOLD_MAX: usize = 20;

/// How many backups each cluster has in a repository.
pub(super) struct Clusters<'a> {
    ours: &'a str,
    /// None: nobody knows which.
    backups: BTreeMap<Option<String>, i64>,
}

impl<'a> Clusters<'a> {
    pub fn of(candidates: &[Candidate], ours: &'a str) -> Self {
        let mut backups = BTreeMap::new();
        for candidate in candidates {
            *backups.entry(candidate.cluster.clone()).or_default() += 1;
        }
        Self { ours, backups }
    }

    /// For the result, where there are others, or everybody wants to know.
    pub fn told(&self, always: bool) -> Document {
        if !always && self.backups.keys().all(|cluster| cluster.as_deref() == Some(self.ours)) {
            return Document::new();
        }
        let list = self.backups.iter().take(CLUSTERS_TOLD_MAX).map(|(cluster, backups)| {
            let mut told = doc! { "backups": *backups };
            if let Some(cluster) = cluster {
                told.extend(doc! { "cluster": cluster, "ours": cluster == self.ours });
            }
            Bson::from(told)
        });
        doc! { "clusters": list.collect::<Vec<_>>() }
    }

    /// Whose backups a prune judges. Those of nobody knows whom are for the owner to judge, whose repository it was before clusters were named.
    pub async fn scope(&self, repository: &Repository, spec: &PruneSpec) -> Result<Scope> {
        // The storage tells its time only to who writes.
        let now = if spec.dry_run { DateTime::now() } else { repository.now().await? };
        if let Some(cluster) = spec.cluster.as_ref().filter(|cluster| **cluster != self.ours) {
            if !self.backups.contains_key(&Some(cluster.clone())) {
                let message = format!("the repository holds no backup of cluster {cluster}; there are: {self}");
                return Err(Error::refused(Code::ClusterUnknown, message));
            }
            return Ok(Scope { cluster: cluster.clone(), unknown: false, now, forget_many: spec.forget_many });
        }
        let unknown = !spec.dry_run
            || match repository.owner().await {
                Ok(owner) => owner.is_none_or(|owner| owner.cluster == self.ours),
                Err(RepositoryError::Damaged { .. }) => false,
                Err(error) => return Err(error.into()),
            };
        Ok(Scope { cluster: self.ours.to_owned(), unknown, now, forget_many: spec.forget_many })
    }
}

impl fmt::Display for Clusters<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.backups.iter().take(CLUSTERS_TOLD_MAX).map(|(cluster, backups)| match cluster {
            Some(cluster) if cluster == self.ours => format!("{backups} of this cluster"),
            Some(cluster) => format!("{backups} of {cluster}"),
            None => format!("{backups} of an unknown cluster"),
        });
        let told: Vec<String> = told.collect();
        formatter.write_str(if told.is_empty() { "none" } else { "" })?;
        formatter.write_str(&told.join(", "))
    }
}
