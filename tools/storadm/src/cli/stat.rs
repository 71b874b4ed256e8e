// SPDX-License-Identifier: GPL-2.0

//! `storadm stat`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use stor_netlink::{Selector, StatStage, Uuid};

use crate::duration::parse_interval;

/// Arguments of `stat`.
#[derive(Args, Debug)]
pub struct StatArgs {
    /// Names of volumes [default: all volumes]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// UUID of a volume, besides those that are named; may be repeated
    #[arg(long)]
    pub uuid: Vec<Uuid>,
    /// The N of a volume's /dev/storN, besides those that are named; may be repeated
    #[arg(long, value_name = "N")]
    pub index: Vec<u32>,
    /// Show what is added in each interval instead of what there is
    ///
    /// From 0.1 to 86400; 0.5 is half a second.
    #[arg(long, value_name = "SECONDS", value_parser = parse_interval)]
    pub interval: Option<Duration>,
    /// End after so many intervals [default: never]
    #[arg(
        long,
        value_name = "N",
        requires = "interval",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub count: Option<u64>,
    /// Show each CPU by itself
    ///
    /// Counted is on the CPU on which an I/O is started or done. These may be two, so nothing can
    /// be said of what is in flight on one of them.
    #[arg(long)]
    pub per_cpu: bool,
    /// Which part of an I/O's way the latencies are of
    #[arg(long, value_enum, default_value_t = StageChoice::Total)]
    pub stage: StageChoice,
    /// With --json, add the histograms: pairs of a bucket's lower bound in nanoseconds and its count
    #[arg(long)]
    pub histogram: bool,
}

impl StatArgs {
    /// The volumes that are named; all if there are none.
    pub fn selectors(&self) -> Vec<Selector> {
        let names = self.names.iter().cloned().map(Selector::Name);
        let uuids = self.uuid.iter().copied().map(Selector::Uuid);
        let indices = self.index.iter().copied().map(Selector::Index);
        names.chain(uuids).chain(indices).collect()
    }
}

/// Stages to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StageChoice {
    /// The whole way, from the disk's queue to the end of the request
    Total,
    /// In the backing
    Lower,
    /// Encryption of a write
    Seal,
    /// Decryption of a read
    Open,
    /// Each of them
    All,
}

impl StageChoice {
    /// Whether `stage` is among them.
    pub fn has(self, stage: StatStage) -> bool {
        match self {
            Self::Total => stage == StatStage::TOTAL,
            Self::Lower => stage == StatStage::LOWER,
            Self::Seal => stage == StatStage::SEAL,
            Self::Open => stage == StatStage::OPEN,
            Self::All => true,
        }
    }
}
