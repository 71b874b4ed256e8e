// SPDX-License-Identifier: GPL-2.0

//! The order of the stages.

use super::encrypt::{Encryption, Encryptor};
use crate::{
    io::{
        edge::Engine,
        lower::Lower,
        park::Park,
        pdu::{Op, Status},
        request::{Outcome, Request},
        send::SubmitContext,
    },
    model::{
        extent::Extent,
        units::{Bytes, Sectors},
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{ordering::*, Atomic},
        Arc,
    },
};

/// What the stages know of one volume.
///
/// Size and read-only change only behind the gate, so that no request sees one of before and one of
/// after. Others read them at any time.
pub(crate) struct Stages {
    /// Where on the backing the volume begins.
    start: Bytes,
    /// Its size, in bytes.
    length: Atomic<u64>,
    /// What changes data fails.
    read_only: Atomic<bool>,
    /// The backing is gone: everything fails. Set once.
    failed: Atomic<bool>,
    /// Where I/O waits that can not go on, if there may be some.
    park: Option<Pin<KBox<Park>>>,
}

impl Engine for Arc<Stages> {
    type Resources = Option<Encryption>;

    /// From top to bottom. Each stage either has the request go on, or says what becomes of it.
    #[inline(always)]
    fn pass<'a>(
        &'a self,
        encryption: &'a Option<Encryption>,
        lower: &'a Lower,
        request: Request<'a>,
        submit: &SubmitContext,
    ) -> Outcome<'a> {
        // Refuse: what can not be done at all.
        if self.is_failed() || (request.op().changes_data() && self.read_only()) {
            return Outcome::End(request, Status::IOERR);
        }
        // Admit: may it go now? What is parked here comes again from the top.
        if encryption.as_ref().is_some_and(Encryption::is_locked) && !self.is_free(&request) {
            return self.without_key(request);
        }
        // Place: where it goes.
        let Some(at) = self.place(&request) else {
            return Outcome::End(request, Status::IOERR);
        };
        // Encrypt, and send.
        match encryption {
            None => request.send(lower, at, submit),
            Some(encryption) => encryption.send(request, lower, at, submit),
        }
    }
}

impl Stages {
    /// Of a volume on `extent`. With `parks`, its I/O may have to wait. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(extent: Extent, read_only: bool, parks: bool) -> Result<Arc<Self>> {
        let park = if parks {
            Some(KBox::pin_init(Park::new(), GFP_KERNEL)?)
        } else {
            None
        };
        let stages = Self {
            start: extent.start(),
            length: Atomic::new(extent.length().0),
            read_only: Atomic::new(read_only),
            failed: Atomic::new(false),
            park,
        };
        Ok(Arc::new(stages, GFP_KERNEL)?)
    }

    /// Where on the backing the volume is.
    #[inline]
    pub(crate) fn extent(&self) -> Extent {
        Extent::of_volume(self.start, Bytes(self.length.load(Relaxed)))
    }

    /// Changes its size, behind the gate.
    pub(crate) fn set_length(&self, length: Bytes) {
        self.length.store(length.0, Relaxed);
    }

    /// Whether what changes data fails.
    #[inline]
    pub(crate) fn read_only(&self) -> bool {
        self.read_only.load(Relaxed)
    }

    /// Has what changes data fail, or not, behind the gate.
    pub(crate) fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Relaxed);
    }

    /// Whether the backing is gone.
    #[inline]
    pub(crate) fn is_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// Has everything fail, as the backing is gone. True the first time.
    pub(crate) fn fail(&self) -> bool {
        !self.failed.xchg(true, Full)
    }

    /// Where I/O waits that can not go on, if there may be some.
    pub(crate) fn park(&self) -> Option<&Park> {
        self.park.as_deref()
    }

    /// Whether a request of a locked volume need not wait. A flush needs no key, and is for what was
    /// written before, not for what waits.
    #[cold]
    fn is_free(&self, request: &Request<'_>) -> bool {
        request.op() == Op::Flush && self.park().is_some_and(Park::is_open)
    }

    /// What becomes of I/O of a locked volume: it waits, if it is to wait, or fails.
    #[cold]
    #[inline(never)]
    fn without_key<'a>(&self, request: Request<'a>) -> Outcome<'a> {
        match &self.park {
            Some(park) => park.park(request),
            None => Outcome::End(request, Status::IOERR),
        }
    }

    /// The first sector of a request on the backing; `None` if it is not all in the volume.
    #[inline]
    fn place(&self, request: &Request<'_>) -> Option<Sectors> {
        match request.op() {
            // A flush has no sectors. Its bio has to name one all the same.
            Op::Flush => Some(Sectors(0)),
            // The block layer has checked the range against the disk's size. A request that is
            // let through would hit another volume's data: check again.
            _ => self
                .extent()
                .map(request.sector(), request.length().to_sectors()),
        }
    }
}

impl Encryption {
    /// Sends a request with its data encrypted.
    #[inline]
    fn send<'a>(
        &'a self,
        request: Request<'a>,
        lower: &'a Lower,
        at: Sectors,
        submit: &SubmitContext,
    ) -> Outcome<'a> {
        match self {
            Encryption::Here(cipher) => {
                let cipher: &Encryptor = cipher;
                request.send_transformed(lower, at, cipher, submit)
            }
            Encryption::Inline(inline) => {
                let Some(key) = &inline.key else {
                    // A flush of a locked volume has no data.
                    return request.send(lower, at, submit);
                };
                let dun = inline.geometry.tweak(request.sector());
                request.send_inline(lower, at, key, dun, submit)
            }
        }
    }
}
