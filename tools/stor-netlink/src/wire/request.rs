// SPDX-License-Identifier: GPL-2.0

//! Requests.

use std::fmt;

use super::attr::{self, attrs};
use super::message::{self, GENL_HEADER};
use super::{align, sys, GENL_ID_CTRL};
use crate::types::{Change, NewVolume, Selector, VolumeLock};
use crate::uapi::*;

/// What every request begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of the family.
    pub family: u16,
    /// Number that the replies repeat.
    pub seq: u32,
}

/// A value does not fit into a netlink attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Name of the attribute.
    pub attribute: &'static str,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: too long", self.attribute)
    }
}

impl std::error::Error for TooLong {}

/// An encoded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    bytes: Vec<u8>,
    seq: u32,
    /// Numbers and names of the attributes that it may have.
    names: &'static [(u64, &'static str)],
}

impl Request {
    // Commands and flags are small in the header, but bindgen gives every constant 32 bits.
    #[allow(clippy::cast_possible_truncation)]
    fn new(header: Header, flags: u32, cmd: u32, version: u32) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(header.family.to_ne_bytes());
        bytes.extend(((sys::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
        bytes.extend(header.seq.to_ne_bytes());
        // The kernel knows who sends.
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend([cmd as u8, version as u8, 0, 0]);
        Self {
            bytes,
            seq: header.seq,
            names: VOLUME_ATTRS,
        }
        .sealed()
    }

    /// Writes the length into the header.
    fn sealed(mut self) -> Self {
        // Attributes are at most 64 KiB each, and there are few.
        if let Ok(len) = u32::try_from(self.bytes.len()) {
            self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        }
        self
    }

    #[allow(clippy::cast_possible_truncation)]
    fn attr(mut self, kind: u32, payload: &[&[u8]]) -> Result<Self, TooLong> {
        let payload = payload.concat();
        let len = u16::try_from(attr::HEADER + payload.len()).map_err(|_| TooLong {
            attribute: self.name_of(kind).unwrap_or("attribute"),
        })?;
        self.bytes.extend(len.to_ne_bytes());
        self.bytes.extend((kind as u16).to_ne_bytes());
        self.bytes.extend(payload);
        self.bytes.resize(align(self.bytes.len()), 0);
        Ok(self.sealed())
    }

    fn string(self, kind: u32, value: &[u8]) -> Result<Self, TooLong> {
        self.attr(kind, &[value, b"\0"])
    }

    fn selector(self, selector: &Selector) -> Result<Self, TooLong> {
        match selector {
            Selector::Name(name) => self.string(STOR_A_VOLUME_NAME, name.as_bytes()),
            Selector::Uuid(uuid) => self.attr(STOR_A_VOLUME_UUID, &[uuid.as_bytes()]),
            Selector::Index(index) => self.attr(STOR_A_VOLUME_INDEX, &[&index.to_ne_bytes()]),
        }
    }

    /// The same for a command of the statistics, whose attributes have other numbers.
    fn stat_selector(self, selector: &Selector) -> Result<Self, TooLong> {
        match selector {
            Selector::Name(name) => self.string(STOR_A_STAT_NAME, name.as_bytes()),
            Selector::Uuid(uuid) => self.attr(STOR_A_STAT_UUID, &[uuid.as_bytes()]),
            Selector::Index(index) => self.attr(STOR_A_STAT_INDEX, &[&index.to_ne_bytes()]),
        }
    }

    /// The specification's name of an attribute that this request may have.
    pub fn name_of(&self, kind: u32) -> Option<&'static str> {
        name_of(self.names, u64::from(kind))
    }

    /// What is sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number that the replies repeat.
    pub fn seq(&self) -> u32 {
        self.seq
    }

    /// Type of the attribute at `offset` from the start of the message, as an extended
    /// acknowledgment points to it. An offset into an attribute's payload finds it too.
    pub fn attr_at(&self, offset: usize) -> Option<u32> {
        let start = message::HEADER + GENL_HEADER;
        let offset = offset.checked_sub(start)?;
        attrs(self.bytes.get(start..)?)
            .flatten()
            .find(|attr| {
                (attr.offset..attr.offset + attr::HEADER + attr.payload.len()).contains(&offset)
            })
            .map(|attr| attr.kind)
    }
}

fn stor(header: Header, flags: u32, cmd: u32) -> Request {
    Request::new(header, flags, cmd, STOR_FAMILY_VERSION)
}

/// Asks what the module is.
pub fn info_get(header: Header) -> Request {
    stor(header, sys::NLM_F_ACK, STOR_CMD_INFO_GET)
}

/// Makes a volume.
pub fn volume_new(header: Header, volume: &NewVolume) -> Result<Request, TooLong> {
    let mut request = stor(header, sys::NLM_F_ACK, STOR_CMD_VOLUME_NEW)
        .string(STOR_A_VOLUME_NAME, volume.name.as_bytes())?;
    if let Some(uuid) = &volume.uuid {
        request = request.attr(STOR_A_VOLUME_UUID, &[uuid.as_bytes()])?;
    }
    if let Some(index) = volume.index {
        request = request.attr(STOR_A_VOLUME_INDEX, &[&index.to_ne_bytes()])?;
    }
    request = request.string(STOR_A_VOLUME_BACKING, &volume.backing)?;
    if let Some(offset) = volume.offset {
        request = request.attr(STOR_A_VOLUME_OFFSET, &[&offset.to_ne_bytes()])?;
    }
    if let Some(length) = volume.length {
        request = request.attr(STOR_A_VOLUME_LENGTH, &[&length.to_ne_bytes()])?;
    }
    for (kind, flag) in [
        (STOR_A_VOLUME_READ_ONLY, volume.read_only),
        (STOR_A_VOLUME_IV_LARGE_SECTORS, volume.iv_large_sectors),
        (STOR_A_VOLUME_DISCARD, volume.discard),
    ] {
        if let Some(flag) = flag {
            request = request.attr(kind, &[&[u8::from(flag)]])?;
        }
    }
    if let Some(key) = &volume.key {
        request = request.string(STOR_A_VOLUME_KEY, key.as_bytes())?;
    }
    if let Some(sector) = volume.crypto_sector {
        request = request.attr(STOR_A_VOLUME_CRYPTO_SECTOR, &[&sector.to_ne_bytes()])?;
    }
    if let Some(offset) = volume.iv_offset {
        request = request.attr(STOR_A_VOLUME_IV_OFFSET, &[&offset.to_ne_bytes()])?;
    }
    if let Some(engine) = volume.crypto_engine {
        request = request.attr(STOR_A_VOLUME_CRYPTO_ENGINE, &[&engine.0.to_ne_bytes()])?;
    }
    Ok(request)
}

/// Changes a volume.
pub fn volume_set(
    header: Header,
    selector: &Selector,
    change: &Change,
) -> Result<Request, TooLong> {
    let mut request = stor(header, sys::NLM_F_ACK, STOR_CMD_VOLUME_SET).selector(selector)?;
    if let Some(length) = change.length {
        request = request.attr(STOR_A_VOLUME_LENGTH, &[&length.to_ne_bytes()])?;
    }
    if let Some(read_only) = change.read_only {
        request = request.attr(STOR_A_VOLUME_READ_ONLY, &[&[u8::from(read_only)]])?;
    }
    Ok(request)
}

/// Closes the gate of a volume and opens it again.
pub fn volume_gate(header: Header, selector: &Selector) -> Result<Request, TooLong> {
    stor(header, sys::NLM_F_ACK, STOR_CMD_VOLUME_GATE).selector(selector)
}

/// Makes a volume forget its key.
pub fn volume_lock(
    header: Header,
    selector: &Selector,
    lock: VolumeLock,
) -> Result<Request, TooLong> {
    stor(header, sys::NLM_F_ACK, STOR_CMD_VOLUME_LOCK)
        .selector(selector)?
        .attr(STOR_A_VOLUME_LOCK, &[&lock.0.to_ne_bytes()])
}

/// Gives a locked volume its key again, by the name of before or by another.
pub fn volume_unlock(
    header: Header,
    selector: &Selector,
    key: Option<&str>,
) -> Result<Request, TooLong> {
    let request = stor(header, sys::NLM_F_ACK, STOR_CMD_VOLUME_UNLOCK).selector(selector)?;
    match key {
        Some(key) => request.string(STOR_A_VOLUME_KEY, key.as_bytes()),
        None => Ok(request),
    }
}

/// Asks what one volume has done, or all; of each CPU by itself, or of all together.
pub fn stat_dump(
    header: Header,
    selector: Option<&Selector>,
    per_cpu: bool,
) -> Result<Request, TooLong> {
    let mut request = stor(header, sys::NLM_F_DUMP, STOR_CMD_STAT_GET);
    request.names = STAT_ATTRS;
    if let Some(selector) = selector {
        request = request.stat_selector(selector)?;
    }
    if per_cpu {
        request = request.attr(STOR_A_STAT_PER_CPU, &[])?;
    }
    Ok(request)
}

/// Deletes a volume.
pub fn volume_del(header: Header, selector: &Selector) -> Result<Request, TooLong> {
    stor(header, sys::NLM_F_ACK, STOR_CMD_VOLUME_DEL).selector(selector)
}

/// Asks for one volume.
pub fn volume_get(header: Header, selector: &Selector) -> Result<Request, TooLong> {
    stor(header, sys::NLM_F_ACK, STOR_CMD_VOLUME_GET).selector(selector)
}

/// Asks for all volumes.
pub fn volume_dump(header: Header) -> Request {
    stor(header, sys::NLM_F_DUMP, STOR_CMD_VOLUME_GET)
}

/// Asks generic netlink for the family `name`.
pub fn get_family(seq: u32, name: &str) -> Result<Request, TooLong> {
    let header = Header {
        family: GENL_ID_CTRL,
        seq,
    };
    Request::new(header, sys::NLM_F_ACK, sys::CTRL_CMD_GETFAMILY, 2)
        .string(sys::CTRL_ATTR_FAMILY_NAME, name.as_bytes())
}
