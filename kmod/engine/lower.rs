// SPDX-License-Identifier: GPL-2.0

//! The last stage: a request becomes a bio to the backing.

use super::seal::{Seal, Sealing};
use crate::{
    kapi::{
        lower::Lower,
        request::{Op, Request, Status},
        send::Batch,
    },
    model::{extent::Extent, units::Sectors},
};

/// Sends a request to its place on the backing, its data by way of `sealing`. Process context; may
/// sleep in the lower device.
///
/// # Errors
///
/// The status to give the request back with; it was not started.
#[inline]
pub(crate) fn submit<'a>(
    rq: Request<'a>,
    op: Op,
    extent: &Extent,
    lower: &'a Lower,
    sealing: Option<&'a Sealing>,
    batch: &Batch,
) -> Result<(), Status> {
    let at = match op {
        // A flush has no sectors. Its bio has to name one all the same.
        Op::Flush => Sectors(0),
        // The block layer has checked the range against the disk's size. A request that is
        // let through would hit another volume's data: check again.
        _ => extent
            .map(rq.sector(), rq.length().to_sectors())
            .ok_or(Status::IOERR)?,
    };
    let seal = match sealing {
        None => None,
        Some(Sealing::Here(seal)) => Some(&**seal),
        Some(Sealing::Below(handed)) if op.has_data() => {
            let key = handed.key.as_ref().ok_or(Status::IOERR)?;
            let dun = handed.geometry.tweak(rq.sector());
            return rq.send_inline::<Seal>(op, lower, key, dun, at, batch);
        }
        Some(Sealing::Below(_)) => None,
    };
    rq.send(op, lower, seal, at, batch)
}
