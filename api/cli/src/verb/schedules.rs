//! `lucid-ops schedules`: looking at schedules, making and changing them.

use super::{client, failed, print};
use crate::{
    args::{SchedulesCommand, SetArgs},
    exit::Exit,
};
use lucid_client::render;
use lucid_schemas::http::{ScheduleBody, ScheduleView};
use serde_json::{Map, Value, json};

/// Runs the verb.
pub fn run(command: SchedulesCommand) -> Result<(), Exit> {
    match command {
        SchedulesCommand::List(args) => {
            let list = client(&args)?.schedules().map_err(|error| failed(&error))?;
            print(&args, &list, render::schedules)
        }
        SchedulesCommand::Show(args) => {
            let found = client(&args.client)?.schedule(&args.name).map_err(|error| failed(&error))?;
            let schedule = found.ok_or_else(|| Exit::usage(format!("there is no schedule '{}'", args.name)))?;
            print(&args.client, &schedule, render::schedule)
        }
        SchedulesCommand::Set(args) => set(&args),
        SchedulesCommand::Pause(args) => {
            let schedule = client(&args.client)?.pause_schedule(&args.name).map_err(|error| failed(&error))?;
            print(&args.client, &schedule, |schedule| format!("{} rests\n", schedule.name))
        }
        SchedulesCommand::Resume(args) => {
            let schedule = client(&args.client)?.resume_schedule(&args.name).map_err(|error| failed(&error))?;
            print(&args.client, &schedule, |schedule| format!("{} goes on\n", schedule.name))
        }
        SchedulesCommand::Run(args) => {
            let job = client(&args.client)?.run_schedule(&args.name).map_err(|error| failed(&error))?;
            print(&args.client, &job, |job| {
                format!("{} is accepted; follow it: lucid-ops jobs watch {}\n", job.job_id, job.job_id)
            })
        }
        SchedulesCommand::Remove(args) => {
            client(&args.client)?.remove_schedule(&args.name).map_err(|error| failed(&error))?;
            print(&args.client, &json!({ "removed": args.name }), |_| format!("{} is removed\n", args.name))
        }
    }
}

/// Changes what is given of a schedule that is there, as of the version that was looked at; or makes a new one.
fn set(args: &SetArgs) -> Result<(), Exit> {
    let client = client(&args.client)?;
    let current = client.schedule(&args.name).map_err(|error| failed(&error))?;
    let body = body(args, current.as_ref())?;
    let schedule = client.put_schedule(&args.name, &body).map_err(|error| failed(&error))?;
    print(&args.client, &schedule, render::schedule)
}

fn body(args: &SetArgs, current: Option<&ScheduleView>) -> Result<ScheduleBody<Value>, Exit> {
    let Some(cron) = args.cron.clone().or_else(|| current.map(|current| current.cron.clone())) else {
        return Err(Exit::usage(format!("there is no schedule '{}' yet: a new one needs --cron", args.name)));
    };
    let kept = |value: fn(&ScheduleView) -> String| current.map(value);
    let (kind, spec) = spec(args, current)?;
    Ok(ScheduleBody {
        name: None,
        kind: Some(kind.into()),
        cron,
        timezone: args.timezone.clone().or_else(|| kept(|current| current.timezone.clone())),
        spec,
        missed: args.missed.clone().or_else(|| kept(|current| current.missed.clone())),
        missed_limit: args.missed_limit.or(current.map(|current| current.missed_limit)),
        overlap: args.overlap.clone().or_else(|| kept(|current| current.overlap.clone())),
        paused: None,
        high_water: args.high_water.clone(),
        version: current.map(|current| current.version),
    })
}

fn spec(args: &SetArgs, current: Option<&ScheduleView>) -> Result<(&'static str, Value), Exit> {
    let of_kind = |kind: &str| current.filter(|current| current.kind == kind);
    let before = |kind: &str| of_kind(kind).and_then(|current| current.spec.as_object()).cloned().unwrap_or_default();
    let asks_for_other = args.database.is_some() || args.collections.is_some() || args.verify.is_some();
    if args.copy_to.is_some() || (!asks_for_other && !args.prune && of_kind("copy").is_some()) {
        let mut spec = before("copy");
        put(&mut spec, "to", args.copy_to.as_ref().map(|name| json!(name)));
        put(&mut spec, "repository", args.repository.as_ref().map(|name| json!(name)));
        return Ok(("copy", spec.into()));
    }
    if args.prune || (!asks_for_other && of_kind("prune").is_some()) {
        let mut spec = before("prune");
        put(&mut spec, "keep", args.keep.read().map(|keep| json!(keep)));
        put(&mut spec, "repository", args.repository.as_ref().map(|name| json!(name)));
        return Ok(("prune", spec.into()));
    }
    if args.keep.read().is_some() {
        return Err(Exit::usage("--keep-... goes with --prune"));
    }
    let asks_for_backup = args.database.is_some() || args.collections.is_some() || args.repository.is_some();
    if args.verify.is_some() || (!asks_for_backup && of_kind("verify").is_some()) {
        let mut spec = before("verify");
        put(&mut spec, "backup", args.verify.as_ref().map(|backup| json!(backup)));
        return Ok(("verify", spec.into()));
    }
    let mut spec = before("backup");
    // Collections of one database say nothing about another one.
    if args.database.as_ref().is_some_and(|database| spec.get("database") != Some(&json!(database))) {
        spec.remove("collections");
    }
    put(&mut spec, "database", args.database.as_ref().map(|database| json!(database)));
    put(&mut spec, "collections", args.collections.as_ref().map(|names| json!(names)));
    put(&mut spec, "repository", args.repository.as_ref().map(|name| json!(name)));
    if spec.contains_key("database") {
        return Ok(("backup", spec.into()));
    }
    Err(Exit::usage(format!(
        "the schedule '{}' needs --database NAME, --verify BACKUP, --prune or --copy-to NAME",
        args.name
    )))
}

fn put(spec: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    if let Some(value) = value {
        spec.insert(field.into(), value);
    }
}
