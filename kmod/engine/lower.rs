// SPDX-License-Identifier: GPL-2.0

//! The last stage: a request becomes a bio to the backing.

use crate::{
    kapi::{
        bdev::Backing,
        request::{Lower, Op, Request, Status},
    },
    model::{extent::Extent, units::Sectors},
};
use kernel::{error::Error, prelude::*};

/// A range of a backing, ready for requests.
#[pin_data]
pub(crate) struct Target {
    extent: Extent,
    #[pin]
    lower: Lower,
}

impl Target {
    /// Prepares a range of a backing. Requests may have up to `max_segments` segments.
    pub(crate) fn new(
        backing: Backing,
        extent: Extent,
        max_segments: u16,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            extent,
            lower <- Lower::new(backing, max_segments),
        })
    }

    /// Sends a request on its way. Process context; may sleep in the lower device.
    ///
    /// # Errors
    ///
    /// The status to give the request back with; it was not started.
    #[inline]
    pub(crate) fn submit<'a>(&'a self, rq: Request<'a>) -> Result<(), Status> {
        let op = rq.op().ok_or(Status::NOTSUPP)?;
        let at = match op {
            // A flush has no sectors. Its bio has to name one all the same.
            Op::Flush => Sectors(0),
            // The block layer has checked the range against the disk's size. A request that is
            // let through would hit another volume's data: check again.
            _ => self
                .extent
                .map(rq.sector(), rq.length().to_sectors())
                .ok_or(Status::IOERR)?,
        };
        rq.send(op, &self.lower, at)
    }

    /// The backing.
    pub(crate) fn backing(&self) -> &Backing {
        self.lower.backing()
    }

    /// Where on the backing it is.
    pub(crate) fn extent(&self) -> &Extent {
        &self.extent
    }
}
