// SPDX-License-Identifier: GPL-2.0

//! The generic netlink family that the spec describes.
//!
//! Its tables and policies are generated C (`kmod/shim/stor-nl-gen.c`), which name the handlers
//! that [`genl_handlers!`] defines. What they are called with is wrapped here.

pub(crate) use super::message::Writer;
use super::{message::Message, sys::c};
use crate::model::{
    attrs::Attrs,
    refusal::{Errno, Field, Refusal},
};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    bindings,
    error::{code::*, to_result, Error},
    prelude::*,
};

/// The registered family.
///
/// # Invariants
///
/// The family is registered as long as this exists.
pub(crate) struct Registration(());

impl Registration {
    /// Registers the family: its handlers may run from now on.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Nobody knows the family yet. It stands for the host's disks, so only the initial
        // network namespace sees it; the generated table can not say that.
        unsafe {
            bindings::genl_family::set_netnsok_raw(&raw mut c::stor_nl_family, 0);
        }
        // SAFETY: The family is filled in by the generated code, and is static.
        to_result(unsafe { bindings::genl_register_family(&raw mut c::stor_nl_family) })?;
        // INVARIANT: It is registered now.
        Ok(Self(()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: The family is registered by the invariant. This waits for its handlers.
        unsafe { bindings::genl_unregister_family(&raw const c::stor_nl_family) };
    }
}

/// A request to one of the family's commands.
///
/// # Invariants
///
/// `skb` and `info` are what a handler was called with, valid for `'a`.
pub(crate) struct Request<'a> {
    skb: NonNull<bindings::sk_buff>,
    info: NonNull<bindings::genl_info>,
    _call: PhantomData<&'a ()>,
}

impl<'a> Request<'a> {
    /// # Safety
    ///
    /// The pointers must be what the core has called a handler with, and be valid for `'a`.
    pub(crate) unsafe fn from_raw(
        skb: NonNull<bindings::sk_buff>,
        info: NonNull<bindings::genl_info>,
    ) -> Self {
        // INVARIANT: By the contract of this function.
        Self {
            skb,
            info,
            _call: PhantomData,
        }
    }

    fn info(&self) -> &bindings::genl_info {
        // SAFETY: Valid by the type invariant; only the handler, which has `self`, changes it.
        unsafe { self.info.as_ref() }
    }

    /// The attributes, checked against the policy if the command has one.
    pub(crate) fn attrs(&self) -> Attrs<'a> {
        // SAFETY: The core has checked the headers, and the message is there for `'a`.
        unsafe { attrs_of(self.info().nlhdr) }
    }

    /// Whether the sender may change things: CAP_SYS_ADMIN in the initial user namespace, both
    /// when it opened the socket and now.
    pub(crate) fn is_privileged(&self) -> bool {
        // SAFETY: The buffer is valid by the type invariant.
        unsafe { c::stor_shim_genl_privileged(self.skb.as_ptr()) }
    }

    /// Tells the user why, and gives the error to return.
    pub(crate) fn refuse(&self, refusal: &Refusal) -> Error {
        let attrs = self.attrs();
        let blamed = refusal.field.and_then(|field| attrs.get(number_of(field)));
        // SAFETY: The core's structure lives as long as the call.
        unsafe { explain(self.info().extack, attrs, blamed.map(|a| a.at), refusal) }
    }

    /// Refuses an attribute that stands there twice. Unknown ones the core has refused.
    ///
    /// # Errors
    ///
    /// What to return from the handler.
    pub(crate) fn check_shape(&self) -> Result {
        let attrs = self.attrs();
        let Some(attr) = attrs.repeated() else {
            return Ok(());
        };
        let refusal = Refusal::plain(
            Errno::Inval,
            format_args!("attribute type {} is given more than once", attr.kind),
        );
        // SAFETY: The core's structure lives as long as the call.
        Err(unsafe { explain(self.info().extack, attrs, Some(attr.at), &refusal) })
    }

    /// Begins the answer. To be done before anything is changed, so that a change is never made
    /// and then not told of for want of memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, which the user is told of.
    pub(crate) fn prepare_reply(&self, cmd: u32) -> Result<Reply<'_>> {
        let mut hdr = core::ptr::null_mut();
        // SAFETY: `info` is valid by the type invariant, and `hdr` may be written to.
        let skb = unsafe { c::stor_shim_genl_reply_new(self.info.as_ptr(), cmd as u8, &mut hdr) };
        Ok(Reply {
            message: Message::new(skb, hdr).map_err(|_| {
                self.refuse(&Refusal::plain(Errno::NoMem, format_args!("out of memory")))
            })?,
            info: self.info,
            _call: PhantomData,
        })
    }
}

/// An answer that is not sent yet.
///
/// # Invariants
///
/// `info` is that of the request, valid for `'a`.
pub(crate) struct Reply<'a> {
    message: Message,
    info: NonNull<bindings::genl_info>,
    _call: PhantomData<&'a ()>,
}

impl Reply<'_> {
    /// Sends the answer, which `fill` fills.
    pub(crate) fn send(mut self, fill: impl FnOnce(&mut Writer<'_>) -> Result) -> Result {
        fill(&mut Writer(&mut self.message))?;
        let skb = self.message.finish();
        // SAFETY: The message is complete; this takes it over.
        to_result(unsafe { c::stor_shim_genl_reply(skb, self.info.as_ptr()) })
    }
}

/// Sends an event to those who listen. What can not be sent for want of memory is lost; netlink
/// listeners must be able to lose events anyway. May sleep.
pub(crate) fn notify(cmd: u32, fill: impl FnOnce(&mut Writer<'_>) -> Result) {
    let mut hdr = core::ptr::null_mut();
    // SAFETY: `hdr` may be written to.
    let skb = unsafe { c::stor_shim_genl_ntf_new(cmd as u8, &mut hdr) };
    let filled = Message::new(skb, hdr).and_then(|mut message| {
        fill(&mut Writer(&mut message))?;
        Ok(message)
    });
    match filled {
        // SAFETY: The message is complete; this takes it over.
        Ok(message) => unsafe { c::stor_shim_genl_ntf(message.finish()) },
        Err(_) => pr_warn!("no memory to tell the monitor group of an event\n"),
    }
}

/// A dump that is being written.
///
/// # Invariants
///
/// `skb` and `cb` are what a dump handler was called with, valid for `'a`.
pub(crate) struct Dump<'a> {
    skb: NonNull<bindings::sk_buff>,
    cb: NonNull<bindings::netlink_callback>,
    _call: PhantomData<&'a ()>,
}

impl Dump<'_> {
    /// # Safety
    ///
    /// The pointers must be what the core has called a dump handler with.
    pub(crate) unsafe fn from_raw(
        skb: NonNull<bindings::sk_buff>,
        cb: NonNull<bindings::netlink_callback>,
    ) -> Self {
        // INVARIANT: By the contract of this function.
        Self {
            skb,
            cb,
            _call: PhantomData,
        }
    }

    /// The attributes of the request, checked against the policy if the command has one.
    pub(crate) fn attrs(&self) -> Attrs<'_> {
        // SAFETY: The core has checked the headers, and keeps the request for as long as the dump.
        unsafe { attrs_of(self.cb.as_ref().nlh) }
    }

    /// Tells the user why there is no dump, and gives the error to return.
    pub(crate) fn refuse(&self, refusal: &Refusal) -> Error {
        let attrs = self.attrs();
        let blamed = refusal.field.and_then(|field| attrs.get(number_of(field)));
        // SAFETY: Valid by the type invariant; the core's structure lives as long as the call.
        unsafe {
            let extack = self.cb.as_ref().extack;
            explain(extack, attrs, blamed.map(|a| a.at), refusal)
        }
    }

    /// Where the dump goes on; 0 at its start.
    pub(crate) fn cursor(&mut self) -> &mut c_ulong {
        // SAFETY: The callback has room for it, which is ours from its first call on.
        unsafe { &mut *c::stor_shim_genl_dump_cursor(self.cb.as_ptr()) }
    }

    /// Says which state of the world is dumped, so that the reader can be told if it changes
    /// until the dump ends. Never 0.
    pub(crate) fn set_generation(&mut self, generation: u32) {
        // SAFETY: Valid by the type invariant.
        unsafe { self.cb.as_mut().seq = generation };
    }

    /// Adds one message; false if there is no room for it, and the dump goes on in a later call.
    pub(crate) fn entry(&mut self, cmd: u32, fill: impl FnOnce(&mut Writer<'_>) -> Result) -> bool {
        // SAFETY: Valid by the type invariant.
        let hdr =
            unsafe { c::stor_shim_genl_dump_put(self.skb.as_ptr(), self.cb.as_ptr(), cmd as u8) };
        let Some(hdr) = NonNull::new(hdr) else {
            return false;
        };
        let mut message = core::mem::ManuallyDrop::new(Message { skb: self.skb, hdr });
        let filled = fill(&mut Writer(&mut message)).is_ok();
        // SAFETY: `hdr` is the header of the message that was begun in this buffer.
        unsafe {
            if filled {
                bindings::genlmsg_end(self.skb.as_ptr(), hdr.as_ptr());
            } else {
                bindings::genlmsg_cancel(self.skb.as_ptr(), hdr.as_ptr());
            }
        }
        filled
    }

    /// What the handler returns: how much there is, so that it is called again until nothing is
    /// added.
    pub(crate) fn written(&self) -> c_int {
        // SAFETY: Valid by the type invariant.
        unsafe { self.skb.as_ref().len as c_int }
    }
}

/// # Safety
///
/// `nlh` must be a generic netlink message that the core has checked, valid for `'a`.
unsafe fn attrs_of<'a>(nlh: *const bindings::nlmsghdr) -> Attrs<'a> {
    let mut len = 0;
    // SAFETY: By the contract of this function.
    let first = unsafe { c::stor_shim_genl_attrs(nlh, &mut len) };
    if len == 0 {
        return Attrs(&[]);
    }
    // SAFETY: By the contract of this function there are `len` bytes of attributes.
    Attrs(unsafe { core::slice::from_raw_parts(first.cast(), len) })
}

/// Fills an extended acknowledgment in, and gives the error that goes with it.
///
/// # Safety
///
/// `extack` must be null, or valid. `blamed` must be where an attribute starts in `attrs`, which
/// are those of the message that is acknowledged.
unsafe fn explain(
    extack: *mut bindings::netlink_ext_ack,
    attrs: Attrs<'_>,
    blamed: Option<usize>,
    refusal: &Refusal,
) -> Error {
    if !extack.is_null() {
        // SAFETY: Valid by the contract of this function, and ours until the handler returns.
        let extack = unsafe { &mut *extack };
        let text = refusal.text.as_bytes();
        for (to, from) in extack
            ._msg_buf
            .iter_mut()
            .zip(Iterator::chain(text.iter(), &[0]))
        {
            *to = *from;
        }
        extack._msg = extack._msg_buf.as_ptr();
        if let Some(bad) = blamed.and_then(|at| attrs.0.get(at..)) {
            extack.bad_attr = bad.as_ptr().cast();
        }
        if let Some(field) = refusal.field.filter(|_| refusal.missing) {
            extack.miss_type = number_of(field);
        }
    }
    match refusal.errno {
        Errno::Acces => EACCES,
        Errno::Already => Error::from_errno(-(bindings::EALREADY as c_int)),
        Errno::Busy => EBUSY,
        Errno::Exist => EEXIST,
        Errno::Inval => EINVAL,
        Errno::Loop => ELOOP,
        Errno::NoEnt => ENOENT,
        Errno::NoMem => ENOMEM,
        Errno::NoSpc => ENOSPC,
        Errno::NotBlk => ENOTBLK,
        Errno::NoKey => ENOKEY,
        Errno::KeyExpired => EKEYEXPIRED,
        Errno::KeyRejected => EKEYREJECTED,
        Errno::KeyRevoked => EKEYREVOKED,
        Errno::NxIo => ENXIO,
        Errno::OpNotSupp => EOPNOTSUPP,
        Errno::Overflow => EOVERFLOW,
        Errno::Perm => EPERM,
        Errno::Range => ERANGE,
        Errno::TimedOut => Error::from_errno(-(bindings::ETIMEDOUT as c_int)),
    }
}

/// The attribute's number in the interface.
fn number_of(field: Field) -> u16 {
    use super::sys::uapi::*;
    (match field {
        Field::Name => STOR_A_VOLUME_NAME,
        Field::Uuid => STOR_A_VOLUME_UUID,
        Field::Index => STOR_A_VOLUME_INDEX,
        Field::Backing => STOR_A_VOLUME_BACKING,
        Field::Offset => STOR_A_VOLUME_OFFSET,
        Field::Length => STOR_A_VOLUME_LENGTH,
        Field::ReadOnly => STOR_A_VOLUME_READ_ONLY,
        Field::Key => STOR_A_VOLUME_KEY,
        Field::CryptoSector => STOR_A_VOLUME_CRYPTO_SECTOR,
        Field::IvOffset => STOR_A_VOLUME_IV_OFFSET,
        Field::IvLargeSectors => STOR_A_VOLUME_IV_LARGE_SECTORS,
        Field::Discard => STOR_A_VOLUME_DISCARD,
        Field::Lock => STOR_A_VOLUME_LOCK,
        Field::CryptoEngine => STOR_A_VOLUME_CRYPTO_ENGINE,
    }) as u16
}

/// Defines the handlers that the generated tables name, each around a safe function.
macro_rules! genl_handlers {
    (
        pre { $($pre:ident => $pre_fn:path;)* }
        doit { $($doit:ident => $doit_fn:path;)* }
        dumpit { $($dump:ident => $dump_fn:path;)* }
    ) => {
        $(
            /// # Safety
            ///
            /// Called by generic netlink only.
            #[no_mangle]
            unsafe extern "C" fn $pre(
                _ops: *const kernel::bindings::genl_split_ops,
                skb: *mut kernel::bindings::sk_buff,
                info: *mut kernel::bindings::genl_info,
            ) -> kernel::ffi::c_int {
                $crate::kapi::genl::call!(skb, info, $pre_fn)
            }
        )*
        $(
            /// # Safety
            ///
            /// Called by generic netlink only.
            #[no_mangle]
            unsafe extern "C" fn $doit(
                skb: *mut kernel::bindings::sk_buff,
                info: *mut kernel::bindings::genl_info,
            ) -> kernel::ffi::c_int {
                $crate::kapi::genl::call!(skb, info, $doit_fn)
            }
        )*
        $(
            /// # Safety
            ///
            /// Called by generic netlink only.
            #[no_mangle]
            unsafe extern "C" fn $dump(
                skb: *mut kernel::bindings::sk_buff,
                cb: *mut kernel::bindings::netlink_callback,
            ) -> kernel::ffi::c_int {
                let (Some(skb), Some(cb)) =
                    (core::ptr::NonNull::new(skb), core::ptr::NonNull::new(cb))
                else {
                    return kernel::error::code::EINVAL.to_errno();
                };
                // SAFETY: By the contract of this callback.
                let mut dump = unsafe { $crate::kapi::genl::Dump::from_raw(skb, cb) };
                match $dump_fn(&mut dump) {
                    Ok(()) => dump.written(),
                    Err(e) => e.to_errno(),
                }
            }
        )*
    };
}

/// Calls a safe function with what a handler was called with.
macro_rules! call {
    ($skb:ident, $info:ident, $fn:path) => {{
        let (Some(skb), Some(info)) = (
            core::ptr::NonNull::new($skb),
            core::ptr::NonNull::new($info),
        ) else {
            return kernel::error::code::EINVAL.to_errno();
        };
        // SAFETY: By the contract of the callback that this is expanded in.
        let request = unsafe { $crate::kapi::genl::Request::from_raw(skb, info) };
        match $fn(&request) {
            Ok(()) => 0,
            Err(e) => kernel::error::Error::to_errno(e),
        }
    }};
}

pub(crate) use {call, genl_handlers};
