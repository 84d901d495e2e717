//! `BACKUP_SCHEDULE`, `BACKUP_RETENTION_DAYS` and `BACKUP_KEEP_LAST`: the schedules that a service keeps because variables say so.
//!
//! The variables say when and what; whoever starts makes the stored schedule fit. Whether it rests, and what becomes of
//! missed and overlapping occurrences, stays as people have set it. Without the variable nothing is touched.

use crate::{args::BackupScheduleArgs, exit::Exit};
use lucid_ports::schedules::{Edit, Edited, Mark, NewSchedule, ScheduleStore};
use lucid_schemas::{
    BackupSpec, Keep, PruneSpec, Spec,
    cron::Calendar,
    schedule::{MISSED_LIMIT, Missed, Overlap, Schedule, Terms, check_name},
};

const NAME: &str = "BACKUP_SCHEDULE";
const RETENTION: &str = "BACKUP_RETENTION";
const REPOSITORY: &str = "main";
const MAX_ATTEMPTS: i32 = 5;
const TRIES: usize = 20;

/// Schedules that are wanted.
pub struct Wanted {
    schedules: Vec<(String, Terms)>,
    /// Backups are to be kept for ever: a schedule of an earlier start that says otherwise is to rest.
    for_ever: bool,
}

impl Wanted {
    /// None.
    pub const fn none() -> Self {
        Self { schedules: Vec::new(), for_ever: false }
    }
}

/// Reads and checks the variables, before anything is started.
///
/// # Errors
/// One sentence that names the variable.
pub fn read(args: &BackupScheduleArgs, ops_database: &str) -> Result<Wanted, Exit> {
    let Some(cron) = args.backup_schedule.as_ref().filter(|cron| !cron.trim().is_empty()) else {
        return Ok(Wanted::none());
    };
    if let Err(errors) = Calendar::new(cron, &args.backup_timezone) {
        let variable = |field: &str| if field == "cron" { NAME } else { "BACKUP_TIMEZONE" };
        let said: Vec<_> = errors.iter().map(|error| format!("{} {}", variable(&error.field), error.problem)).collect();
        return Err(Exit::usage(said.join("; ")));
    }
    let mut wanted: Vec<(String, Terms)> = Vec::new();
    for database in &args.backup_databases {
        let spec = Spec::Backup(BackupSpec {
            database: database.clone(),
            collections: None,
            compression: args.compression,
            encryption: args.encryption,
            require_consistent: false,
        });
        if let Some(error) = spec.check(ops_database).first() {
            return Err(Exit::usage(format!("BACKUP_DATABASE: {}", error.problem)));
        }
        if wanted.iter().any(|(_, terms)| terms.spec == spec) {
            return Err(Exit::usage(format!("BACKUP_DATABASE names '{database}' twice")));
        }
        let name = if wanted.is_empty() { NAME.to_owned() } else { format!("{NAME}.{database}") };
        check_name(&name).map_err(|problem| {
            Exit::usage(format!(
                "BACKUP_DATABASE: no schedule can be named '{name}', which {problem}: make one with \
                 `lucid-ops schedules set`"
            ))
        })?;
        wanted.push((name, terms(cron, &args.backup_timezone, spec)));
    }
    if args.backup_retention_days > 0 {
        wanted.push((RETENTION.to_owned(), terms(cron, &args.backup_timezone, retention(args))));
    }
    Ok(Wanted { schedules: wanted, for_ever: args.backup_retention_days == 0 })
}

/// A prune that keeps so many days, and so many of the newest besides.
fn retention(args: &BackupScheduleArgs) -> Spec {
    Spec::Prune(PruneSpec::keeping(Keep::of_days(args.backup_retention_days, args.backup_keep_last)))
}

fn terms(cron: &str, timezone: &str, spec: Spec) -> Terms {
    Terms {
        cron: cron.to_owned(),
        timezone: timezone.to_owned(),
        spec,
        repository: REPOSITORY.to_owned(),
        max_attempts: MAX_ATTEMPTS,
        paused: false,
        missed: Missed::Once,
        missed_limit: MISSED_LIMIT,
        overlap: Overlap::Skip,
    }
}

impl Wanted {
    /// Makes the stored schedules fit, whoever else does the same.
    ///
    /// # Errors
    /// Where the store can't be reached.
    pub async fn keep(&self, schedules: &dyn ScheduleStore, node: &str) -> Result<(), Exit> {
        for (name, terms) in &self.schedules {
            keep(schedules, name, node, |before| match before {
                None => Some(terms.clone()),
                Some(Terms { paused, missed, missed_limit, overlap, max_attempts, .. }) => {
                    let (paused, missed, missed_limit) = (*paused, *missed, *missed_limit);
                    let (overlap, max_attempts) = (*overlap, *max_attempts);
                    Some(Terms { paused, missed, missed_limit, overlap, max_attempts, ..terms.clone() })
                }
            })
            .await?;
        }
        if self.for_ever {
            keep(schedules, RETENTION, node, |before| before.map(|terms| Terms { paused: true, ..terms.clone() }))
                .await?;
        }
        Ok(())
    }
}

/// Makes a schedule what is `wanted`, given what it is; none: nothing is to be done.
async fn keep(
    schedules: &dyn ScheduleStore,
    name: &str,
    node: &str,
    wanted: impl Fn(Option<&Terms>) -> Option<Terms>,
) -> Result<(), Exit> {
    let (name, by) = (name.to_owned(), format!("variable:{node}"));
    for _ in 0..TRIES {
        let write = uuid::Uuid::new_v4().to_string();
        let before = schedules.schedule(&name).await.map_err(Exit::failed)?;
        let Some(terms) = wanted(before.as_ref().map(|before| &before.terms)) else { return Ok(()) };
        let Some(Schedule { version, terms: before, .. }) = before else {
            let (name, by) = (name.clone(), by.clone());
            let new = NewSchedule { name, terms, high_water: None, by, write };
            if let Some(made) = schedules.create_schedule(&new).await.map_err(Exit::failed)? {
                tracing::info!(schedule = made.name, cron = made.terms.cron, "schedule made, as the variable says");
                return Ok(());
            }
            continue;
        };
        if terms == before {
            return Ok(());
        }
        let mark = Mark::after(&before, &terms);
        let edit = Edit { name: name.clone(), version, terms, mark, by: by.clone(), write };
        if let Edited::Done(done) = schedules.edit_schedule(&edit).await.map_err(Exit::failed)? {
            let Schedule { name, terms, .. } = *done;
            tracing::warn!(
                schedule = name,
                was = before.cron,
                cron = terms.cron,
                paused = terms.paused,
                "schedule changed, as the variable says"
            );
            return Ok(());
        }
    }
    Err(Exit::failed(format!("the schedule '{name}' changes again and again: start again")))
}

#[cfg(test)]
mod tests;
