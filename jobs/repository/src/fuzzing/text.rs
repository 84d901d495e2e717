//! Names of objects, ids, locations, key files and settings of storages.

use super::chosen;
use crate::inventory::{INVENTORIES, parse_inventory};
use crate::names::{hex, unhex};
use crate::object_name::{
    Folder, GENERATIONS, ManifestName, Stage, WriterNames, generation_name, is_writers_own, job_of, owner_name,
    parse_generation, parse_owner,
};
use crate::slot::is_slot_name;
use crate::{Domain, Location, RepositoryId, StorageSettings, key_file};

pub(super) fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    match choice % 5 {
        0 => {
            if let Some(key) = key_file::parse(&text) {
                assert_eq!(key_file::parse(&hex(key.as_ref())), Some(key));
            }
        }
        1 => settings(&text),
        2 => location(&text),
        3 => names(&text),
        _ => {
            if let Ok(id) = text.parse::<RepositoryId>() {
                assert_eq!(id.to_string(), text.to_ascii_lowercase());
                assert_eq!(unhex(&text), Some(*id.as_bytes()));
            }
        }
    }
}

fn settings(text: &str) {
    let Ok(settings) = StorageSettings::parse(text) else { return };
    let lines: Vec<String> = settings.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let lines = lines.join("\n");
    assert!(settings.iter().count() <= text.lines().count());
    let again = StorageSettings::parse(&lines).expect("what was read can be written");
    assert!(again.iter().eq(settings.iter()), "{lines}");
}

fn location(text: &str) {
    match Location::parse(text) {
        Ok(location) => {
            let shown = location.to_string();
            let again = Location::parse(&shown).expect("what is shown can be read");
            assert_eq!(again, location);
            let path = location.path().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
            assert!(!path.split('/').any(|part| part == "..") && !path.contains('\0'), "{path}");
        }
        Err(refused) => {
            let _ = refused.to_string();
        }
    }
}

fn names(text: &str) {
    let _ = is_slot_name(text);
    if let Ok(name) = ManifestName::parse(text) {
        // The names that are taken for manifests are those that writers give them.
        let writer = text.rsplit('.').next().and_then(unhex::<16>).expect("a writer");
        let writer: [u8; 32] = [writer, [0; 16]].as_flattened().try_into().expect("32 bytes");
        let given = WriterNames::new(name.domain, &name.job, name.epoch, &writer).expect("a good name").manifest();
        assert_eq!(given, text);
        assert_eq!(job_of(text), Some(name.job.as_str()));
    }
    if let Some((stage, number)) = parse_generation(text) {
        assert!(generation_name(stage, number) == text && number > 0, "{number}");
    }
    if let Some(number) = parse_owner(text) {
        assert!(owner_name(number) == text && number > 0, "{number}");
    }
    if let Some(key_id) = parse_inventory(text) {
        assert!(text.starts_with(&format!("{INVENTORIES}/{key_id:010}.")), "{text}");
    }
    if is_writers_own(text) {
        assert!(job_of(text).is_some());
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let names = WriterNames::new(Domain::Sealed, "backup_20250109_020000_7k3f", 3, &[0xab; 32]).expect("good");
    let mut seeds = vec![
        chosen(0, format!("# a comment\n{}\n", hex(&[0x5a; 32])).as_bytes()),
        chosen(1, b"# ours\nAWS_REGION = eu\nexport AWS_SECRET_ACCESS_KEY=\"x=\"\n\n"),
        chosen(4, hex(&[0xcd; 16]).as_bytes()),
    ];
    for url in ["file:///srv/my%20backups", "s3://bucket/a/b", "gs://b/pi/main/", "az://container/a%20b"] {
        seeds.push(chosen(2, url.as_bytes()));
    }
    let objects = [names.manifest(), names.index(1), Folder::Packs.object(Domain::Plain, &names.pack(1_234_567))];
    let generations = [Stage::Doom, Stage::Close].map(|stage| generation_name(stage, 7));
    let others = [
        "keys/0123456789abcdef".to_owned(),
        format!("{GENERATIONS}/x"),
        owner_name(7),
        format!("{INVENTORIES}/0000000002.late"),
    ];
    seeds.extend(objects.iter().chain(&generations).chain(&others).map(|name| chosen(3, name.as_bytes())));
    seeds
}
