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

/// What is to be made of a collection, as far as a server takes it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Definition {
    /// Its options.
    pub options: Document,
    /// Its indexes.
    pub indexes: Vec<Document>,
    /// What lost its expiry, as the server refuses it there: names of indexes, or the empty name for the collection itself.
    pub left_off: Vec<String>,
}

impl Definition {
    /// Whether anything of it expires.
    pub fn expires(&self) -> bool {
        self.options.contains_key(EXPIRY) || self.indexes.iter().any(|index| index.contains_key(EXPIRY))
    }

    /// Gives up the expiry of the collection.
    pub fn leave_off(&mut self) {
        self.options.remove(EXPIRY);
        self.left_off.push(String::new());
    }

    /// Gives up the expiry of the index at this place.
    pub fn leave_off_index(&mut self, place: usize) {
        if let Some(index) = self.indexes.get_mut(place) {
            index.remove(EXPIRY);
            self.left_off.push(index.get_str("name").unwrap_or_default().to_owned());
        }
    }
}

/// The expiry of options and indexes that is to be set afterwards.
pub(crate) fn expiry(options: &Document, indexes: &[Document]) -> Expiry {
    let of_index = |index: &Document| {
        let seconds = index.get(EXPIRY).filter(|_| !never_expires(index))?;
        Some((index.get_str("name").ok()?.to_owned(), in_numbers(seconds)))
    };
    Expiry { collection: options.get(EXPIRY).map(in_numbers), indexes: indexes.iter().filter_map(of_index).collect() }
}

/// Whether documents never go by the expiry of this index: the server passes over all but those of one plain field. So it is made with
/// its expiry; `collMod`, which would set it afterwards, refuses it where `createIndexes` takes it (a text index), or crashes (a wildcard
/// index on 6.0.5).
pub(crate) fn never_expires(index: &Document) -> bool {
    let Ok(key) = index.get_document("key") else { return false };
    let is_special = |(field, kind): (&String, &Bson)| matches!(kind, Bson::String(_)) || field.ends_with("$**");
    key.len() != 1 || key.iter().any(is_special)
}

/// Of what is no number `createIndexes` makes the longest time there is; `collMod` none at all, and all documents would go.
fn in_numbers(seconds: &Bson) -> Bson {
    match seconds {
        Bson::Double(number) if number.is_nan() => Bson::Int32(i32::MAX),
        other => other.clone(),
    }
}

/// The options that `create` is given: without expiry, and without what the server sets by itself.
pub(crate) fn options_to_create(options: &Document) -> Document {
    let own = [EXPIRY, "autoIndexId", "temp", "uuid", "recordIdsReplicated"];
    let kept = options.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The indexes that `createIndexes` is given: without the one on `_id` that every collection has, without expiry that counts, and
/// with the simple collation stated where the collection has another one by default.
pub(crate) fn indexes_to_create(options: &Document, indexes: &[Document]) -> Vec<Document> {
    let collated = options.contains_key("collation");
    let build = |index: &Document| {
        let mut index = index.clone();
        index.remove("ns");
        if !never_expires(&index) {
            index.remove(EXPIRY);
        } else if let (true, Some(key)) = (index.contains_key(EXPIRY), text_key(&index)) {
            index.insert("key", key);
        }
        if collated && !index.contains_key("collation") {
            index.insert("collation", doc! { "locale": "simple" });
        }
        index
    };
    indexes.iter().filter(|index| !is_implied(index)).map(build).collect()
}

/// The key of a text index of one field as it was asked for. With the key that is listed, of two fields, `createIndexes` refuses an expiry.
fn text_key(index: &Document) -> Option<Document> {
    let is_alone = index.get_document("key").ok()?.keys().eq(["_fts", "_ftsx"]);
    let field = index.get_document("weights").ok()?.keys().next().filter(|_| is_alone)?;
    Some(doc! { field: "text" })
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
    fn an_expiry_by_which_nothing_goes_is_made_with_its_index() {
        let of = |key: Document| doc! { "key": key, "name": "i", "expireAfterSeconds": 5 };
        let by_collection = doc! {};
        for key in [
            doc! { "_fts": "text", "_ftsx": 1 },
            doc! { "a": "hashed" },
            doc! { "a": 1, "b": 1 },
            doc! { "$**": 1 },
            doc! { "a.$**": 1 },
        ] {
            let indexes = [of(key)];
            assert_eq!(indexes_to_create(&by_collection, &indexes), indexes);
            assert_eq!(expiry(&by_collection, &indexes), Expiry::default());
        }
        let mut text = of(doc! { "_fts": "text", "_ftsx": 1 });
        text.insert("weights", doc! { "b": 2, "c": 1 });
        assert_eq!(
            indexes_to_create(&by_collection, &[text])[0].get_document("key").expect("a key"),
            &doc! { "b": "text" }
        );
        let indexes = [of(doc! { "a.b": -1.0 })];
        assert!(!indexes_to_create(&by_collection, &indexes)[0].contains_key("expireAfterSeconds"));
        assert_eq!(expiry(&by_collection, &indexes).indexes, [("i".to_owned(), Bson::Int32(5))]);
        let never = [doc! { "key": { "a": 1 }, "name": "i", "expireAfterSeconds": f64::NAN }];
        assert_eq!(expiry(&by_collection, &never).indexes, [("i".to_owned(), Bson::Int32(i32::MAX))]);
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
