//! What is read before a key is known: config, key slots, and the ring within a slot.

use bson::{RawDocument, RawDocumentBuf, rawdoc};
use zeroize::Zeroizing;

use super::{chosen, keys};
use crate::config::{CONFIG, Config, StoredConfig, binary};
use crate::envelope::{self, EnvelopeType};
use crate::keys::KeyRing;
use crate::names::hex;
use crate::slot::{SLOTS, Slot, SlotSecret, StoredSlot};
use crate::{InitOptions, PassphraseCost, RepositoryId, Secret};

const CHEAP: PassphraseCost = PassphraseCost { memory_kib: 64, iterations: 1, lanes: 1 };

pub(super) fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    match choice % 5 {
        0 => {
            config(bytes);
            slot(bytes);
        }
        // Whoever can write to the folder can make a checksum.
        1 => config(&envelope::wrap(EnvelopeType::Config, bytes)),
        2 => slot(&envelope::wrap(EnvelopeType::Slot, bytes)),
        3 => {
            let Ok(inner) = RawDocument::from_bytes(bytes) else { return };
            let body = rawdoc! { "config": inner.to_owned(), "mac": binary(&[0; 32]) };
            config(&envelope::wrap(EnvelopeType::Config, body.as_bytes()));
        }
        _ => {
            if let Some(ring) = KeyRing::decode(bytes) {
                assert_eq!(ring.encode().as_slice(), bytes);
            }
        }
    }
}

fn config(object: &[u8]) {
    let Ok(stored) = StoredConfig::read(object) else { return };
    let _ = stored.authenticate(None);
    let _ = stored.authenticate(keys().ring());
    let again = stored.config.seal(None).expect("what was read can be written");
    let back = StoredConfig::read(&again).expect("what was written can be read");
    assert_eq!(format!("{:?}", back.config), format!("{:?}", stored.config));
    back.authenticate(None).expect("written without a key");
}

fn slot(object: &[u8]) {
    let Some(name) = slot_name(object) else {
        let refused = StoredSlot::read("keys/0000000000000000", object);
        return assert!(refused.is_err(), "a slot without an id");
    };
    let Ok(stored) = StoredSlot::read(&name, object) else { return };
    let _ = (stored.is_of(&RepositoryId::from_bytes([3; 16])), stored.slot().info());
    assert!(StoredSlot::read("keys/other", object).is_err());
    let opened = stored.open(&SlotSecret::KeyFile(Zeroizing::new([5; 32])));
    if let Ok(Some(ring)) = opened {
        assert_eq!((ring.root, ring.masters.len()), (Zeroizing::new([1; 32]), 1), "nobody else can make one");
    }
    if cost(object).is_none_or(|cost| cost.memory_kib <= 256 && cost.iterations <= 2 && cost.lanes <= 4) {
        let _ = stored.open(&SlotSecret::Passphrase(Secret::new("correct horse")));
    }
}

/// The name that a slot says it has.
fn slot_name(object: &[u8]) -> Option<String> {
    let body = envelope::unwrap(CONFIG, EnvelopeType::Slot, object).ok()?;
    Some(format!("{SLOTS}/{}", hex(body.get_document("slot").ok()?.get_binary("id").ok()?.bytes)))
}

/// The cost that a slot asks for.
fn cost(object: &[u8]) -> Option<PassphraseCost> {
    let body = envelope::unwrap(CONFIG, EnvelopeType::Slot, object).ok()?;
    let cost = body.get_document("slot").ok()?.get_document("argon2id").ok()?;
    bson::deserialize_from_slice(cost.as_bytes()).ok()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let options = InitOptions { allow_plain: true, ..InitOptions::default() };
    let config = Config::new(&options, true, true).and_then(|config| config.seal(keys().ring())).expect("a config");
    let mut seeds = vec![chosen(0, &config), chosen(4, &keys().ring().expect("a ring").encode())];
    let body = envelope::unwrap(CONFIG, EnvelopeType::Config, &config).expect("a body");
    seeds.push(chosen(1, body.as_bytes()));
    let inner: RawDocumentBuf = body.get_document("config").expect("a config").to_owned();
    seeds.push(chosen(3, inner.as_bytes()));
    for secret in [SlotSecret::KeyFile(Zeroizing::new([5; 32])), SlotSecret::Passphrase(Secret::new("correct horse"))] {
        let (keys, id) = (keys(), RepositoryId::from_bytes([3; 16]));
        let ring = keys.ring().expect("a ring");
        let slot = Slot::new(&id, &secret, ("seed", ring), CHEAP).expect("a slot");
        let object = slot.seal(&secret, ring).expect("sealed");
        let body = envelope::unwrap(CONFIG, EnvelopeType::Slot, &object).expect("a body");
        seeds.extend([chosen(0, &object), chosen(2, body.as_bytes())]);
    }
    seeds
}
