//! The big collections' documents, each a function of its number.

use crate::random::{Random, at, expiry, object_id};
use bson::{Binary, Decimal128, RawArrayBuf, RawDocumentBuf, rawdoc, spec::BinarySubtype};

/// A session: nested documents and arrays, a token that doesn't compress, an expiry in the year 2100.
pub(crate) fn session(number: u64) -> RawDocumentBuf {
    let random = &mut Random::of(1, number);
    let mut events = RawArrayBuf::new();
    for step in 0..random.below(8) {
        events.push(rawdoc! {
            "at": at(number + u64::try_from(step).unwrap_or(0)),
            "kind": random.pick(&["open", "read", "write", "search", "close"]),
            "path": format!("/{}/{}", random.word(), random.word()),
            "took_ms": random.fraction() * 250.0,
            "tags": [random.word(), random.word()],
        });
    }
    rawdoc! {
        "_id": object_id(number),
        "token": random.token(),
        "user_id": i64::from(random.below(20_000)),
        "device": {
            "name": random.sentence(2),
            "os": { "name": random.pick(&["linux", "macos", "windows", "android"]), "version": [random.below(20), random.below(9)] },
        },
        "created_at": at(number),
        "expires_at": expiry(number),
        "events": events,
        "active": random.once_in(3),
    }
}

/// An account that can log in: binary values, a field that only some have, names with accents and mixed case.
pub(crate) fn authentication(number: u64) -> RawDocumentBuf {
    let random = &mut Random::of(2, number);
    let (first, last) = (random.word(), random.word());
    let display_name =
        if random.once_in(2) { format!("{first} {last}") } else { format!("{first} {last}").to_uppercase() };
    let mut document = rawdoc! {
        "_id": i64::try_from(number).unwrap_or(i64::MAX),
        "username": format!("user-{number:08}"),
        "display_name": display_name,
        "email": format!("{first}.{number}@example.org"),
        "password_hash": binary(random.bytes()),
        "roles": [random.pick(&["reader", "writer", "auditor"]), random.pick(&["eu", "us", "apac"])],
        "failed_attempts": random.below(6),
        "locked": random.once_in(8),
        "last_login": at(number * 3),
        "last_ip": format!("192.0.2.{}", random.below(256)),
    };
    if random.once_in(4) {
        document.append(bson::cstr!("second_factor"), rawdoc! { "kind": "totp", "secret": binary(random.bytes()) });
    }
    document
}

/// A transaction: decimals, a place on earth, text, attributes whose names vary.
pub(crate) fn transaction(number: u64) -> RawDocumentBuf {
    let random = &mut Random::of(3, number);
    let mut lines = RawArrayBuf::new();
    for _ in 0..=random.below(4) {
        lines.push(rawdoc! {
            "sku": format!("{}-{:05}", random.word(), random.below(100_000)),
            "quantity": 1 + random.below(12),
            "price": cents(random.below(100_000)),
        });
    }
    let longitude = random.fraction() * 360.0 - 180.0;
    let latitude = random.fraction() * 170.0 - 85.0;
    let memo = 3 + random.below(12);
    rawdoc! {
        "_id": object_id(number),
        "account": format!("account-{:06}", random.below(50_000)),
        "amount": cents(random.below(10_000_000)),
        "currency": random.pick(&["EUR", "USD", "CHF", "JPY"]),
        "at": at(number * 2),
        "place": { "type": "Point", "coordinates": [longitude, latitude] },
        "memo": random.sentence(memo),
        "lines": lines,
        "attributes": { "channel": random.pick(&["web", "till", "phone"]), "campaign": random.word(), "risk": random.fraction() },
    }
}

/// A measurement of a time-series collection; with an `_id`, or the driver would make one up.
pub(crate) fn metric(number: u64) -> RawDocumentBuf {
    let random = &mut Random::of(4, number);
    let host = number % 8;
    rawdoc! {
        "at": at(number / 8 * 10),
        "source": { "host": format!("node-{host}"), "metric": "load" },
        "_id": object_id(number),
        "value": random.fraction() * 16.0,
        "processes": 100 + random.below(400),
    }
}

/// An entry of a capped log.
pub(crate) fn audit(number: u64) -> RawDocumentBuf {
    let random = &mut Random::of(5, number);
    rawdoc! {
        "_id": object_id(number),
        "sequence": i64::try_from(number).unwrap_or(i64::MAX),
        "who": format!("user-{:08}", random.below(20_000)),
        "action": random.pick(&["login", "logout", "grant", "revoke", "read"]),
        "at": at(number),
        "detail": { "from": random.word(), "to": random.word(), "reason": random.sentence(4) },
    }
}

/// A block of a clustered collection; blocks are inserted from the last to the first.
pub(crate) fn block(height: u64) -> RawDocumentBuf {
    let random = &mut Random::of(6, height);
    rawdoc! {
        "_id": i64::try_from(height).unwrap_or(i64::MAX),
        "hash": binary(random.bytes()),
        "previous": binary(Random::of(6, height.wrapping_sub(1)).bytes()),
        "nonce": i64::from_le_bytes(random.next().to_le_bytes()),
        "transactions": [object_id(height), object_id(height + 1)],
    }
}

fn binary(bytes: Vec<u8>) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes }
}

/// A decimal with two digits after the point, put together from its parts (parsing text would take most of the time).
pub(crate) fn cents(cents: i32) -> Decimal128 {
    const BIAS: u64 = 6_176;
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&u64::from(cents.unsigned_abs()).to_le_bytes());
    bytes[8..].copy_from_slice(&((BIAS - 2) << 49).to_le_bytes());
    Decimal128::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_what_they_say() {
        assert_eq!(cents(123_456).to_string(), "1234.56");
        assert_eq!(cents(0).to_string(), "0.00");
    }

    #[test]
    fn a_document_depends_on_its_number_only() {
        assert_eq!(session(7).as_bytes(), session(7).as_bytes());
        assert_ne!(session(7).as_bytes()[20..], session(8).as_bytes()[20..]);
    }
}
