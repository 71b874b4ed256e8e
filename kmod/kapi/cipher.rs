// SPDX-License-Identifier: GPL-2.0

//! AES-XTS, and keys for it out of the kernel's keyrings.

use super::{
    memory::{Memory, Source, Target},
    sys::c::{self, stor_piece},
};
use crate::model::{
    crypt::{KeyType, KEY_MAX},
    runs::{Piece, PIECES},
};
use core::ptr::NonNull;
use kernel::{
    error::{code::*, from_err_ptr, to_result},
    prelude::*,
};

const _: () = assert!(PIECES == c::STOR_PIECES as usize);

/// A key, wiped when it is dropped. It is never moved: what is left behind would not be wiped.
pub(crate) struct Key {
    // One more than fits, so that it shows.
    bytes: KBox<[u8; KEY_MAX + 1]>,
    length: usize,
}

impl Key {
    /// Copies a key out of the keyrings of the current task. Allocates, and waits for nobody.
    ///
    /// # Errors
    ///
    /// `ENOPKG` if the kernel has no such type, `ENOKEY` if there is no such key, `EINPROGRESS` if
    /// somebody is still making it, `EKEYEXPIRED`, `EKEYREVOKED`, `EACCES`, `ENOMEM`.
    pub(crate) fn find(key_type: KeyType, description: &CStr) -> Result<Self> {
        let raw_type = match key_type {
            KeyType::Logon => c::stor_key_type_STOR_KEY_LOGON,
            KeyType::User => c::stor_key_type_STOR_KEY_USER,
            KeyType::Encrypted => c::stor_key_type_STOR_KEY_ENCRYPTED,
            KeyType::Trusted => c::stor_key_type_STOR_KEY_TRUSTED,
        };
        let mut key = Self {
            bytes: KBox::new([0; KEY_MAX + 1], GFP_KERNEL)?,
            length: 0,
        };
        // SAFETY: The description is a string, and the array has room for so many bytes.
        let length = unsafe {
            c::stor_key_read(
                raw_type,
                description.as_char_ptr(),
                key.bytes.as_mut_ptr(),
                key.bytes.len(),
            )
        };
        if length < 0 {
            return Err(Error::from_errno(length as c_int));
        }
        key.length = length as usize;
        Ok(key)
    }

    /// The key, of which what is too long is cut off.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&*self.bytes)
    }

    /// Its length in the keyring, in bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: The array may be written to.
        unsafe { c::stor_wipe(self.bytes.as_mut_ptr().cast(), self.bytes.len()) }
    }
}

const PROOF_LEN: usize = c::STOR_PROOF_LEN as usize;

/// Tells a key from another, and nothing else of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyProof([u8; PROOF_LEN]);

/// Encrypts and decrypts sectors in the calling context, one after the other.
///
/// The choice of an implementation is behind this: a later kernel may have a better one.
pub(crate) trait SectorCipher: Send + Sync {
    /// Encrypts whole sectors of `sector` bytes, the first of which has the tweak `tweak`, and each
    /// next one a tweak that is larger by `step`. Process or softirq context, with interrupts on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the two differ in length, and what the cipher gives.
    fn encrypt(
        &self,
        from: &Readable<'_>,
        to: &Writable<'_>,
        sector: u32,
        tweak: u64,
        step: u64,
    ) -> Result;

    /// Encrypts one sector that lies in several pieces.
    fn encrypt_scattered(
        &self,
        from: &[Readable<'_>],
        to: &Writable<'_>,
        sector: u32,
        tweak: u64,
    ) -> Result;

    /// Decrypts whole sectors where they lie.
    fn decrypt(&self, data: &Writable<'_>, sector: u32, tweak: u64, step: u64) -> Result;

    /// Decrypts one sector that lies in several pieces.
    fn decrypt_scattered(&self, data: &[Writable<'_>], sector: u32, tweak: u64) -> Result;
}

type Readable<'a> = Piece<Memory<'a, Source>>;
type Writable<'a> = Piece<Memory<'a, Target>>;

/// The crypto API's `xts(aes)`.
///
/// # Invariants
///
/// The pointer is from `stor_shim_cipher_new()`, and is ours.
pub(crate) struct Xts(NonNull<c::stor_cipher>);

// SAFETY: It can be freed by any thread.
unsafe impl Send for Xts {}
// SAFETY: It does not change after it was made, and each use has a request of its own.
unsafe impl Sync for Xts {}

impl Xts {
    /// Prepares it with a key. May sleep, and load modules.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the kernel has no such cipher, `ENOMEM`, and what the cipher says of the key.
    pub(crate) fn new(key: &Key) -> Result<Self> {
        let bytes = key.bytes();
        // SAFETY: The key has so many bytes.
        let cipher = unsafe { c::stor_cipher_new(bytes.as_ptr(), bytes.len() as u32) };
        let cipher = from_err_ptr(cipher)?;
        // INVARIANT: It was just made.
        Ok(Self(NonNull::new(cipher).ok_or(ENOMEM)?))
    }

    /// What tells its key from another, and nothing else of it. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and what the cipher gives.
    pub(crate) fn proof(&self) -> Result<KeyProof> {
        let mut proof = KBox::new([0; PROOF_LEN], GFP_KERNEL)?;
        // SAFETY: By the type invariant; the array has room for it.
        to_result(unsafe { c::stor_cipher_proof(self.0.as_ptr(), proof.as_mut_ptr()) })?;
        Ok(KeyProof(*proof))
    }

    /// Name of the implementation, as in `/proc/crypto`.
    pub(crate) fn driver(&self) -> &CStr {
        // SAFETY: By the type invariant. The string is there as long as the cipher.
        unsafe { CStr::from_char_ptr(c::stor_cipher_driver(self.0.as_ptr())) }
    }

    /// Whether it takes many blocks at once.
    pub(crate) fn is_fast(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { c::stor_cipher_is_fast(self.0.as_ptr()) }
    }

    /// Without `to`, `from` is a target.
    ///
    /// # Safety
    ///
    /// Without `to`, the memory of `from` may be written to.
    #[inline]
    unsafe fn run<Access>(
        &self,
        from: &Piece<Memory<'_, Access>>,
        to: Option<&Writable<'_>>,
        sector: u32,
        tweak: u64,
        step: u64,
        encrypt: bool,
    ) -> Result {
        let source = Memory::raw(from).ok_or(EINVAL)?;
        let target = match to {
            Some(to) => Some(Memory::raw(to).ok_or(EINVAL)?),
            None => None,
        };
        let whole = from.length != 0 && from.length & sector.wrapping_sub(1) == 0;
        if !whole || to.is_some_and(|to| to.length != from.length) {
            return Err(EINVAL);
        }
        let out = target.as_ref().map_or(core::ptr::null(), |target| target);
        // SAFETY: By the invariants of the pieces' memory, and the contract of this function. Both
        // are of the same length, which is one or more sectors.
        to_result(unsafe {
            c::stor_crypt_run(self.0.as_ptr(), &source, out, sector, tweak, step, encrypt)
        })
    }

    /// # Safety
    ///
    /// Without `to`, the memory of `from` may be written to.
    #[cold]
    unsafe fn scattered<Access>(
        &self,
        from: &[Piece<Memory<'_, Access>>],
        to: Option<&Writable<'_>>,
        sector: u32,
        tweak: u64,
        encrypt: bool,
    ) -> Result {
        let mut pieces = [const {
            stor_piece {
                page: core::ptr::null_mut(),
                offset: 0,
                length: 0,
            }
        }; PIECES];
        let mut length = 0;
        for (n, piece) in from.iter().enumerate() {
            *pieces.get_mut(n).ok_or(EINVAL)? = Memory::raw(piece).ok_or(EINVAL)?;
            length += piece.length;
        }
        let target = match to {
            Some(to) => Some(Memory::raw(to).ok_or(EINVAL)?),
            None => None,
        };
        if length != sector || to.is_some_and(|to| to.length != sector) {
            return Err(EINVAL);
        }
        let out = target.as_ref().map_or(core::ptr::null(), |target| target);
        // SAFETY: As above; the pieces are one sector.
        to_result(unsafe {
            c::stor_crypt_scattered(
                self.0.as_ptr(),
                pieces.as_ptr(),
                from.len() as u32,
                out,
                sector,
                tweak,
                encrypt,
            )
        })
    }
}

impl SectorCipher for Xts {
    #[inline]
    fn encrypt(
        &self,
        from: &Readable<'_>,
        to: &Writable<'_>,
        sector: u32,
        tweak: u64,
        step: u64,
    ) -> Result {
        // SAFETY: There is a target.
        unsafe { self.run(from, Some(to), sector, tweak, step, true) }
    }

    fn encrypt_scattered(
        &self,
        from: &[Readable<'_>],
        to: &Writable<'_>,
        sector: u32,
        tweak: u64,
    ) -> Result {
        // SAFETY: There is a target.
        unsafe { self.scattered(from, Some(to), sector, tweak, true) }
    }

    #[inline]
    fn decrypt(&self, data: &Writable<'_>, sector: u32, tweak: u64, step: u64) -> Result {
        // SAFETY: It is a target.
        unsafe { self.run(data, None, sector, tweak, step, false) }
    }

    fn decrypt_scattered(&self, data: &[Writable<'_>], sector: u32, tweak: u64) -> Result {
        // SAFETY: It is a target.
        unsafe { self.scattered(data, None, sector, tweak, false) }
    }
}

impl Drop for Xts {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; who used it was a request in flight, and those keep
        // `self` alive.
        unsafe { c::stor_cipher_free(self.0.as_ptr()) }
    }
}
