//! What is wrong with packs, and which documents of which collections that costs.

use std::collections::BTreeMap;

use crate::Manifest;
use crate::index::Index;
use crate::object_name::Folder;
use crate::verify::contents::{ChunkRef, Contents, SoundIn};
use crate::verify::{Finding, PACK_MISSING, PACK_UNLISTED, VerifyLevel};

/// Which collections have chunks in a pack.
#[derive(Clone, Copy, Default)]
enum Users {
    #[default]
    None,
    One(usize),
    Many,
}

/// What is lost, and whom it concerns.
struct Losses {
    /// By position of the pack in the index.
    users: Vec<Users>,
    /// Documents by pack and collection.
    lost: BTreeMap<(usize, usize), u64>,
    /// Documents by collection, of chunks that are in no pack at all.
    nowhere: BTreeMap<usize, u64>,
}

impl Contents {
    /// What is wrong with packs, by collection where documents are lost.
    pub(super) fn pack_findings(
        &mut self,
        manifest: &Manifest,
        index: &Index,
        involved: &[bool],
        level: VerifyLevel,
    ) -> Vec<Finding> {
        self.note_pack_states(index, involved);
        let needed = self.needed_packs(index);
        let Losses { users, lost, nowhere } = self.losses(index);
        let name = |collection: usize| Some(manifest.collections[collection].name.clone());
        let mut findings = Vec::new();
        for ((pack, collection), documents) in &lost {
            self.problems.entry(*pack).or_insert_with(|| vec!["a chunk isn't what the chunk list says".into()]);
            findings.push(Finding {
                object: index.packs[*pack].object.to_string(),
                collection: name(*collection),
                problem: summary(&self.problems[pack]),
                lost_documents: Some(*documents),
                needed: true,
            });
        }
        for (pack, problems) in &self.problems {
            if lost.range((*pack, 0)..=(*pack, usize::MAX)).next().is_some() {
                continue;
            }
            let object = index.packs[*pack].object.to_string();
            // What writers know to be lost they store anew, and so it was: nobody builds on this pack any more.
            if !needed[*pack] && (!index.packs[*pack].is_whole() || index.packs[*pack].distrusted) {
                tracing::warn!(
                    object,
                    problem = summary(problems),
                    "of no use, but this backup has all it needs elsewhere"
                );
                continue;
            }
            findings.push(Finding {
                object,
                collection: if let Users::One(collection) = users[*pack] { name(collection) } else { None },
                problem: summary(problems),
                lost_documents: (level == VerifyLevel::Data).then_some(0),
                needed: needed[*pack],
            });
        }
        findings.extend(nowhere.into_iter().map(|(collection, documents)| Finding {
            object: Folder::Packs.of(self.vault.domain),
            collection: name(collection),
            problem: "no pack holds some of its chunks: packs and index objects are missing".into(),
            lost_documents: Some(documents),
            needed: true,
        }));
        findings
    }

    /// Packs that hold a wanted chunk of which no other pack has a sound copy.
    fn needed_packs(&self, index: &Index) -> Vec<bool> {
        let mut out = vec![false; index.packs.len()];
        for (id, sound_in) in self.wanted.ids.iter().zip(&self.sound_in) {
            for pack in index.copies(id).iter().map(|copy| copy.pack as usize) {
                out[pack] |= !sound_in.is_elsewhere(pack);
            }
        }
        out
    }

    fn note_pack_states(&mut self, index: &Index, involved: &[bool]) {
        let only_unlisted = self.only_in_unlisted(index);
        for (position, pack) in index.packs.iter().enumerate().filter(|(position, _)| involved[*position]) {
            let mut problems = Vec::new();
            match pack.present_bytes {
                None => problems.push(PACK_MISSING.to_owned()),
                Some(bytes) if bytes < pack.stored_bytes => {
                    problems.push(format!("the pack is truncated to {bytes} of {} bytes", pack.stored_bytes));
                }
                Some(bytes) if bytes > pack.stored_bytes => {
                    problems.push(format!("the pack has {bytes} bytes instead of {}", pack.stored_bytes));
                }
                Some(_) => {}
            }
            if only_unlisted[position] {
                problems.push(PACK_UNLISTED.to_owned());
            }
            if !problems.is_empty() {
                problems.extend(self.problems.remove(&position).unwrap_or_default());
                self.problems.insert(position, problems);
            }
        }
    }

    /// Packs that hold a wanted chunk of which no pack that is listed and whole has a copy. (A running or crashed writer's packs aren't listed
    /// either, but what they hold of ours is there twice.)
    fn only_in_unlisted(&self, index: &Index) -> Vec<bool> {
        let mut out = vec![false; index.packs.len()];
        for copies in self.wanted.ids.iter().map(|id| index.copies(id)) {
            if !copies.iter().any(|copy| index.pack(copy).listed && index.pack(copy).is_whole()) {
                for copy in copies {
                    out[copy.pack as usize] |= !index.pack(copy).listed;
                }
            }
        }
        out
    }

    /// Goes through all chunks of all collections.
    fn losses(&self, index: &Index) -> Losses {
        let mut users = vec![Users::None; index.packs.len()];
        let (mut lost, mut nowhere) = (BTreeMap::new(), BTreeMap::new());
        let all = self
            .collections
            .iter()
            .enumerate()
            .flat_map(|(number, collection)| collection.chunks.iter().map(move |chunk| (number, chunk)));
        for (collection, chunk) in all {
            let copies = index.copies(&chunk.id);
            for copy in copies {
                let users = &mut users[copy.pack as usize];
                *users = match *users {
                    Users::None => Users::One(collection),
                    Users::One(one) if one == collection => Users::One(one),
                    _ => Users::Many,
                };
            }
            if self.is_sound(chunk) {
                continue;
            }
            let documents = u64::from(chunk.documents);
            let blamed = self.position(&chunk.id).and_then(|position| self.blamed.get(&position).copied());
            match blamed.or(copies.first().map(|copy| copy.pack as usize)) {
                Some(pack) => *lost.entry((pack, collection)).or_insert(0) += documents,
                None => *nowhere.entry(collection).or_insert(0) += documents,
            }
        }
        Losses { users, lost, nowhere }
    }

    fn is_sound(&self, chunk: &ChunkRef) -> bool {
        let Some(position) = self.position(&chunk.id) else {
            return false;
        };
        match self.sound[position] {
            Some(read) => (read.documents, read.raw_bytes) == (chunk.documents, chunk.raw_bytes),
            None => self.sound_in[position] != SoundIn::Nowhere,
        }
    }
}

/// A few problems as one text.
fn summary(problems: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = problems[..problems.len().min(SHOWN)].join("; ");
    if problems.len() > SHOWN {
        text = format!("{text}; and {} more", problems.len() - SHOWN);
    }
    text
}
