//! Index builds: the one command that may take hours, so that silence says nothing. The list of indexes does.

use super::{Server, commands};
use crate::error::{Error, Result};
use bson::{Document, RawDocumentBuf, Uuid};
use std::{collections::BTreeMap, time::Duration};

/// Between two looks at a build that isn't answered for.
const LOOK: Duration = Duration::from_mins(1);
/// So many looks in a row that find no build, nor its fruit, end the wait.
const LOOKS: u32 = 3;

/// How far the indexes of one `createIndexes` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ready,
    Building,
    Missing,
}

impl Server {
    /// Builds indexes on the collection with this identity, all in one pass, and waits for as long as they are being
    /// built. Where the answer is lost (its member was cut off), the indexes themselves tell.
    pub async fn build_indexes(&self, database: &str, name: &str, uuid: Uuid, indexes: Vec<Document>) -> Result<()> {
        let wanted: Vec<String> =
            indexes.iter().filter_map(|index| index.get_str("name").ok()).map(Into::into).collect();
        let command = commands::create_indexes(database, name, uuid, indexes)?;
        let doing = command.doing.clone();
        if self.stop().is_cancelled() {
            return Err(Error::Stopped);
        }
        let mut answer = self.spawn(command);
        let mut in_vain = 0;
        while in_vain < LOOKS {
            tokio::select! {
                outcome = &mut answer => {
                    return outcome.unwrap_or_else(|_| Err(Error::unreachable(&doing, "its task broke off"))).map(drop);
                }
                // It goes on by itself, or behind a lock it waits, without harm.
                () = self.stop().cancelled() => return Err(Error::Stopped),
                () = tokio::time::sleep(LOOK) => {}
            }
            match self.listed_indexes(database, name).await.map(|(listed, _)| stage(&wanted, &listed)) {
                Ok(Stage::Ready) => return Ok(()),
                Ok(Stage::Building) => in_vain = 0,
                Ok(Stage::Missing) => in_vain += 1,
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(error) => {
                    tracing::warn!(%error, "can't see how far the indexes are");
                    in_vain += 1;
                }
            }
        }
        Err(Error::unreachable(&doing, "no answer, and nothing is being built"))
    }
}

/// How far all of the wanted indexes are, judged by the one that is the least far.
fn stage(wanted: &[String], listed: &[RawDocumentBuf]) -> Stage {
    let mut stages = BTreeMap::new();
    for index in listed {
        let building = super::catalog::is_building(index);
        let spec = index.get_document("spec").unwrap_or(index);
        if let Ok(name) = spec.get_str("name") {
            stages.insert(name, if building { Stage::Building } else { Stage::Ready });
        }
    }
    let of = |name: &String| stages.get(name.as_str()).copied().unwrap_or(Stage::Missing);
    let all: Vec<Stage> = wanted.iter().map(of).collect();
    if all.contains(&Stage::Building) {
        return Stage::Building;
    }
    if all.contains(&Stage::Missing) { Stage::Missing } else { Stage::Ready }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn a_lost_answer_is_read_off_the_list() {
        let raw = |document: &Document| RawDocumentBuf::try_from(document).expect("BSON");
        let wanted = ["a".to_owned(), "b".to_owned()];
        let index = |name: &str| doc! { "key": { name: 1 }, "name": name };
        let ready = |name: &str| raw(&index(name));
        let building = |name: &str| raw(&doc! { "spec": index(name), "buildUUID": Uuid::from_bytes([1; 16]) });
        assert_eq!(stage(&wanted, &[ready("_id_"), ready("a"), ready("b")]), Stage::Ready);
        assert_eq!(stage(&wanted, &[ready("a"), building("b")]), Stage::Building);
        assert_eq!(stage(&wanted, &[building("b")]), Stage::Building);
        assert_eq!(stage(&wanted, &[ready("a"), raw(&doc! { "spec": index("b") })]), Stage::Ready);
        assert_eq!(stage(&wanted, &[ready("a")]), Stage::Missing);
    }
}
