//! Somebody who knows the keys of the plain domain and makes a repository as the bytes of an input tell: everything fits together,
//! except for what the input twists.

use bson::{DateTime, rawdoc};

use super::keys;
use super::storage::Memory;
use crate::bytes_reader::BytesReader;
use crate::config::{CONFIG, binary};
use crate::content::{ContentHasher, Sum};
use crate::envelope::{self, EnvelopeType};
use crate::footer::{self, DeltaLink, PackEntry};
use crate::keys::DomainKeys;
use crate::list::{self, IdValue, ListEntry};
use crate::names::hex;
use crate::object_name::{Folder, Stage, generation_name};
use crate::pack_listing::{self, PackListing};
use crate::record::RecordType;
use crate::seal::Sealer;
use crate::{
    CollectionContent, CollectionEntry, CollectionKind, ContentOrder, Domain, ListRef, MANIFEST_FORMAT, Manifest,
    ReadOrder, delta,
};

/// What an input tells at most.
const STEPS: usize = 200;
const DOMAIN: Domain = Domain::Plain;

pub(super) struct Forger<'a> {
    memory: &'a Memory,
    sealer: Sealer,
    /// Number of the next object.
    number: u32,
    /// Ids and documents of all chunks.
    chunks: Vec<([u8; 32], Vec<u8>)>,
    pack: Vec<u8>,
    entries: Vec<PackEntry>,
    listings: Vec<PackListing>,
    list: Vec<ListEntry>,
    lists: Vec<ListRef>,
    collections: Vec<CollectionEntry>,
}

impl<'a> Forger<'a> {
    /// Fills a storage.
    pub(super) fn forge(input: &[u8], memory: &'a Memory) {
        let sealer = Sealer::with_writer(keys(), DOMAIN, [7; 32]).expect("keys");
        let mut forger = Self {
            memory,
            sealer,
            number: 0,
            chunks: Vec::new(),
            pack: Vec::new(),
            entries: Vec::new(),
            listings: Vec::new(),
            list: Vec::new(),
            lists: Vec::new(),
            collections: Vec::new(),
        };
        forger.config();
        let mut input = BytesReader(input);
        for _ in 0..STEPS {
            if forger.step(&mut input).is_none() {
                break;
            }
        }
        forger.end_pack(0);
        forger.end_list(0);
        if !forger.lists.is_empty() {
            forger.end_collection([0; 2]);
        }
        if !forger.collections.is_empty() {
            forger.manifest([0; 2], 0);
        }
        forger.index(0, 0);
    }

    fn step(&mut self, input: &mut BytesReader<'_>) -> Option<()> {
        match input.u8()? % 13 {
            0 => self.documents(input.array()?),
            1 => {
                let length = usize::from(input.u8()?);
                let raw = input.slice(length)?.to_vec();
                self.full(raw, 1);
            }
            2 => self.delta(input.array()?),
            3 => self.twist(input.array()?, input.u32()?),
            4 => self.end_pack(input.u8()?),
            5 => self.name_chunk(input.array()?),
            6 => self.end_list(input.u8()?),
            7 => self.end_collection(input.array()?),
            8 => self.manifest(input.array()?, input.u64()?.cast_signed()),
            9 => self.index(input.u8()?, input.u64()?),
            10 => self.generation(input.array()?, input.u64()?.cast_signed()),
            11 => self.pin(),
            _ => {
                let [which, at, to] = input.array()?;
                let mut objects = self.memory.objects();
                let count = objects.len();
                let bytes = objects.values_mut().nth(usize::from(which) % count)?;
                let mut changed = bytes.to_vec();
                let at = changed.len() * usize::from(at) / 256;
                changed[at] ^= to;
                *bytes = changed.into();
            }
        }
        Some(())
    }

    fn domain_keys() -> &'static DomainKeys {
        static KEYS: std::sync::OnceLock<std::sync::Arc<crate::keys::Keys>> = std::sync::OnceLock::new();
        KEYS.get_or_init(keys).domain(DOMAIN).expect("keys")
    }

    fn config(&self) {
        let chunk = rawdoc! { "min_bytes": 64i64, "avg_bytes": 256i64, "max_bytes": 1024i64 };
        let config = rawdoc! {
            "format": 1, "features": ["delta", "sums"], "repository": binary(&[3; 16]), "created_at": DateTime::from_millis(1),
            "encrypted": false, "plain": true, "plain_seed": binary(&[4; 32]), "chunk": chunk, "create_only": true,
        };
        let body = rawdoc! { "config": config, "mac": binary(&[0; 32]) };
        self.put(CONFIG, envelope::wrap(EnvelopeType::Config, body.as_bytes()));
    }

    fn put(&self, name: &str, bytes: Vec<u8>) {
        self.memory.objects().insert(name.into(), bytes.into());
    }

    fn put_named(&self, name: &str, record_type: RecordType, body: &[u8]) {
        let id = blake3::keyed_hash(&Self::domain_keys().name, name.as_bytes()).into();
        self.put(name, self.sealer.seal(record_type, &id, body, Some(1)).expect("small"));
    }

    fn next_name(&mut self) -> String {
        self.number += 1;
        format!("night.1.{}.{:06}", hex(&[7; 16]), self.number)
    }

    fn documents(&mut self, [count, first, size]: [u8; 3]) {
        let count = u32::from(count % 4) + 1;
        let pad = "x".repeat(usize::from(size));
        let document = |id: u32| bson::serialize_to_vec(&bson::doc! { "_id": id, "pad": &pad }).expect("BSON");
        let raw: Vec<u8> = (0..count).flat_map(|number| document(u32::from(first) + number)).collect();
        self.full(raw, count);
    }

    fn full(&mut self, raw: Vec<u8>, documents: u32) {
        let id = blake3::keyed_hash(&Self::domain_keys().chunk_id, &raw).into();
        let record = self.sealer.seal(RecordType::Chunk, &id, &raw, Some(1)).expect("small");
        self.append(id, record, raw, documents, None);
    }

    /// The documents of another chunk, and some more.
    fn delta(&mut self, [base, depth, place, more]: [u8; 4]) {
        let Some((base, before)) = self.chunk(base) else { return };
        let mut raw = before.clone();
        raw.extend(bson::serialize_to_vec(&bson::doc! { "_id": 1000 + i32::from(more) }).expect("BSON"));
        let documents = crate::batch::count_documents(&raw).unwrap_or(1);
        let id = blake3::keyed_hash(&Self::domain_keys().chunk_id, &raw).into();
        let frame = delta::diff(&before, &raw).expect("made");
        let raw_bytes = u32::try_from(raw.len()).expect("small");
        let record = self.sealer.seal_delta(&id, raw_bytes, &base, &frame).expect("small");
        let link = DeltaLink { depth: depth % 8 + 1, place: place.max(1), base };
        self.append(id, record, raw, documents, Some(link));
    }

    fn chunk(&self, number: u8) -> Option<([u8; 32], Vec<u8>)> {
        self.chunks.get(usize::from(number) % self.chunks.len().max(1)).cloned()
    }

    fn append(&mut self, id: [u8; 32], record: Vec<u8>, raw: Vec<u8>, documents: u32, delta: Option<DeltaLink>) {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("small");
        let (offset, record_bytes, raw_bytes) = (length(&self.pack), length(&record), length(&raw));
        self.entries.push(PackEntry { id, offset, record_bytes, raw_bytes, documents, delta });
        self.pack.extend(record);
        self.chunks.push((id, raw));
    }

    /// Says something else of the last chunk than what is true.
    fn twist(&mut self, [field, base]: [u8; 2], number: u32) {
        let base = self.chunk(base).map_or([0; 32], |(id, _)| id);
        let Some(entry) = self.entries.last_mut() else { return };
        match field % 6 {
            0 => entry.offset = number,
            1 => entry.record_bytes = number,
            2 => entry.raw_bytes = number,
            3 => entry.documents = number,
            4 => entry.id = base,
            _ => entry.delta = Some(DeltaLink { depth: number.to_le_bytes()[0] % 8 + 1, place: 1, base }),
        }
    }

    fn end_pack(&mut self, twist: u8) {
        if self.entries.is_empty() {
            return;
        }
        let (name, entries) = (self.next_name(), std::mem::take(&mut self.entries));
        let object = Folder::Packs.object(DOMAIN, &name);
        let id = blake3::keyed_hash(&Self::domain_keys().name, object.as_bytes()).into();
        let footer = self.sealer.seal(RecordType::Footer, &id, &footer::encode(&entries), None).expect("small");
        let length = u32::try_from(footer.len()).expect("small");
        let mut pack = std::mem::take(&mut self.pack);
        pack.extend(footer);
        pack.extend(footer::trailer(if twist % 4 == 1 { length + u32::from(twist) } else { length }));
        let stored_bytes = pack.len() as u64;
        match twist % 8 {
            2 => pack.truncate(pack.len() / 2),
            3 => pack.push(0),
            _ => {}
        }
        if twist % 8 != 4 {
            self.put(&object, pack);
        }
        if twist % 8 != 5 {
            self.listings.push(PackListing { name, stored_bytes, entries });
        }
    }

    fn name_chunk(&mut self, [chunk, more]: [u8; 2]) {
        let Some((id, raw)) = self.chunk(chunk) else { return };
        let (first, last) = IdValue::ends(&raw);
        let documents = crate::batch::count_documents(&raw).unwrap_or(1) + u32::from(more / 128);
        let raw_bytes = u32::try_from(raw.len()).expect("small");
        let mut sum = Sum::of_documents(&Self::domain_keys().content, &raw);
        if more % 16 == 13 {
            sum.add(&Sum::from_bytes(&[1; 32]));
        }
        let sum = (more % 4 != 3).then_some(sum);
        self.list.push(ListEntry { id, documents, raw_bytes, first, last, sum });
    }

    fn end_list(&mut self, twist: u8) {
        let entries = std::mem::take(&mut self.list);
        if entries.is_empty() {
            return;
        }
        let mut reference = list::inline(&Self::domain_keys().list_id, &entries);
        if twist % 2 == 1 {
            let body = reference.inline.take().expect("inline").bytes;
            let id = list::list_id(&Self::domain_keys().list_id, &body);
            let record = self.sealer.seal(RecordType::List, &id, &body, Some(1)).expect("small");
            self.put(&Folder::Lists.object(DOMAIN, &reference.id), record);
        }
        match twist % 16 {
            4 => reference.documents = i64::MAX.cast_unsigned(),
            5 => reference.chunks += 1,
            6 => reference.raw_bytes += 1,
            _ => {}
        }
        self.lists.push(reference);
    }

    fn end_collection(&mut self, [twist, order]: [u8; 2]) {
        let chunk_lists = std::mem::take(&mut self.lists);
        let content_order = if order % 2 == 0 { ContentOrder::Any } else { ContentOrder::Exact };
        let mut hasher = ContentHasher::new(Self::domain_keys().content.clone(), content_order);
        let inline = chunk_lists.iter().filter_map(|list| list::decode_alone(&list.inline.as_ref()?.bytes)).flatten();
        for entry in inline {
            let raw = self.chunks.iter().find(|(id, _)| *id == entry.id).map(|(_, raw)| raw.as_slice());
            crate::batch::documents(raw.unwrap_or_default()).for_each(|document| hasher.push(document));
        }
        let sum = |of: fn(&ListRef) -> u64| chunk_lists.iter().map(of).fold(u64::from(twist % 2), u64::saturating_add);
        let content = CollectionContent {
            documents: sum(|list| list.documents) & i64::MAX.cast_unsigned(),
            raw_bytes: sum(|list| list.raw_bytes) & i64::MAX.cast_unsigned(),
            content_hash: hasher.finish(),
            chunk_lists,
        };
        self.collections.push(CollectionEntry {
            name: format!("c{}", self.collections.len()),
            kind: if twist % 8 == 7 { CollectionKind::View } else { CollectionKind::Collection },
            options: rawdoc! {},
            uuid: None,
            indexes: Vec::new(),
            read_at: None,
            at_snapshot: true,
            read_order: ReadOrder::Natural,
            content_order,
            content,
            stored: None,
        });
    }

    fn manifest(&mut self, [job, twist]: [u8; 2], number: i64) {
        let job = format!("night_{}", job % 4);
        let key = Folder::Manifests.object(DOMAIN, &format!("{job}.1.{}", hex(&[job.as_bytes()[6]; 16])));
        let at = DateTime::from_millis(number);
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            job,
            epoch: 1,
            domain: DOMAIN,
            generation: if twist % 2 == 0 { 0 } else { number },
            database: "lucid".into(),
            selected: None,
            copied_from: None,
            cluster: Some("cluster-1".into()),
            former_hashes: Vec::new(),
            started_at: at,
            finished_at: at,
            snapshot_time: None,
            server_version: String::new(),
            fcv: String::new(),
            member: String::new(),
            consistent: true,
            collections: std::mem::take(&mut self.collections),
        };
        self.put_named(&key, RecordType::Manifest, &bson::serialize_to_vec(&manifest).expect("BSON"));
    }

    fn index(&mut self, twist: u8, number: u64) {
        let mut listings = self.listings.clone();
        if let Some(last) = listings.last_mut() {
            match twist % 8 {
                1 => last.stored_bytes = number,
                2 => last.name = format!("../../{}", last.name),
                3 => last.name = String::new(),
                4 => last.entries.truncate(1),
                _ => {}
            }
        }
        let name = self.next_name();
        self.put_named(&Folder::Index.object(DOMAIN, &name), RecordType::Index, &pack_listing::encode(&listings));
    }

    /// Every other object is doomed, or every other manifest honoured.
    fn generation(&self, [stage, odd]: [u8; 2], number: i64) {
        let (stage, field) = if stage % 2 == 0 { (Stage::Doom, "objects") } else { (Stage::Close, "honoured") };
        let number = if odd % 4 == 3 { number } else { i64::from(odd / 64) + 1 };
        let names: Vec<String> = self.memory.objects().keys().skip(usize::from(odd % 2)).step_by(2).cloned().collect();
        let body =
            bson::doc! { "format": 1, "generation": number, "created_at": DateTime::from_millis(1), field: names };
        let body = bson::serialize_to_vec(&body).expect("BSON");
        self.put_named(&generation_name(stage, number), RecordType::Generation, &body);
    }

    fn pin(&self) {
        let folder = Folder::Manifests.of(DOMAIN);
        let manifest = self.memory.objects().keys().find_map(|name| name.strip_prefix(&folder).map(str::to_owned));
        let Some(name) = manifest else { return };
        let body = bson::serialize_to_vec(&bson::doc! { "reason": "x" }).expect("BSON");
        self.put_named(&Folder::Pins.object(DOMAIN, name.trim_start_matches('/')), RecordType::Pin, &body);
    }
}
