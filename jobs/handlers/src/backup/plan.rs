//! What a backup reads and in which order. Pure.

use crate::{
    database::{Catalog, Entry},
    error::{Error, Result},
};
use bson::{Bson, Document, doc};
use lucid_repository::{CollectionKind, ContentOrder, ReadOrder};
use lucid_schemas::{BackupSpec, Code};
use std::collections::{BTreeMap, BTreeSet};

/// Batches for collections whose documents' size isn't known.
const UNKNOWN_BATCH_DOCUMENTS: i64 = 1_000;
const BATCH_DOCUMENTS_MAX: i64 = 100_000;

/// The entries that a backup is asked for, by name.
///
/// # Errors
/// Names that don't exist, and a database without anything in it.
pub(crate) fn select(spec: &BackupSpec, catalog: &Catalog) -> Result<BTreeMap<String, Entry>> {
    let Some(names) = &spec.collections else {
        if catalog.entries.is_empty() {
            return Err(Error::refused(
                Code::DatabaseNotFound,
                format!("database '{}' doesn't exist or is empty", spec.database),
            ));
        }
        return Ok(catalog.entries.clone());
    };
    let mut selected = BTreeMap::new();
    for name in names {
        let Some(entry) = catalog.entries.get(name) else {
            return Err(Error::refused(
                Code::CollectionNotFound,
                format!("database '{}' has no collection '{name}'", spec.database),
            ));
        };
        selected.insert(name.clone(), entry.clone());
    }
    Ok(selected)
}

/// In which order to read a collection, if what it holds allows that: reading as it is stored takes a third less of the server's time,
/// but looks different on every member. So where there are others, it is read by `_id`; but in the order of the backup before, as long as that
/// yields the same chunks. `before`: that order, and whether the same member is read from.
pub(crate) const fn wanted_order(alone: bool, before: Option<(ReadOrder, bool)>) -> ReadOrder {
    match before {
        Some((ReadOrder::Natural, true)) => ReadOrder::Natural,
        Some((ReadOrder::Natural, false)) | None if alone => ReadOrder::Natural,
        Some((ReadOrder::Id, _) | (ReadOrder::Natural, false)) | None => ReadOrder::Id,
    }
}

/// How a collection is read that is to be read by `_id`: so where that is as fast, else as it is stored. `ids` are its first and last
/// `_id`, by their order.
pub(crate) fn read_order(kind: CollectionKind, ids: Option<&(Bson, Bson)>) -> ReadOrder {
    let even = |(first, last): &(Bson, Bson)| {
        // Between two values of one type there is no other type in the server's order.
        let object_ids = matches!((first, last), (Bson::ObjectId(_), Bson::ObjectId(_)));
        object_ids || (is_number(first) && is_number(last))
    };
    match kind {
        CollectionKind::Clustered | CollectionKind::TimeSeries => ReadOrder::Id,
        CollectionKind::Collection if ids.is_some_and(even) => ReadOrder::Id,
        CollectionKind::Collection | CollectionKind::Capped | CollectionKind::View => ReadOrder::Natural,
    }
}

const fn is_number(value: &Bson) -> bool {
    matches!(value, Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_))
}

/// The fields of `find` that make the server read in an order.
pub(crate) fn order_fields(kind: CollectionKind, order: ReadOrder) -> Document {
    match (order, kind) {
        (ReadOrder::Natural, _) => doc! { "hint": { "$natural": 1 } },
        // These have no index on `_id`; they are stored in its order.
        (ReadOrder::Id, CollectionKind::Clustered | CollectionKind::TimeSeries) => doc! { "sort": { "_id": 1 } },
        (ReadOrder::Id, _) => doc! { "sort": { "_id": 1 }, "hint": { "_id": 1 } },
    }
}

/// Whether the order of a collection's documents is part of its content.
pub(crate) const fn content_order(kind: CollectionKind) -> ContentOrder {
    match kind {
        CollectionKind::Capped => ContentOrder::Exact,
        CollectionKind::Collection | CollectionKind::Clustered | CollectionKind::TimeSeries | CollectionKind::View => {
            ContentOrder::Any
        }
    }
}

/// How many documents of this mean size make a batch.
pub(crate) fn batch_documents(batch_bytes: u32, mean_bytes: i64) -> u32 {
    let documents = if mean_bytes > 0 {
        (i64::from(batch_bytes) / mean_bytes).clamp(1, BATCH_DOCUMENTS_MAX)
    } else {
        UNKNOWN_BATCH_DOCUMENTS
    };
    u32::try_from(documents).unwrap_or(1)
}

/// Names of views such that each comes after the views that it is defined on.
pub(crate) fn views_in_order<'a>(views: &BTreeMap<&'a str, &Document>) -> Vec<&'a str> {
    let mut ordered = Vec::new();
    let mut left: BTreeSet<&str> = views.keys().copied().collect();
    while !left.is_empty() {
        let ready = |name: &&str| {
            let on = views[*name].get_str("viewOn").unwrap_or_default();
            on == *name || !left.contains(on)
        };
        let next: Vec<&str> = left.iter().copied().filter(|name| ready(name)).collect();
        // The server allows no cycles; if there were one, its order wouldn't matter.
        let next = if next.is_empty() { left.iter().copied().collect() } else { next };
        for name in next {
            left.remove(name);
            ordered.push(name);
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::oid::ObjectId;

    #[test]
    fn only_even_ids_are_read_in_their_order() {
        let order = |first: Bson, last: Bson| read_order(CollectionKind::Collection, Some(&(first, last)));
        assert_eq!(order(Bson::Int32(1), Bson::Double(2.5)), ReadOrder::Id);
        assert_eq!(order(ObjectId::new().into(), ObjectId::new().into()), ReadOrder::Id);
        assert_eq!(order(Bson::Int32(1), ObjectId::new().into()), ReadOrder::Natural);
        assert_eq!(order("a".into(), "b".into()), ReadOrder::Natural);
        assert_eq!(read_order(CollectionKind::Collection, None), ReadOrder::Natural);
        let ids = (Bson::Int32(1), Bson::Int32(2));
        assert_eq!(read_order(CollectionKind::Capped, Some(&ids)), ReadOrder::Natural);
        assert_eq!(read_order(CollectionKind::Clustered, None), ReadOrder::Id);
    }

    #[test]
    fn the_order_of_the_backup_before_stays_while_it_pays() {
        use ReadOrder::{Id, Natural};
        for (alone, before, wanted) in [
            (true, None, Natural),
            (false, None, Id),
            (true, Some((Id, true)), Id),
            (false, Some((Id, false)), Id),
            (false, Some((Natural, true)), Natural),
            (false, Some((Natural, false)), Id),
            (true, Some((Natural, false)), Natural),
        ] {
            assert_eq!(wanted_order(alone, before), wanted, "{alone} {before:?}");
        }
    }

    #[test]
    fn batches_fit_their_bytes() {
        assert_eq!(batch_documents(4 << 20, 1 << 10), 4096);
        assert_eq!(batch_documents(4 << 20, 16 << 20), 1);
        assert_eq!(batch_documents(4 << 20, 1), 100_000);
        assert_eq!(batch_documents(4 << 20, 0), 1_000);
    }

    #[test]
    fn a_view_comes_after_what_it_is_defined_on() {
        let on = |name: &str| doc! { "viewOn": name };
        let (on_b, on_c, on_orders) = (on("b"), on("c"), on("orders"));
        let views = BTreeMap::from([("a", &on_b), ("b", &on_c), ("c", &on_orders)]);
        assert_eq!(views_in_order(&views), ["c", "b", "a"]);
        let (on_y, on_x) = (on("y"), on("x"));
        assert_eq!(views_in_order(&BTreeMap::from([("x", &on_y), ("y", &on_x)])).len(), 2);
    }
}
