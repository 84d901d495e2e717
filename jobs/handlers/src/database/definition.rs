//! Options and indexes: what of them is sent to create a collection anew, and when two of them say the same. Pure.
//!
//! Nothing is dropped silently: unknown options and index keys are sent as they are, and the server refuses them.

use bson::{Bson, Document, doc};

const EXPIRY: &str = "expireAfterSeconds";

/// Expiry that is left off while a collection is staged, since the server would empty it within a minute.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Expiry {
    /// Of the collection itself: clustered and time-series ones.
    pub collection: Option<Bson>,
    /// Of indexes, by name.
    pub indexes: Vec<(String, Bson)>,
}

/// Takes the expiry out of options and indexes.
pub(crate) fn expiry(options: &Document, indexes: &[Document]) -> Expiry {
    let of_index = |index: &Document| {
        let seconds = index.get(EXPIRY)?.clone();
        Some((index.get_str("name").ok()?.to_owned(), seconds))
    };
    Expiry { collection: options.get(EXPIRY).cloned(), indexes: indexes.iter().filter_map(of_index).collect() }
}

/// The options that `create` is given: without expiry, and without what the server sets by itself.
pub(crate) fn options_to_create(options: &Document) -> Document {
    let own = [EXPIRY, "autoIndexId", "temp", "uuid", "recordIdsReplicated"];
    let kept = options.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The indexes that `createIndexes` is given: without the one on `_id` that every collection has, without expiry, and
/// with the simple collation stated where the collection has another one by default.
pub(crate) fn indexes_to_create(options: &Document, indexes: &[Document]) -> Vec<Document> {
    let collated = options.contains_key("collation");
    let build = |index: &Document| {
        let mut index = index.clone();
        index.remove("ns");
        index.remove(EXPIRY);
        if collated && !index.contains_key("collation") {
            index.insert("collation", doc! { "locale": "simple" });
        }
        index
    };
    indexes.iter().filter(|index| !is_implied(index)).map(build).collect()
}

/// Whether documents that were there before one of these indexes may break it: being prepared to become unique, it refuses
/// the same from documents that come.
pub(crate) fn may_hold_duplicates(indexes: &[Document]) -> bool {
    // Whatever isn't false: the server takes numbers for it, too.
    let is_prepared = |index: &Document| index.get("prepareUnique").is_some_and(|value| *value != Bson::Boolean(false));
    indexes.iter().any(is_prepared)
}

/// Whether the index comes with the collection.
fn is_implied(index: &Document) -> bool {
    index.get_str("name").is_ok_and(|name| name == "_id_") || index.get_bool("clustered").unwrap_or_default()
}

/// Whether two collections have the same options, expiry aside.
pub(crate) fn same_options(left: &Document, right: &Document) -> bool {
    normal(left, &[EXPIRY, "autoIndexId", "temp", "recordIdsReplicated"])
        == normal(right, &[EXPIRY, "autoIndexId", "temp", "recordIdsReplicated"])
}

/// The names of indexes that one side lacks or has otherwise, expiry aside.
pub(crate) fn different_indexes(left: &[Document], right: &[Document]) -> Vec<String> {
    let normal_all = |indexes: &[Document]| -> Vec<(String, Vec<u8>)> {
        let name = |index: &Document| index.get_str("name").unwrap_or_default().to_owned();
        indexes.iter().map(|index| (name(index), normal_index(index))).collect()
    };
    let (left, right) = (normal_all(left), normal_all(right));
    let missing = |from: &[(String, Vec<u8>)], within: &[(String, Vec<u8>)]| -> Vec<String> {
        let lacks = from.iter().filter(|index| !within.contains(index));
        lacks.map(|(name, _)| name.clone()).collect()
    };
    let mut names = missing(&left, &right);
    names.extend(missing(&right, &left));
    names.sort();
    names.dedup();
    names
}

fn normal_index(index: &Document) -> Vec<u8> {
    let mut index = index.clone();
    let locale = index.get_document("collation").and_then(|collation| collation.get_str("locale"));
    if locale.is_ok_and(|locale| locale == "simple") {
        index.remove("collation");
    }
    normal(&index, &[EXPIRY, "ns", "background"])
}

/// Fields in order of their names, whole numbers in one type; the order within values counts.
fn normal(document: &Document, left_out: &[&str]) -> Vec<u8> {
    let mut fields: Vec<_> = document
        .iter()
        .filter(|(name, _)| !left_out.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), normal_value(value)))
        .collect();
    fields.sort_by(|(left, _), (right, _)| left.cmp(right));
    let sorted: Document = fields.into_iter().collect();
    sorted.to_vec().unwrap_or_default()
}

fn normal_value(value: &Bson) -> Bson {
    match value {
        Bson::Int32(number) => Bson::Int64(i64::from(*number)),
        Bson::Double(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            // Exact: a whole number below 2^53.
            #[allow(clippy::cast_possible_truncation)]
            Bson::Int64(*number as i64)
        }
        Bson::Document(document) => {
            Bson::Document(document.iter().map(|(name, value)| (name.clone(), normal_value(value))).collect())
        }
        Bson::Array(values) => Bson::Array(values.iter().map(normal_value).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_left_off_and_nothing_else() {
        let options = doc! { "clusteredIndex": { "key": { "_id": 1 } }, "expireAfterSeconds": 60, "unknown": 1 };
        let indexes = [
            doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" },
            doc! { "v": 2, "key": { "t": 1 }, "name": "t", "expireAfterSeconds": 5, "hidden": true, "ns": "a.b", "odd": 1 },
        ];
        let created = options_to_create(&options);
        assert_eq!(created, doc! { "clusteredIndex": { "key": { "_id": 1 } }, "unknown": 1 });
        let built = indexes_to_create(&options, &indexes);
        assert_eq!(built, [doc! { "v": 2, "key": { "t": 1 }, "name": "t", "hidden": true, "odd": 1 }]);
        let expiry = expiry(&options, &indexes);
        assert_eq!(expiry.collection, Some(Bson::Int32(60)));
        assert_eq!(expiry.indexes, [("t".to_owned(), Bson::Int32(5))]);
    }

    #[test]
    fn an_index_that_is_to_become_unique_may_hold_duplicates() {
        let index =
            |value: Bson| [doc! { "key": { "a": 1 }, "name": "a" }, doc! { "key": { "b": 1 }, "prepareUnique": value }];
        assert!(may_hold_duplicates(&index(Bson::Boolean(true))) && may_hold_duplicates(&index(Bson::Int32(1))));
        assert!(!may_hold_duplicates(&index(Bson::Boolean(false))) && !may_hold_duplicates(&[doc! { "unique": true }]));
    }

    #[test]
    fn an_index_without_collation_stays_so_in_a_collated_collection() {
        let options = doc! { "collation": { "locale": "de" } };
        let indexes = [doc! { "key": { "a": 1 }, "name": "a" }];
        let built = indexes_to_create(&options, &indexes);
        assert_eq!(built[0].get_document("collation").expect("a collation"), &doc! { "locale": "simple" });
        assert!(different_indexes(&indexes, &built).is_empty());
    }

    #[test]
    fn order_counts_in_keys_but_not_in_options() {
        let left = [doc! { "key": { "a": 1, "b": 1 }, "name": "x", "unique": true }];
        let turned = [doc! { "unique": true, "name": "x", "key": { "a": 1.0, "b": 1_i64 } }];
        let other = [doc! { "key": { "b": 1, "a": 1 }, "name": "x", "unique": true }];
        assert!(different_indexes(&left, &turned).is_empty());
        assert_eq!(different_indexes(&left, &other), ["x"]);
        assert_eq!(different_indexes(&left, &[]), ["x"]);
        assert!(same_options(&doc! { "capped": true, "size": 4096 }, &doc! { "size": 4096.0, "capped": true }));
    }
}
