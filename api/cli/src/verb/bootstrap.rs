//! `lucid-ops bootstrap`.

use crate::{
    args::BootstrapArgs,
    exit::{Exit, FAILED, UNREACHABLE, USAGE},
    output, secrets,
};
use lucid_client::render;
use lucid_mongo::bootstrap::{BootstrapError, Did, Password, Plan, Step, bootstrap};
use lucid_schemas::{
    names::{check_database, check_user_database},
    roles::{Places, Service},
};
use serde::Serialize;
use std::time::Duration;

const ROOT_PASSWORD: &str = "MONGO_INITDB_ROOT_PASSWORD";
const ROOT_PASSWORD_OLD: &str = "MONGO_INITDB_ROOT_PASSWORD_OLD";

/// What was done, for programs.
#[derive(Serialize)]
struct Report<'a> {
    replica_set: &'a str,
    members: &'a [String],
    changed: bool,
    steps: &'a [Step],
}

/// Makes what is missing, and says what that was.
pub async fn run(args: BootstrapArgs) -> Result<(), Exit> {
    let plan = plan(&args)?;
    let without: Vec<Service> =
        Service::ALL.into_iter().filter(|service| plan.services.iter().all(|(other, _)| other != service)).collect();
    let tell = Box::new(|step: &Step| output::say(line(step)));
    let steps = bootstrap(plan, tell).await.map_err(|error| failed(&error))?;
    for service in without {
        output::say(format_args!("no user for {}: {} isn't set", service.as_str(), service.password_variable()));
    }
    let changed = steps.iter().any(|step| step.did != Did::Found);
    if args.json {
        let report = Report { replica_set: &args.replica_set, members: &args.members, changed, steps: &steps };
        return output::print(&render::json(&report));
    }
    output::print(if changed { "done\n" } else { "nothing had to be changed\n" })
}

fn line(step: &Step) -> String {
    let did = match step.did {
        Did::Made => "made",
        Did::Changed => "changed",
        Did::Found => "found",
        Did::Waits => "waiting",
    };
    format!("{did:<8} {}", step.what)
}

fn plan(args: &BootstrapArgs) -> Result<Plan, Exit> {
    check_database(&args.ops_database)
        .map_err(|problem| Exit::usage(format!("the engine's database '{}' {problem}", args.ops_database)))?;
    for database in &args.migration_databases {
        check_user_database(database, &args.ops_database)
            .map_err(|problem| Exit::usage(format!("the database '{database}' of migrations: {problem}")))?;
    }
    let secret = |variable: &str| Ok(secrets::of_variable(variable)?.map(|text| Password::new(text.to_string())));
    let password = secret(ROOT_PASSWORD)?.ok_or_else(|| {
        Exit::usage(format!(
            "no password of the administrator: set {ROOT_PASSWORD}, or name its file in {ROOT_PASSWORD}_FILE"
        ))
    })?;
    let mut services = Vec::new();
    for service in Service::ALL {
        services.extend(secret(service.password_variable())?.map(|password| (service, password)));
    }
    Ok(Plan {
        replica_set: args.replica_set.clone(),
        members: args.members.clone(),
        administrator: args.administrator.clone(),
        password,
        former: secret(ROOT_PASSWORD_OLD)?,
        services,
        places: Places { ops: args.ops_database.clone(), migrated: args.migration_databases.clone() },
        options: args.mongodb_options.clone(),
        within: Duration::from_secs(args.within.into()),
    })
}

fn failed(error: &BootstrapError) -> Exit {
    let code = match error {
        BootstrapError::Usage(_) => USAGE,
        error if error.is_unreachable() => UNREACHABLE,
        _ => FAILED,
    };
    Exit::new(code, error)
}
