//! Folders whose contents nobody else can have prepared, and nobody else can exchange.

use nix::unistd::{Uid, geteuid};
use std::{
    fs::{DirBuilder, Metadata},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// The permission bits that let others change what is in a folder.
pub(crate) const OTHERS_WRITE: u32 = 0o022;

/// Why a folder isn't used.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// It can't be made, or looked at.
    #[error("{path} can't be used: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Somebody else's.
    #[error("{path} belongs to user {uid}, who can prepare and exchange what is in it: choose a folder of your own")]
    Owner {
        /// The folder or file.
        path: PathBuf,
        /// Its owner.
        uid: Uid,
    },
    /// Others may write into it.
    #[error(
        "others can prepare and exchange what is in {path}: run `chmod go-w {path}` if you trust it, or choose another folder"
    )]
    Open {
        /// The folder or file.
        path: PathBuf,
    },
}

/// The folder by its real name; made, for this account alone, where there is none.
///
/// # Errors
/// Where another account than this one and root owns it or may write into it.
pub fn trusted_folder(path: &Path) -> Result<PathBuf, Untrusted> {
    let failed = |source| Untrusted::Io { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let real = path.canonicalize().map_err(failed)?;
    check(&real, &real.metadata().map_err(failed)?)?;
    Ok(real)
}

/// Whether nobody but this account and root can have made or changed it.
pub(crate) fn check(path: &Path, about: &Metadata) -> Result<(), Untrusted> {
    let (path, uid) = (path.to_owned(), Uid::from_raw(about.uid()));
    if uid != geteuid() && !uid.is_root() {
        return Err(Untrusted::Owner { path, uid });
    }
    if about.mode() & OTHERS_WRITE != 0 {
        return Err(Untrusted::Open { path });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, chown, symlink},
    };

    #[test]
    fn only_what_others_can_neither_prepare_nor_exchange_is_trusted() {
        let scratch = tempfile::tempdir().expect("scratch folder");
        let new = scratch.path().join("a/b");
        let real = trusted_folder(&new).expect("made");
        assert_eq!(real.metadata().expect("there").mode() & 0o777, 0o700);
        for mode in [0o777, 0o1777, 0o770, 0o702] {
            fs::set_permissions(&new, PermissionsExt::from_mode(mode)).expect("mode");
            assert!(matches!(trusted_folder(&new), Err(Untrusted::Open { .. })), "{mode:o}");
        }
        fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).expect("mode");
        trusted_folder(&new).expect("others may read it");
        let link = scratch.path().join("link");
        symlink(&new, &link).expect("linked");
        assert_eq!(trusted_folder(&link).expect("what it leads to is sound"), real);
        if geteuid().is_root() {
            chown(&new, Some(65_534), None).expect("given away");
            for path in [&new, &link] {
                assert!(matches!(trusted_folder(path), Err(Untrusted::Owner { .. })), "{path:?}");
            }
        }
    }
}
