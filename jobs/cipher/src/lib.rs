//! AES-256-GCM, behind two plain functions.
//!
//! The cipher's own crate is generic, so it is compiled by whoever names its types. Here that is done once and optimised, and the
//! repository above builds fast. Nonces are the caller's business: none may be used twice with a key.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;

/// A key, ready for use; wiped from memory when dropped.
pub struct Cipher(Aes256Gcm);

/// The body is longer than AES-GCM may seal (64 GiB).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Key, nonce, associated bytes, body and tag don't belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

impl Cipher {
    /// The cipher of this key.
    #[inline(never)]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    /// Encrypts the body in place; the tag covers it and the associated bytes.
    #[inline(never)]
    pub fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        associated: &[u8],
        body: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], TooLong> {
        let tag = self.0.encrypt_inout_detached(&Nonce::from(*nonce), associated, body.into());
        tag.map(Into::into).map_err(|_| TooLong)
    }

    /// Decrypts the body in place, if the tag fits; else the body stays as it is.
    #[inline(never)]
    pub fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        associated: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Forged> {
        let opened = self.0.decrypt_inout_detached(&Nonce::from(*nonce), associated, body.into(), &Tag::from(*tag));
        opened.map_err(|_| Forged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test case 16 of the GCM specification (McGrew and Viega), AES-256 with associated bytes.
    #[test]
    fn the_specification_is_met() {
        let bytes = |hex: &str| -> Vec<u8> {
            let digits = hex.as_bytes().chunks(2);
            digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex")).collect()
        };
        let key = bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let nonce = bytes("cafebabefacedbaddecaf888").try_into().expect("12 bytes");
        let associated = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let plain = bytes(concat!(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        ));
        let sealed = bytes(concat!(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa",
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        ));
        let cipher = Cipher::new(&key.try_into().expect("32 bytes"));
        let mut body = plain.clone();
        let tag = cipher.seal(&nonce, &associated, &mut body).expect("short");
        assert_eq!((&body, tag.to_vec()), (&sealed, bytes("76fc6ece0f4e1768cddf8853bb2d551b")));
        assert_eq!(cipher.open(&nonce, &associated, &mut body, &[0; TAG_BYTES]), Err(Forged));
        assert_eq!(cipher.open(&nonce, b"other", &mut body, &tag), Err(Forged));
        assert_eq!(cipher.open(&nonce, &associated, &mut body, &tag), Ok(()));
        assert_eq!(body, plain);
    }
}
