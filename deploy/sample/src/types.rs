//! One document for every BSON type and its corners, written byte by byte: among them deprecated types, and names and
//! texts that a library would refuse to write.

use bson::RawDocumentBuf;

const DOUBLE: u8 = 0x01;
const STRING: u8 = 0x02;
const DOCUMENT: u8 = 0x03;
const ARRAY: u8 = 0x04;
const BINARY: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const OBJECT_ID: u8 = 0x07;
const BOOL: u8 = 0x08;
const DATE: u8 = 0x09;
const NULL: u8 = 0x0a;
const REGEX: u8 = 0x0b;
const DB_POINTER: u8 = 0x0c;
const CODE: u8 = 0x0d;
const SYMBOL: u8 = 0x0e;
const CODE_WITH_SCOPE: u8 = 0x0f;
const INT32: u8 = 0x10;
const TIMESTAMP: u8 = 0x11;
const INT64: u8 = 0x12;
const DECIMAL: u8 = 0x13;
const MIN_KEY: u8 = 0xff;
const MAX_KEY: u8 = 0x7f;
/// As deep as the server lets a stored document be, less what a command wraps around it.
const DEPTH: usize = 150;
/// The most that a document may have.
const LARGEST_BYTES: usize = 16 * 1024 * 1024;

/// A value: its name here, its type, its bytes.
type Value = (&'static str, u8, Vec<u8>);

/// Documents that the server stores as they are: each value alone, in an array, and nested; and odd shapes.
pub(crate) fn documents() -> Vec<RawDocumentBuf> {
    values().iter().map(in_all_places).chain(odd_shapes()).collect()
}

/// Documents with a zero timestamp at the top, which the server fills in on an insert.
pub(crate) fn zero_timestamps() -> Vec<RawDocumentBuf> {
    let zero = vec![0; 8];
    vec![
        finish(&[text_id("zero timestamp"), element(TIMESTAMP, "at", &zero)]),
        finish(&[text_id("zero timestamps"), element(TIMESTAMP, "a", &zero), element(TIMESTAMP, "b", &zero)]),
    ]
}

/// Documents whose `_id` is of each type that it may be.
pub(crate) fn keyed() -> Vec<RawDocumentBuf> {
    // What equals another value as a key, or may not be one.
    let not_keys = ["double -0", "double nan with payload", "decimal 0E+3", "decimal nan"];
    let may = |(name, kind, _): &&Value| ![ARRAY, REGEX, UNDEFINED].contains(kind) && !not_keys.contains(name);
    let keyed =
        |(name, kind, bytes): &Value| finish(&[element(*kind, "_id", bytes), element(STRING, "is", &text(name))]);
    values().iter().filter(may).map(keyed).collect()
}

/// A document as long as the server stores them.
pub(crate) fn largest() -> RawDocumentBuf {
    let head = finish(&[text_id("largest"), element(STRING, "text", &text(""))]).as_bytes().len();
    let mut filler = "0123456789abcdef".repeat(LARGEST_BYTES / 16);
    filler.truncate(LARGEST_BYTES - head);
    finish(&[text_id("largest"), element(STRING, "text", &text(&filler))])
}

fn values() -> Vec<Value> {
    let mut values = numbers();
    values.extend([
        ("string empty", STRING, text("")),
        ("string with nul", STRING, text("a\0b")),
        ("string unicode", STRING, text("naïve ‏שלום‎ 漢字 🗝️ e\u{301}")),
        ("document empty", DOCUMENT, document(&[])),
        ("array empty", ARRAY, document(&[])),
        ("object id", OBJECT_ID, (1..=12).collect()),
        ("object id zero", OBJECT_ID, vec![0; 12]),
        ("bool false", BOOL, vec![0]),
        ("bool true", BOOL, vec![1]),
        ("null", NULL, vec![]),
        ("regex", REGEX, b"^a/b\\.c$\0imsx\0".to_vec()),
        ("regex empty", REGEX, b"\0\0".to_vec()),
        ("code", CODE, text("function () { return 1; }")),
        (
            "code with scope",
            CODE_WITH_SCOPE,
            code_with_scope("return x", &document(&[element(INT32, "x", &[1, 0, 0, 0])])),
        ),
        ("symbol", SYMBOL, text("symbol")),
        ("undefined", UNDEFINED, vec![]),
        ("db pointer", DB_POINTER, [text("lucid.sessions"), vec![7; 12]].concat()),
        ("min key", MIN_KEY, vec![]),
        ("max key", MAX_KEY, vec![]),
    ]);
    let subtypes = [
        ("generic", 0),
        ("function", 1),
        ("uuid old", 3),
        ("uuid", 4),
        ("md5", 5),
        ("sensitive", 8),
        ("vector", 9),
        ("user", 0x80),
        ("user last", 0xff),
    ];
    values.extend(subtypes.map(|(name, subtype)| (name, BINARY, binary(subtype, &[subtype; 16]))));
    values.push(("binary empty", BINARY, binary(0, &[])));
    values.push(("binary old", BINARY, binary(2, &[3, 0, 0, 0, 1, 2, 3])));
    values
}

fn numbers() -> Vec<Value> {
    let double = |name, value: f64| (name, DOUBLE, value.to_le_bytes().to_vec());
    let int64 = |name, kind, value: i64| (name, kind, value.to_le_bytes().to_vec());
    let decimal = |name, high: u64, low: u64| (name, DECIMAL, [low.to_le_bytes(), high.to_le_bytes()].concat());
    vec![
        double("double", 1.5),
        double("double 0", 0.0),
        double("double -0", -0.0),
        double("double least", f64::from_bits(1)),
        double("double most", f64::MAX),
        double("double infinite", f64::INFINITY),
        double("double -infinite", f64::NEG_INFINITY),
        double("double nan", f64::NAN),
        double("double nan with payload", f64::from_bits(0x7ff8_0000_dead_beef)),
        ("int32 least", INT32, i32::MIN.to_le_bytes().to_vec()),
        ("int32 most", INT32, i32::MAX.to_le_bytes().to_vec()),
        int64("int64 least", INT64, i64::MIN),
        int64("int64 most", INT64, i64::MAX),
        int64("date least", DATE, i64::MIN),
        int64("date before 1970", DATE, -1),
        int64("date most", DATE, i64::MAX),
        int64("timestamp", TIMESTAMP, (1_736_388_000 << 32) | 7),
        int64("timestamp most", TIMESTAMP, -1),
        decimal("decimal 1.10", 0x303c_0000_0000_0000, 110),
        decimal("decimal 0E+3", 0x3046_0000_0000_0000, 0),
        decimal("decimal -most", 0xdfff_ed09_bead_87c0, 0x378d_8e63_ffff_ffff),
        decimal("decimal nan", 0x7c00_0000_0000_0000, 0),
    ]
}

fn in_all_places((name, kind, bytes): &Value) -> RawDocumentBuf {
    let array = document(&[element(*kind, "0", bytes), element(*kind, "1", bytes)]);
    let nested = document(&[element(*kind, "within", bytes)]);
    finish(&[
        text_id(name),
        element(*kind, "alone", bytes),
        element(ARRAY, "in_array", &array),
        element(DOCUMENT, "nested", &nested),
    ])
}

fn odd_shapes() -> Vec<RawDocumentBuf> {
    let one = |name: &str| element(INT32, name, &[1, 0, 0, 0]);
    let names = ["", ".", "a.b", "$set", "$", " ", "ключ 🔑", "_id", "0", "__proto__"];
    let deep = (0..DEPTH).fold(document(&[one("bottom")]), |inner, _| document(&[element(DOCUMENT, "down", &inner)]));
    let many: Vec<Vec<u8>> = (0..1_000).map(|number| one(&format!("field_{number:04}"))).collect();
    let mut shapes = vec![
        finish(&[text_id("deep"), element(DOCUMENT, "down", &deep)]),
        finish(&[text_id("names within"), element(DOCUMENT, "names", &document(&names.map(one)))]),
        finish(&[text_id("the same name twice"), one("twin"), element(STRING, "twin", &text("other"))]),
        finish(&[text_id("array with odd indices"), element(ARRAY, "array", &document(&[one("7"), one("x")]))]),
        finish(&[
            text_id("zero timestamp within"),
            element(DOCUMENT, "in", &document(&[element(TIMESTAMP, "at", &[0; 8])])),
        ]),
        finish(&[text_id("many fields"), element(DOCUMENT, "fields", &document(&many))]),
        finish(&[text_id("only an id")]),
    ];
    let top = names.iter().filter(|name| **name != "_id");
    shapes.extend(top.map(|name| finish(&[text_id(&format!("name {name:?}")), one(name)])));
    shapes
}

fn text_id(id: &str) -> Vec<u8> {
    element(STRING, "_id", &text(id))
}

fn element(kind: u8, name: &str, bytes: &[u8]) -> Vec<u8> {
    [&[kind], name.as_bytes(), &[0], bytes].concat()
}

fn document(elements: &[Vec<u8>]) -> Vec<u8> {
    let body = elements.concat();
    [&length(body.len() + 5), &*body, &[0]].concat()
}

fn finish(elements: &[Vec<u8>]) -> RawDocumentBuf {
    RawDocumentBuf::from_bytes(document(elements)).expect("the length and the end are right")
}

fn text(text: &str) -> Vec<u8> {
    [&length(text.len() + 1), text.as_bytes(), &[0]].concat()
}

fn binary(subtype: u8, bytes: &[u8]) -> Vec<u8> {
    [&length(bytes.len()), &[subtype][..], bytes].concat()
}

fn code_with_scope(code: &str, scope: &[u8]) -> Vec<u8> {
    let body = [&text(code), scope].concat();
    [&length(body.len() + 4)[..], &body].concat()
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("documents are far below 4 GiB").to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{Document, spec::ElementType};
    use std::collections::BTreeSet;

    #[test]
    fn every_bson_type_is_there() {
        let all = documents();
        let kinds: BTreeSet<u8> = all
            .iter()
            .filter_map(|document| document.get("alone").expect("well-formed"))
            .map(|value| value.element_type() as u8)
            .collect();
        let every = (0..=0xff).filter(|kind| ElementType::from(*kind).is_some()).collect::<BTreeSet<_>>();
        assert_eq!(kinds, every);
    }

    #[test]
    fn the_largest_is_as_large_as_can_be() {
        assert_eq!(largest().as_bytes().len(), LARGEST_BYTES);
        Document::try_from(largest()).expect("well-formed");
    }
}
