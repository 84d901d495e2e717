//! Job documents as earlier programs stored them: every shape is read for ever, and its invariants hold.

use crate::{fold, invariant::violations};
use bson::Bson;
use lucid_schemas::{JOB_SCHEMA, Job};
use std::{collections::BTreeMap, fs, path::Path};

/// Every golden document with its shape. They are never edited: a new shape gets new ones.
fn goldens() -> Vec<(i32, String, bson::Document)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/goldens");
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.expect("listed").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let shape = name.split('-').nth(1).and_then(|shape| shape.parse().ok()).expect("job-SHAPE-KIND.json");
        let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        match Bson::try_from(json).expect("extended JSON") {
            Bson::Document(document) => (shape, name, document),
            other => panic!("{name} holds {other}"),
        }
    };
    fs::read_dir(folder).expect("goldens").map(read).collect()
}

#[test]
fn every_shape_that_was_ever_stored_is_read() {
    let mut shapes = BTreeMap::<i32, usize>::new();
    for (shape, name, document) in goldens() {
        assert_eq!(document.get_i32("schema").ok(), Some(shape), "{name}");
        let job = Job::from_document(&document).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(violations(&job), [], "{name}");
        assert_eq!(fold(&job.events).as_ref(), Some(&job.head), "{name}");
        *shapes.entry(shape).or_default() += 1;
    }
    let known: Vec<i32> = shapes.into_keys().collect();
    let all: Vec<i32> = (1..=JOB_SCHEMA).collect();
    assert_eq!(known, all, "a shape without a golden document can't be kept readable: store one of its jobs");
}

#[test]
fn a_golden_that_was_tampered_with_is_noticed() {
    for (_, name, document) in goldens() {
        let mut spec_changed = document.clone();
        let spec = spec_changed.get_document_mut("spec").expect("a spec");
        spec.insert("database", "another");
        spec.remove("level");
        let changed = Job::from_document(&spec_changed).map(|job| violations(&job));
        assert!(changed.is_err() || changed.is_ok_and(|found| !found.is_empty()), "{name}: the hash covers the spec");
        let mut head_changed = document;
        head_changed.insert("attempt", 7);
        let job = Job::from_document(&head_changed).expect("readable");
        assert!(!violations(&job).is_empty(), "{name}: the fold tells");
    }
}
