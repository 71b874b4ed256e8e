// SPDX-License-Identifier: GPL-2.0

//! What happens when a backing goes away.

use super::{
    message::describe,
    registry::{EVENTS, REGISTRY},
};
use crate::kapi::{
    bdev::{on_backing_lost, BackingId},
    genl::notify,
    sys::uapi::STOR_CMD_VOLUME_FAIL_NTF,
};

on_backing_lost!(lost_backing);

/// Fails all volumes on a backing, and tells those who listen. May sleep; allocates nothing that
/// could start I/O.
pub(super) fn lost_backing(backing: BackingId, surprise: bool) {
    REGISTRY.lock().note_lost(backing);
    let mut from = 0;
    loop {
        let Some(volume) = REGISTRY.lock().next_on(backing, from) else {
            return;
        };
        if volume.fail(surprise) {
            let _event = EVENTS.lock();
            if REGISTRY.lock().note_changed(&volume) {
                notify(STOR_CMD_VOLUME_FAIL_NTF, |message| {
                    describe(message, &volume)
                });
            }
        }
        from = volume.identity().index + 1;
    }
}
