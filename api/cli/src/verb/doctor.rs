//! `lucid-ops doctor`: one line on each thing that deployments fail by, and how to mend it. It only reads.

mod host;

use crate::{
    args::DoctorArgs,
    exit::{Exit, FAILED},
    output,
    secrets::mongodb_uri,
};
use lucid_client::render;
use lucid_mongo::doctor::{Finding, Verdict, examine};
use lucid_schemas::roles::{Places, Service};
use serde::Serialize;
use std::path::Path;

/// What was found, for programs.
#[derive(Serialize)]
struct Report {
    healthy: bool,
    findings: Vec<Finding>,
}

/// Looks at everything.
///
/// # Errors
/// Where something is wrong, once all of it is told.
pub async fn run(args: DoctorArgs) -> Result<(), Exit> {
    let uri = mongodb_uri(&args.mongo)?;
    let asked = args.service.as_deref();
    let service = Service::ALL.into_iter().find(|service| asked == Some(service.as_str()));
    let places = Places { ops: args.mongo.ops_database.clone(), migrated: args.migration_databases.clone() };
    let mut findings = examine(&uri, args.mongo.replica_set.as_deref(), service, &places).await;
    findings.extend(host::machine(Path::new("/")));
    findings.extend(args.secrets.iter().chain(&args.mongo.mongodb_uri_file).map(|file| host::secret(file)));
    findings.extend(args.disks.iter().map(|path| host::disk(path)));
    let healthy = findings.iter().all(|finding| finding.verdict != Verdict::Wrong);
    if args.json {
        output::print(&render::json(&Report { healthy, findings }))?;
    } else {
        output::print(&render::lines(&findings.iter().map(line).collect::<String>()))?;
    }
    if healthy { Ok(()) } else { Err(Exit::new(FAILED, "")) }
}

fn line(finding: &Finding) -> String {
    let verdict = match finding.verdict {
        Verdict::Right => "ok",
        Verdict::Warning => "warning",
        Verdict::Wrong => "wrong",
    };
    let mend = finding.mend.as_ref().map(|mend| format!("; {mend}")).unwrap_or_default();
    format!("{verdict:<8} {}: {}{mend}\n", finding.about, finding.said)
}
