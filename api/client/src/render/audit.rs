//! What an audit found.

use super::{clean, cut, units};
use lucid_schemas::http::AuditReport;

const DETAIL_CHARACTERS: usize = 300;

/// One line for each finding, and one for the whole.
pub fn audit(report: &AuditReport) -> String {
    let broken = report.violations.iter().map(|found| (&found.invariant, &found.detail));
    let unreadable = "unreadable".to_owned();
    let unread: Vec<_> =
        report.unreadable.iter().map(|found| format!("job {}: {}", found.job_id, found.reason)).collect();
    let findings = broken.chain(unread.iter().map(|reason| (&unreadable, reason)));
    let lines: Vec<_> = findings
        .map(|(word, detail)| format!("{}\n", clean(&cut(&format!("{word}  {detail}"), DETAIL_CHARACTERS))))
        .collect();
    let (jobs, events) = (units::count(number(report.jobs)), units::count(number(report.events)));
    let verdict = match (report.violations.len(), report.unreadable.len()) {
        (0, 0) => "every one is what its events say".to_owned(),
        (violations, unreadable) => format!("{violations} violations, {unreadable} unreadable documents"),
    };
    let later = match report.later {
        0 => String::new(),
        later => format!("; {} are of later programs, and weren't looked into", units::count(number(later))),
    };
    format!("{}{jobs} jobs, {events} events: {verdict}{later}\n", lines.concat())
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_schemas::http::{UnreadableView, ViolationView};

    #[test]
    fn an_audit_names_every_finding() {
        let mut report = AuditReport { jobs: 1_200, events: 5_000, ..AuditReport::default() };
        assert_eq!(audit(&report), "1,200 jobs, 5,000 events: every one is what its events say\n");
        let later = AuditReport { later: 2, ..report.clone() };
        assert!(audit(&later).ends_with("what its events say; 2 are of later programs, and weren't looked into\n"));
        let detail = "job backup_x: the head\nis wrong".into();
        report.violations.push(ViolationView { job_id: "backup_x".into(), invariant: "INV-1".into(), detail });
        report.unreadable.push(UnreadableView { job_id: "odd".into(), reason: "it has no schema number".into() });
        assert_eq!(
            audit(&report),
            "INV-1  job backup_x: the head\u{fffd}is wrong\nunreadable  job odd: it has no schema number\n\
             1,200 jobs, 5,000 events: 1 violations, 1 unreadable documents\n"
        );
    }
}
