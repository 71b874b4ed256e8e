// SPDX-License-Identifier: GPL-2.0

//! The commands of the interface.

use super::{
    change,
    create::NewVolume,
    message::{describe, selector},
    registry::{EVENTS, REGISTRY},
    stat,
};
use crate::{
    front::Volume,
    kapi::{
        genl::{genl_handlers, notify, Dump, Reply, Request},
        global::NoIo,
        sys::uapi::*,
        version,
    },
    model::{
        attrs::Attrs,
        refusal::{Errno, Refusal},
    },
};
use kernel::{prelude::*, sync::Arc};

genl_handlers! {
    pre {
        stor_nl_admin_pre_doit => admin_only;
    }
    doit {
        stor_nl_info_get_doit => info_get;
        stor_nl_volume_new_doit => volume_new;
        stor_nl_volume_del_doit => volume_del;
        stor_nl_volume_get_doit => volume_get;
        stor_nl_volume_set_doit => volume_set;
        stor_nl_volume_gate_doit => volume_gate;
        stor_nl_volume_lock_doit => volume_lock;
        stor_nl_volume_unlock_doit => volume_unlock;
    }
    dumpit {
        stor_nl_volume_get_dumpit => volume_dump;
        stor_nl_stat_get_dumpit => stat::dump;
    }
}

fn admin_only(request: &Request<'_>) -> Result {
    if request.is_privileged() {
        return Ok(());
    }
    Err(request.refuse(&Refusal::plain(
        Errno::Perm,
        format_args!("CAP_SYS_ADMIN in the initial user namespace is needed"),
    )))
}

fn info_get(request: &Request<'_>) -> Result {
    request.prepare_reply(STOR_CMD_INFO_GET)?.send(|message| {
        message.put_string(STOR_A_INFO_MODULE_VERSION, version().as_bytes())?;
        message.put_u32(STOR_A_INFO_ABI_VERSION, STOR_ABI_VERSION)?;
        message.put_u64(
            STOR_A_INFO_FEATURES,
            u64::from(
                stor_feature_STOR_FEATURE_VOLUME
                    | stor_feature_STOR_FEATURE_GATE
                    | stor_feature_STOR_FEATURE_STAT
                    | stor_feature_STOR_FEATURE_ENCRYPTION
                    | stor_feature_STOR_FEATURE_LOCK
                    | stor_feature_STOR_FEATURE_CRYPTO_ENGINE,
            ),
        )
    })
}

fn volume_new(request: &Request<'_>) -> Result {
    request.check_shape()?;
    let reply = request.prepare_reply(STOR_CMD_VOLUME_NEW)?;
    let volume = NewVolume::parse(request.attrs())
        .and_then(NewVolume::make)
        .map_err(|refusal| request.refuse(&refusal))?;
    answer(reply, &volume);
    Ok(())
}

fn volume_del(request: &Request<'_>) -> Result {
    request.check_shape()?;
    delete(request.attrs()).map_err(|refusal| request.refuse(&refusal))
}

fn volume_get(request: &Request<'_>) -> Result {
    request.check_shape()?;
    let volume = selector(request.attrs())
        .and_then(|selector| REGISTRY.lock().find(&selector).cloned())
        .map_err(|refusal| request.refuse(&refusal))?;
    request
        .prepare_reply(STOR_CMD_VOLUME_GET)?
        .send(|message| describe(message, &volume))
}

fn volume_set(request: &Request<'_>) -> Result {
    changed(request, STOR_CMD_VOLUME_SET, |volume| {
        change::set(volume, request.attrs())
    })
}

fn volume_gate(request: &Request<'_>) -> Result {
    changed(request, STOR_CMD_VOLUME_GATE, change::gate)
}

// What is held may be what memory would be written to: whoever lets it go must not wait for that.
fn volume_lock(request: &Request<'_>) -> Result {
    let _noio = NoIo::new();
    changed(request, STOR_CMD_VOLUME_LOCK, |volume| {
        change::lock(volume, request.attrs())
    })
}

fn volume_unlock(request: &Request<'_>) -> Result {
    let _noio = NoIo::new();
    changed(request, STOR_CMD_VOLUME_UNLOCK, |volume| {
        change::unlock(volume, request.attrs())
    })
}

/// Does something to the volume that is asked for, and answers with what it is then.
fn changed(
    request: &Request<'_>,
    cmd: u32,
    change: impl FnOnce(&Arc<Volume>) -> Result<(), Refusal>,
) -> Result {
    request.check_shape()?;
    let reply = request.prepare_reply(cmd)?;
    let volume = selector(request.attrs())
        .and_then(|selector| REGISTRY.lock().find(&selector).cloned())
        .and_then(|volume| change(&volume).map(|()| volume))
        .map_err(|refusal| request.refuse(&refusal))?;
    answer(reply, &volume);
    Ok(())
}

/// Tells whoever has made or changed a volume what it is now. It is done: that the answer does not
/// fit the caller's buffer can not undo it.
fn answer(reply: Reply<'_>, volume: &Volume) {
    if let Err(e) = reply.send(|message| describe(message, volume)) {
        pr_warn!(
            "stor{}: no answer to who made or changed it: error {}\n",
            volume.identity().index,
            e.to_errno()
        );
    }
}

fn volume_dump(dump: &mut Dump<'_>) -> Result {
    let from = *dump.cursor();
    let registry = REGISTRY.lock();
    dump.set_generation(registry.generation());
    for volume in registry.visible_from(u32::try_from(from).unwrap_or(u32::MAX)) {
        if !dump.entry(STOR_CMD_VOLUME_GET, |message| describe(message, volume)) {
            // The reader's buffer is full, and the next call goes on here; unless it is too small
            // for a single volume, when that call would find no more room either.
            return if dump.written() == 0 {
                Err(EMSGSIZE)
            } else {
                Ok(())
            };
        }
        *dump.cursor() = volume.identity().index as c_ulong + 1;
    }
    Ok(())
}

fn delete(attrs: Attrs<'_>) -> Result<(), Refusal> {
    let selector = selector(attrs)?;
    let volume = REGISTRY.lock().start_delete(&selector)?;
    if volume.close().is_err() {
        REGISTRY.lock().cancel_delete(&volume);
        return Err(Refusal::plain(
            Errno::Busy,
            format_args!(
                "stor{} of volume {} is open",
                volume.identity().index,
                volume.identity().name
            ),
        ));
    }
    volume.hide();
    let _event = EVENTS.lock();
    REGISTRY.lock().finish_delete(&volume);
    notify(STOR_CMD_VOLUME_DEL_NTF, |message| {
        describe(message, &volume)
    });
    Ok(())
}
