// SPDX-License-Identifier: GPL-2.0

//! `storadm info`.

use stor_netlink::uapi::STOR_ABI_VERSION;

use super::{connect, pass_on_warning};
use crate::failure::Failure;
use crate::json::{InfoBody, JsonInfo};
use crate::output::{self, print, print_json, print_warning, Style};

/// Version of the tool.
const TOOL_VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn info(style: Style) -> Result<(), Failure> {
    let what = "cannot ask the module what it is";
    let mut client = connect(what)?;
    let info = client.info().map_err(Failure::netlink(what))?;
    pass_on_warning(style, &mut client);
    if let Some(warning) = newer(info.abi_version) {
        print_warning(style == Style::Json, &warning);
    }
    if style == Style::Json {
        return print_json(JsonInfo {
            info: InfoBody::new(TOOL_VERSION, &info),
        });
    }
    print(&output::info(style, TOOL_VERSION, &info))
}

/// What to say about a module that is newer than the tool.
fn newer(abi_version: Option<u32>) -> Option<String> {
    let version = abi_version.filter(|version| *version > STOR_ABI_VERSION)?;
    Some(format!(
        "the module speaks ABI version {version}, this tool only {STOR_ABI_VERSION}: \
         what it shows may be wrong; use a newer storadm"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newer_modules_are_worth_a_warning() {
        assert!(newer(None).is_none());
        assert!(newer(Some(STOR_ABI_VERSION)).is_none());
        let warning = newer(Some(STOR_ABI_VERSION + 1)).unwrap();
        assert!(warning.contains("ABI version 2"), "{warning}");
    }
}
