// SPDX-License-Identifier: GPL-2.0

//! Constants of the family, taken from `uapi/stor.h` when this crate is built.

#![allow(missing_docs, non_camel_case_types)]

include!(concat!(env!("OUT_DIR"), "/uapi.rs"));

/// The name that the specification gives to `number`, if it is in `table`.
pub fn name_of(table: &[(u64, &'static str)], number: u64) -> Option<&'static str> {
    table
        .iter()
        .find(|(known, _)| *known == number)
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn tables_follow_the_specification() {
        assert_eq!(STOR_FAMILY_NAME, c"stor");
        assert_eq!(
            name_of(VOLUME_ATTRS, u64::from(STOR_A_VOLUME_BACKING)),
            Some("backing")
        );
        assert_eq!(
            name_of(VOLUME_ATTRS, u64::from(STOR_A_VOLUME_LOGICAL_BLOCK_SIZE)),
            Some("logical-block-size")
        );
        assert_eq!(
            name_of(FEATURES, u64::from(STOR_FEATURE_VOLUME)),
            Some("volume")
        );
        assert_eq!(
            name_of(VOLUME_STATES, u64::from(STOR_VOLUME_STATE_FAILED)),
            Some("failed")
        );
        assert_eq!(name_of(VOLUME_ATTRS, 0), None);
        assert_eq!(VOLUME_ATTRS.len(), STOR_A_VOLUME_MAX as usize);
        assert_eq!(INFO_ATTRS.len(), STOR_A_INFO_MAX as usize);
        assert_eq!(STAT_ATTRS.len(), STOR_A_STAT_MAX as usize);
        let statuses = STAT_STATUSES.iter().map(|(_, name)| *name);
        assert_eq!(statuses.clone().count(), 13);
        assert!(statuses.into_iter().any(|name| name == "resv-conflict"));
        assert_eq!(STAT_OPS.len(), 4);
        assert_eq!(STAT_STAGES.len(), 4);
        assert_eq!(COMMANDS.len(), STOR_CMD_MAX as usize);
    }
}
