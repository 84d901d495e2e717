//! Which files a service trusts, and what it makes.

use super::*;
use std::os::unix::fs::symlink;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("scratch folder")
}

fn refused(place: &Path, word: &str) {
    let before = fs::read(place).ok();
    let said = format!("{:?}", keep(place).expect_err(word));
    assert!(said.contains(word) && said.contains("--token-file"), "'{word}' isn't in: {said}");
    assert_eq!(fs::read(place).ok(), before, "what isn't ours is left alone");
}

#[test]
fn a_token_is_private_whole_and_kept_over_restarts() {
    let scratch = scratch();
    let place = scratch.path().join("run/lucid-ops/token");
    keep(&place).expect("made");
    let (text, mode) = (fs::read_to_string(&place).expect("read"), place.metadata().expect("there").mode());
    assert_eq!((text.trim_end().len(), mode & 0o7777), (PREFIX.len() + 64, 0o600), "{text}");
    assert_eq!(place.parent().expect("a folder").metadata().expect("there").mode() & 0o777, 0o700);
    keep(&place).expect("kept");
    assert_eq!(fs::read_to_string(&place).expect("read"), text);
    assert_eq!(read(&place).expect("a verb reads it").as_str(), text.trim_end());
    let other = scratch.path().join("other");
    keep(&other).expect("made");
    assert_ne!(fs::read_to_string(&other).expect("read"), text);
    assert_eq!(fs::read_dir(scratch.path()).expect("listed").count(), 2, "nothing else is left");
}

#[test]
fn services_that_start_at_once_share_one_token() {
    let scratch = scratch();
    let place = scratch.path().join("token");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| keep(&place).expect("kept"));
        }
    });
    assert_eq!(fs::read_dir(scratch.path()).expect("listed").count(), 1);
}

#[test]
fn what_others_can_have_prepared_or_read_is_no_token() {
    let scratch = scratch();
    let place = scratch.path().join("token");
    fs::write(&place, "# Key of a backup repository.\n").expect("written");
    fs::set_permissions(&place, PermissionsExt::from_mode(0o600)).expect("mode");
    refused(&place, "it holds no token");
    fs::write(&place, format!("{PREFIX}{}\n", "ab".repeat(32))).expect("written");
    keep(&place).expect("sound");
    for mode in [0o644, 0o640, 0o660, 0o604] {
        fs::set_permissions(&place, PermissionsExt::from_mode(mode)).expect("mode");
        refused(&place, "others can read it");
    }
    fs::set_permissions(&place, PermissionsExt::from_mode(0o600)).expect("mode");
    let linked = scratch.path().join("linked");
    symlink(&place, &linked).expect("linked");
    refused(&linked, "--token-file");
    refused(&scratch.path().join("token/x"), "--token-file");
    fs::create_dir(scratch.path().join("folder")).expect("a folder");
    refused(&scratch.path().join("folder"), "isn't a file");
    let open = scratch.path().join("open");
    fs::create_dir(&open).expect("a folder");
    fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("mode");
    refused(&open.join("token"), "others can prepare");
    if geteuid().is_root() {
        std::os::unix::fs::chown(&place, Some(65_534), None).expect("given away");
        refused(&place, "belongs to user 65534");
        let planted = scratch.path().join("planted");
        fs::create_dir(&planted).expect("a folder");
        std::os::unix::fs::chown(&planted, Some(65_534), None).expect("given away");
        refused(&planted.join("token"), "belongs to user 65534");
    }
}

#[test]
fn a_file_that_is_named_must_hold_a_token_and_an_empty_name_is_none() {
    let asked = |file: &str| {
        let elsewhere = Client::new("http://192.0.2.1:8089").expect("a client");
        client(elsewhere, Some(Path::new(file)), None)
    };
    assert!(asked("").is_ok(), "as an empty variable gives it");
    assert!(asked("/nowhere/token").is_err());
}
