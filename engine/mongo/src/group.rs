//! Compare-and-sets that are alike travel as one statement about many documents: for the server, reading a statement is
//! most of the work.
//!
//! Alike are those that differ only in the document they are about and in values that stand in `$literal`. Those become
//! tables in the order of the ids, and each document takes its own value. Invariant: what a statement does to its document
//! is the same alone and in a group; only a refusal ends a group half-way, and then its members have to travel alone.

use bson::{Bson, Document, doc};
use std::{collections::HashMap, fmt::Write};

/// A statement as it is sent, and the places of those that it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub statement: Document,
    pub places: Vec<usize>,
}

impl Group {
    /// A statement by itself.
    pub fn alone(statement: &Document, place: usize) -> Self {
        Self { statement: statement.clone(), places: vec![place] }
    }
}

/// Puts together what is alike, in the order in which it first occurs.
pub fn gather(statements: &[&Document]) -> Vec<Group> {
    let mut alike: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (place, statement) in statements.iter().enumerate() {
        // What would make a document isn't found by a list of ids.
        if statement.get_bool("upsert").unwrap_or(true) {
            alike.push(vec![place]);
            continue;
        }
        let group = *known.entry(shape_of(statement)).or_insert(alike.len());
        match alike.get_mut(group) {
            Some(places) => places.push(place),
            None => alike.push(vec![place]),
        }
    }
    let group = |places: Vec<usize>| {
        let members: Vec<&Document> = places.iter().map(|place| statements[*place]).collect();
        Group { statement: together(&members), places }
    };
    alike.into_iter().map(group).collect()
}

/// A text that is the same for statements that are alike.
fn shape_of(statement: &Document) -> String {
    let mut shape = String::with_capacity(512);
    for (name, part) in statement {
        write_name(&mut shape, name);
        if name != "q" {
            write_shape(&mut shape, part);
        } else if let Some(query) = part.as_document() {
            for (name, condition) in query.iter().filter(|(name, _)| *name != "_id") {
                write_name(&mut shape, name);
                // Writing to a string doesn't fail.
                let _ = write!(shape, "{condition:?},");
            }
        }
    }
    shape
}

fn write_shape(shape: &mut String, value: &Bson) {
    match value {
        Bson::Document(inner) if is_literal(inner) => shape.push('$'),
        Bson::Document(inner) => {
            shape.push('{');
            for (name, value) in inner {
                write_name(shape, name);
                write_shape(shape, value);
            }
            shape.push('}');
        }
        Bson::Array(items) => {
            shape.push('[');
            for item in items {
                write_shape(shape, item);
            }
            shape.push(']');
        }
        scalar => {
            // Writing to a string doesn't fail.
            let _ = write!(shape, "{scalar:?},");
        }
    }
}

fn write_name(shape: &mut String, name: &str) {
    shape.push_str(name);
    shape.push('\0');
}

fn is_literal(document: &Document) -> bool {
    document.len() == 1 && document.contains_key("$literal")
}

fn together(members: &[&Document]) -> Document {
    let Some((first, [_, ..])) = members.split_first() else {
        return members.first().map(|alone| (*alone).clone()).unwrap_or_default();
    };
    let parts = |name: &str| -> Vec<&Bson> { members.iter().filter_map(|member| member.get(name)).collect() };
    let ids: Vec<Bson> = parts("q").iter().filter_map(|query| query.as_document()?.get("_id").cloned()).collect();
    // The server looks a constant list up by hash.
    let place = doc! { "$indexOfArray": [{ "$literal": &ids }, "$_id"] };
    let mut query = first.get_document("q").cloned().unwrap_or_default();
    query.insert("_id", doc! { "$in": ids });
    doc! { "q": query, "u": merged(&parts("u"), &place), "upsert": false, "multi": true }
}

/// Values of one shape as one, that gives each document its own.
fn merged(values: &[&Bson], place: &Document) -> Bson {
    match values.first() {
        Some(Bson::Document(first)) if is_literal(first) => {
            if values.iter().all(|value| value == &values[0]) {
                return first.clone().into();
            }
            let table: Vec<Bson> =
                values.iter().filter_map(|value| value.as_document()?.get("$literal").cloned()).collect();
            doc! { "$arrayElemAt": [{ "$literal": table }, place] }.into()
        }
        Some(Bson::Document(first)) => {
            let field = |name: &String| {
                let of_all: Vec<&Bson> = values.iter().filter_map(|value| value.as_document()?.get(name)).collect();
                (name.clone(), merged(&of_all, place))
            };
            Bson::Document(first.keys().map(field).collect())
        }
        Some(Bson::Array(first)) => {
            let item = |at: usize| {
                let of_all: Vec<&Bson> = values.iter().filter_map(|value| value.as_array()?.get(at)).collect();
                merged(&of_all, place)
            };
            Bson::Array((0..first.len()).map(item).collect())
        }
        Some(scalar) => (*scalar).clone(),
        None => Bson::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(id: &str, version: i64, write: &str) -> Document {
        let event = doc! { "at": "$$NOW", "write": { "$literal": write }, "by": { "$literal": "$w" } };
        doc! {
            "q": { "_id": id, "version": version },
            "u": [{ "$set": { "state": { "$literal": "running" }, "events": { "$concatArrays": ["$events", [event]] } } }],
            "upsert": false,
            "multi": false,
        }
    }

    #[test]
    fn only_what_differs_in_values_alone_travels_together() {
        let mut upsert = statement("e", 1, "w5");
        upsert.insert("upsert", true);
        let mut other_field = statement("f", 1, "w6");
        other_field.insert("u", vec![doc! { "$set": { "stat": { "$literal": "running" } } }]);
        let all = [statement("a", 1, "w1"), statement("b", 2, "w2"), statement("c", 1, "w3"), upsert, other_field];
        let groups = gather(&all.iter().collect::<Vec<_>>());
        let places: Vec<_> = groups.iter().map(|group| group.places.clone()).collect();
        assert_eq!(places, [vec![0, 2], vec![1], vec![3], vec![4]]);
        for group in groups.iter().filter(|group| group.places.len() == 1) {
            assert_eq!(group.statement, all[group.places[0]], "alone it is as it was");
        }
        let together = &groups[0].statement;
        let place = doc! { "$indexOfArray": [{ "$literal": ["a", "c"] }, "$_id"] };
        let write = doc! { "$arrayElemAt": [{ "$literal": ["w1", "w3"] }, place] };
        let event = doc! { "at": "$$NOW", "write": write, "by": { "$literal": "$w" } };
        let set = doc! { "state": { "$literal": "running" }, "events": { "$concatArrays": ["$events", [event]] } };
        let query = doc! { "_id": { "$in": ["a", "c"] }, "version": 1_i64 };
        assert_eq!(together, &doc! { "q": query, "u": [{ "$set": set }], "upsert": false, "multi": true });
    }
}
